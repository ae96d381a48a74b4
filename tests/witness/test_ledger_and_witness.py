"""A ledger with its witness, both real: old copies, forks, and witnesses that are away or forgetful."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from witness_process import WitnessProcess, make_witness, run, serving

import provgraph
from provgraph.cli.main import main
from provgraph.errors import NotFoundError, RolledBackError, UsageError
from provgraph.ledger.published import open_published
from provgraph.records import Appointment
from provgraph.seal.entry import RECORD, WITNESS, parse_entry
from provgraph.seal.note import NoteKey, unverified_checkpoint
from provgraph.seal.witnessed import require_cosigned
from provgraph.service.home import close_ledger, readable_ledger, steward_signer, utc_now
from provgraph.service.recording import write_record
from provgraph.service.recovery import going_runs, recover
from provgraph.service.witnessing import (
    Witnessed,
    cosign,
    name_witness,
    retire_witness,
    standing,
    witnesses,
)
from provgraph.settings import load

NAME = "witness.example.org"


def record(name: str = "train") -> None:
    with provgraph.run(name, owner="ada@example.org") as run:
        run.log_params(depth=6)
    assert run.receipt is not None


def size() -> int:
    with readable_ledger(load()) as ledger:
        return ledger.size()


def run_ids() -> list[str]:
    with readable_ledger(load()) as ledger:
        return [row.iri.rsplit("/", 1)[-1] for row in ledger.names_of_kind("run")]


def charter_keys() -> tuple[NoteKey, ...]:
    with readable_ledger(load()) as ledger:
        return ledger.charter.log_keys


class Setup:
    """A home with three entries, and a running witness that knows its log and is named in it."""

    def __init__(self, home: Path, folder: Path, process: WitnessProcess) -> None:
        self.home, self.folder, self.process = home, folder, process

    def copy(self, place: str) -> Path:
        """Copy the whole home, as a backup does."""
        close_ledger()
        target = self.home.with_name(place)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.home, target)
        return target

    def put_back(self, copy: Path, *, only_ledger: bool) -> None:
        close_ledger()
        if only_ledger:
            shutil.copy(copy / "ledger.db", self.home / "ledger.db")
        else:
            shutil.rmtree(self.home)
            shutil.copytree(copy, self.home)


@pytest.fixture
def setup(home: Path, tmp_path: Path) -> Iterator[Setup]:
    record()
    keys = make_witness(tmp_path / "witness", charter_keys())
    with serving(tmp_path / "witness") as process:
        name_witness(load(), address=process.address, keys=[key.vkey for key in keys])
        yield Setup(home, tmp_path / "witness", process)


def test_the_checkpoint_is_cosigned_remembered_and_said(
    setup: Setup, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with readable_ledger(load()) as ledger:
        (peer,) = witnesses(ledger)
        entry = parse_entry(ledger.entry(ledger.size() - 1))
    assert (entry.kind, entry.verification_method) == (
        WITNESS,
        steward_signer(load()).verification_method,
    )
    done = cosign(load())
    assert (done.checkpoint.size, [each.name for each in done.cosigned]) == (size(), [NAME])
    assert require_cosigned(done.note, peer.keys) == done.cosigned[0]
    assert (setup.home / "witnessed" / "checkpoint").read_bytes() == done.note
    # The same checkpoint again: nobody is asked, and the bytes are the same.
    setup.process.stop()
    assert cosign(load()) == done
    assert main(["publish", str(tmp_path / "www"), "--require-witness"]) == 0
    assert open_published(tmp_path / "www", keys=charter_keys()).note == done.note
    capsys.readouterr()
    record("again")
    assert main(["status"]) == 0
    shown = capsys.readouterr().out.splitlines()
    at = f"{done.cosigned[0].at:%Y-%m-%d %H:%M:%S}Z"
    assert f"witness    {NAME}  saw {done.checkpoint.size} entries at {at}" in shown
    assert "unseen     1 entries are newer than what witnesses saw" in shown


def test_the_last_line_of_a_cosigned_checkpoint_is_the_logs_ed25519(setup: Setup) -> None:
    note = cosign(load()).note
    names = [line.split(" ")[1] for line in note.decode().split("\n\n")[1].splitlines()]
    origin = unverified_checkpoint(note).origin
    assert names == [NAME, NAME, origin, origin]


def test_an_old_ledger_file_beside_a_newer_memory_is_not_written_to(
    setup: Setup, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    backup = setup.copy("backup")
    record("later")
    newest = size()
    cosign(load())
    newer = setup.copy("newer")
    setup.put_back(backup, only_ledger=True)
    with pytest.raises(RolledBackError, match="this is an older copy") as caught:
        record("on an old copy")
    assert f"Put back a copy that has at least {newest} entries" in str(caught.value)
    (run_id,) = run_ids()
    for words in (
        ["cosign"],
        ["publish", str(tmp_path / "www")],
        ["cosign", "--retire", NAME],
        ["erase", run_id, "--by", "ada", "--why", "asked to", "--yes"],
    ):
        assert main(words) == 1
        assert "this is an older copy" in capsys.readouterr().err
    assert (tmp_path / "www").exists() is False
    assert size() == newest - 1
    assert main(["status"]) == 0
    assert "stopped    the ledger" in capsys.readouterr().out
    assert main(["fsck"]) == 1
    # Reading goes on, and a copy that is new enough is written to again.
    assert main(["list", "runs"]) == 0
    setup.put_back(newer, only_ledger=True)
    record("goes on")
    assert cosign(load()).silent == ()


def test_a_home_restored_as_a_whole_is_stopped_for_good_when_the_witness_is_asked(
    setup: Setup,
) -> None:
    cosign(load())
    backup = setup.copy("backup")
    record("later")
    cosign(load())
    newer = setup.copy("newer")
    setup.put_back(backup, only_ledger=False)
    # What was cosigned before may leave again; `provgraph cosign` asks in any case.
    assert cosign(load()).silent == ()
    with pytest.raises(RolledBackError, match="this is an older copy"):
        cosign(load(), is_fresh=True)
    # The proof is kept: no witness is needed to stop it from now on, in any process.
    setup.process.stop()
    with pytest.raises(RolledBackError, match="witnessed/conflict"):
        record("on an old copy")
    done = subprocess.run(
        [sys.executable, "-c", "import provgraph\nwith provgraph.run('x', owner='a') as r: pass"],
        env={"PROVGRAPH_HOME": str(setup.home), "PROVGRAPH_STRICT": "on", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "this is an older copy" in done.stderr) == (1, True)
    setup.put_back(newer, only_ledger=True)
    assert len(recover(load())) == 2
    record("goes on")


@pytest.mark.parametrize("second_records", [1, 2, 3], ids=["shorter", "as long", "longer"])
def test_of_a_home_that_is_continued_twice_the_second_one_is_stopped(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, second_records: int
) -> None:
    cosign(load())
    fork = setup.copy("fork")
    record("first")
    record("first")
    cosign(load())
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_HOME", str(fork))
    for _ in range(second_records):
        record("second")
    said = "this is an older copy" if second_records == 1 else "two histories of"
    with pytest.raises(RolledBackError, match=said):
        cosign(load())
    setup.process.stop()
    with pytest.raises(RolledBackError, match=said):
        record("second")
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_HOME", str(setup.home))
    record("first goes on")


def test_a_process_that_has_the_ledger_open_stops_as_well(setup: Setup) -> None:
    cosign(load())
    backup = setup.copy("backup")
    record("later")
    cosign(load())
    setup.put_back(backup, only_ledger=False)
    record("open, and not yet known to be old")
    assert run("cosign", home=setup.home).returncode == 1
    with pytest.raises(RolledBackError, match="two histories of"):
        record("now it is known")


def test_capture_keeps_the_facts_and_does_not_raise(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backup = setup.copy("backup")
    record("later")
    cosign(load())
    newer = setup.copy("newer")
    setup.put_back(backup, only_ledger=True)
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    with provgraph.run("kept", owner="ada@example.org") as run:
        run.log_params(depth=6)
    assert run.receipt is None
    assert "this is an older copy" in caplog.text
    setup.put_back(newer, only_ledger=True)
    (sealed,) = [each for each in recover(load()) if each.receipt is not None]
    assert sealed.receipt is not None
    assert list(going_runs(load())) == []


def test_a_ledger_that_is_gone_is_not_begun_anew(setup: Setup) -> None:
    cosign(load())
    close_ledger()
    (setup.home / "ledger.db").unlink()
    with pytest.raises(RolledBackError, match="is gone, and witnesses have seen one here"):
        record("anew")
    assert (setup.home / "ledger.db").exists() is False


def test_a_witness_that_has_lost_its_state_is_told_and_begins_again(setup: Setup) -> None:
    cosign(load())
    setup.process.stop()
    shutil.rmtree(setup.folder / "logs")
    make_witness(setup.folder, charter_keys())
    record("later")
    port = setup.process.port
    with serving(setup.folder, listen=f"127.0.0.1:{port}"):
        done = cosign(load())
    assert [each.name for each in done.cosigned] == [NAME]
    assert len(done.warnings) == 1
    assert "says now that it knows 0: it has lost its state" in done.warnings[0]


def test_a_witness_that_is_away_is_said_and_holds_nothing_up(
    setup: Setup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.process.kill()
    www = tmp_path / "www"
    assert main(["publish", str(www), "--require-witness"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"provgraph: nothing was written: the witness {NAME} has not cosigned:")
    assert "Connection refused" in error
    assert www.exists() is False
    assert main(["publish", str(www)]) == 0
    assert f"provgraph: warning: the witness {NAME} has not cosigned" in capsys.readouterr().err
    assert main(["cosign"]) == 1
    record("goes on")
    with serving(setup.folder, listen=f"127.0.0.1:{setup.process.port}"):
        assert main(["publish", str(www), "--require-witness"]) == 0
        assert main(["cosign"]) == 0


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers every submission with what the test says."""

    answer: tuple[int, bytes] = (200, b"")
    delay_s = 0.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.delay_s)
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may have gone
            self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def lying(status: int, body: bytes, *, delay_s: float = 0.0) -> Iterator[str]:
    kind = type("Liar", (Liar,), {"answer": (status, body), "delay_s": delay_s})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def named(tmp_path: Path, address: str) -> tuple[NoteKey, ...]:
    keys = make_witness(tmp_path / "liar", name="liar.example.org")
    name_witness(load(), address=address, keys=[key.vkey for key in keys])
    return keys


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (409, b"1000000\n", "it cosigned 1000000 entries, and this copy has fewer"),
        (409, b"0\n", "this tree does not contain the one that it cosigned"),
        (422, b"no \x1b[2J\n", "this tree does not contain the one that it cosigned (no ?[2J)"),
    ],
)
def test_a_claim_without_proof_stops_the_ledger_until_its_witness_is_retired(
    home: Path, tmp_path: Path, status: int, body: bytes, said: str
) -> None:
    record()
    with lying(status, body) as address:
        named(tmp_path, address)
        with pytest.raises(RolledBackError, match="It has not proved it") as caught:
            cosign(load())
        assert said in str(caught.value)
        with pytest.raises(RolledBackError, match=r"--retire liar\.example\.org"):
            record("stopped")
        with pytest.raises(RolledBackError, match="It has not proved it"):
            cosign(load())
    retire_witness(load(), "liar.example.org", reason="we asked its operator")
    recover(load())
    record("goes on")
    with readable_ledger(load()) as ledger:
        assert witnesses(ledger) == ()
        (_, row) = ledger.names("witness", "liar.example.org")
        graph = ledger.graph(row.index).decode()
    assert "we asked its operator (it said, without proof: " in graph


def test_a_claim_is_let_go_when_the_witness_shows_what_the_ledger_holds(setup: Setup) -> None:
    with readable_ledger(load()) as ledger:
        (peer,) = witnesses(ledger)
    done = cosign(load())
    with lying(422, b"no\n") as address:
        name_witness(load(), address=address, keys=[key.vkey for key in peer.keys])
        with pytest.raises(RolledBackError, match="It has not proved it"):
            cosign(load())
    claims = list((setup.home / "witnessed").glob("claim-*"))
    assert [path.read_text().split("\n")[0] for path in claims] == [NAME]
    # The witness answers at its old address again, and shows a checkpoint that is in this ledger.
    retire_witness(load(), NAME, reason=None)
    name_witness(load(), address=setup.process.address, keys=[key.vkey for key in peer.keys])
    assert cosign(load()).checkpoint.size == done.checkpoint.size + 3


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"", "1 to 100 signature lines"),
        (200, b"hello\n", "in a note"),
        (200, b"x" * 300_000, "an answer of more than 262144 bytes"),
        (404, b"unknown log\n", "provgraph witness add-log"),
        (403, b"another key\n", "it answered 403: another key"),
        (500, b"\xff\xfe", "it answered 500"),
        (302, b"", "it answered 302"),
        (409, b"many\n", "expected a tree size"),
    ],
)
def test_any_other_answer_is_a_witness_that_has_not_cosigned(
    home: Path, tmp_path: Path, status: int, body: bytes, said: str
) -> None:
    record()
    with lying(status, body) as address:
        named(tmp_path, address)
        done = cosign(load())
    assert (done.cosigned, done.silent) == ((), ("liar.example.org",))
    assert len(done.warnings) == 1
    assert said in done.warnings[0]
    assert (home / "witnessed" / "checkpoint").exists() is False
    record("goes on")


def test_a_cosignature_by_another_key_or_over_another_checkpoint_is_none(
    setup: Setup, tmp_path: Path
) -> None:
    earlier = cosign(load()).note
    lines = b"".join(earlier.partition(b"\n\n")[2].splitlines(keepends=True)[:2])
    record("later")
    for body, said in (
        (lines, "no signature by a known key"),
        (lines.replace(NAME.encode(), b"liar.example.org"), "no signature by a known key"),
    ):
        with lying(200, body) as address:
            shutil.rmtree(tmp_path / "liar", ignore_errors=True)
            named(tmp_path, address)
            done = cosign(load())
        assert done.silent == ("liar.example.org",)
        assert said in done.warnings[0]
    setup.process.stop()
    with lying(200, lines) as address:
        with readable_ledger(load()) as ledger:
            peer = next(each for each in witnesses(ledger) if each.name == NAME)
        name_witness(load(), address=address, keys=[key.vkey for key in peer.keys])
        done = cosign(load())
    assert done.silent == ("liar.example.org", NAME)
    assert "does not verify under the key" in done.warnings[-1]


def test_a_slow_witness_is_waited_for_as_long_as_was_said(home: Path, tmp_path: Path) -> None:
    record()
    with lying(200, b"", delay_s=3.0) as address:
        named(tmp_path, address)
        began = time.monotonic()
        done = cosign(load(), timeout_s=0.3)
        took = time.monotonic() - began
    assert took < 2.5
    assert done.silent == ("liar.example.org",)


def test_a_copy_on_another_disk_guards_a_home_that_was_restored_as_a_whole(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, away = tmp_path / "disk", tmp_path / "away"
    disk.mkdir()
    monkeypatch.setenv("PROVGRAPH_CHECKPOINT_COPIES", f"{disk}:{away}")
    backup = setup.copy("backup")
    record("later")
    done = cosign(load())
    (copy,) = disk.iterdir()
    assert copy.read_bytes() == done.note
    assert len(done.warnings) == 1
    assert f"{away} is not there" in done.warnings[0]
    with readable_ledger(load()) as ledger:
        assert standing(ledger).missing_copies == (str(away / copy.name),)
    setup.put_back(backup, only_ledger=False)
    with pytest.raises(RolledBackError, match=str(copy)):
        record("on an old copy")


def damaged(path: Path) -> bytes:
    return path.read_bytes()[:-20]


def test_a_damaged_memory_is_said_and_never_passed_over(setup: Setup) -> None:
    cosign(load())
    path = setup.home / "witnessed" / "checkpoint"
    path.write_bytes(damaged(path))
    with pytest.raises(provgraph.errors.UntrustedError, match="is not a checkpoint of the ledger"):
        record("later")
    path.unlink()
    assert cosign(load()).silent == ()


def test_many_processes_record_and_cosign_at_once_without_a_false_alarm(setup: Setup) -> None:
    code = (
        "import provgraph, sys\n"
        "from provgraph.service.witnessing import cosign\n"
        "from provgraph.settings import load\n"
        "for n in range(4):\n"
        "    with provgraph.run('r', owner='a') as run: run.log_params(n=n)\n"
        "    assert run.receipt is not None\n"
        "    cosign(load())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={
                "PROVGRAPH_HOME": str(setup.home),
                "PROVGRAPH_STRICT": "on",
                "PATH": "/usr/bin:/bin",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [
        (process.returncode, error) for process, error in zip(processes, errors, strict=True)
    ] == [(0, "")] * 3
    done = cosign(load())
    assert (done.silent, done.checkpoint.size) == ((), size())
    remembered = (setup.home / "witnessed" / "checkpoint").read_bytes()
    assert unverified_checkpoint(remembered).size == size()


def test_only_the_steward_names_witnesses(setup: Setup) -> None:
    keys = make_witness(setup.folder.with_name("other"), name=NAME)
    claim = Appointment(
        id="by-a-producer",
        witness=NAME,
        address="http://127.0.0.1:1",
        verifier_keys=tuple(key.vkey for key in keys),
        status="named",
        at=utc_now(),
    )
    write_record(load(), claim, record_id=claim.id, kind=RECORD)
    with readable_ledger(load()) as ledger:
        (peer,) = witnesses(ledger)
    assert peer.address == setup.process.address


def test_mistakes_in_naming_are_said(setup: Setup) -> None:
    with readable_ledger(load()) as ledger:
        (peer,) = witnesses(ledger)
    keys = [key.vkey for key in peer.keys]
    before = size()
    for address, given, said in (
        (peer.address, keys, "is named in this ledger already"),
        ("ftp://example.org", keys, "expected an address such as https"),
        ("https://ada:secret@example.org", keys, "without password"),
        ("https://example.org/?a=b", keys, "without password, query"),
        ("https://example.org", [], "found none"),
        ("https://example.org", [charter_keys()[0].vkey], "type 0x04 or 0x06"),
        ("https://example.org", ["hello"], "expected a verifier key"),
    ):
        with pytest.raises(UsageError, match=said):
            name_witness(load(), address=address, keys=given)
    with pytest.raises(NotFoundError, match=f"no witness x in this ledger; there are: {NAME}"):
        retire_witness(load(), "x", reason=None)
    assert size() == before


def test_a_home_without_witnesses_exports_as_before(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record()
    assert cosign(load()).silent == ()
    assert cosign(load()) == Witnessed(
        note=cosign(load()).note, checkpoint=cosign(load()).checkpoint
    )
    assert main(["publish", str(tmp_path / "www"), "--require-witness"]) == 2
    assert "this ledger has no witness" in capsys.readouterr().err
    assert main(["cosign"]) == 2
    assert (home / "witnessed").exists() is False
