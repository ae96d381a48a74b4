"""Backing up: what comes back is what was there, only what is new is written, and no fault is kept quiet."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
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
)
from disks import Disk, mounted

from provgraph import disk
from provgraph.access.store import AccessStore
from provgraph.access.trail import TrailWriter, access_of, verify_trail
from provgraph.backup import places, segments, writing
from provgraph.backup.places import FolderPlace
from provgraph.cli.main import main
from provgraph.errors import RolledBackError, UsageError
from provgraph.service import backing_up
from provgraph.service.asking import open_reader
from provgraph.service.backing_up import Request, back_up
from provgraph.service.erasing import Order, carry_out, plan_erasure
from provgraph.service.home import close_ledger, trail_signer, utc_now, writable_ledger
from provgraph.settings import load

SECRET = b"Quendelmayr"


def erase_screening() -> None:
    with open_reader(load()) as reader:
        plan = plan_erasure(reader, "screening")
    carry_out(load(), plan, Order(by="dpo@example.org", why="asked", ground=None))


def holds(place: Path, text: bytes) -> bool:
    """Whether content is in any segment at a place, inflated."""
    for path in files_of(place, "segments"):
        header, _ = segments.split_header(path.read_bytes(), what="segment")
        _, origin, kind, begin, end = header.split(" ")
        if kind != "ledger":
            continue
        found = segments.read_ledger_segment(
            path.read_bytes(), origin=origin, start=int(begin), stop=int(end)
        )
        for row in found.rows:
            if row.graph and text in segments_text(row.graph):
                return True
    return False


def segments_text(blob: bytes) -> bytes:
    from provgraph.ledger import compression

    return compression.decode(blob, max_bytes=1 << 26)


def test_what_comes_back_is_what_was_there(home: Path, tmp_path: Path) -> None:
    one, two = backed_up(tmp_path / "one", tmp_path / "two")
    assert (one.problem, two.problem) == (None, None)
    restored(tmp_path / "two", tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)
    assert os.stat(tmp_path / "back" / "ledger.db").st_mode & 0o777 == 0o600


def test_only_what_is_new_is_written(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    before = {path: path.read_bytes() for path in files_of(place, "segments")}
    (again,) = backed_up(place)
    assert (again.written.is_new, again.written.new_bytes) == (False, 0)
    record("train")
    (more,) = backed_up(place)
    assert (more.written.is_new, more.written.segments, more.written.new_entries) == (True, 1, 1)
    assert len(files_of(place, "segments")) == 2
    assert {path: path.read_bytes() for path in before} == before
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)


def test_small_segments_are_merged(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_SMALL_SEGMENTS", 3)
    monkeypatch.setattr(segments, "FULL_ROWS", 12)
    monkeypatch.setattr(writing, "FULL_ROWS", 12)
    place = tmp_path / "place"
    counts = []
    for number in range(8):
        record(f"train {number}")
        backed_up(place, keep=1)
        counts.append(len(files_of(place, "segments")))
    assert max(counts) <= 5
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)


def test_what_was_erased_goes_from_backups_too(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    record("later")
    backed_up(place)
    assert holds(place, SECRET) is True
    erase_screening()
    (done,) = backed_up(place)
    assert (done.written.replaced, done.written.dropped) == (1, 2)
    assert holds(place, SECRET) is False
    assert len(files_of(place, "manifests")) == 1
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)


def test_an_erasure_while_the_backup_is_written_is_noticed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, whole = tmp_path / "place", writing._Writing._home

    def erasing(self, last):
        if not (home / "erased").exists():
            (home / "erased").touch()
            erase_screening()
        return whole(self, last)

    monkeypatch.setattr(writing._Writing, "_home", erasing)
    (done,) = backed_up(place)
    assert done.problem is None
    assert holds(place, SECRET) is False
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)


def test_a_pipeline_appends_while_the_backup_is_written(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, whole = tmp_path / "place", segments.LedgerSource.segment

    def appending(self, *, start, size):
        record("meanwhile")
        return whole(self, start=start, size=size)

    monkeypatch.setattr(segments.LedgerSource, "segment", appending)
    (done,) = backed_up(place)
    with writable_ledger(load()) as ledger:
        assert ledger.size() == done.written.size + 1
    back = restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back")["record"] == rows_of(home)["record"][: back.tree.size]


def test_the_rest_of_the_home_comes_back(home: Path, tmp_path: Path) -> None:
    store = AccessStore(home / "access.db", clock=utc_now)
    _, secret = store.create_token(owner="ada@example.org", roles=["reader"])
    store.close()
    writer = TrailWriter(home / "trail.db", signer=trail_signer(load()), clock=utc_now)
    for number in range(3):
        writer.add(
            access_of(
                at=utc_now(),
                who="ada",
                by="token",
                address="127.0.0.1",
                action="read",
                asked=f"GET /{number}",
                status=200,
                duration_s=0.1,
                size_bytes=1,
                ledger_size=1,
                request="r",
            )
        )
    writer.close()
    (home / "config.toml").write_text('owner = "ada"\n')
    place = tmp_path / "place"
    backed_up(place)
    restored(place, tmp_path / "back")
    assert (tmp_path / "back" / "config.toml").read_text() == 'owner = "ada"\n'
    assert verify_trail(tmp_path / "back" / "trail.db") == verify_trail(home / "trail.db")
    back = AccessStore(tmp_path / "back" / "access.db", clock=utc_now)
    assert back.caller(secret).name == "ada@example.org"
    back.close()
    said = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert secret.encode() not in said
    assert b"PRIVATE KEY" not in said
    assert not (tmp_path / "back" / "keys").exists()


def test_keys_go_only_under_a_passphrase(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with pytest.raises(UsageError, match="--with-keys needs --encrypt"):
        backed_up(place, with_keys=True)
    backed_up(place, with_keys=True, passphrase=PASSPHRASE)
    said = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in said
    assert b"provgraph-segment" not in said
    (again,) = backed_up(place, with_keys=True, passphrase=PASSPHRASE)
    assert again.written.is_new is False
    restored(place, tmp_path / "back", passphrase=PASSPHRASE)
    assert rows_of(tmp_path / "back") == rows_of(home)
    for path in (home / "keys").iterdir():
        assert (tmp_path / "back" / "keys" / path.name).read_bytes() == path.read_bytes()


def test_encrypted_and_plain_backups_are_not_mixed(home: Path, tmp_path: Path) -> None:
    backed_up(tmp_path / "plain")
    backed_up(tmp_path / "sealed", passphrase=PASSPHRASE)
    (plain,) = backed_up(tmp_path / "plain", passphrase=PASSPHRASE)
    (sealed,) = backed_up(tmp_path / "sealed")
    (wrong,) = backed_up(tmp_path / "sealed", passphrase=b"another passphrase")
    assert "are not encrypted" in plain.problem
    assert "add --encrypt" in sealed.problem
    assert "wrong passphrase" in wrong.problem


def test_old_backups_go_and_what_they_alone_needed(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    for number in range(5):
        record(f"train {number}")
        backed_up(place, keep=2)
    assert len(files_of(place, "manifests")) == 2
    backed_up(place, keep=1)
    assert len(files_of(place, "manifests")) == 1


# ---- places at fault -------------------------------------------------------------------------------
def test_one_place_that_fails_holds_up_no_other(home: Path, tmp_path: Path) -> None:
    gone, right = backed_up(tmp_path / "unmounted" / "place", tmp_path / "place")
    assert "mount the disk, or make it" in gone.problem
    assert right.written.is_new is True


def test_a_place_that_is_found_empty_is_not_begun_anew(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    shutil.rmtree(place)
    (found,) = backed_up(place)
    assert "are gone; mount the disk" in found.problem
    (anew,) = backed_up(place, anew=True)
    assert anew.written.is_new is True


class LyingPlace(FolderPlace):
    """A disk that gives other bytes back than it was given."""

    def read(self, name: str, *, max_bytes: int) -> bytes:
        data = super().read(name, max_bytes=max_bytes)
        return data[:-1] + bytes([data[-1] ^ 1])


def test_a_place_that_returns_other_bytes_is_found_out_at_once(home: Path, tmp_path: Path) -> None:
    lying = LyingPlace(tmp_path / "lying")
    (found,) = back_up(load(), [lying], Request())
    assert "returns other bytes of segments/" in found.problem
    assert files_of(tmp_path / "lying", "manifests") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    yield from mounted(tmp_path / "disk", size_mib=2)


def test_a_full_disk_leaves_the_backup_before_whole(
    home: Path, small_disk: Disk, tmp_path: Path
) -> None:
    place = small_disk.folder / "place"
    backed_up(place)
    before = rows_of(home)
    record("later")
    small_disk.fill()
    full, other = backed_up(place, tmp_path / "other")
    assert "free space there, or lower --keep" in full.problem
    assert other.problem is None
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == before
    small_disk.free()
    (after,) = backed_up(place)
    assert after.problem is None


@pytest.mark.parametrize(
    ("what", "at"),
    [("replace", 0), ("replace", 1), ("replace", 2), ("sync", 0), ("sync", 2), ("sync", 4)],
)
def test_a_kill_at_any_write_leaves_a_whole_backup(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, at: int
) -> None:
    place = tmp_path / "place"
    backed_up(place)
    before = rows_of(home)
    record("later")
    close_ledger()

    def killed() -> object:
        if what == "sync":
            monkeypatch.setattr(places.disk, "sync", killing(disk.sync, at=at))
        else:
            monkeypatch.setattr(places.Path, "replace", killing(Path.replace, at=at))
        backed_up(place)
        return None

    code, _ = in_child(killed)
    assert code in {0, -signal.SIGKILL}
    back = restored(place, tmp_path / "back")
    rows = rows_of(tmp_path / "back")
    assert rows["record"] in (before["record"], rows_of(home)["record"])
    assert back.tree.size == len(rows["record"])
    (done,) = backed_up(place)
    assert done.problem is None
    assert list(place.rglob("*.new")) == []
    restored(place, tmp_path / "again")
    assert rows_of(tmp_path / "again") == rows_of(home)


def test_two_backups_at_once_to_one_place(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    with FolderPlace(place).alone():
        (second,) = backed_up(place)
    assert "another backup is being written there now" in second.problem
    record("later")
    close_ledger()
    folders = [FolderPlace(place), FolderPlace(place)]
    both = back_up(load(), folders, Request())
    assert [each.problem is None for each in both].count(True) >= 1
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)


# ---- what is there already -------------------------------------------------------------------------
def test_a_missing_segment_is_written_again(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    (segment,) = files_of(place, "segments")
    data = segment.read_bytes()
    segment.unlink()
    (done,) = backed_up(place)
    assert done.written.mended == 1
    assert segment.read_bytes() == data


def test_a_check_finds_and_mends_flipped_bytes(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    (segment,) = files_of(place, "segments")
    data = segment.read_bytes()
    segment.write_bytes(data[:99] + bytes([data[99] ^ 1]) + data[100:])
    (unseen,) = backed_up(place)
    assert unseen.written.mended == 0
    (done,) = backed_up(place, checks=True)
    assert done.written.mended == 1
    assert hashlib.sha256(segment.read_bytes()).hexdigest() == segment.stem


def test_a_place_of_another_ledger_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    backed_up(place)
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "other"))
    record("elsewhere")
    before = sorted(place.rglob("*"))
    (found,) = backed_up(place)
    assert "a place is for one ledger" in found.problem
    assert sorted(place.rglob("*")) == before


def test_an_older_copy_of_the_home_is_not_backed_up_over_the_newer_one(
    home: Path, made: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    record("later")
    backed_up(place)
    close_ledger()
    shutil.rmtree(home)
    shutil.copytree(made, home)
    (found,) = backed_up(place)
    assert "this home is an older copy. Nothing was written" in found.problem


def test_a_fork_is_not_backed_up_over_what_it_left(home: Path, made: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    record("later")
    backed_up(place)
    close_ledger()
    shutil.rmtree(home)
    shutil.copytree(made, home)
    record("another later")
    (found,) = backed_up(place)
    assert "two histories of one ledger exist" in found.problem


def test_a_home_that_a_witness_contradicts_is_not_signed(
    home: Path, made: Path, tmp_path: Path
) -> None:
    with writable_ledger(load()) as ledger:
        ledger.memory.remember_conflict(later_checkpoint(home))
    close_ledger()
    shutil.copy(made / "ledger.db", home / "ledger.db")
    for suffix in ("-wal", "-shm"):
        (home / f"ledger.db{suffix}").unlink(missing_ok=True)
    with pytest.raises(RolledBackError, match="this is an older copy"):
        backed_up(tmp_path / "place")


def later_checkpoint(home: Path) -> bytes:
    record("later")
    with writable_ledger(load()) as ledger:
        return ledger.checkpoint()


# ---- the command line ------------------------------------------------------------------------------
def test_the_command_says_what_became_of_each_place(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["backup", str(tmp_path / "place"), str(tmp_path / "no" / "place")])
    said = capsys.readouterr()
    assert code == 1
    assert f"{tmp_path / 'place'}: " in said.out
    assert "mount the disk" in said.err
    assert main(["backup", str(home / "inside")]) == 2
    assert "is what is backed up" in capsys.readouterr().err
    assert main(["backup", str(tmp_path / "place"), "--keep", "0"]) == 2
    assert main(["backup", "ftp://x/y"]) == 2
    assert main(["backup", str(tmp_path / "place"), "--encrypt"]) == 2
    assert "needs a passphrase" in capsys.readouterr().err


def test_following_goes_on_until_it_is_ended(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"

    def follow() -> object:
        rounds = [0]
        whole = backing_up.back_up

        def counting(*arguments: object) -> object:
            rounds[0] += 1
            if rounds[0] == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            record(f"round {rounds[0]}")
            return whole(*arguments)  # type: ignore[arg-type]

        backing_up.back_up = counting  # type: ignore[assignment]
        return [main(["backup", str(place), "--follow", "0.01"]), rounds[0]]

    assert in_child(follow) == (0, [0, 3])
    restored(place, tmp_path / "back")
    assert rows_of(tmp_path / "back") == rows_of(home)
