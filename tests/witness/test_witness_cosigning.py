"""What a witness answers, case by case of C2SP tlog-witness, and what it keeps."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from witness_samples import LOG, LOG_KEYS, LOG_MLDSA, NOW, ORIGIN, Log, body, ed25519_vkey

from provgraph.errors import ConflictError, StorageError, UntrustedError, UsageError
from provgraph.seal.keys import generate_signer
from provgraph.seal.merkle import EMPTY_ROOT
from provgraph.seal.note import (
    Checkpoint,
    NoteKey,
    NoteSigner,
    open_note,
    parse_vkey,
    sign_checkpoint,
    sign_note,
)
from provgraph.seal.witnessed import parse_witness_keys, require_cosigned
from provgraph.witness.cosigning import RefusedError, add_checkpoint
from provgraph.witness.folder import WitnessFolder, open_folder
from provgraph.witness.protocol import SIZE_TYPE, origin_hash

HISTORY = Log(20)
FORK = Log(20, fork_at=5)


def submit(folder: WitnessFolder, data: bytes, *, at: datetime = NOW) -> bytes:
    return add_checkpoint(folder, data, clock=lambda: at)


def refusal(folder: WitnessFolder, data: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        submit(folder, data)
    return caught.value


def state_file(folder: WitnessFolder) -> Path:
    return folder.path / "logs" / origin_hash(ORIGIN) / "checkpoint"


def test_a_first_checkpoint_is_cosigned_with_both_keys_and_the_time(folder: WitnessFolder) -> None:
    note = HISTORY.note(7)
    lines = submit(folder, body(0, [], note))
    assert [line.split(" ")[:2] for line in lines.decode().splitlines()] == [
        ["—", "witness.example.org"]
    ] * 2
    opened = open_note(HISTORY.checkpoint(7).encode() + b"\n" + lines, folder.keys)
    assert [(each.key, each.time_s) for each in opened.signatures] == [
        (key, int(NOW.timestamp())) for key in folder.keys
    ]


def test_a_longer_tree_that_contains_the_last_one_is_cosigned(folder: WitnessFolder) -> None:
    for old, new in ((0, 1), (1, 5), (5, 8), (8, 20)):
        lines = submit(folder, HISTORY.body(old, new))
        require_cosigned(HISTORY.checkpoint(new).encode() + b"\n" + lines, folder.keys)
        assert folder.state(ORIGIN).checkpoint == HISTORY.checkpoint(new)


def test_the_same_checkpoint_is_cosigned_again_with_a_new_time(folder: WitnessFolder) -> None:
    submit(folder, HISTORY.body(0, 7))
    later = NOW + timedelta(hours=1)
    lines = submit(folder, HISTORY.body(7, 7), at=later)
    assert require_cosigned(HISTORY.checkpoint(7).encode() + b"\n" + lines, folder.keys).at == later


def test_an_empty_log_is_cosigned(folder: WitnessFolder) -> None:
    submit(folder, HISTORY.body(0, 0))
    assert folder.state(ORIGIN).checkpoint == Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)
    submit(folder, HISTORY.body(0, 7))


def test_400_malformed(folder: WitnessFolder) -> None:
    assert refusal(folder, b"old 0\n\nnothing").status == 400


def test_400_an_old_size_above_the_new_one(folder: WitnessFolder) -> None:
    refused = refusal(folder, body(8, [], HISTORY.note(7)))
    assert (refused.status, refused.body) == (400, b"expected an old size of at most 7, found 8\n")


def test_404_an_unknown_origin(folder: WitnessFolder) -> None:
    other = sign_checkpoint(Checkpoint(origin="example.org/other", size=0, root=EMPTY_ROOT), LOG)
    assert refusal(folder, body(0, [], other)).status == 404


def test_403_another_key_under_the_same_name(folder: WitnessFolder) -> None:
    stranger = sign_checkpoint(HISTORY.checkpoint(7), generate_signer(), LOG_MLDSA)
    refused = refusal(folder, body(0, [], stranger))
    assert (refused.status, b"expected a signature of type 0x01" in refused.body) == (403, True)


def test_403_one_of_the_logs_two_signatures_left_out(folder: WitnessFolder) -> None:
    assert refusal(folder, body(0, [], sign_checkpoint(HISTORY.checkpoint(7), LOG))).status == 403


def test_403_a_signature_over_another_checkpoint(folder: WitnessFolder) -> None:
    moved = HISTORY.checkpoint(8).encode() + HISTORY.note(7)[len(HISTORY.checkpoint(7).encode()) :]
    assert refusal(folder, body(0, [], moved)).status == 403


def test_409_says_the_size_it_knows(folder: WitnessFolder) -> None:
    submit(folder, HISTORY.body(0, 8))
    for old, new in ((0, 20), (7, 20), (9, 20), (7, 7), (0, 0)):
        refused = refusal(folder, HISTORY.body(old, new))
        assert (refused.status, refused.body, refused.content_type) == (409, b"8\n", SIZE_TYPE)
    assert SIZE_TYPE == "text/x.tlog.size"
    assert folder.state(ORIGIN).checkpoint == HISTORY.checkpoint(8)


@pytest.mark.parametrize(
    ("old", "data"),
    [
        (8, FORK.body(8, 20)),
        (8, FORK.body(8, 8)),
        (8, body(8, [], HISTORY.note(20))),
        (8, body(8, HISTORY.proof(8, 19), HISTORY.note(20))),
        (8, body(8, [*HISTORY.proof(8, 20), b"\x05" * 32], HISTORY.note(20))),
        (8, body(8, HISTORY.proof(8, 20)[:-1], HISTORY.note(20))),
        (8, body(8, [b"\x05" * 32], HISTORY.note(8))),
        (0, body(0, [b"\x05" * 32], HISTORY.note(8))),
        (
            0,
            body(0, [], sign_checkpoint(Checkpoint(origin=ORIGIN, size=0, root=b"\x05" * 32), LOG, LOG_MLDSA)),
        ),
    ],
    ids=[
        "forked log",
        "another tree of the same size",
        "no proof",
        "proof to another size",
        "a hash too many",
        "a hash too few",
        "a proof between equal sizes",
        "a proof from the empty tree",
        "an empty tree with another root",
    ],
)  # fmt: skip
def test_422_an_inconsistent_tree(folder: WitnessFolder, old: int, data: bytes) -> None:
    if old:
        submit(folder, HISTORY.body(0, old))
    before = folder.state(ORIGIN)
    assert refusal(folder, data).status == 422
    assert folder.state(ORIGIN) == before


def test_signature_lines_of_strangers_are_passed_over_and_not_kept(folder: WitnessFolder) -> None:
    stranger = NoteSigner(name="stranger.example.org", signer=generate_signer())
    note = HISTORY.note(7)
    line = sign_note(HISTORY.checkpoint(7).encode(), [stranger]).partition(b"\n\n")[2]
    lines = submit(folder, body(0, [], note + line))
    assert state_file(folder).read_bytes() == note + lines


def test_of_many_submissions_at_once_one_history_wins(folder: WitnessFolder) -> None:
    submit(folder, HISTORY.body(0, 4))
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def run(log: Log, new: int) -> None:
        start.wait()
        try:
            submit(folder, log.body(4, new))
            outcomes.append(f"{'fork' if log is FORK else 'history'} {new}")
        except RefusedError as error:
            outcomes.append(str(error.status))

    threads = [
        threading.Thread(target=run, args=(log, new))
        for log in (HISTORY, FORK)
        for new in range(6, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [each for each in outcomes if " " in each]
    assert sorted(each for each in outcomes if each != winner) == ["409"] * 7
    kind, new = winner.split()
    log = FORK if kind == "fork" else HISTORY
    assert folder.state(ORIGIN).checkpoint == log.checkpoint(int(new))


def test_the_state_is_on_the_disk_before_a_signature_leaves(
    folder: WitnessFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(origin: str, note: bytes) -> None:
        raise StorageError("no space left on the disk")

    submit(folder, HISTORY.body(0, 7))
    monkeypatch.setattr(folder, "put_state", full)
    with pytest.raises(StorageError, match="no space left"):
        submit(folder, HISTORY.body(7, 9))
    assert folder.state(ORIGIN).checkpoint == HISTORY.checkpoint(7)


def test_another_opening_of_the_folder_goes_on_where_the_first_was(
    folder: WitnessFolder, tmp_path: Path
) -> None:
    submit(folder, HISTORY.body(0, 8))
    again = open_folder(tmp_path / "witness", clock=lambda: NOW)
    assert again.keys == folder.keys
    assert refusal(again, FORK.body(0, 20)).status == 409
    assert refusal(again, FORK.body(8, 20)).status == 422
    submit(again, HISTORY.body(8, 20))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_bit_of_the_size(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"\n") + 1] ^= 1
    path.write_bytes(bytes(data))


def take_the_witness_lines_off(path: Path) -> None:
    path.write_bytes(HISTORY.note(8))


def put_a_later_checkpoint_without_us(path: Path) -> None:
    path.write_bytes(HISTORY.note(20))


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        empty,
        cut,
        flip_a_bit_of_the_size,
        take_the_witness_lines_off,
        put_a_later_checkpoint_without_us,
    ],
)
def test_a_damaged_state_stops_it_and_never_counts_as_none(
    folder: WitnessFolder, damage: Callable[[Path], None]
) -> None:
    submit(folder, HISTORY.body(0, 8))
    damage(state_file(folder))
    for data in (HISTORY.body(0, 8), HISTORY.body(8, 20), FORK.body(0, 20)):
        with pytest.raises(UntrustedError, match="is not what this witness wrote") as caught:
            submit(folder, data)
        assert "retire this witness" in str(caught.value)


def test_a_lost_key_does_not_begin_anew(folder: WitnessFolder, tmp_path: Path) -> None:
    submit(folder, HISTORY.body(0, 8))
    shutil.rmtree(tmp_path / "witness" / "keys")
    again = open_folder(tmp_path / "witness", clock=lambda: NOW)
    with pytest.raises(UntrustedError, match="is not what this witness wrote"):
        submit(again, HISTORY.body(0, 8))


def test_the_stated_time_never_goes_back(folder: WitnessFolder) -> None:
    submit(folder, HISTORY.body(0, 8))
    adjusted = submit(folder, HISTORY.body(8, 9), at=NOW - timedelta(minutes=4))
    assert (
        require_cosigned(HISTORY.checkpoint(9).encode() + b"\n" + adjusted, folder.keys).at == NOW
    )
    with pytest.raises(StorageError, match="before the last cosignature of 2026-01-02 03:04:05Z"):
        submit(folder, HISTORY.body(9, 10), at=NOW - timedelta(minutes=6))
    assert folder.state(ORIGIN).checkpoint == HISTORY.checkpoint(9)


def test_a_log_is_added_once_and_keeps_its_keys(folder: WitnessFolder) -> None:
    submit(folder, HISTORY.body(0, 8))
    assert folder.add_log(LOG_KEYS) == ORIGIN
    assert folder.state(ORIGIN).checkpoint.size == 8
    other = NoteKey(name=ORIGIN, public_key=generate_signer().public_key)
    with pytest.raises(ConflictError, match="with other keys"):
        folder.add_log([other])
    assert folder.log_keys(ORIGIN) == LOG_KEYS


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "found none"),
        ([LOG_MLDSA.key], "type 0x01"),
        ([*LOG_KEYS, NoteKey(name="b", public_key=LOG.public_key)], "keys of one log"),
    ],
)
def test_only_keys_of_one_log_are_added(
    folder: WitnessFolder, keys: list[NoteKey], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        folder.add_log(keys)


def test_its_keys_are_private_and_its_name_stays(folder: WitnessFolder, tmp_path: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder.path / "keys").iterdir()}
    assert modes == {"ed25519.pem": 0o600, "mldsa44.pem": 0o600}
    with pytest.raises(UsageError, match=re.escape("is called witness.example.org, not other")):
        open_folder(folder.path, clock=lambda: NOW, name="other")
    with pytest.raises(UsageError, match="without spaces and plus"):
        open_folder(tmp_path / "w", clock=lambda: NOW, name="a b")
    sealed = open_folder(tmp_path / "sealed", clock=lambda: NOW, passphrase=b"correct")
    assert b"ENCRYPTED" in (sealed.path / "keys" / "ed25519.pem").read_bytes()
    with pytest.raises(UntrustedError, match="wrong passphrase"):
        open_folder(tmp_path / "sealed", clock=lambda: NOW, passphrase=b"wrong")


def test_the_verifier_keys_are_those_of_the_specification(folder: WitnessFolder) -> None:
    ed25519, mldsa = folder.keys
    assert ed25519.vkey == ed25519_vkey("witness.example.org", ed25519.public_key)
    assert (ed25519.type, mldsa.type, len(mldsa.public_key)) == (0x04, 0x06, 1312)
    assert parse_witness_keys([mldsa.vkey, ed25519.vkey]) == (ed25519, mldsa)
    assert parse_vkey(mldsa.vkey) == mldsa
