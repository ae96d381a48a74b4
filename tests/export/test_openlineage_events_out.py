"""Runs out as OpenLineage events: valid by the specification's schemas, and the same when read back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest
import referencing
from small_history import MODEL, record_history

from provgraph.cli.main import main
from provgraph.converters.openlineage.events import read_event
from provgraph.converters.openlineage.folding import fold
from provgraph.converters.openlineage.mapping import unit_of
from provgraph.converters.report import Report

SPEC = Path(__file__).resolve().parents[3] / "shared/suites/openlineage/spec"


@pytest.fixture(scope="module", name="lines")
def _lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(folder / "home"))
        record_history()
        out = folder / "events.ndjson"
        assert main(["export", "churn:2", "--format", "openlineage", "--out", str(out)]) == 0
        yield out.read_bytes().splitlines()


@pytest.fixture(scope="module", name="registry")
def _registry():
    if not SPEC.is_dir() and os.environ.get("CI") == "true":
        raise AssertionError(f"the OpenLineage specification is missing at {SPEC}")
    if not SPEC.is_dir():
        pytest.skip(f"the OpenLineage specification is not at {SPEC}")
    schemas = [json.loads(path.read_text()) for path in (SPEC, SPEC / "facets") for path in path.glob("*.json")]  # fmt: skip
    return referencing.Registry().with_resources(
        (each["$id"], referencing.Resource.from_contents(each)) for each in schemas
    )


def errors(registry, schema, value):
    validator = jsonschema.Draft202012Validator({"$ref": schema}, registry=registry)
    return [each.message for each in validator.iter_errors(value)]


def facets_of(event):
    rows = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    for row in rows:
        for name in ("facets", "inputFacets", "outputFacets"):
            yield from row.get(name, {}).values()


def test_every_event_and_every_facet_is_valid_by_its_own_schema(lines, registry) -> None:
    events = [json.loads(line) for line in lines]
    seen = 0
    for event in events:
        assert errors(registry, event["schemaURL"], event) == []
        for facet in facets_of(event):
            assert errors(registry, facet["_schemaURL"], facet) == []
            seen += 1
    assert seen > 10
    # The schemas are really asked.
    broken = {**events[0], "run": {"runId": 7}}
    assert errors(registry, broken["schemaURL"], broken) != []


def folded(lines):
    runs = {}
    for number, line in enumerate(lines):
        event = read_event(line, where=str(number))
        runs.setdefault(event.run, []).append(event)
    return {
        record.job.name.name: record
        for each in runs.values()
        for record in [unit_of(fold(each), Report()).record]
    }


def test_read_back_they_say_which_run_made_what_from_what(lines) -> None:
    runs = folded(lines)
    assert sorted(runs) == ["prepare", "train"]
    train = runs["train"]
    assert (train.run.status, train.job.name.namespace) == ("completed", "churn")
    assert train.run.parameters == {"depth": "6", "learning rate": "0.1"}
    assert [each.name.name for each in train.inputs] == ["clean.csv"]
    (model,) = train.outputs
    assert (model.name.namespace, model.name.name) == ("s3://bucket", "2.bin")
    assert model.version == MODEL
    assert [each.name for each in model.sources] == ["clean.csv"]
    (clean,) = runs["prepare"].outputs
    assert clean.name == train.inputs[0].name


def test_what_is_left_out_is_said(lines, capsys) -> None:
    assert main(["export", "churn:2", "--format", "openlineage"]) == 0
    said = capsys.readouterr().err
    assert "openlineage does not carry metrics and evaluations" in said
    assert "openlineage does not carry approvals, deployments" in said
