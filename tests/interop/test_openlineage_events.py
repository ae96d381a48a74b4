"""OpenLineage events: folded from any order, all facets mapped or named, derivations only where stated."""

from __future__ import annotations

import itertools
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provgraph import terms
from provgraph.constraints import check
from provgraph.constraints.rdf import document_of
from provgraph.convert.entities import Context
from provgraph.convert.flows import dataset_iri
from provgraph.convert.prov import convert
from provgraph.converters.contract import Reading
from provgraph.converters.openlineage import CONVERTER, facets
from provgraph.converters.openlineage.events import read_event
from provgraph.converters.openlineage.folding import fold
from provgraph.converters.openlineage.mapping import unit_of
from provgraph.converters.report import KEPT, REFUSED, WAITING, Report
from provgraph.converters.sources import open_source
from provgraph.errors import FormatError
from provgraph.flows import FlowName
from provgraph.vocab import PROV_T, P

SUITE = Path(__file__).resolve().parents[3] / "shared/suites/openlineage"
RUN = "0195a2b0-5d7e-7c3a-8f00-0123456789ab"
CONTEXT = Context(
    namespace="tests",
    software_version="0",
    recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
    previous={},
)
ORDERS = {"namespace": "postgres://db:5432", "name": "shop.public.orders"}
TOTALS = {"namespace": "s3://lake", "name": "totals"}


@pytest.fixture(name="suite")
def _suite() -> Path:
    if not SUITE.is_dir() and os.environ.get("CI") == "true":
        raise AssertionError(f"the OpenLineage suite is missing at {SUITE}")
    if not SUITE.is_dir():
        pytest.skip(f"the OpenLineage suite is not at {SUITE}")
    return SUITE


def event(**more):
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-03-01T08:00:00Z",
        "producer": "https://example.org/nightly/1.0",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": RUN},
        "job": {"namespace": "nightly", "name": "totals"},
        **more,
    }


def unit(*events, report=None):
    read = [
        read_event(json.dumps(each).encode(), where=f"line {number}")
        for number, each in enumerate(events, start=1)
    ]
    return unit_of(fold(read), report or Report())


def triples(*events):
    converted = convert(unit(*events).record, record_id="r", context=CONTEXT)
    return {line[:3] for line in terms.parse_lines(converted.canonical)}


def iri(name, tail=""):
    return terms.iri(dataset_iri("openlineage", FlowName(**name)) + tail)


START = event(eventType="START", eventTime="2026-03-01T07:00:00Z", inputs=[ORDERS])
RUNNING = event(
    eventType="RUNNING",
    eventTime="2026-03-01T07:30:00Z",
    run={"runId": RUN, "facets": {"tags": {"tags": [{"key": "team", "value": "risk"}]}}},
)
END = event(outputs=[TOTALS])


def test_any_order_and_any_duplicates_give_the_same_state() -> None:
    states = {
        (each.content, repr(each.record))
        for order in itertools.permutations([START, RUNNING, END, END])
        for each in [unit(*order)]
    }
    assert len(states) == 1
    ((content, _),) = states
    assert content.count(b"\n") == 3
    record = unit(END, START, RUNNING).record
    assert (record.run.status, record.run.state) == ("completed", "COMPLETE")
    assert record.run.started_at == datetime(2026, 3, 1, 7, tzinfo=UTC)
    assert record.run.ended_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert record.run.tags == {"team": "risk"}
    assert [each.name.name for each in record.inputs] == ["shop.public.orders"]
    assert [each.name.name for each in record.outputs] == ["totals"]


def test_keys_in_another_order_are_the_same_event() -> None:
    turned = dict(reversed(END.items()))
    assert unit(END, turned).content == unit(END).content


def test_what_comes_later_changes_the_state() -> None:
    assert unit(START, END).content != unit(START, RUNNING, END).content


def test_a_later_facet_replaces_an_earlier_one_and_deleted_takes_it_away() -> None:
    def with_schema(time, schema):
        output = {**TOTALS, "facets": {"schema": schema}}
        return event(eventType="RUNNING", eventTime=time, outputs=[output])

    first = with_schema("2026-03-01T07:10:00Z", {"fields": [{"name": "a"}]})
    second = with_schema("2026-03-01T07:20:00Z", {"fields": [{"name": "b"}]})
    gone = with_schema("2026-03-01T07:30:00Z", {"_deleted": True})
    (output,) = unit(second, first, END).record.outputs
    assert [column.name for column in output.columns] == ["b"]
    (output,) = unit(second, gone, first, END).record.outputs
    assert output.columns == ()


def test_inputs_times_outputs_are_no_derivation() -> None:
    found = triples(event(inputs=[ORDERS], outputs=[TOTALS]))
    assert [line for line in found if line[1] == PROV_T["wasDerivedFrom"]] == []
    assert {line[2] for line in found if line[1] == PROV_T["used"]} == {iri(ORDERS)}
    made = iri(TOTALS, f"/written-by/openlineage-{RUN}")
    assert {line[0] for line in found if line[1] == PROV_T["wasGeneratedBy"]} == {made}
    assert (made, PROV_T["specializationOf"], iri(TOTALS)) in found


LINEAGE = {
    "columnLineage": {
        "fields": {
            "total": {
                "inputFields": [
                    {
                        **ORDERS,
                        "field": "price",
                        "transformations": [
                            {"type": "DIRECT", "subtype": "AGGREGATION", "masking": True}
                        ],
                    }
                ]
            }
        }
    }
}


def test_column_lineage_states_the_derivation_and_the_column() -> None:
    found = triples(event(inputs=[ORDERS], outputs=[{**TOTALS, "facets": LINEAGE}]))
    derived = {line[0] for line in found if line[1] == PROV_T["wasDerivedFrom"]}
    assert derived == {iri(TOTALS), iri(TOTALS, f"/written-by/openlineage-{RUN}")}
    (node,) = [line[2] for line in found if line[1] == P["columnOrigin"]]
    said = {line[1]: line[2] for line in found if line[0] == node}
    assert said[P["toColumn"]] == terms.string("total")
    assert said[P["fromDataset"]] == iri(ORDERS)
    assert said[P["fromColumn"]] == terms.string("price")
    assert said[P["transformation"]] == terms.string("DIRECT/AGGREGATION")
    assert said[P["isMasked"]] == terms.boolean(True)


def test_a_jobs_lineage_facet_states_derivations_of_its_outputs() -> None:
    facet = {"entries": [{**TOTALS, "type": "DATASET", "inputs": [{**ORDERS, "type": "DATASET"}]}]}
    job = {"namespace": "nightly", "name": "totals", "facets": {"lineage": facet}}
    found = triples(event(job=job, outputs=[TOTALS]))
    assert (iri(TOTALS), PROV_T["wasDerivedFrom"], iri(ORDERS)) in found


def test_a_table_that_two_runs_write_breaks_no_constraint() -> None:
    other = "0195a2b0-5d7e-7c3a-8f00-ffffffffffff"
    first = triples(event(outputs=[TOTALS]))
    second = triples(
        event(run={"runId": other}, eventTime="2026-03-02T08:00:00Z", outputs=[TOTALS])
    )
    assert check(document_of([(*line, "") for line in first | second])) == []


def test_symlinks_are_alternates_and_versions_are_specializations() -> None:
    given = {
        **TOTALS,
        "facets": {
            "symlinks": {"identifiers": [{**ORDERS, "type": "TABLE"}]},
            "version": {"datasetVersion": "7"},
        },
    }
    found = triples(event(inputs=[given], outputs=[given]))
    assert (iri(TOTALS), PROV_T["alternateOf"], iri(ORDERS)) in found
    assert {line[2] for line in found if line[1] == PROV_T["used"]} == {iri(TOTALS, "/version/7")}


def test_two_ends_are_a_disagreement_and_neither_is_hidden() -> None:
    failed = event(eventType="FAIL", eventTime="2026-03-01T08:30:00Z")
    found = unit(END, failed)
    assert found.record.run.status == "failed"
    (each,) = found.disagreements
    assert (each.first, each.second) == ("COMPLETE", "FAIL")
    assert unit(END, {**END, "eventTime": "2026-03-01T09:00:00Z"}).disagreements == ()


def test_a_time_without_a_zone_is_kept_and_flagged_and_not_stated() -> None:
    record = unit(event(eventTime="2026-03-01T08:00:00.123")).record
    assert record.run.ended_at is None
    assert "time zone" in {each.field for each in record.missing}
    assert {each.field for each in unit(END).record.missing} == {"start"}


def test_a_run_is_never_taken_for_one_that_was_captured_here() -> None:
    parent = {"parent": {"run": {"runId": RUN.upper()}, "job": {"namespace": "n", "name": "p"}}}
    run = unit(event(run={"runId": RUN.upper(), "facets": parent})).record.run
    assert (run.id, run.parent) == (f"openlineage-{RUN}", f"openlineage-{RUN}")


# ---- what is not as it should be ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (json.dumps(END).encode()[:-20], "expected JSON"),
        (b"\xff" + json.dumps(END).encode(), "expected UTF-8"),
        (json.dumps(END).encode("utf-16"), "expected UTF-8"),
        (json.dumps(END)[:-1].encode() + b', "producer": "x"}', "'producer' twice"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (json.dumps(event(schemaURL="https://openlineage.io/spec/3-0-0/OpenLineage.json")).encode(), "major version 2"),
        (json.dumps(event(eventTime="yesterday")).encode(), "/eventTime"),
        (json.dumps(event(eventTime="2026-02-30T08:00:00Z")).encode(), "/eventTime"),
        (json.dumps(event(run={"runId": "1"})).encode(), "/run/runId"),
        (json.dumps(event(inputs=[{"name": "a"}])).encode(), "/inputs/0/namespace"),
        (b"[]", "expected an event"),
        (b'{"eventTime": NaN}', "NaN is no JSON"),
    ],
    ids=[
        "truncated", "not-utf-8", "utf-16", "key-twice", "deep", "future", "time", "calendar", "uuid",
        "dataset", "array", "nan",
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_with_the_reason(data, message) -> None:
    with pytest.raises(FormatError, match=message):
        read_event(data, where="line 1")


def read_file(path, **options):
    report = Report()
    units = list(CONVERTER.read(open_source(str(path)), Reading(report=report, **options)))
    return units, report


def test_a_line_that_is_refused_does_not_end_the_file(tmp_path) -> None:
    path = tmp_path / "events.ndjson"
    lines = [json.dumps(START), '{"eventTime": ', "", json.dumps(END), json.dumps(END)[:50]]
    path.write_text("\n".join(lines))
    units, report = read_file(path)
    assert len(units) == 1
    assert units[0].content.count(b"\n") == 2
    assert [(each.places, each.count) for each in report.lines if each.outcome == REFUSED] == [
        (["events.ndjson:2"], 1),
        (["events.ndjson:5"], 1),
    ]


def test_a_run_without_an_end_waits_unless_it_is_asked_for(tmp_path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps(START) + "\n")
    units, report = read_file(path)
    assert (units, report.total(WAITING)) == ([], 1)
    ((found,), _) = read_file(path, takes_unfinished=True)
    assert (found.record.run.status, found.record.run.state) == (None, "START")


def test_an_array_and_a_wrapped_event_are_read_like_lines(tmp_path) -> None:
    lines, array, wrapped = (tmp_path / name for name in ("a.ndjson", "b.json", "c.json"))
    lines.write_text(json.dumps(START) + "\n" + json.dumps(END) + "\n")
    array.write_text(json.dumps([END, START], indent=2))
    wrapped.write_text(json.dumps(END, indent=2))
    ((of_lines,), _), ((of_array,), _), ((of_one,), _) = map(read_file, (lines, array, wrapped))
    assert of_lines.content == of_array.content
    assert of_one.content == unit(END).content


# ---- the specification's facets ----------------------------------------------------------------------
KNOWN = {"run": facets.RUN, "job": facets.JOB_LINEAGE, "dataset": facets.DATASET, "own": facets.OWN}


def test_a_facet_of_another_shape_or_a_later_major_version_is_kept_and_named() -> None:
    for facet in (
        {"message": 7},
        [],
        {"message": "x", "_schemaURL": "https://openlineage.io/spec/facets/3-0-0/E.json"},
    ):
        report = Report()
        found = unit(event(run={"runId": RUN, "facets": {"errorMessage": facet}}), report=report)
        assert found.record.run.reason is None
        assert found.record.kept == ("run.errorMessage",)
        assert report.total(KEPT) == 1


def test_what_a_facet_has_beyond_what_is_mapped_is_named(suite: Path) -> None:
    sample = json.loads((suite / "spec/tests/ErrorMessageRunFacet/1.json").read_text())
    report = Report()
    found = unit(event(run={"runId": RUN, "facets": sample}), report=report)
    assert found.record.run.reason == sample["errorMessage"]["message"]
    (line,) = report.lines
    assert "stackTrace" in line.reason


def test_every_sample_of_a_facet_is_mapped_or_kept(suite: Path) -> None:
    samples = sorted((suite / "spec/tests").glob("*/*.json"))
    assert len(samples) > 30
    for path in samples:
        facet = json.loads(path.read_text())
        for place in ("run", "job", "dataset", "own"):
            if place not in {"run", "job"} and path.parent.name == "LineageFacet":
                continue
            given = event(
                run={"runId": RUN, "facets": facet if place == "run" else {}},
                job={"namespace": "n", "name": "j", "facets": facet if place == "job" else {}},
                outputs=[
                    {
                        **TOTALS,
                        "facets": facet if place == "dataset" else {},
                        "outputFacets": facet if place == "own" else {},
                    }
                ],
            )
            report = Report()
            unit(given, report=report)
            said = sum(n for (_, what), n in report.counts.items() if what.endswith("facet"))
            said += sum(" facet " in line.what for line in report.lines)
            assert said >= len(facet), path


def test_every_sample_event_becomes_a_record_that_breaks_no_constraint(suite: Path) -> None:
    paths = [*(suite / "events").glob("*/*.json"), suite / "spec/tests/example_full_event.json"]
    assert len(paths) == 59
    for path in sorted(paths):
        assert CONVERTER.recognises(open_source(str(path))) == "OpenLineage events", path
        units, report = read_file(path, takes_unfinished=True)
        assert report.total(REFUSED) == 0, path
        for each in units:
            converted = convert(each.record, record_id="r", context=CONTEXT)
            quads = [(*line[:3], "") for line in terms.parse_lines(converted.canonical)]
            assert check(document_of(quads)) == [], path
        assert len(units) == 1, path
