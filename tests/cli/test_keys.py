"""`provgraph keys`, as a steward meets it: what is entered, what is refused, what goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import provgraph
from provgraph.cli.main import main
from provgraph.seal.keyfile import how_kept
from provgraph.seal.keys import generate_signer
from provgraph.seal.multikey import ED25519, PublicKey, did_key
from provgraph.service import rotating
from provgraph.service.home import close_ledger, producer_signer, readable_ledger
from provgraph.settings import load


def record(name: str = "train") -> int | None:
    """Record a run; return its place in the ledger."""
    with provgraph.run(name, owner="ada@example.org") as run:
        run.log_params(depth=6)
    return None if run.receipt is None else run.receipt.position


def keys(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert main(["keys", "list", "--format", "json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def states(capsys: pytest.CaptureFixture[str], role: str) -> list[str]:
    return [row["state"] for row in keys(capsys) if row["role"] == role]


def did() -> str:
    return producer_signer(load()).verification_method.partition("#")[0]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command and return its exit code and what it said."""
    capsys.readouterr()
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


# ---- rotation --------------------------------------------------------------------------------------
def test_a_rotation_is_entered_and_the_old_file_kept(home: Path, capsys) -> None:
    before = record()
    old = did()
    code, text = said(capsys, "keys", "rotate", "producer", "--by", "ada@example.org")
    new = did()
    assert (code, new == old) == (0, False)
    assert text.splitlines() == [
        f"new producer key {new}",
        f"the old one, {old}, counts before entry {before + 3}",
        f"its file is now {home}/keys/retired/producer-{old.removeprefix('did:key:')}.pem",
    ]
    # Steward named, key added, key revoked: three entries of one append.
    assert record() == before + 4
    assert states(capsys, "producer") == ["active", f"revoked at entry {before + 3} (superseded)"]
    assert [row["privateKey"] for row in keys(capsys) if row["role"] == "producer"] == [
        "file",
        "retired file",
    ]
    assert [row["sealed"] for row in keys(capsys, "--used") if row["role"] == "steward"] == [3]
    assert main(["fsck"]) == 0


def test_who_and_why_stand_in_the_graph(home: Path) -> None:
    record()
    assert main(["keys", "rotate", "producer", "--by", "ada", "--note", "yearly"]) == 0
    with readable_ledger(load()) as ledger:
        graph = ledger.graph(ledger.size() - 1).decode()
    assert '"superseded"' in graph
    assert '"yearly"' in graph
    assert "wasAssociatedWith> <https://w3id.org/provgraph/id/person/" in graph


def test_the_old_key_goes_on_where_that_is_asked_for(home: Path, capsys) -> None:
    record()
    old = did()
    assert "goes on to count" in said(capsys, "keys", "rotate", "producer", "--reason", "none")[1]
    assert states(capsys, "producer") == ["active", "active"]
    assert did() != old


def test_a_steward_hands_over_to_its_successor(home: Path, capsys) -> None:
    record()
    assert main(["keys", "rotate", "steward"]) == 0
    assert main(["keys", "rotate", "producer"]) == 0
    assert [state.split(" ")[0] for state in states(capsys, "steward")] == ["active", "revoked"]
    assert main(["fsck"]) == 0


_LONG_RUNNING = """
import sys, provgraph
for line in sys.stdin:
    with provgraph.run(line.strip(), owner="ada@example.org") as run:
        run.log_params(depth=6)
    from provgraph.service.home import producer_signer
    from provgraph.settings import load
    print(run.receipt.position, producer_signer(load()).verification_method, flush=True)
"""


def test_a_process_that_has_the_old_key_open_goes_on_with_the_new_one(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LONG_RUNNING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PROVGRAPH_STRICT": "on"},
    ) as child:
        child.stdin.write("one\n")
        child.stdin.flush()
        first = child.stdout.readline().split()
        assert main(["keys", "rotate", "producer"]) == 0
        child.stdin.write("two\n")
        child.stdin.flush()
        second = child.stdout.readline().split()
        child.stdin.close()
        assert child.wait(timeout=60) == 0
    assert int(second[0]) == int(first[0]) + 4
    assert second[1] == producer_signer(load()).verification_method
    assert second[1] != first[1]
    assert main(["fsck"]) == 0


def test_a_seal_that_a_rotation_overtakes_is_made_again(home: Path, monkeypatch) -> None:
    """The key is revoked between the seal and the append: the worst moment there is."""
    from provgraph.service import recording

    record()
    write, overtaken = recording._write, []

    def overtaking(ledger, run, signer, **rest):
        if not overtaken:
            overtaken.append(signer.verification_method)
            rotating.rotate_key(
                load(),
                "producer",
                reason="superseded",
                counts_before=None,
                owner=None,
                valid_until=None,
                why=rotating.Why(),
            )
        return write(ledger, run, signer, **rest)

    monkeypatch.setattr(recording, "_write", overtaking)
    assert record() is not None
    assert overtaken != [producer_signer(load()).verification_method]
    assert main(["fsck"]) == 0


@pytest.mark.parametrize("step", ["_sync", "replace"])
def test_a_rotation_that_died_after_its_append_is_finished_by_the_next_recording(
    home: Path, monkeypatch, step
) -> None:
    record()
    old = did()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rotating if step == "_sync" else rotating.os, step, die)
        assert main(["keys", "rotate", "producer"]) == 130
    assert did() == old
    assert (home / "keys" / "producer.next.pem").exists() is True
    assert record() is not None
    assert did() != old
    assert (home / "keys" / "producer.next.pem").exists() is False
    assert how_kept(home / "keys" / "retired" / f"producer-{old[8:]}.pem") == "file"
    assert main(["fsck"]) == 0


def test_a_rotation_that_died_before_its_append_takes_its_key_up_again(
    home: Path, monkeypatch, capsys
) -> None:
    record()
    with monkeypatch.context() as patched:
        patched.setattr(
            rotating, "_decide", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert main(["keys", "rotate", "producer"]) == 130
    waiting = (home / "keys" / "producer.next.pem").read_bytes()
    assert record() is not None
    assert states(capsys, "producer") == ["active"]
    assert main(["keys", "rotate", "producer"]) == 0
    assert (home / "keys" / "producer.pem").read_bytes() == waiting


# ---- revocation ------------------------------------------------------------------------------------
def test_a_run_under_a_revoked_key_is_kept_and_sealed_after_the_rotation(
    careful_home: Path, capsys, caplog
) -> None:
    first = record()
    code, text = said(capsys, "keys", "revoke", "producer", "--reason", "retired")
    assert (code, "`provgraph keys rotate producer`" in text) == (0, True)
    assert record("after") is None
    said_by_capture = caplog.text
    assert f"was revoked (retired) at entry {first + 2}" in said_by_capture
    assert "Its facts are kept in" in said_by_capture
    assert "`provgraph keys list` shows" in said_by_capture
    assert main(["recover"]) == 1
    assert main(["keys", "rotate", "producer"]) == 0
    assert main(["recover"]) == 0
    assert states(capsys, "producer") == ["active", f"retired at entry {first + 2}"]
    assert main(["fsck"]) == 0


def test_a_compromised_key_ends_earlier_and_fsck_says_so(home: Path, capsys) -> None:
    first, second = record(), record()
    text = said(
        capsys, "keys", "rotate", "producer", "--reason", "compromised", "--since", str(second)
    )[1]
    assert f"counts before entry {second}" in text
    assert first < second
    code, text = said(capsys, "fsck")
    assert code == 0
    assert f"entries from {second} on" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["revoke", "steward", "--reason", "retired"], "left without one"),
        (["revoke", "nonsense", "--reason", "retired"], "found 'nonsense'"),
        (["revoke", "producer", "--reason", "retired", "--since", "1"], "--since is for keys"),
        (["rotate", "log"], "a new one means a new ledger"),
        (["rotate", "producer", "--since", "1"], "--since goes with"),
        (["add", "log", "--role", "log", "--valid-from", "2027-01-02", "--valid-until", "2027-01-01"],
         "valid from before"),
        (["passphrase", "vault:transit/x"], "is no file"),
        (["export", "producer", "--format", "vkey"], "has a name"),
        (["trust", "draft"], "expected the root keys"),
    ],
)  # fmt: skip
def test_mistakes_are_named(home: Path, capsys, monkeypatch, arguments, message) -> None:
    record()
    code, text = said(capsys, "keys", *arguments)
    assert (code in {1, 2}, message in text, text.count("\n")) == (True, True, 1)


def test_a_weak_key_is_refused_when_it_is_added(home: Path, capsys) -> None:
    record()
    weak = did_key(PublicKey(algorithm=ED25519, raw=bytes(32)))
    code, text = said(capsys, "keys", "add", weak, "--role", "producer")
    assert (code, "low order" in text) == (1, True)


def test_a_key_of_another_machine_is_added_and_expires(careful_home: Path, capsys) -> None:
    record()
    other = generate_signer().verification_method.partition("#")[0]
    arguments = ["--role", "producer", "--owner", "fraud team", "--valid-until", "2020-01-01"]
    code, text = said(capsys, "keys", "add", other, *arguments)
    assert (code, text.startswith(f"{other} seals as producer from entry")) == (0, True)
    (row,) = [row for row in keys(capsys) if row["id"].startswith(other)]
    assert (row["state"], row["owner"], row["validUntil"], row["privateKey"]) == (
        "expired",
        "fraud team",
        "2020-01-01T00:00:00Z",
        "absent",
    )


def test_a_home_whose_own_key_has_expired_keeps_its_runs(careful_home: Path, caplog) -> None:
    record()
    assert (
        main(["keys", "add", "producer", "--role", "producer", "--valid-until", "2020-01-01"]) == 0
    )
    assert record("late") is None
    assert "was valid until 2020-01-01T00:00:00Z, and it is" in caplog.text


# ---- files -----------------------------------------------------------------------------------------
def test_key_files_are_made_exported_and_encrypted(
    home: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    path = tmp_path / "root-1.pem"
    code, text = said(capsys, "keys", "create", str(path), "--name", "root-1.example.org")
    vkey = text.splitlines()[0]
    assert (code, vkey.startswith("root-1.example.org+"), how_kept(path)) == (0, True, "file")
    assert path.stat().st_mode & 0o777 == 0o600
    assert said(capsys, "keys", "create", str(path))[0] == 2
    exported = said(
        capsys, "keys", "export", str(path), "--format", "vkey", "--name", "root-1.example.org"
    )
    assert exported == (0, vkey + "\n")
    pem = said(capsys, "keys", "export", str(path), "--format", "pem")[1]
    openssl = subprocess.run(
        ["openssl", "pkey", "-in", str(path), "-pubout"], capture_output=True, text=True, check=True
    )
    assert pem == openssl.stdout
    monkeypatch.setenv("PROVGRAPH_NEW_KEY_PASSPHRASE", "correct horse")
    assert said(capsys, "keys", "passphrase", str(path))[0] == 0
    assert how_kept(path) == "encrypted file"
    monkeypatch.setenv("PROVGRAPH_KEY_PASSPHRASE", "wrong")
    assert "wrong passphrase" in said(capsys, "keys", "passphrase", str(path))[1]
    monkeypatch.setenv("PROVGRAPH_KEY_PASSPHRASE", "correct horse")
    monkeypatch.setenv("PROVGRAPH_NEW_KEY_PASSPHRASE", "battery staple")
    assert said(capsys, "keys", "passphrase", str(path))[0] == 0
    monkeypatch.setenv("PROVGRAPH_KEY_PASSPHRASE", "battery staple")
    assert (
        said(
            capsys, "keys", "export", str(path), "--format", "vkey", "--name", "root-1.example.org"
        )
        == exported
    )
    assert said(capsys, "keys", "passphrase", str(path), "--remove")[0] == 0
    assert how_kept(path) == "file"
    assert list(tmp_path.glob(".*.new")) == []


def test_a_home_with_encrypted_keys_records_and_rotates(home: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PROVGRAPH_KEY_PASSPHRASE", "correct horse")
    record()
    assert main(["keys", "rotate", "producer"]) == 0
    record()
    kept = [row["privateKey"] for row in keys(capsys) if row["role"] in {"producer", "steward"}]
    assert kept == ["encrypted file", "retired encrypted file", "encrypted file"]


# ---- trust files -----------------------------------------------------------------------------------
def test_a_trust_file_from_draft_to_force(
    careful_home: Path, tmp_path: Path, capsys, caplog
) -> None:
    record()
    vkeys = []
    for number in (1, 2, 3):
        root = str(tmp_path / f"root-{number}.pem")
        name = f"root-{number}.example.org"
        vkeys.append(said(capsys, "keys", "create", root, "--name", name)[1].splitlines()[0])
    roots = [part for vkey in vkeys for part in ("--root", vkey)]
    code, text = said(capsys, "keys", "trust", "draft", *roots, "--threshold", "2", "--owner", "ml")
    assert code == 0
    trust = tmp_path / "trust.txt"
    trust.write_text(text, "utf-8")
    # Each root signs by itself; with one signature it does not hold.
    assert (
        said(capsys, "keys", "trust", "sign", str(trust), "--key", str(tmp_path / "root-1.pem"))[0]
        == 0
    )
    code, text = said(capsys, "keys", "trust", "install", str(trust))
    assert (code, "by 2 of its own roots, found 1" in text) == (1, True)
    again = said(capsys, "keys", "trust", "sign", str(trust), "--key", str(tmp_path / "root-1.pem"))
    assert (again[0], "has signed this trust file already" in again[1]) == (2, True)
    assert (
        said(capsys, "keys", "trust", "sign", str(trust), "--key", str(tmp_path / "root-3.pem"))[0]
        == 0
    )
    checked = said(capsys, "keys", "trust", "check", str(trust), "--root-key", vkeys[0])
    assert (checked[0], f"signed by  {vkeys[0]}" in checked[1]) == (0, True)
    refused = said(capsys, "keys", "trust", "check", str(trust), "--root-key", vkeys[1])
    assert (refused[0], "expected a signature by the root root-2" in refused[1]) == (1, True)
    code, text = said(capsys, "keys", "trust", "install", str(trust))
    assert (code, text.splitlines()[0]) == (
        0,
        f"trust file version 1 holds in {careful_home}",
    )
    # Listed keys go on, and what is not listed does not count.
    assert record() is not None
    assert main(["fsck"]) == 0
    assert {row["basis"] for row in keys(capsys)} == {"trust file 1"}
    close_ledger()
    (careful_home / "keys" / "producer.pem").unlink()
    assert record("by a key that nobody listed") is None
    assert "expected that trust file version 1 lists it" in caplog.text
    assert main(["keys", "add", "producer", "--role", "producer"]) == 0
    assert main(["recover"]) == 0
    # The same version again, and one of other roots, do not take its place.
    assert said(capsys, "keys", "trust", "install", str(trust))[0] == 1
    taken = tmp_path / "taken.txt"
    mine = said(capsys, "keys", "create", str(tmp_path / "mine.pem"), "--name", "mine")[
        1
    ].splitlines()[0]
    taken.write_text(said(capsys, "keys", "trust", "draft", "--root", mine)[1], "utf-8")
    assert main(["keys", "trust", "sign", str(taken), "--key", str(tmp_path / "mine.pem")]) == 0
    code, text = said(capsys, "keys", "trust", "install", str(taken))
    assert (code, "no signature by a known key" in text) == (1, True)
    assert main(["fsck"]) == 0
