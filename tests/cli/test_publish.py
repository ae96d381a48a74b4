"""`provgraph publish`, as a user meets it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import provgraph
from provgraph.cli.main import main
from provgraph.ledger.published import open_published, verify_published
from provgraph.seal.note import parse_vkey
from provgraph.service.home import readable_ledger
from provgraph.settings import load


def record(name: str) -> None:
    with provgraph.run(name, owner="ada@example.org") as run:
        run.log_params(depth=6)
    assert run.receipt is not None


def test_publish_twice_and_read(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    www = tmp_path / "www"
    record("train")
    with readable_ledger(load()) as ledger:
        size, charter = ledger.size(), ledger.charter
    assert main(["publish", str(www)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"published {size} entries of {charter.origin} into {www}: {size} new, 3 files written"
    )
    assert lines[2:] == [
        f"  verifier key    {charter.note_key.vkey}",
        f"  charter         sha256:{hashlib.sha256(charter.note).hexdigest()}",
    ]
    assert parse_vkey(lines[2].split()[-1]) == charter.note_key
    seen = open_published(www, keys=charter.log_keys).checkpoint
    assert seen.size == size
    record("again")
    assert main(["publish", str(www)]) == 0
    assert verify_published(www, keys=charter.log_keys, seen=seen).size > size
    assert main(["fsck"]) == 0


def test_a_home_makes_both_log_keys(home: Path) -> None:
    record("train")
    keys = {path.name: path.stat().st_mode & 0o777 for path in (home / "keys").iterdir()}
    assert keys == {"log.pem": 0o600, "log-mldsa.pem": 0o600, "producer.pem": 0o600}


def test_recording_does_not_need_the_second_key_and_publishing_says_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record("train")
    (home / "keys" / "log-mldsa.pem").unlink()
    record("again")
    assert main(["publish", str(tmp_path / "www")]) == 1
    assert "cannot read the key" in capsys.readouterr().err
    assert (tmp_path / "www").exists() is False


def test_another_folder_and_an_empty_home_are_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(tmp_path / "www")]) == 2
    assert "nothing is recorded in" in capsys.readouterr().err
    record("train")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.tex").touch()
    assert main(["publish", str(tmp_path / "thesis")]) == 2
    assert "holds main.tex and no checkpoint" in capsys.readouterr().err
