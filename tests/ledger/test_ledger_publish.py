"""A ledger published as tiles: what stands in the folder, and what the publisher refuses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_samples import START, small

from provgraph.errors import StorageError, UntrustedError, UsageError
from provgraph.ledger.published import PublishedReport, open_published, verify_published
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.tiles import Publication, publish
from provgraph.seal.keys import Signer, generate_signer
from provgraph.seal.merkle import leaf_hash, tree_root
from provgraph.seal.mldsa import MldsaSigner
from provgraph.seal.note import Checkpoint, open_checkpoint, sign_checkpoint


@pytest.fixture
def grow(
    ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner, tmp_path: Path
) -> Callable[[int], Publication]:
    """Appends up to a size and publishes."""

    def grow_to(size: int) -> Publication:
        ledger.append([small(number, signer=producer) for number in range(ledger.size(), size)])
        note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
        return publish(ledger, tmp_path / "www", note=note)

    return grow_to


@pytest.fixture
def www(tmp_path: Path) -> Path:
    return tmp_path / "www"


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def expected_files(entries: list[bytes]) -> dict[str, bytes]:
    """The tiles of a tree, computed from the text of tlog-tiles and nothing of ours but hashing."""
    found: dict[str, bytes] = {}
    level_hashes = [leaf_hash(entry) for entry in entries]
    level = 0
    while level_hashes:
        for start in range(0, len(level_hashes), 256):
            chunk = level_hashes[start : start + 256]
            name = f"{start // 256:03}" + ("" if len(chunk) == 256 else f".p/{len(chunk)}")
            found[f"tile/{level}/{name}"] = b"".join(chunk)
            if level == 0:
                below = entries[start : start + 256]
                found[f"tile/entries/{name}"] = b"".join(
                    len(entry).to_bytes(2, "big") + entry for entry in below
                )
        full = len(level_hashes) // 256
        level_hashes = [tree_root(level_hashes[256 * i : 256 * i + 256]) for i in range(full)]
        level += 1
    return found


def test_empty_ledger(ledger: Ledger, grow: Callable[[int], Publication], www: Path) -> None:
    done = grow(0)
    assert (done.checkpoint.size, done.new_entries, done.new_files) == (0, 0, 1)
    assert files(www) == ["charter", "checkpoint"]
    assert (www / "charter").read_bytes() == ledger.charter.note
    assert (www / "checkpoint").read_bytes() == ledger.checkpoint()


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600, 1024])
def test_tiles_are_those_of_the_specification(
    ledger: Ledger, grow: Callable[[int], Publication], www: Path, size: int
) -> None:
    done = grow(size)
    expected = expected_files([ledger.entry(index) for index in range(size)])
    assert done.new_files == len(expected) + 1
    assert files(www) == sorted([*expected, "charter", "checkpoint"])
    for name, data in expected.items():
        assert (www / name).read_bytes() == data
    opened = open_checkpoint((www / "checkpoint").read_bytes(), *ledger.charter.log_keys)
    assert opened == Checkpoint(origin=ledger.origin, size=size, root=ledger.root())


def test_publishing_again_adds_only_what_is_new(
    ledger: Ledger, grow: Callable[[int], Publication], www: Path
) -> None:
    assert grow(200).new_entries == 200
    kept = {name: (www / name).stat().st_mtime_ns for name in files(www)}
    done = grow(210)
    assert (done.new_entries, done.new_files) == (10, 2)
    # The partial tiles of the older checkpoint stay, for whoever still reads under it.
    assert files(www) == [
        "charter",
        "checkpoint",
        *("tile/0/000.p/200", "tile/0/000.p/210"),
        *("tile/entries/000.p/200", "tile/entries/000.p/210"),
    ]
    del kept["checkpoint"]
    assert {name: (www / name).stat().st_mtime_ns for name in kept} == kept
    grow(256)
    assert files(www) == [
        "charter",
        "checkpoint",
        *("tile/0/000", "tile/1/000.p/1", "tile/entries/000"),
    ]
    assert verify_published(www).size == 256


def test_publishing_the_same_again_writes_nothing(
    grow: Callable[[int], Publication], www: Path
) -> None:
    grow(300)
    before = {path: path.stat() for path in www.rglob("*") if path.is_file()}
    assert grow(300).new_files == 0
    assert {path: path.stat() for path in www.rglob("*") if path.is_file()} == before


def test_what_is_published_can_be_read_by_a_web_server(
    grow: Callable[[int], Publication], www: Path
) -> None:
    old = os.umask(0o022)
    try:
        grow(1)
    finally:
        os.umask(old)
    modes = {path.stat().st_mode & 0o777 for path in www.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert {path.stat().st_mode & 0o777 for path in www.rglob("*") if path.is_dir()} == {0o755}


# ---- what is refused -----------------------------------------------------------------------------
def test_a_folder_of_other_things_is_refused(grow: Callable[[int], Publication], www: Path) -> None:
    www.mkdir()
    (www / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"holds thesis\.tex and no checkpoint"):
        grow(1)
    assert files(www) == ["thesis.tex"]


def test_things_beside_a_published_log_are_left_alone(
    grow: Callable[[int], Publication], www: Path
) -> None:
    grow(1)
    (www / "index.html").touch()
    assert grow(2).new_entries == 1
    assert (www / "index.html").exists() is True


def test_the_folder_of_another_ledger_is_refused(
    tmp_path: Path, www: Path, grow: Callable[[int], Publication], log_signer: Signer
) -> None:
    grow(1)
    before = {name: (www / name).read_bytes() for name in files(www)}
    with (
        Ledger.open(tmp_path / "other.db", log_signer=log_signer, clock=lambda: START) as other,
        pytest.raises(UntrustedError, match="the publication of another ledger than"),
    ):
        publish(other, www, note=other.checkpoint())
    assert {name: (www / name).read_bytes() for name in files(www)} == before


@pytest.fixture
def copy(ledger: Ledger, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        target = tmp_path / "copy" / "ledger.db"
        target.parent.mkdir()
        with contextlib.closing(sqlite3.connect(target)) as db:
            ledger._db.backup(db)
        return target

    return make


def published_from(
    path: Path, www: Path, log_signer: Signer, mldsa_signer: MldsaSigner, *items: object
) -> None:
    with Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger:
        ledger.append(list(items))  # type: ignore[arg-type]
        note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
        publish(ledger, www, note=note)


def test_a_ledger_restored_from_an_old_backup_is_refused(
    grow: Callable[[int], Publication],
    www: Path,
    copy: Callable[[], Path],
    log_signer: Signer,
    mldsa_signer: MldsaSigner,
) -> None:
    grow(5)
    backup = copy()
    grow(7)
    before = (www / "checkpoint").read_bytes()
    with pytest.raises(UntrustedError, match=r"has 7 entries .* only 5: it was restored from an"):
        published_from(backup, www, log_signer, mldsa_signer)
    assert (www / "checkpoint").read_bytes() == before


def test_a_forked_ledger_is_refused(
    grow: Callable[[int], Publication],
    www: Path,
    copy: Callable[[], Path],
    log_signer: Signer,
    mldsa_signer: MldsaSigner,
    producer: Signer,
) -> None:
    """A copy that went its own way: longer than the folder, and with another history."""
    grow(5)
    fork = copy()
    grow(7)
    before = (www / "checkpoint").read_bytes()
    items = [small(number, signer=producer) for number in range(100, 110)]
    with pytest.raises(UntrustedError, match=r"has other entries below 7 .* two histories"):
        published_from(fork, www, log_signer, mldsa_signer, *items)
    assert (www / "checkpoint").read_bytes() == before


def test_a_fork_is_noticed_by_the_tiles_that_a_dead_publisher_has_left(
    grow: Callable[[int], Publication],
    www: Path,
    copy: Callable[[], Path],
    log_signer: Signer,
    mldsa_signer: MldsaSigner,
    producer: Signer,
) -> None:
    grow(5)
    checkpoint = (www / "checkpoint").read_bytes()
    fork = copy()
    grow(7)
    # As if it had died before the checkpoint was replaced.
    (www / "checkpoint").write_bytes(checkpoint)
    items = [small(number, signer=producer) for number in (100, 101)]
    with pytest.raises(UntrustedError, match=r"tile/.*/000\.p/7 holds other bytes than the ledger"):
        published_from(fork, www, log_signer, mldsa_signer, *items)
    assert (www / "checkpoint").read_bytes() == checkpoint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a signed note"),
        (b"x" * 100, "expected a signed note"),
    ],
)
def test_a_checkpoint_that_is_none_is_refused(
    grow: Callable[[int], Publication], www: Path, data: bytes, message: str
) -> None:
    grow(5)
    (www / "checkpoint").write_bytes(data)
    with pytest.raises(UntrustedError, match=message):
        grow(6)


def test_a_checkpoint_of_another_key_in_the_folder_is_refused(
    ledger: Ledger, grow: Callable[[int], Publication], www: Path
) -> None:
    grow(5)
    forged = Checkpoint(origin=ledger.origin, size=5, root=ledger.root())
    (www / "checkpoint").write_bytes(sign_checkpoint(forged, generate_signer()))
    with pytest.raises(UntrustedError, match="no signature by a known key"):
        grow(6)


def test_a_checkpoint_without_the_second_signature_is_not_published(
    ledger: Ledger, producer: Signer, www: Path
) -> None:
    ledger.append([small(0, signer=producer)])
    with pytest.raises(UntrustedError, match="expected a signature of type 0x06"):
        publish(ledger, www, note=ledger.checkpoint())
    assert www.exists() is False


def test_a_checkpoint_of_another_tree_is_not_published(
    ledger: Ledger, grow: Callable[[int], Publication], www: Path, log_signer: Signer
) -> None:
    """Signed by the log key, which somebody has got hold of: over a size that the rows have not."""
    grow(3)
    with Ledger.open(www.with_name("l.db"), log_signer=log_signer, clock=lambda: START) as other:
        forged = Checkpoint(origin=other.origin, size=1, root=tree_root([leaf_hash(b"x")]))
        note = sign_checkpoint(forged, log_signer)
        with pytest.raises(UntrustedError, match="not of this ledger's tree, which has 0"):
            publish(other, www.with_name("new"), note=note)


CHANGES = {
    "the entries of tile/0/000": (
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE position = 3)"
        " WHERE position = 4"
    ),
    "its stored hashes do not make the root": (
        "UPDATE record SET nodes = (SELECT nodes FROM record WHERE position = 296)"
        " WHERE position = 298"
    ),
    "the entries of tile/0/001.p/44": (
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE position = 296)"
        " WHERE position = 298"
    ),
    "not of this ledger's tree": (
        "UPDATE record SET nodes = CAST(substr(nodes, 1, 256) || zeroblob(32) AS BLOB)"
        " WHERE position = 255"
    ),
}


@pytest.mark.parametrize(("message", "statement"), CHANGES.items(), ids=range(len(CHANGES)))
def test_a_ledger_whose_rows_were_changed_is_not_published(
    ledger: Ledger,
    producer: Signer,
    mldsa_signer: MldsaSigner,
    www: Path,
    message: str,
    statement: str,
) -> None:
    ledger.append([small(number, signer=producer) for number in range(300)])
    note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        assert db.execute(statement).rowcount == 1
        db.commit()
    with pytest.raises(UntrustedError, match=re.escape(message)):
        publish(ledger, www, note=note)
    assert (www / "checkpoint").exists() is False


# ---- several at once, and places that do not take it ----------------------------------------------
def test_two_publishers_at_once(
    open_ledger: Callable[[], Ledger], producer: Signer, mldsa_signer: MldsaSigner, www: Path
) -> None:
    failures: list[BaseException] = []

    def produce(start: int) -> None:
        try:
            with open_ledger() as ledger:
                for number in range(start, start + 20):
                    ledger.append([small(number, signer=producer)])
                    note = ledger.cosigned_checkpoint(
                        mldsa_signer=mldsa_signer, clock=lambda: START
                    )
                    publish(ledger, www, note=note)
        except BaseException as error:
            failures.append(error)

    open_ledger().close()
    threads = [threading.Thread(target=produce, args=(100 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert failures == []
    with open_ledger() as ledger:
        note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
        publish(ledger, www, note=note)
        assert verify_published(www).root == ledger.root()
    assert os.listdir(www) == [name for name in os.listdir(www) if not name.startswith(".")]


def test_one_that_comes_late_with_an_earlier_checkpoint_changes_nothing(
    ledger: Ledger,
    grow: Callable[[int], Publication],
    www: Path,
    mldsa_signer: MldsaSigner,
) -> None:
    grow(3)
    early = ledger.checkpoint()
    late = grow(5).checkpoint
    before = (www / "checkpoint").read_bytes()
    assert publish(ledger, www, note=early) == Publication(
        folder=www, checkpoint=late, new_entries=0, new_files=0
    )
    assert (www / "checkpoint").read_bytes() == before


def test_a_publisher_waits_and_gives_up_with_a_next_step(
    ledger: Ledger, grow: Callable[[int], Publication], www: Path
) -> None:
    grow(1)
    descriptor = os.open(www, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="another process has been publishing into"):
            publish(ledger, www, note=ledger.checkpoint(), wait_s=0.1)
    finally:
        os.close(descriptor)
    assert grow(3).new_entries == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 300 kB, where this process may make one."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_checkpoint(
    ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner, small_disk: Path
) -> None:
    www = small_disk / "www"

    def publish_at(size: int) -> None:
        ledger.append([small(number, signer=producer) for number in range(ledger.size(), size)])
        note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
        publish(ledger, www, note=note)

    publish_at(50)
    with pytest.raises(StorageError, match=r"No space left on device; free space, and repeat"):
        publish_at(1000)
    assert verify_published(www).size == 50
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    publish_at(1001)
    assert verify_published(www).size == 1001


def test_a_read_only_disk_is_a_storage_error(
    ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner, small_disk: Path
) -> None:
    ledger.append([small(0, signer=producer)])
    note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
    publish(ledger, small_disk / "www", note=note)
    ledger.append([small(1, signer=producer)])
    note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system; look at the disk and the"):
        publish(ledger, small_disk / "www", note=note)
    assert verify_published(small_disk / "www").size == 1
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    publish(ledger, small_disk / "www", note=note)
    assert verify_published(small_disk / "www").size == 2


def test_report(ledger: Ledger, grow: Callable[[int], Publication], www: Path) -> None:
    grow(600)
    assert verify_published(www, keys=ledger.charter.log_keys) == PublishedReport(
        origin=ledger.origin, size=600, root=ledger.root(), tiles=4, bundles=3
    )
    assert open_published(www).checkpoint.size == 600
