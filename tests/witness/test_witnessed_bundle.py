"""A bundle with a witness's cosignature: verified by us and by openssl, and every forgery refused."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from witness_process import make_witness, serving

import provgraph
from provgraph.cli.main import main
from provgraph.seal.bundle import write_manifest
from provgraph.seal.keys import generate_signer
from provgraph.seal.members import MANIFEST, read_members, write_folder
from provgraph.seal.note import Cosigner, NoteKey, NoteSigner, add_signature
from provgraph.service.home import log_signer, readable_ledger, utc_now
from provgraph.service.witnessing import name_witness
from provgraph.settings import load

NAME = "witness.example.org"


@pytest.fixture
def keys(home: Path, tmp_path: Path) -> tuple[NoteKey, ...]:
    """Export `bundle`, cosigned by a real witness, and return the witness's keys."""
    with provgraph.run("train", owner="ada@example.org") as run:
        run.generate(
            "s3://b/m", role="model", name="churn", version="1", digest="sha256:" + "ab" * 32
        )
    with readable_ledger(load()) as ledger:
        log_keys = ledger.charter.log_keys
    made = make_witness(tmp_path / "witness", log_keys)
    with serving(tmp_path / "witness") as process:
        name_witness(load(), address=process.address, keys=[key.vkey for key in made])
        export = ["export", "churn:1", "--format", "bundle", "--require-witness"]
        assert main([*export, "--out", str(tmp_path / "bundle")]) == 0
    return made


def forged(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the checkpoint everywhere in a bundle, with the log key at hand."""
    members = read_members(folder)
    note = members["checkpoint"]
    with readable_ledger(load()) as ledger:
        origin = ledger.origin
    members = {
        name: data.replace(note, change(note)) for name, data in members.items() if name != MANIFEST
    }
    signer = NoteSigner(name=origin, signer=log_signer(load()))
    members[MANIFEST] = write_manifest(members, origin=origin, signer=signer)
    shutil.rmtree(folder)
    write_folder(folder, members)


def test_verify_says_who_saw_it_and_when(
    keys: tuple[NoteKey, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(tmp_path / "bundle")
    (tmp_path / "witness.keys").write_text("".join(f"{key.vkey}\n" for key in keys))
    capsys.readouterr()
    assert main(["verify", bundle]) == 0
    shown = capsys.readouterr().out
    assert f"Not checked: cosignatures by {NAME}. Give a witness's verifier key" in shown
    for words in (
        ["--witness", str(tmp_path / "witness.keys")],
        ["--witness", keys[0].vkey, "--witness", keys[1].vkey],
        ["--witness", keys[0].vkey],
    ):
        assert main(["verify", bundle, *words]) == 0
        assert f"ok 11  witness {NAME} saw this checkpoint at 2" in capsys.readouterr().out
    assert main(["verify", bundle, "--witness", "hello"]) == 2
    assert "--witness: expected a verifier key" in capsys.readouterr().err
    assert main(["verify", "--witness", keys[0].vkey]) == 2
    assert "--witness and --tsa-ca are for a bundle" in capsys.readouterr().err


def test_the_lines_of_the_instructions_check_it_with_openssl(
    keys: tuple[NoteKey, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    text = (folder / "HOWTO-VERIFY.txt").read_text()
    section = text.partition("WITNESSES SAW THIS CHECKPOINT")[2].partition("WHAT THIS SHOWS")[0]
    script = "\n".join(line[5:] for line in section.splitlines() if line.startswith("     "))
    stranger = NoteKey(name=NAME, public_key=generate_signer().public_key, type=keys[0].type)

    def follow(lines: str) -> str:
        return subprocess.run(
            ["bash", "-c", lines], cwd=folder, capture_output=True, text=True, check=False
        ).stdout

    found = follow(script)
    assert found.startswith(f"{NAME} at 2")
    assert found.endswith("Z: Signature Verified Successfully\n")
    assert follow(script.replace(keys[0].vkey, stranger.vkey)) == ""
    path = folder / "checkpoint"
    origin, size, rest = path.read_bytes().split(b"\n", 2)
    path.write_bytes(b"\n".join([origin, b"%d" % (int(size) + 1), rest]))
    found = follow(script)
    assert found.endswith("Z: Signature Verification Failure\n")


def lines_taken_off(note: bytes) -> bytes:
    body, _, lines = note.partition(b"\n\n")
    kept = [line for line in lines.splitlines(keepends=True) if NAME.encode() not in line]
    return body + b"\n\n" + b"".join(kept)


def one_line_taken_off(note: bytes) -> bytes:
    body, _, lines = note.partition(b"\n\n")
    return body + b"\n\n" + b"".join(lines.splitlines(keepends=True)[1:])


def time_changed(note: bytes) -> bytes:
    line = note.partition(b"\n\n")[2].splitlines(keepends=True)[0]
    head, _, text = line.decode().strip().rpartition(" ")
    blob = bytearray(base64.b64decode(text))
    blob[11] ^= 1
    return note.replace(line, f"{head} {base64.b64encode(blob).decode()}\n".encode())


def another_key_under_the_name(note: bytes) -> bytes:
    bare = lines_taken_off(note)
    signed = add_signature(bare, Cosigner(name=NAME, signer=generate_signer(), clock=utc_now))
    line = signed[len(bare) :]
    return bare.replace(b"\n\n", b"\n\n" + line, 1)


def line_twice(note: bytes) -> bytes:
    line = note.partition(b"\n\n")[2].splitlines(keepends=True)[0]
    return note.replace(line, line * 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lines_taken_off, "no signature by a known key"),
        (one_line_taken_off, "expected a cosignature with a time by the witness"),
        (time_changed, "the signature does not verify"),
        (another_key_under_the_name, "no signature by a known key"),
        (line_twice, "two signatures of the key"),
    ],
)
def test_a_forged_cosignature_is_refused_where_the_witness_is_asked_for(
    keys: tuple[NoteKey, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    forged(tmp_path / "bundle", change)
    bundle = str(tmp_path / "bundle")
    capsys.readouterr()
    # Cosignature lines by keys that a reader does not know are passed over, as C2SP asks.
    assert main(["verify", bundle, "--quiet"]) == 0
    words = [word for key in keys for word in ("--witness", key.vkey)]
    assert main(["verify", bundle, *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("provgraph: step 11: ")
    assert said in error


def test_a_witness_that_never_saw_it_is_missed(
    keys: tuple[NoteKey, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = NoteKey(name="other.example.org", public_key=keys[0].public_key, type=keys[0].type)
    words = ["--witness", keys[0].vkey, "--witness", other.vkey]
    assert main(["verify", str(tmp_path / "bundle"), *words]) == 1
    assert "step 11: note: no signature by a known key" in capsys.readouterr().err
