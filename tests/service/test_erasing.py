"""Erasing in a home: nothing of it is left in any file, every answer says so, and no crash is halfway."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import Disk, mounted
from small_history import DATA, MODEL, OLD, record_history

import provgraph
from provgraph import vocab
from provgraph.capture import journal, surroundings
from provgraph.capture.facts import encode
from provgraph.cli.main import main
from provgraph.convert.tombstone import lineage_shape
from provgraph.digests import Digest
from provgraph.errors import (
    KeyRefusedError,
    NotFoundError,
    StorageError,
    UntrustedError,
    UsageError,
)
from provgraph.index.store import Index
from provgraph.ledger.erasing import is_unfinished
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.rows import NameRow, Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.records import SourceCode
from provgraph.seal.keys import generate_signer
from provgraph.seal.proof import seal
from provgraph.service import erasing, sweeping
from provgraph.service.asking import open_reader
from provgraph.service.erasing import NAMES, NONE, OPAQUE, Order, carry_out, plan_erasure, resume
from provgraph.service.home import (
    close_ledger,
    producer_signer,
    temporary_index,
    utc_now,
    writable_ledger,
)
from provgraph.service.indexing import reindex
from provgraph.settings import Settings, load

SECRET = "Zacharias Quendelmayr"
# Where the records stand: environment and source first.
TRAIN = 5  # the run that made churn:2
SCREENING = 9
ORDER = Order(by="dpo@example.org", why="consent withdrawn", ground="GDPR Art. 17(1)(b)")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small history, and a run on data of one person, whose name is everywhere in it."""
    folder = tmp_path_factory.mktemp("recorded") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(folder))
        # One state of the source for all runs, whatever git says of this checkout, and how fast.
        source = SourceCode(commit="ab" * 20)
        state = surroundings._told({"f": "source", "value": encode(source)}, source)
        patch.setattr(surroundings, "_source_code", lambda _: state)
        record_history()
        with provgraph.run("screening", project="churn", owner=SECRET) as run:
            run.use(f"s3://data/{SECRET}.csv", name=SECRET, role="train", digest=DATA)
            run.log_params(patient=SECRET)
            for number in range(5):
                run.log_metrics(loss=1 / (number + 1), step=number)
            run.generate(
                "s3://data/model",
                role="model",
                name="churn",
                version="secret",
                digest="sha256:" + "ee" * 32,
            )
            run.note(f"asked {SECRET} on the phone")
        close_ledger()
    return folder


@pytest.fixture
def history(home: Path, recorded: Path) -> Path:
    """A copy of the recorded home."""
    shutil.copytree(recorded, home)
    return home


def run_called(name: str) -> str:
    with writable_ledger(load()) as ledger:
        return ledger.names("run", name)[-1].iri


def erase(thing: str, *, shape: str = OPAQUE) -> list[int]:
    """Erase a thing; return the indices of the entries."""
    settings = load()
    with open_reader(settings) as reader:
        plan = plan_erasure(reader, thing, shape=shape)
    done, notes = carry_out(settings, plan, ORDER)
    assert notes == []
    return [each.index for each in done if each.is_new]


def pieces_of(home: Path, index: int) -> list[bytes]:
    """What to look for: the name as text and in a URL, and the deflated bytes of graph and attachment."""
    with writable_ledger(load()) as ledger:
        row = ledger._db.execute("SELECT graph FROM record WHERE position = ?", (index,)).fetchone()
        attached = ledger.attachments(ledger.read(index).iri)
        # The syntax of the source is another attachment, which other runs may share.
        (series,) = [
            each for each in attached if ledger.attachment(each).startswith(b"provgraph-series")
        ]
        (blob,) = ledger._db.execute(
            "SELECT data FROM attachment WHERE digest = ?", (bytes.fromhex(series.value),)
        ).fetchone()
    texts = [SECRET.encode(), SECRET.replace(" ", "%20").encode()]
    return [
        *texts,
        *(row[0][at : at + 24] for at in range(80, 1200, 200)),
        blob[4:40],
    ]


def left(home: Path, pieces: list[bytes]) -> list[str]:
    return [
        f"{file.relative_to(home)}: {piece!r}"
        for file in sorted(home.rglob("*"))
        if file.is_file()
        for piece in pieces
        if piece in file.read_bytes()
    ]


def graphs() -> dict[str, bytes]:
    with open_reader(load()) as reader:
        return {name: reader.index.graph(name) for name in reader.index.graph_names()}


def test_no_byte_is_left_in_any_file_of_the_home(history: Path) -> None:
    graphs()
    iri = run_called("screening")
    pieces = pieces_of(history, SCREENING)
    # A journal that a process left when it died, and an index that was put aside.
    (history / "journal" / f"{iri.rsplit('/', 1)[-1]}.jsonl").write_text(f'no fact "{SECRET}"\n')
    shutil.copytree(history / "index", history / "index.damaged")
    # And the scratch index of a check that was killed.
    shutil.copytree(history / "index", history / "provgraph-check-x1" / "fresh")
    assert len(left(history, pieces)) > len(pieces)
    assert erase(iri) == [SCREENING]
    assert left(history, pieces) == []
    assert is_unfinished(history / "ledger.db") is False
    assert len(graphs()) == SCREENING + 1
    assert left(history, pieces) == []
    with writable_ledger(load()) as ledger:
        assert verify_ledger(ledger).erased == 1


def test_no_byte_is_left_in_the_index_of_a_home_that_was_read_only(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    graphs()
    iri = run_called("screening")
    pieces = pieces_of(history, SCREENING)
    elsewhere = temporary_index(load())
    elsewhere.parent.mkdir(mode=0o700)
    shutil.copytree(history / "index", elsewhere)
    assert left(elsewhere.parent, pieces) != []
    assert erase(iri) == [SCREENING]
    assert left(elsewhere.parent, pieces) == []


def test_the_index_lets_go_and_a_rebuilt_one_is_the_same(history: Path) -> None:
    before = graphs()
    iri = run_called("screening")
    record = f"{vocab.ID}record/"
    (erased,) = {name for name, graph in before.items() if SECRET.encode() in graph}
    erase(iri)
    after = graphs()
    (tombstone,) = set(after) - set(before)
    assert set(before) - set(after) == {erased}
    assert {name: after[name] for name in before if name != erased} == {
        name: graph for name, graph in before.items() if name != erased
    }
    assert after[tombstone].count(b"prov#used> ") == 3
    assert tombstone.startswith(record)
    reindex(load())
    assert graphs() == after


def test_an_index_that_was_away_meanwhile_is_built_anew(history: Path) -> None:
    graphs()
    kept = history.with_name("elsewhere")
    shutil.copytree(history / "index", kept)
    erase(run_called("screening"))
    shutil.rmtree(history / "index", ignore_errors=True)
    kept.rename(history / "index")
    assert [name for name, graph in graphs().items() if SECRET.encode() in graph] == []
    assert left(history / "index", [SECRET.encode(), SECRET.replace(" ", "%20").encode()]) == []


# ---- answers -------------------------------------------------------------------------------------
def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_every_answer_says_that_it_was_erased(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    iri = run_called("train")
    erase(iri)
    said = "erased by dpo@example.org on "
    shown = printed(capsys, "show", iri)
    assert f"entry {TRAIN}, which spoke of it, was {said}" in shown
    assert "consent withdrawn (GDPR Art. 17(1)(b))" in shown
    facts = json.loads(printed(capsys, "show", iri, "--format", "json"))
    assert [(each["entry_index"], each["by"]) for each in facts["erased"]] == [
        (TRAIN, "dpo@example.org")
    ]
    tree = printed(capsys, "lineage", MODEL)
    assert f"by run {iri.removeprefix(vocab.ID)} (erased)" in tree
    assert "raw  dataset" in tree
    walk = json.loads(printed(capsys, "lineage", MODEL, "--format", "json"))
    assert [each["reason"] for each in walk["erased"][iri]] == ["consent withdrawn"]
    down = json.loads(printed(capsys, "lineage", DATA, "--down", "--format", "json"))
    assert vocab.content_iri(Digest.parse(MODEL)) in {edge["child"] for edge in down["edges"]}

    answer = json.loads(
        printed(capsys, "query", "Q01", "--param", f"model={MODEL}", "--format", "json")
    )
    (row,) = [each for each in answer["rows"] if each["thing"] == iri]
    assert row["erased"].startswith(said)
    (data,) = [each for each in answer["rows"] if each["thing"].endswith(DATA[7:])]
    assert data["erased"].startswith(f"partly {said}")
    assert [each["erased"] for each in answer["rows"] if each["kind"] == "SourceCode"] == [None]
    assert answer["erased_records"] == 1
    table = printed(capsys, "query", "Q10", "--param", f"run={iri}")
    assert f"entry {TRAIN}, which spoke of it, was {said}" in table
    attempts = printed(capsys, "query", "Q13", "--param", "experiment=weekly")
    assert "1 record was erased from this ledger" in attempts
    assert main(["query", "Q13", "--param", "experiment=weekly", "--format", "csv"]) == 0
    assert "1 record was erased from this ledger" in capsys.readouterr().err
    assert "1 record was erased" in printed(capsys, "sparql", "SELECT ?s { ?s a ?o } LIMIT 1")
    assert "consent withdrawn" in printed(capsys, "list", "erasures")
    assert "all 11 entries, 1 of them erased by tombstones" in printed(capsys, "fsck")


def test_a_name_that_went_says_so(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    erase(run_called("screening"))
    assert main(["show", "churn:secret"]) == 2
    assert "a record was erased here, names with them" in capsys.readouterr().err


def test_a_ledger_without_erasures_says_nothing_of_them(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "erased" not in printed(capsys, "lineage", MODEL)
    assert "erased" not in printed(capsys, "query", "Q01", "--param", f"model={MODEL}")
    assert "erased" not in printed(capsys, "fsck")


def test_a_producer_who_says_that_something_was_erased_is_not_believed(history: Path) -> None:
    """Any record can hold the statements of a tombstone; only entries of that kind count."""
    iri = run_called("train")
    record = f"{vocab.ID}record/liar"
    fake = f"{vocab.ID}tombstone/liar"
    ns, prov = vocab.PG, vocab.PROV
    lines = [
        f"<{fake}> <{vocab.RDF}type> <{ns}Tombstone>",
        f'<{fake}> <{vocab.RDFS}label> "{iri}"',
        f"<{fake}> <{ns}erases> <{iri}>",
        f'<{fake}> <{ns}entryIndex> "{TRAIN}"^^<{vocab.XSD}integer>',
        f'<{fake}> <{ns}reason> "libel"',
        f'<{fake}> <{prov}startedAtTime> "2026-01-01T00:00:00Z"^^<{vocab.XSD}dateTime>',
        f"<{iri}> <{ns}erasedBy> <{fake}>",
    ]
    graph = "".join(sorted(f"{line} <{record}> .\n" for line in lines)).encode()
    with writable_ledger(load()) as ledger:
        proof = seal(graph, signer=producer_signer(load()), created=utc_now())
        name = NameRow(kind="tombstone", name=iri, version="", iri=fake)
        ledger.append([Pending(iri=record, graph_nq=graph, seal=proof, names=[name])])
    with open_reader(load()) as reader:
        assert (reader.erased([iri]), reader.erased_records()) == ({}, 0)
        assert reader.describe(iri).erased == ()


# ---- what goes -------------------------------------------------------------------------------------
def test_a_dry_run_says_what_goes_and_what_stays_and_does_nothing(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, "erase", run_called("screening"))
    assert f"goes   entry {SCREENING}, RunRecord screening" in out
    assert f"names: dataset {SECRET}, model churn:secret, run screening" in out
    assert re.search("[12] attachments of its own", out)
    assert "without any text; " in out
    assert "Nothing was erased yet" in out
    with writable_ledger(load()) as ledger:
        assert (ledger.size(), ledger.read(SCREENING).is_erased) == (SCREENING + 1, False)
    assert main(["erase", run_called("screening"), "--yes"]) == 2
    assert "a tombstone says who erased, and why" in capsys.readouterr().err


def test_the_command_erases_and_again_is_harmless(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    iri = run_called("screening")
    order = ["--by", "dpo@example.org", "--why", "asked", "--yes"]
    out = printed(capsys, "erase", iri, *order)
    assert f"erased entry {SCREENING}; entry {SCREENING + 1} is its tombstone" in out
    assert "Not reached: backups" in out
    assert "erased already: https://w3id.org/" in printed(capsys, "erase", iri, *order)
    assert "nothing of an erased record is left" in printed(capsys, "erase", "--resume")
    with writable_ledger(load()) as ledger:
        assert ledger.size() == SCREENING + 2
        assert verify_ledger(ledger).erased == 1


def test_a_tombstone_is_not_erased(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    erase(run_called("screening"))
    with writable_ledger(load()) as ledger:
        tombstone = ledger.read(SCREENING + 1).iri
    with (
        open_reader(load()) as reader,
        pytest.raises(UsageError, match="kind tombstone and is never"),
    ):
        plan_erasure(reader, tombstone)


def test_what_many_runs_share_goes_only_when_it_is_named(history: Path) -> None:
    with open_reader(load()) as reader:
        environment = reader.things("Environment")[0].iri
        package = next(
            str(row[0])[1:-1]
            for row in reader.index.select(
                f"SELECT ?p {{ <{environment}> <{vocab.PG}package> ?p }} LIMIT 1"
            ).rows
        )
        with pytest.raises(NotFoundError, match="no record that can be erased"):
            plan_erasure(reader, package)
        by_run = {target.kind for target in plan_erasure(reader, run_called("train")).targets}
        by_name = [target.kind for target in plan_erasure(reader, environment).targets]
    assert (by_run, by_name) == ({"RunRecord"}, ["EnvironmentRecord"])


def test_the_shape_keeps_no_word_that_somebody_chose(history: Path) -> None:
    with writable_ledger(load()) as ledger:
        graph = ledger.graph(SCREENING)
    opaque, names = (lineage_shape(graph, keeps_names=keeps) for keeps in (False, True))
    words = " ".join(term for edge in opaque.edges for term in edge)
    assert "Quendelmayr" not in words
    assert "/churn" not in words
    for shape in (opaque, names):
        text = repr(shape)
        assert (text.count("id/person/"), text.count("id/parameters/")) == (0, 0)
    # Content to version, version to model, version to the one before; the parameters' set.
    assert opaque.left_out - names.left_out == 3
    assert names.left_out == 1
    assert f"{vocab.PG}RunRecord" in {class_ for _, class_ in opaque.types}


@pytest.mark.parametrize("shape", [OPAQUE, NAMES, NONE])
def test_a_walk_across_an_erased_run_goes_as_far_as_its_shape(history: Path, shape: str) -> None:
    erase(run_called("screening"), shape=shape)
    erase(run_called("train"), shape=shape)
    raw = vocab.content_iri(Digest.parse("sha256:" + "cc" * 32))
    model = vocab.content_iri(Digest.parse(MODEL))
    with open_reader(load()) as reader:
        up = set(reader.walk(MODEL, up=True, max_depth=None).nodes)
        down = set(reader.walk(DATA, up=False, max_depth=None).nodes)
        assert (raw in up, model in down) == (shape != NONE, shape != NONE)
        named = f"{vocab.ID}model/{reader.ledger.namespace}/churn/secret"
        assert reader._is_known(named) is (shape == NAMES)
        if shape == NAMES:
            assert reader.resolve("churn:secret") == [named]
            assert [each.entry_index for each in reader.describe("churn:secret").erased] == [
                SCREENING
            ]


# ---- crashes and others ------------------------------------------------------------------------------
class _Here:
    """Kills the process at a place, as a power switch would."""

    def __call__(self, *_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


POINTS: dict[str, tuple[object, str]] = {
    "before the transaction": (erasing, "erase"),
    "before its commit": (Ledger, "_sign_tree"),
    "after its commit": (erasing, "sweep"),
    "before the file is written anew": (sweeping, "scrub"),
    "before the index goes": (Index, "discard"),
    "before the mark goes": (sweeping, "_sweep_snapshots"),
}


def in_child(work: Callable[[], None]) -> int:
    """Run work in a forked child; return its end as `os.waitpid` tells it."""
    close_ledger()
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_leaves_all_or_nothing_and_the_next_question_finishes(
    history: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    iri = run_called("screening")
    pieces = pieces_of(history, SCREENING)
    graphs()
    with monkeypatch.context() as patch:
        place, name = POINTS[point]
        patch.setattr(place, name, _Here())
        assert in_child(lambda: erase(iri) and None) == signal.SIGKILL
    assert is_unfinished(history / "ledger.db") is True
    with writable_ledger(load()) as ledger:
        is_erased = ledger.read(SCREENING).is_erased
        assert ledger.size() == SCREENING + 1 + is_erased
        assert is_erased is (POINTS[point][1] not in {"erase", "_sign_tree"})
        verify_ledger(ledger)
    graphs()
    assert is_unfinished(history / "ledger.db") is False
    assert bool(left(history, pieces)) is not is_erased
    assert erase(iri) == ([] if is_erased else [SCREENING])
    assert left(history, pieces) == []


def test_killed_at_any_moment_it_is_all_or_nothing(history: Path) -> None:
    iri = run_called("screening")
    pieces = pieces_of(history, SCREENING)
    close_ledger()
    saved = history.with_name("saved")
    shutil.copytree(history, saved)
    ends: list[bool] = []
    for step in range(8):
        close_ledger()
        shutil.rmtree(history)
        shutil.copytree(saved, history)
        child = os.fork()
        if child == 0:
            try:
                erase(iri)
            finally:
                os._exit(0)
        time.sleep(0.012 * step)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with writable_ledger(load()) as ledger:
            ends.append(ledger.read(SCREENING).is_erased)
            assert ledger.size() == SCREENING + 1 + ends[-1]
            verify_ledger(ledger)
        graphs()
        assert bool(left(history, pieces)) is not ends[-1]
    assert ends[0] is False


def test_two_processes_that_erase_at_once_make_one_tombstone(history: Path) -> None:
    iri = run_called("screening")
    close_ledger()
    code = (
        "import sys; from provgraph.cli.main import main;"
        " sys.exit(main(['erase', sys.argv[1], '--by', 'dpo', '--why', 'asked', '--yes']))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, iri], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = "".join(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said.count("is its tombstone") == 1
    with writable_ledger(load()) as ledger:
        assert ledger.size() == SCREENING + 2
        assert verify_ledger(ledger).erased == 1


def test_records_go_on_coming_while_something_is_erased(history: Path) -> None:
    close_ledger()
    code = (
        "import provgraph\nfor number in range(20):\n"
        "    with provgraph.run(f'other-{number}', owner='a') as run:\n        pass\n"
        "    assert run.receipt is not None\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        erase(run_called("screening"))
        assert other.wait(timeout=60) == 0
    with writable_ledger(load()) as ledger:
        assert (
            len([row for row in ledger.names_of_kind("run") if row.name.startswith("other")]) == 20
        )
        assert verify_ledger(ledger).erased == 1
    assert [name for name, graph in graphs().items() if SECRET.encode() in graph] == []


def test_snapshots_of_servers_go_and_one_that_runs_is_told_of(history: Path) -> None:
    gone, held = history / "snapshots" / "gone", history / "snapshots" / "held"
    for folder in (gone, held):
        folder.mkdir(parents=True)
        (folder / "000001.sst").write_text(SECRET)
    descriptor = os.open(held, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with open_reader(load()) as reader:
            plan = plan_erasure(reader, run_called("screening"))
        _, notes = carry_out(load(), plan, ORDER)
    finally:
        os.close(descriptor)
    assert (gone.exists(), held.exists()) == (False, True)
    assert [note[:40] for note in notes] == ["a server that is running still holds a s"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    yield from mounted(tmp_path / "disk", size_mib=64)


def test_a_read_only_home_is_left_as_it_is(
    history: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    iri = run_called("screening")
    graphs()
    close_ledger()
    shutil.copytree(history, disk.folder / "home")
    monkeypatch.setenv("PROVGRAPH_HOME", str(disk.folder / "home"))
    with open_reader(load()) as reader:
        plan = plan_erasure(reader, iri)
    disk.remount("ro")
    try:
        with pytest.raises(
            StorageError, match=r"ledger\.db-erasing: Read-only.*nothing was erased"
        ):
            carry_out(load(), plan, ORDER)
    finally:
        close_ledger()
        disk.remount("rw")
    with writable_ledger(load()) as ledger:
        assert (ledger.size(), ledger.read(SCREENING).is_erased) == (SCREENING + 1, False)
    close_ledger()


def test_a_key_that_is_no_steward_of_the_ledger_does_not_begin(
    history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provgraph.records import KeyAddition
    from provgraph.seal.entry import KEY_ADD
    from provgraph.service.home import steward_signer
    from provgraph.service.recording import write_record

    settings = load()
    steward = steward_signer(settings)
    added = KeyAddition(id="a", key=steward.verification_method, role="steward", at=utc_now())
    write_record(settings, added, record_id="key-a", kind=KEY_ADD, signer=steward)
    with open_reader(settings) as reader:
        plan = plan_erasure(reader, run_called("screening"))
    monkeypatch.setattr(erasing, "steward_signer", lambda _: generate_signer())
    with pytest.raises(KeyRefusedError, match="as steward, and is none there"):
        carry_out(settings, plan, ORDER)
    monkeypatch.undo()
    monkeypatch.setenv("PROVGRAPH_HOME", str(history))
    carry_out(settings, plan, ORDER)
    with writable_ledger(settings) as ledger:
        assert verify_ledger(ledger).erased == 1


def test_resume_empties_what_a_restored_row_brought_back(history: Path) -> None:
    with writable_ledger(load()) as ledger:
        select = "SELECT graph FROM record WHERE position = ?"
        (before,) = ledger._db.execute(select, (SCREENING,)).fetchone()
        run_id = run_called("screening").rpartition("/")[2]
        erase(run_called("screening"))
        ledger._db.execute("UPDATE record SET graph = ? WHERE position = ?", (before, SCREENING))
        with pytest.raises(UntrustedError, match="its graph is there"):
            verify_ledger(ledger)
    left_over = history / "journal" / f"{run_id}.jsonl"
    left_over.write_text(f'no fact "{SECRET}"\n')
    assert resume(load()) == ([SCREENING], [])
    assert resume(load()) == ([], [])
    assert left_over.exists() is False
    assert list(journal.paths(load().journal_folder)) == []
    with writable_ledger(load()) as ledger:
        assert verify_ledger(ledger).erased == 1


def test_two_models_of_one_name_are_told_apart(history: Path) -> None:
    assert erase(OLD) == [4]
    settings: Settings = load()
    with open_reader(settings) as reader:
        assert reader.resolve("churn:2") == [vocab.content_iri(Digest.parse(MODEL))]
