"""The packages of Go's checksum database (x/mod, sumdb/note and sumdb/tlog) read our log.

They open checkpoints as signed notes, check inclusion proofs, check consistency proofs, and build
the same tree from the entries and from published tiles. Only the first line of a checkpoint is ours: tlog.ParseTree knows no
origin but its own, so go/main.go puts that in its place after the signature is checked.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign_programs import run_go
from whole_log import PUBLISHED_SIZE, SIZE, WholeLog, publish_tiles

from provgraph.seal.keys import signer_from_seed
from provgraph.seal.multikey import ED25519, PublicKey, public_pem
from provgraph.seal.note import NoteKey

PAIRS = SIZE * (SIZE + 1) // 2


def check_log(tlogcheck: Path, folder: Path, told: dict[str, Any]) -> tuple[int, str]:
    path = folder / "log.json"
    path.write_text(json.dumps(told))
    return run_go(tlogcheck, "log", str(path))


def test_a_whole_log(tlogcheck: Path, tmp_path: Path, log: WholeLog) -> None:
    status, said = check_log(tlogcheck, tmp_path, log.to_json())
    assert (status, json.loads(said)) == (
        0,
        {"entries": SIZE, "checkpoints": SIZE, "inclusion": PAIRS, "consistency": PAIRS},
    )


def entry_changed(log: WholeLog) -> WholeLog:
    entries = [*log.entries]
    entries[7] = entries[7].replace(b'"kind":"record"', b'"kind":"recorD"')
    return dataclasses.replace(log, entries=entries)


def entries_reordered(log: WholeLog) -> WholeLog:
    return dataclasses.replace(log, entries=[log.entries[1], log.entries[0], *log.entries[2:]])


def other_key(log: WholeLog) -> WholeLog:
    return dataclasses.replace(log, key=signer_from_seed(b"\x03" * 32).public_key)


def root_changed(log: WholeLog) -> WholeLog:
    """The checkpoint of size 9 with the root of size 8, as it was signed for that."""
    eight, nine = (log.checkpoints[size - 1].decode().split("\n") for size in (8, 9))
    forged = "\n".join([*nine[:2], eight[2], *nine[3:]]).encode()
    return dataclasses.replace(log, checkpoints=[*log.checkpoints[:8], forged])


def origin_changed(log: WholeLog) -> WholeLog:
    forged = log.checkpoints[0].replace(b"provgraph.local/", b"provgraph.other/")
    return dataclasses.replace(log, checkpoints=[forged])


def proof_moved(log: WholeLog) -> WholeLog:
    moved = [dataclasses.replace(each, index=each.index ^ 1) for each in log.inclusion[-2:]]
    return dataclasses.replace(log, inclusion=moved)


def proof_cut(log: WholeLog) -> WholeLog:
    last = log.inclusion[-1]
    cut = dataclasses.replace(last, hashes=last.hashes[:-1])
    return dataclasses.replace(log, inclusion=[cut])


def consistency_of_other_sizes(log: WholeLog) -> WholeLog:
    found = next(each for each in log.consistency if (each.old, each.new) == (33, 99))
    return dataclasses.replace(log, consistency=[dataclasses.replace(found, old=34)])


CHANGES: list[tuple[Callable[[WholeLog], WholeLog], str]] = [
    (entry_changed, "checkpoint 7: its root is not that of the entries"),
    (entries_reordered, "checkpoint 0: its root is not that of the entries"),
    (other_key, "checkpoint 0: note has no verifiable signatures"),
    (root_changed, "checkpoint 8: invalid signature for key"),
    (origin_changed, "checkpoint 0: note has no verifiable signatures"),
    (proof_moved, "inclusion of 99 in 100: invalid transparency proof"),
    (proof_cut, "inclusion of 99 in 100: invalid transparency proof"),
    (consistency_of_other_sizes, "consistency of 34 and 99: invalid transparency proof"),
]


@pytest.mark.parametrize(
    ("change", "said"), CHANGES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_log_that_was_tampered_with_is_refused(
    tlogcheck: Path,
    tmp_path: Path,
    log: WholeLog,
    change: Callable[[WholeLog], WholeLog],
    said: str,
) -> None:
    status, found = check_log(tlogcheck, tmp_path, change(log).to_json())
    assert (status, found.startswith(said), found) == (1, True, found)


# ---- tiles ---------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of tiles, and the verifier key of its log. Read only."""
    folder = tmp_path_factory.mktemp("published") / "log"
    return folder, publish_tiles(folder)


def test_published_tiles(tlogcheck: Path, published: tuple[Path, str]) -> None:
    folder, key = published
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*/*")) == [
        *("tile/0", "tile/0/000", "tile/0/001", "tile/0/002.p", "tile/0/002.p/188"),
        *("tile/1", "tile/1/000.p", "tile/1/000.p/1", "tile/1/000.p/2"),
        *("tile/entries", "tile/entries/000", "tile/entries/001"),
        *("tile/entries/002.p", "tile/entries/002.p/188"),
    ]
    status, said = run_go(tlogcheck, "tiles", str(folder), key)
    assert (status, json.loads(said)) == (0, {"size": PUBLISHED_SIZE})


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("tile/0/000", 31, "downloaded inconsistent tile"),
        ("tile/0/002.p/188", -1, "downloaded inconsistent tile"),
        ("tile/1/000.p/2", 0, "downloaded inconsistent tile"),
        ("tile/entries/001", 2, "tile/entries/001: entry 256 is not the one in the tree"),
        ("tile/entries/002.p/188", -1, "tile/entries/002.p/188: entry 699 is not the one in the"),
        ("checkpoint", 20, "invalid signature for key provgraph.local/"),
    ],
)
def test_tiles_that_were_tampered_with_are_refused(
    tlogcheck: Path,
    tmp_path: Path,
    published: tuple[Path, str],
    name: str,
    place: int,
    said: str,
) -> None:
    folder, key = published
    copied = Path(shutil.copytree(folder, tmp_path / "log"))
    data = bytearray((copied / name).read_bytes())
    data[place] ^= 1
    (copied / name).write_bytes(data)
    status, found = run_go(tlogcheck, "tiles", str(copied), key)
    assert (status, said in found, found) == (1, True, found)


def test_tiles_under_another_key_are_refused(tlogcheck: Path, published: tuple[Path, str]) -> None:
    folder, key = published
    name = key.partition("+")[0]
    other = NoteKey(name=name, public_key=signer_from_seed(b"\x09" * 32).public_key).vkey
    assert run_go(tlogcheck, "tiles", str(folder), other) == (
        1,
        "note has no verifiable signatures\n",
    )


# ---- bundles -------------------------------------------------------------------------------------
def test_a_bundle(tlogcheck: Path, bundle: Path) -> None:
    size = int((bundle / "checkpoint").read_text("utf-8").split("\n")[1])
    status, said = run_go(tlogcheck, "bundle", str(bundle))
    assert (status, json.loads(said)) == (0, {"records": 6, "size": size})


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to tamper with."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def test_a_changed_entry_is_refused(tlogcheck: Path, copied: Path) -> None:
    entry = copied / "records" / "000001" / "entry.json"
    entry.write_bytes(entry.read_bytes().replace(b'"kind":"record"', b'"kind":"recorD"'))
    assert run_go(tlogcheck, "bundle", str(copied)) == (
        1,
        "000001: invalid transparency proof\n",
    )


def test_a_record_at_another_position_is_refused(tlogcheck: Path, copied: Path) -> None:
    (copied / "records" / "000001").rename(copied / "records" / "000009")
    assert run_go(tlogcheck, "bundle", str(copied)) == (
        1,
        "000009: the proof is for position 1\n",
    )


def test_a_larger_checkpoint_that_nobody_signed_is_refused(tlogcheck: Path, copied: Path) -> None:
    path = copied / "checkpoint"
    lines = path.read_text("utf-8").split("\n")
    lines[1] = str(int(lines[1]) + 1)
    path.write_text("\n".join(lines), "utf-8")
    status, said = run_go(tlogcheck, "bundle", str(copied))
    assert (status, said.startswith("invalid signature for key provgraph.local/")) == (1, True)


def test_a_bundle_under_another_key_is_refused(tlogcheck: Path, copied: Path) -> None:
    (path,) = copied.glob("keys/log-z6Mk*.pem")
    other = signer_from_seed(b"\x03" * 32).public_key
    path.write_bytes(public_pem(PublicKey(algorithm=ED25519, raw=other)))
    assert run_go(tlogcheck, "bundle", str(copied)) == (1, "note has no verifiable signatures\n")


def test_a_proof_that_ends_in_another_checkpoint_is_refused(tlogcheck: Path, copied: Path) -> None:
    path = copied / "records" / "000001" / "record.tlog-proof"
    head, _, note = path.read_bytes().partition(b"\n\n")
    lines = note.split(b"\n")
    lines[2] = base64.b64encode(bytes(32))
    path.write_bytes(head + b"\n\n" + b"\n".join(lines))
    assert run_go(tlogcheck, "bundle", str(copied)) == (
        1,
        "000001: the proof ends in another checkpoint than the bundle's\n",
    )
