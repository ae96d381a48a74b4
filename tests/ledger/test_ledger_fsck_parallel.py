"""Checking with several processes finds what one finds, says the same, and goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_samples import LOG_SEED, PRODUCER_SEED, START, clock

from provgraph import vocab
from provgraph.cli.main import main
from provgraph.digests import sha256_bytes
from provgraph.errors import FormatError, UntrustedError
from provgraph.ledger.codec import prepare
from provgraph.ledger.fsck import LedgerReport, check_ledger, verify_ledger
from provgraph.ledger.fsck_range import RANGE_ENTRIES
from provgraph.ledger.fsck_range import begin as begin_range
from provgraph.ledger.fsck_resume import State, token
from provgraph.ledger.rows import NameRow, Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.pool import BrokenWorkerError, answers
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.merkle import Frontier
from provgraph.seal.proof import seal
from provgraph.service.verifying import Interrupted, Options, verify_live

SIZE = 2 * RANGE_ENTRIES + 300
LATE = RANGE_ENTRIES + 17  # an entry that no process meets first


def small(number: int) -> Pending:
    """A record of three statements, with a name, and every 100th with an attachment."""
    iri = vocab.record_iri(f"{number:06}")
    run = vocab.run_iri(f"{number:06}")
    data = b"point " * number
    lines = [
        f"<{run}> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <{vocab.PG}Run> <{iri}> .\n",
        f'<{run}> <http://www.w3.org/2000/01/rdf-schema#label> "train" <{iri}> .\n',
        f'<{run}> <urn:p> "{sha256_bytes(data)}" <{iri}> .\n',
    ]
    graph = "".join(lines).encode()
    return Pending(
        iri=iri,
        graph_nq=graph,
        seal=seal(graph, signer=signer_from_seed(PRODUCER_SEED), created=START),
        attachments={} if number % 100 else {sha256_bytes(data): data},
        names=[NameRow(kind="run", name="train", version="", iri=run)],
    )


def open_at(path: Path, *, read_only: bool = False) -> Ledger:
    signer = None if read_only else signer_from_seed(LOG_SEED)
    return Ledger.open(path, log_signer=signer, clock=clock, read_only=read_only)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parallel") / "ledger.db"
    with open_at(path) as ledger:
        ledger.append_each([[prepare(small(number)) for number in range(SIZE)]])
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    shutil.copy(original, tmp_path / "ledger.db")
    return tmp_path / "ledger.db"


def check(path: Path, *, processes: int = 2, go_on: bool = False) -> LedgerReport:
    with open_at(path, read_only=True) as ledger:
        return check_ledger(ledger, processes=processes, go_on=go_on)


def change(path: Path, statement: str, *values: object) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        count = db.execute(statement, values).rowcount
        db.commit()
    return count


def test_a_whole_ledger_gives_the_same_report_however_it_is_checked(path: Path) -> None:
    one, two = check(path, processes=0), check(path)
    assert one == two
    assert (two.size, two.findings, two.names, two.attachments) == (SIZE, (), SIZE, 24)
    with open_at(path, read_only=True) as ledger:
        assert two.root == ledger.root()


def flipped(path: Path, column: str, position: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        (blob,) = db.execute(
            f"SELECT {column} FROM record WHERE position = ?", (position,)
        ).fetchone()
    changed = bytearray(blob)
    changed[len(blob) // 2] ^= 1
    assert change(
        path, f"UPDATE record SET {column} = ? WHERE position = ?", bytes(changed), position
    )


# What is done to ledger.db, the step that must find it, and the entry that must be named.
TAMPERING = {
    "a-record-is-gone": (f"DELETE FROM record WHERE position = {LATE}", 4, LATE),
    "the-last-record-is-gone": (f"DELETE FROM record WHERE position = {SIZE - 1}", 3, None),
    "a-whole-range-is-gone": (
        f"DELETE FROM record WHERE position >= {RANGE_ENTRIES} AND position < {2 * RANGE_ENTRIES}",
        4,
        RANGE_ENTRIES,
    ),
    "the-graph-of-another-record": (
        (
            "UPDATE record SET graph = (SELECT graph FROM record WHERE position = 3)"
            f" WHERE position = {LATE}"
        ),
        5,
        LATE,
    ),
    "the-entry-and-graph-of-another-record": (
        (
            "UPDATE record SET (sealed, graph) = (SELECT sealed, graph FROM record WHERE position = 3)"
            f" WHERE position = {LATE}"
        ),
        4,
        LATE,
    ),
    "a-record-in-two-places": (
        (
            "UPDATE record SET (iri_key, sealed, graph) = (SELECT iri_key, sealed, graph FROM record"
            f" WHERE position = 3) WHERE position = {LATE}"
        ),
        6,
        LATE,
    ),
    "two-records-change-places": (
        (
            "UPDATE record SET (iri_key, nodes, sealed, graph) = (SELECT iri_key, nodes, sealed, graph"
            f" FROM record AS other WHERE other.position = {2 * LATE + 1} - record.position)"
            f" WHERE position IN ({LATE}, {LATE + 1})"
        ),
        6,
        LATE,
    ),
    "an-iri-that-leads-elsewhere": (
        f"UPDATE record SET iri_key = iri_key + 1 WHERE position = {LATE}",
        4,
        LATE,
    ),
    "tree-hashes-of-a-whole-range-are-false": (
        (
            f"UPDATE record SET nodes = CAST(substr(nodes, 1, 352) || zeroblob(32) AS BLOB)"
            f" WHERE position = {2 * RANGE_ENTRIES - 1}"
        ),
        6,
        2 * RANGE_ENTRIES - 1,
    ),
    "a-tree-hash-too-many": (
        f"UPDATE record SET nodes = CAST(nodes || zeroblob(32) AS BLOB) WHERE position = {2 * RANGE_ENTRIES - 1}",
        6,
        2 * RANGE_ENTRIES - 1,
    ),
    "a-name-for-another-record": (
        f"UPDATE name SET position = {LATE + 1} WHERE position = {LATE}",
        7,
        LATE + 1,
    ),
    "a-name-between-two-records": (
        f"UPDATE name SET position = {LATE}.5 WHERE position = {LATE}",
        7,
        None,
    ),
    "a-name-beyond-the-end": (
        f"UPDATE name SET position = {SIZE} WHERE position = {LATE}",
        7,
        None,
    ),
    "a-name-that-nobody-gave": (
        f"INSERT INTO name VALUES ('run', 'other', {LATE}, '', '{vocab.run_iri(f'{LATE:06}')}')",
        7,
        LATE,
    ),
    "a-name-that-is-no-utf-8": (
        f"UPDATE name SET name = CAST(x'ff' AS TEXT) WHERE position = {LATE}",
        7,
        LATE,
    ),
    "a-name-with-a-kind-that-is-no-text": (
        f"UPDATE name SET kind = x'72756e' WHERE position = {LATE}",
        7,
        LATE,
    ),
    "an-attachment-of-another-record": (
        "UPDATE attached SET position = position + 1 WHERE position = 1100",
        7,
        1101,
    ),
    "an-attachment-is-gone": (
        "DELETE FROM attachment WHERE id = (SELECT attachment FROM attached WHERE position = 1100)",
        7,
        1100,
    ),
    "other-bytes-in-an-attachment": (
        (
            "UPDATE attachment SET data = x'0041' WHERE id = (SELECT attachment FROM attached WHERE"
            " position = 1100)"
        ),
        7,
        1100,
    ),
    "a-trigger": ("CREATE TRIGGER t AFTER INSERT ON record BEGIN SELECT 1; END", 1, None),
    "an-index-is-gone": ("DROP INDEX record_iri", 1, None),
}


@pytest.mark.parametrize("flaw", TAMPERING)
def test_tampering_is_found_and_named(path: Path, flaw: str) -> None:
    statement, step, position = TAMPERING[flaw]
    assert change(path, statement) != 0
    found = check(path).findings
    assert [(each.step, each.position) for each in found] == [(step, position)]


@pytest.mark.parametrize(("column", "step"), [("graph", 5), ("sealed", 4), ("nodes", 6)])
@pytest.mark.parametrize("position", [0, LATE, SIZE - 1])
def test_a_flipped_bit_is_found_in_every_range(
    path: Path, column: str, step: int, position: int
) -> None:
    flipped(path, column, position)
    (found,) = check(path).findings
    assert found.position == position
    # A bit in entry and proof may spoil either.
    assert found.step in ({step, 5} if column == "sealed" else {step})


def test_one_process_finds_the_same(path: Path) -> None:
    flipped(path, "graph", LATE)
    assert check(path, processes=0).findings == check(path).findings
    with (
        open_at(path, read_only=True) as ledger,
        pytest.raises(UntrustedError, match=f"entry {LATE} of the ledger, record .*sha256"),
    ):
        verify_ledger(ledger)


def test_a_damaged_page_is_a_finding_and_no_crash(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 70_000)
    assert check(path).findings[0].step == 1
    assert {each.step for each in check(path, go_on=True).findings} > {1}


def test_all_wrong_things_are_listed_in_the_order_of_the_ledger(path: Path) -> None:
    places = [5, LATE, LATE + 1, 2 * RANGE_ENTRIES + 7]
    for position in places:
        flipped(path, "graph", position)
    change(path, "UPDATE name SET position = ? WHERE position = ?", SIZE + 9, 8)
    found = check(path, go_on=True).findings
    assert [(each.step, each.position) for each in found] == [
        *((5, position) for position in places),
        (7, None),
    ]
    assert [each.position for each in check(path).findings] == [5]


def test_a_checkpoint_of_another_history_is_found(path: Path, tmp_path: Path) -> None:
    with open_at(tmp_path / "other" / "ledger.db") as other:
        other.append_each([[prepare(small(number)) for number in range(SIZE)]])
    with contextlib.closing(sqlite3.connect(tmp_path / "other" / "ledger.db")) as db:
        (note,) = db.execute("SELECT checkpoint FROM ledger").fetchone()
    change(path, "UPDATE ledger SET checkpoint = ?", note)
    assert [each.step for each in check(path).findings] == [3]


# ---- others at work ----------------------------------------------------------------------------------
def test_what_is_appended_meanwhile_is_left_for_the_next_time(path: Path) -> None:
    done: list[int] = []
    with open_at(path) as writer, open_at(path, read_only=True) as ledger:

        def append(checked: int, _total: int) -> None:
            done.append(checked)
            writer.append([small(SIZE + len(done))])

        report = check_ledger(ledger, processes=2, progress=append)
        assert (report.size, report.findings) == (SIZE, ())
        assert done == [0, RANGE_ENTRIES, 2 * RANGE_ENTRIES, SIZE]
        assert writer.size() == SIZE + 4
    assert check(path).size == SIZE + 4


def test_a_folder_that_cannot_be_written_is_checked(path: Path) -> None:
    folder = path.parent
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        assert check(path).findings == ()
    finally:
        folder.chmod(0o700)


# ---- going on -----------------------------------------------------------------------------------------
class _InterruptedError(Exception):
    """Stands for a person who presses Ctrl-C."""


def interrupted(path: Path) -> State:
    """Return the state of a check that was interrupted after its first range."""
    saved: list[bytes] = []

    def save(state: State) -> None:
        saved.append(state.encode())
        raise _InterruptedError

    with open_at(path, read_only=True) as ledger, pytest.raises(_InterruptedError):
        check_ledger(ledger, processes=2, save=save)
    return State.decode(saved[0])


def resumed(path: Path, state: State) -> LedgerReport:
    with open_at(path, read_only=True) as ledger:
        return check_ledger(ledger, processes=2, resume=state)


def test_an_interrupted_check_goes_on_to_the_same_report(path: Path) -> None:
    state = interrupted(path)
    assert state.frontier.size == RANGE_ENTRIES
    assert resumed(path, state) == check(path)


def test_it_goes_on_in_a_ledger_that_has_grown(path: Path) -> None:
    state = interrupted(path)
    with open_at(path) as ledger:
        ledger.append([small(SIZE)])
    assert resumed(path, state).size == SIZE + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET graph = (SELECT graph FROM record WHERE position = 3) WHERE position = 9",
        "UPDATE record SET sealed = sealed || x'00' WHERE position = 9",
        "UPDATE name SET name = 'other' WHERE position = 9",
        "DELETE FROM name WHERE position = 9",
        "UPDATE attachment SET data = x'0041' WHERE id = 3",
    ],
)
def test_what_was_changed_after_it_was_looked_at_is_found(path: Path, statement: str) -> None:
    state = interrupted(path)
    assert change(path, statement) == 1
    with pytest.raises(UntrustedError, match="entries 0 to 1023 were changed since"):
        resumed(path, state)


def test_a_state_of_another_ledger_is_refused(path: Path) -> None:
    state = interrupted(path)
    state.origin = "provgraph.local/0000000000000000"
    with pytest.raises(UntrustedError, match=r"the state to resume is of provgraph.local/0000"):
        resumed(path, state)


def test_a_state_that_is_further_than_the_ledger_is_refused(path: Path) -> None:
    state = interrupted(path)
    peaks = [hashlib.sha256(b"x").digest()] * 2
    state.frontier = Frontier.of_peaks(3 * RANGE_ENTRIES, peaks)
    with pytest.raises(UntrustedError, match=r"the ledger is .* with 2348"):
        resumed(path, state)


def test_a_state_that_claims_more_than_it_has_rows_for_is_refused(path: Path) -> None:
    state = interrupted(path)
    with open_at(path, read_only=True) as ledger:
        state.frontier = Frontier(size=2 * RANGE_ENTRIES, node_at=ledger.node_at)
    with pytest.raises(UntrustedError, match="does not fit the ledger's tree at entry 2048"):
        resumed(path, state)


def test_a_state_over_another_tree_is_refused(path: Path) -> None:
    state = interrupted(path)
    state.frontier = Frontier.of_peaks(RANGE_ENTRIES, [hashlib.sha256(b"x").digest()])
    with pytest.raises(UntrustedError, match="does not fit the ledger's tree at entry 1024"):
        resumed(path, state)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"format":"provgraph-verify-state/v1"}',
        (
            b'{"format":"provgraph-verify-state/v2","origin":"x","position":1024,"peaks":["00"],"rows":[],'
            b'"sealed":[],"names":0,"attachments":0,"graph_bytes":0,"deciding":[],"erased":[]}'
        ),
        (
            b'{"format":"provgraph-verify-state/v2","origin":"x","position":true,"peaks":[],"rows":[],'
            b'"sealed":[],"names":0,"attachments":0,"graph_bytes":0,"deciding":[],"erased":[]}'
        ),
        b"[" * 100_000,
    ],
)
def test_a_damaged_state_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        State.decode(data)


def test_the_token_names_the_bytes_of_a_state(path: Path) -> None:
    data = interrupted(path).encode()
    assert State.decode(data).encode() == data
    assert token(data) == hashlib.sha256(data).hexdigest()[:32]


# ---- the command --------------------------------------------------------------------------------------
def verify_interrupted(path: Path) -> Interrupted:
    """Press Ctrl-C once a range is checked."""

    def progress(_what: str, done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        verify_live(path, Options(processes=2), passed=lambda *_: None, progress=progress)
    return caught.value


def run(*arguments: str) -> int:
    return main(["verify", *arguments, "--quiet"])


def test_an_interrupted_command_goes_on_with_its_token(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = verify_interrupted(path)
    assert (stopped.position, stopped.size) == (RANGE_ENTRIES, SIZE)
    report = path.with_name("report.json")
    assert run(str(path), f"--resume={stopped.token}", "--report", str(report)) == 0
    found = json.loads(report.read_text())
    assert found["resumed"] == {"position": stopped.position, "isProved": True}
    assert found["size"] == SIZE
    assert not path.with_name("verify.state").exists()
    assert run(str(path), f"--resume={stopped.token}") == 2
    assert "no unfinished check to resume" in capsys.readouterr().err


def test_a_state_that_somebody_wrote_is_refused_with_the_token(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever can write the home changes a graph, and the state to say that it was always so."""
    stopped = verify_interrupted(path)
    change(path, "UPDATE record SET graph = x'0041' WHERE position = 9")
    file = path.with_name("verify.state")
    forged = json.loads(file.read_bytes())
    setup = {"ledger": str(path), "names": None, "all": False}
    with begin_range(setup) as work:
        task = {"start": 0, "stop": RANGE_ENTRIES, "rows_only": True}
        forged["rows"][0] = work(task)["rows_sha256"]
    file.write_text(json.dumps(forged, separators=(",", ":")) + "\n")
    assert run(str(path), f"--resume={stopped.token}") == 2
    assert "is another check's, or was changed" in capsys.readouterr().err
    # Without the token it is believed, and the report says that it was.
    report = path.with_name("report.json")
    assert run(str(path), "--resume", "--report", str(report)) == 0
    found = json.loads(report.read_text())
    assert found["resumed"]["isProved"] is False
    assert "which whoever can write there could have written" in found["open"][0]
    assert run(str(path)) == 1


# ---- the pool -----------------------------------------------------------------------------------------
@contextlib.contextmanager
def begin(setup: dict[str, int]) -> Iterator[object]:
    """What the workers of these tests do."""
    import os

    def work(task: dict[str, int]) -> dict[str, int]:
        if task["n"] == setup["die_at"]:
            os._exit(3)
        if task["n"] == setup["raise_at"]:
            raise UntrustedError("entry 5 is wrong")
        return {"square": task["n"] ** 2}

    yield work


def squares(die_at: int = -1, raise_at: int = -1) -> list[int]:
    setup = {"die_at": die_at, "raise_at": raise_at}
    tasks = ({"n": n} for n in range(20))
    found = answers(f"{__name__}:begin", setup, tasks, processes=3)
    return [answer["square"] for _, answer in found]


def test_answers_come_in_the_order_of_the_tasks() -> None:
    assert squares() == [n**2 for n in range(20)]


def test_an_error_of_a_task_is_raised_here() -> None:
    with pytest.raises(UntrustedError, match="entry 5 is wrong"):
        squares(raise_at=5)


def test_a_worker_that_dies_is_an_error_and_not_silence() -> None:
    with pytest.raises(BrokenWorkerError, match=r"ended by itself \(status 3\)"):
        squares(die_at=5)
