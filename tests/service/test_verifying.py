"""`provgraph verify` on a live ledger: the index and what was seen elsewhere, each flaw by its name."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pyoxigraph as ox
import pytest
from small_history import record_history

import provgraph
from provgraph.cli.main import main
from provgraph.index.store import open_index
from provgraph.service.asking import open_reader
from provgraph.service.home import close_ledger, cosigned_checkpoint, readable_ledger
from provgraph.service.indexing import reindex
from provgraph.service.verification import Verification
from provgraph.service.verifying import STEP_ELSEWHERE, Options, verify_live
from provgraph.settings import load

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/expected.json"))
LABEL = ox.NamedNode("http://www.w3.org/2000/01/rdf-schema#label")


@pytest.fixture
def history(home: Path) -> Path:
    record_history()
    reindex(load())
    return home


def verify(home: Path, **options: object) -> Verification:
    return verify_live(
        home / "ledger.db",
        Options(**{"deep": True, **options}),
        passed=lambda _step, _text: None,
        progress=lambda _what, _done, _total: None,
    )


def test_an_honest_home_is_verified(history: Path) -> None:
    report = verify(history)
    assert report.findings == []
    assert [step.number for step in report.steps] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    with open_reader(load()) as reader:
        graphs = len(reader.index.graph_names())
    assert report.parts["index"]["graphs"] == graphs == report.size


# ---- the index -----------------------------------------------------------------------------------------
def labelled(store: ox.Store) -> ox.Quad:
    """A label in some record's graph."""
    return min(
        (q for q in store.quads_for_pattern(None, LABEL, None) if str(q.graph_name) != "DEFAULT"),
        key=str,
    )


def added_quad(store: ox.Store) -> None:
    quad = labelled(store)
    store.add(ox.Quad(quad.subject, LABEL, ox.Literal("forged"), quad.graph_name))


def dropped_quad(store: ox.Store) -> None:
    store.remove(labelled(store))


def changed_literal(store: ox.Store) -> None:
    dropped_quad(store)
    added_quad(store)


def changed_datatype(store: ox.Store) -> None:
    quad = labelled(store)
    store.remove(quad)
    typed = ox.Literal(quad.object.value, datatype=ox.NamedNode("urn:other"))
    store.add(ox.Quad(quad.subject, LABEL, typed, quad.graph_name))


def extra_graph(store: ox.Store) -> None:
    name = ox.NamedNode("https://w3id.org/provgraph/id/record/forged")
    quad = labelled(store)
    store.add(ox.Quad(quad.subject, quad.predicate, quad.object, name))


def extra_empty_graph(store: ox.Store) -> None:
    store.add_graph(ox.NamedNode("https://w3id.org/provgraph/id/record/forged"))


def missing_graph(store: ox.Store) -> None:
    store.remove_graph(labelled(store).graph_name)


def moved_to_another_graph(store: ox.Store) -> None:
    quad = labelled(store)
    other = max(store.named_graphs(), key=str)
    store.remove(quad)
    store.add(ox.Quad(quad.subject, quad.predicate, quad.object, other))


def added_to_the_default_graph_only(store: ox.Store) -> None:
    store.add(ox.Quad(labelled(store).subject, LABEL, ox.Literal("forged")))


def dropped_from_the_default_graph_only(store: ox.Store) -> None:
    quad = labelled(store)
    store.remove(ox.Quad(quad.subject, quad.predicate, quad.object))


def no_watermark(store: ox.Store) -> None:
    store.remove_graph(ox.NamedNode("urn:provgraph:index"))


def watermark_of_another_ledger(store: ox.Store) -> None:
    graph = ox.NamedNode("urn:provgraph:index")
    (quad,) = store.quads_for_pattern(None, None, None, graph)
    store.remove(quad)
    value = ox.Literal(quad.object.value[:-1] + ("0" if quad.object.value[-1] != "0" else "1"))
    store.add(ox.Quad(quad.subject, quad.predicate, value, graph))


FLAWS: list[tuple[Callable[[ox.Store], None], str]] = [
    (added_quad, 'the index adds 1 statements, the first is .* "forged" .'),
    (dropped_quad, "the index lacks 1 statements, the first is .*#label>"),
    (changed_literal, "the index lacks 1 statements"),
    (changed_datatype, "the index lacks 1 statements"),
    (extra_graph, "holds 1 graphs that are no records .*record/forged"),
    (extra_empty_graph, "holds 1 graphs that are no records .*record/forged"),
    (missing_graph, "the index has no graph of it"),
    (moved_to_another_graph, "the index lacks 1 statements"),
    (added_to_the_default_graph_only, 'holds 1 statements that no record makes: .* "forged" .'),
    (dropped_from_the_default_graph_only, "lacks 1 statements that records make"),
    (no_watermark, "does not say how much of the ledger it holds"),
    (watermark_of_another_ledger, "is no beginning of this ledger"),
]


@pytest.mark.parametrize(("flaw", "said"), FLAWS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_tampered_index_is_found(
    history: Path, flaw: Callable[[ox.Store], None], said: str
) -> None:
    store = ox.Store(str(history / "index"))
    flaw(store)
    store.flush()
    del store
    (found,) = verify(history).findings
    assert found.step == 11
    assert re.findall(said, found.message) != []
    # And without the index nothing is wrong.
    assert verify(history, deep=False).findings == []


def test_damaged_files_of_the_index_are_a_finding(history: Path) -> None:
    for path in (history / "index").glob("*.sst"):
        path.write_bytes(b"\0" * path.stat().st_size)
    found = verify(history).findings
    assert [each.step for each in found] == [11]


def test_an_index_that_is_behind_is_no_fault(history: Path) -> None:
    with provgraph.run("late", owner="ada@example.org"):
        pass
    report = verify(history)
    assert report.findings == []
    assert report.parts["index"]["size"] == report.size - 1
    assert report.steps[-1].text.endswith("it is 1 entries behind, and catches up when asked")


def test_the_index_can_be_used_while_it_is_compared(history: Path) -> None:
    asked = []

    def progress(what: str, _done: int, _total: int) -> None:
        if what == "index":
            with open_index(history / "index", wait_s=0.1) as index:
                asked.append(index.quad_count())

    report = verify_live(
        history / "ledger.db",
        Options(deep=True),
        passed=lambda _step, _text: None,
        progress=progress,
    )
    assert report.findings == []
    assert len(asked) > 0


def test_several_processes_compare_the_same(history: Path) -> None:
    # More entries than one range, so that two workers and the reader of the default graph all work.
    for number in range(3):
        provgraph.observe("churn:2", metric="auc", value=number)
    reindex(load())
    assert verify(history, processes=2).parts["index"] == verify(history).parts["index"]


def test_an_index_that_still_holds_what_was_erased_is_found(history: Path) -> None:
    close_ledger()
    shutil.copytree(history / "index", history / "kept")
    with readable_ledger(load()) as ledger:
        record = ledger.read(0)
    assert main(["erase", record.iri, "--why", "no consent", "--by", "g@example.org", "--yes"]) == 0
    close_ledger()
    assert verify(history, deep=False).parts["ledger"]["erased"] == 1
    shutil.rmtree(history / "index", ignore_errors=True)
    (history / "kept").rename(history / "index")
    (found,) = verify(history).findings
    assert (found.step, found.position) == (11, 0)
    assert "it was erased, and the index still holds its graph" in found.message
    reindex(load())
    assert verify(history).findings == []


# ---- the lineage index ---------------------------------------------------------------------------------
ROW_CHANGES = {
    "an edge that no record states": "INSERT INTO edge VALUES (1, 0, 2, 0, 0)",
    "an edge that is gone": "DELETE FROM edge WHERE rowid_like = 1",
    "an edge that holds since another entry": "UPDATE edge SET position = position + 1 WHERE kind = 0",
    "a fact that is gone": "DELETE FROM fact WHERE code = 3",
    "a thing of another name": "UPDATE thing SET iri = iri || 'x' WHERE id = 3",
}


@pytest.mark.parametrize("change", ROW_CHANGES)
def test_a_changed_row_of_the_lineage_index_is_found(history: Path, change: str) -> None:
    statement = ROW_CHANGES[change].replace(
        "rowid_like = 1", "(child, kind, parent) IN (SELECT child, kind, parent FROM edge LIMIT 1)"
    )
    (path,) = (history / "lineage").glob("edges-*.db")
    with sqlite3.connect(path) as db:
        assert db.execute(statement).rowcount >= 1
    db.close()
    found = verify(history, go_on=True).findings
    assert {each.step for each in found} == {11}
    assert all("`provgraph reindex` builds it anew" in each.message for each in found)
    reindex(load())
    report = verify(history)
    assert report.findings == []
    assert report.parts["lineage"]["size"] == report.size
    assert "edges of the lineage index" in report.steps[-1].text


@pytest.mark.parametrize("place", [64, -4, "another"])
def test_changed_arrays_of_the_lineage_index_are_found(
    history: Path, place: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provgraph.index.edge_arrays.MIN_EDGES", 1)
    reindex(load())
    report = verify(history)
    assert (report.findings, report.parts["lineage"]["hasArrays"]) == ([], True)
    (path,) = (history / "lineage").glob("arrays-*.bin")
    data = bytearray(path.read_bytes())
    if isinstance(place, int):
        data[place] ^= 1
        path.write_bytes(data)
    else:
        # Sound in themselves, and over other edges than the file's.
        with sqlite3.connect(next((history / "lineage").glob("edges-*.db"))) as db:
            db.execute("INSERT INTO recent VALUES (1, 2, 0)")
        db.close()
    (found, *_) = verify(history, go_on=True).findings
    assert found.step == 11
    assert "arrays" in found.message


def test_a_lineage_index_that_is_behind_is_no_finding(history: Path) -> None:
    with provgraph.run("later", owner="ada@example.org"):
        pass
    report = verify(history)
    assert report.findings == []
    assert report.parts["lineage"]["size"] == report.size - 1


# ---- what was seen elsewhere ------------------------------------------------------------------------
def test_a_ledger_restored_from_an_old_backup_is_found(history: Path, tmp_path: Path) -> None:
    close_ledger()
    shutil.copy(history / "ledger.db", tmp_path / "backup")
    with provgraph.run("lost", owner="ada@example.org"):
        pass
    assert main(["publish", str(tmp_path / "log")]) == 0
    kept = tmp_path / "kept"
    kept.write_bytes(cosigned_checkpoint(load()))
    assert verify(history, published=(tmp_path / "log",), seen=(kept,)).findings == []
    close_ledger()
    shutil.copy(tmp_path / "backup", history / "ledger.db")
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (history / name).unlink(missing_ok=True)
    assert verify(history, deep=False).findings == []
    # What witnesses saw is remembered in the home, and looked at without being asked.
    (history / "witnessed").mkdir(exist_ok=True)
    remembered = history / "witnessed" / "checkpoint"
    for elsewhere in ({"published": (tmp_path / "log",)}, {"seen": (kept,)}, {}):
        if not elsewhere:
            shutil.copy(kept, remembered)
        (found,) = verify(history, deep=False, **elsewhere).findings
        assert found.step == STEP_ELSEWHERE
        assert "it was cut short, or restored from an older backup" in found.message


def test_a_checkpoint_of_another_ledger_is_refused(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "other"))
    with provgraph.run("other", owner="ada@example.org"):
        pass
    kept = tmp_path / "kept"
    kept.write_bytes(cosigned_checkpoint(load()))
    (found,) = verify(history, deep=False, seen=(kept,)).findings
    assert found.step == STEP_ELSEWHERE


# ---- whose keys ---------------------------------------------------------------------------------------
def test_another_log_or_producer_key_than_expected_is_found(history: Path) -> None:
    other = "did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH"
    assert [each.step for each in verify(history, log_key=other).findings] == [2]
    wrong = verify(history, producer_keys=frozenset({other})).findings
    assert [(each.step, each.position) for each in wrong] == [(8, 0)]
    with readable_ledger(load()) as ledger:
        method = ledger.read(0).verification_method
    keys = frozenset({method.partition("#")[0]})
    assert verify(history, producer_keys=keys).findings == []


# ---- every release --------------------------------------------------------------------------------------
@pytest.mark.parametrize("expected", GOLDEN, ids=lambda path: path.parent.name)
def test_the_ledger_of_every_release_is_verified_with_its_index(
    expected: Path, tmp_path: Path
) -> None:
    shutil.copyfile(expected.with_name("ledger.db"), tmp_path / "ledger.db")
    report = verify(tmp_path)
    assert report.findings == []
    assert report.parts["index"]["wasBuilt"] is True
    assert report.parts["index"]["graphs"] == json.loads(expected.read_text())["size"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


# ---- the command ----------------------------------------------------------------------------------------
SCHEMA = {
    "type": "object",
    "required": [
        "format", "provgraph", "what", "subject", "verdict", "stoppedAtFirst", "started", "ended",
        "origin", "size", "root", "steps", "findings", "open",
    ],
    "properties": {
        "format": {"const": "provgraph-verification/v1"},
        "what": {"enum": ["ledger", "bundle"]},
        "verdict": {"enum": ["verified", "wrong"]},
        "stoppedAtFirst": {"type": "boolean"},
        "started": {"type": "string", "pattern": "Z$"},
        "ended": {"type": "string", "pattern": "Z$"},
        "origin": {"type": ["string", "null"]},
        "size": {"type": ["integer", "null"]},
        "root": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
        "steps": {"type": "array", "items": {"type": "object", "required": ["step", "text"]}},
        "findings": {
            "type": "array",
            "items": {"type": "object", "required": ["step", "message", "position", "record"]},
        },
        "open": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip


def report_of(path: Path) -> dict[str, object]:
    report = json.loads(path.read_text("utf-8"))
    jsonschema.validate(report, SCHEMA)
    return report


def test_the_command_reports_as_text_and_json(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    assert main(["verify", "--deep", "--report", str(file)]) == 0
    out = capsys.readouterr().out
    report = report_of(file)
    assert (report["verdict"], report["what"]) == ("verified", "ledger")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("ok")] == [
        str(step["step"]) for step in report["steps"]
    ]
    # A home, a ledger's file and no argument mean the same.
    for subject in (str(history), str(history / "ledger.db")):
        assert main(["verify", subject, "--report", str(file), "--quiet"]) == 0
        assert report_of(file)["root"] == report["root"]
    assert capsys.readouterr().out == ""


def test_a_wrong_ledger_exits_1_and_is_reported(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    close_ledger()
    with sqlite3.connect(history / "ledger.db") as db:
        db.execute("UPDATE record SET graph = x'0041' WHERE position IN (1, 3)")
    db.close()
    file = tmp_path / "report.json"
    assert main(["verify", "--all", "--report", str(file)]) == 1
    report = report_of(file)
    assert report["verdict"] == "wrong"
    assert [(each["step"], each["position"]) for each in report["findings"]] == [(5, 1), (5, 3)]
    assert capsys.readouterr().err.count("provgraph: step 5: entry ") == 2
    assert main(["fsck"]) == 1


def test_a_bundle_has_the_same_report(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, file = tmp_path / "churn.zip", tmp_path / "report.json"
    assert main(["export", "churn:2", "--format", "bundle", "--out", str(bundle)]) == 0
    assert main(["verify", str(bundle), "--report", str(file)]) == 0
    assert report_of(file)["what"] == "bundle"
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
    capsys.readouterr()
    assert main(["verify", str(bundle), "--report", str(file)]) == 1
    report = report_of(file)
    assert report["verdict"] == "wrong"
    assert [each["step"] for each in report["findings"]] == [1]


@pytest.mark.parametrize("option", ["--deep", "--all", "--resume", "--seen=x", "--published=x"])
def test_what_is_for_ledgers_is_refused_for_bundles(
    history: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path), option]) == 2
    assert "is for a ledger" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume"], "no unfinished check to resume"),
        (["--seen", "nowhere"], "no checkpoint at nowhere"),
        (["--published", "nowhere"], "no published ledger at nowhere"),
    ],
)
def test_a_mistake_exits_2_with_the_next_step(
    history: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *arguments]) == 2
    assert said in capsys.readouterr().err
