"""Restoring: nothing that was changed, is missing or is another's comes back, and no history is forked."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backup_homes import (
    PASSPHRASE,
    backed_up,
    files_of,
    in_child,
    killing,
    record,
    restored,
    rows_of,
    sizes_of,
)
from disks import Disk, mounted

from provgraph import disk
from provgraph.backup import restoring
from provgraph.backup.manifest import open_manifest, write_manifest
from provgraph.cli.main import main
from provgraph.errors import (
    FormatError,
    NotFoundError,
    RolledBackError,
    StorageError,
    UntrustedError,
    UsageError,
)
from provgraph.ledger.sqlite import Ledger
from provgraph.records import Appointment
from provgraph.seal.entry import WITNESS
from provgraph.seal.keys import generate_signer
from provgraph.seal.note import Cosigner, NoteSigner
from provgraph.service.home import (
    close_ledger,
    log_signer,
    steward_signer,
    utc_now,
    writable_ledger,
)
from provgraph.service.recording import write_record
from provgraph.settings import load


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Path:
    """A place with two backups of the home, in two segments."""
    folder = tmp_path / "place"
    backed_up(folder)
    record("later")
    backed_up(folder)
    close_ledger()
    return folder


def refused(place: Path, folder: Path, **choice: object) -> str:
    """Restore what must not come back; return the message, after a look that nothing was made."""
    with pytest.raises((UntrustedError, FormatError)) as caught:
        restored(place, folder, **choice)
    assert not folder.exists()
    assert [path for path in folder.parent.iterdir() if "restoring" in path.name] == []
    return str(caught.value)


# ---- damaged, missing, forged ----------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["segments", "homes", "manifests"])
def test_a_flipped_byte_anywhere_is_found(place: Path, tmp_path: Path, kind: str) -> None:
    path = files_of(place, kind)[-1]
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 25)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :])
        said = refused(place, tmp_path / "back")
        assert path.name in said
    path.write_bytes(data)
    assert restored(place, tmp_path / "back").tree.size == sizes_of(place)[-1]


@pytest.mark.parametrize("kind", ["segments", "homes", "manifests"])
def test_a_file_that_is_cut_short_is_found(place: Path, tmp_path: Path, kind: str) -> None:
    path = files_of(place, kind)[-1]
    data = path.read_bytes()
    for length in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert path.name in refused(place, tmp_path / "back")


@pytest.mark.parametrize("kind", ["segments", "homes"])
def test_a_missing_file_is_named(place: Path, tmp_path: Path, kind: str) -> None:
    path = files_of(place, kind)[0]
    path.unlink()
    said = refused(place, tmp_path / "back")
    assert f"{path.name} (" in said
    assert "is missing; the backup" in said


def test_swapped_segments_are_found(place: Path, tmp_path: Path) -> None:
    one, two = files_of(place, "segments")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert "is damaged" in refused(place, tmp_path / "back")


def test_segments_swapped_by_who_has_the_log_key_are_found(place: Path, tmp_path: Path) -> None:
    manifest, path = newest(place)
    first, second = manifest.of("ledger")
    swapped = (
        restoring.Part(**{**fields_of(first), "stored": second.stored}),
        restoring.Part(**{**fields_of(second), "stored": first.stored}),
    )
    rewrite(path, manifest, parts=swapped)
    assert "expected a segment 'provgraph-segment/1" in refused(place, tmp_path / "back")


def test_a_row_changed_by_who_has_the_log_key_is_found(place: Path, tmp_path: Path) -> None:
    import hashlib

    manifest, path = newest(place)
    first, second = manifest.of("ledger")
    segment = place / "segments" / f"{first.stored.sha256}.segment"
    data = bytearray(segment.read_bytes())
    data[-40] ^= 1
    stored = restoring.Stored(
        sha256=hashlib.sha256(data).hexdigest(), size_bytes=first.stored.size_bytes
    )
    segment.with_name(f"{stored.sha256}.segment").write_bytes(data)
    changed = restoring.Part(**{**fields_of(first), "stored": stored})
    rewrite(path, manifest, parts=(changed, second))
    refused(place, tmp_path / "back")


def newest(place: Path):
    path = files_of(place, "manifests")[-1]
    return open_manifest(path.read_bytes(), name=path.name), path


def fields_of(part: object) -> dict[str, object]:
    return {name: getattr(part, name) for name in part.__slots__}  # type: ignore[attr-defined]


def rewrite(path: Path, manifest, **changes: object) -> None:
    from dataclasses import replace

    signer = NoteSigner(name=manifest.tree.origin, signer=log_signer(load()))
    path.write_bytes(write_manifest(replace(manifest, **changes), signer))


def test_a_manifest_signed_by_another_key_is_found(place: Path, tmp_path: Path) -> None:
    manifest, path = newest(place)
    signer = NoteSigner(name=manifest.tree.origin, signer=generate_signer())
    path.write_bytes(write_manifest(manifest, signer))
    assert "no signature by a known key" in refused(place, tmp_path / "back")


def test_a_second_signature_on_a_manifest_is_found(place: Path, tmp_path: Path) -> None:
    _, path = newest(place)
    data = path.read_bytes()
    path.write_bytes(data + data[data.rindex("— ".encode()) :].replace(b"provgraph", b"somebody"))
    assert "no other line" in refused(place, tmp_path / "back")


def test_a_damaged_newest_backup_is_not_passed_over_in_silence(place: Path, tmp_path: Path) -> None:
    files_of(place, "manifests")[-1].write_bytes(b"")
    assert "the one before it counts" in refused(place, tmp_path / "back")
    with pytest.raises(NotFoundError, match="there are ones of"):
        restored(place, tmp_path / "back", at=1)


def test_a_manifest_of_another_ledger_is_found(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = main_key(place)
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "other"))
    for number in range(12):
        record(f"elsewhere {number}")
    other = tmp_path / "other-place"
    backed_up(other)
    shutil.copy(files_of(other, "manifests")[-1], place / "manifests")
    assert "is missing; the backup" in refused(place, tmp_path / "back")
    assert "of another ledger, or forged" in refused(place, tmp_path / "back", log_key=own)
    for kind in ("segments", "homes"):
        for path in files_of(other, kind):
            shutil.copy(path, place / kind)
    assert "of another ledger, or forged" in refused(place, tmp_path / "back", log_key=own)


def main_key(place: Path) -> str:
    from provgraph.service.restoring import log_key_of

    return log_key_of(newest(place)[0].charter.log_key)


def test_half_a_backup_is_not_taken_for_a_whole_one(place: Path, tmp_path: Path) -> None:
    for path in files_of(place, "manifests"):
        path.unlink()
    with pytest.raises(NotFoundError, match="no backup is there"):
        restored(place, tmp_path / "back")


def test_a_wrong_passphrase_is_said_to_be_one(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place, passphrase=PASSPHRASE)
    assert "wrong passphrase" in refused(place, tmp_path / "back", passphrase=b"another passphrase")
    with pytest.raises(UsageError, match="give their passphrase"):
        restored(place, tmp_path / "back")


def test_a_flipped_byte_under_encryption_is_found(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place, passphrase=PASSPHRASE)
    for kind in ("segments", "homes"):
        (path,) = files_of(place, kind)
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert path.name in refused(place, tmp_path / "back", passphrase=PASSPHRASE)
        path.write_bytes(data)


# ---- folders ---------------------------------------------------------------------------------------
def test_nothing_is_restored_over_a_home(home: Path, place: Path) -> None:
    before = rows_of(home)
    with pytest.raises(UsageError, match="a home, perhaps one that is in use"):
        restored(place, home)
    assert rows_of(home) == before


def test_nothing_is_restored_over_other_files(place: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        restored(place, tmp_path / "back")
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_taken(place: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    assert restored(place, tmp_path / "back").tree.size == sizes_of(place)[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    yield from mounted(tmp_path / "disk", size_mib=1)


def test_a_full_disk_leaves_nothing_behind(place: Path, small_disk: Disk) -> None:
    small_disk.fill()
    with pytest.raises(StorageError):
        restored(place, small_disk.folder / "back")
    assert [path.name for path in small_disk.folder.iterdir()] == ["filler"]
    small_disk.free()
    assert restored(place, small_disk.folder / "back").tree.size == sizes_of(place)[-1]


@pytest.mark.parametrize("at", range(5))
def test_a_kill_leaves_no_folder_or_all_of_it(
    home: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    folder = tmp_path / "back"
    steps: list[Callable[[], None]] = [
        lambda: monkeypatch.setattr(restoring, "_insert", killing(restoring._insert, at=0)),
        lambda: monkeypatch.setattr(restoring, "_insert", killing(restoring._insert, at=1)),
        lambda: monkeypatch.setattr(disk, "sync_tree", killing(disk.sync_tree, at=0)),
        lambda: monkeypatch.setattr(Path, "rename", killing(Path.rename, at=0)),
        lambda: monkeypatch.setattr(Path, "rename", killing(Path.rename, at=0, is_after=True)),
    ]

    def killed() -> object:
        steps[at]()
        restored(place, folder)
        return None

    code, _ = in_child(killed)
    assert code == -signal.SIGKILL
    if folder.exists():
        assert rows_of(folder) == rows_of(home)
        shutil.rmtree(folder)
    restored(place, folder)
    assert rows_of(folder) == rows_of(home)
    assert [path.name for path in tmp_path.iterdir() if "restoring" in path.name] == []


# ---- the log is not forked -------------------------------------------------------------------------
def in_force(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a restored home go on, with the keys of the one that it came from."""
    close_ledger()
    shutil.copytree(home / "keys", folder / "keys", dirs_exist_ok=True)
    monkeypatch.setenv("PROVGRAPH_HOME", str(folder))
    monkeypatch.setenv("PROVGRAPH_STRICT", "on")


def test_a_restored_home_goes_on(
    home: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored(place, tmp_path / "back")
    in_force(tmp_path / "back", home, monkeypatch)
    record("after the fire")
    (done,) = backed_up(place)
    assert (done.problem, done.written.new_entries) == (None, 1)


def test_an_older_backup_cannot_fork_what_a_newer_one_signed(
    home: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = sizes_of(place)
    back = restored(place, tmp_path / "back", at=older)
    assert (back.tree.size, back.newer.size) == (older, newer)
    in_force(tmp_path / "back", home, monkeypatch)
    with pytest.raises(RolledBackError, match=f"Put back a copy that has at least {newer} entries"):
        with writable_ledger(load()) as ledger:
            ledger.append([_pending("forked")])
    with Ledger.open(
        tmp_path / "back" / "ledger.db", log_signer=None, clock=utc_now, read_only=True
    ) as ledger:
        assert ledger.size() == older


def _pending(name: str):
    from provgraph import vocab
    from provgraph.ledger.rows import Pending
    from provgraph.seal.proof import seal
    from provgraph.service.home import producer_signer

    iri = f"{vocab.ID}record/{name}"
    graph = f'<{iri}> <{vocab.RDFS}label> "x" <{iri}> .\n'.encode()
    return Pending(
        iri=iri,
        graph_nq=graph,
        seal=seal(graph, signer=producer_signer(load()), created=utc_now()),
    )


def test_what_witnesses_saw_beyond_the_backup_stops_the_restored_home(
    home: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("seen by a witness, and in no backup")
    with writable_ledger(load()) as ledger:
        seen = ledger.checkpoint()
    copies = tmp_path / "copies"
    copies.mkdir()
    restored(place, tmp_path / "back")
    in_force(tmp_path / "back", home, monkeypatch)
    monkeypatch.setenv("PROVGRAPH_CHECKPOINT_COPIES", str(copies))
    with writable_ledger(load()) as ledger:
        ledger.memory.remember(seen, origin=ledger.origin)
        (tmp_path / "back" / "witnessed" / "checkpoint").unlink()
        with pytest.raises(RolledBackError, match="this is an older copy"):
            ledger.append([_pending("forked")])


def test_a_ledger_with_a_witness_waits_until_that_was_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Cosigner(name="witness.example.org", signer=generate_signer(), clock=utc_now).key
    appointment = Appointment(
        id="00000000-0000-7000-8000-000000000001",
        witness="witness.example.org",
        address="http://127.0.0.1:9",
        verifier_keys=(key.vkey,),
        status="named",
        at=utc_now(),
    )
    settings = load()
    write_record(
        settings,
        appointment,
        record_id=appointment.id,
        kind=WITNESS,
        signer=steward_signer(settings),
    )
    backed_up(tmp_path / "place")
    back = restored(tmp_path / "place", tmp_path / "back")
    assert back.unasked == ("witness.example.org",)
    in_force(tmp_path / "back", home, monkeypatch)
    with pytest.raises(RolledBackError, match="has not been asked since this home was restored"):
        with writable_ledger(load()) as ledger:
            ledger.append([_pending("forked")])


# ---- the command line ------------------------------------------------------------------------------
def test_the_command_restores_lists_and_refuses(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back = str(tmp_path / "back")
    assert main(["restore", str(place), back]) == 0
    said = capsys.readouterr().out
    assert f"restored {sizes_of(place)[-1]} entries of provgraph.local/" in said
    assert "keys       not in this backup" in said
    assert main(["--home", back, "fsck"]) == 0
    assert main(["restore", str(place), back]) == 2
    assert main(["restore", str(place)]) == 2
    assert main(["restore", str(place), "--list"]) == 0
    assert capsys.readouterr().out.count(" entries  made ") == 2
    assert main(["restore", str(tmp_path / "nothing"), "--list"]) == 1
    assert main(["restore", str(tmp_path / "nothing"), str(tmp_path / "x")]) == 2
