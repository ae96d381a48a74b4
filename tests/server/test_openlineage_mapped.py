"""What the real Python client sends to a live server becomes runs, datasets and column lineage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from serving_process import serving

from provgraph.access.store import AccessStore
from provgraph.cli.main import main
from provgraph.convert.origins import KIND
from provgraph.service.home import readable_ledger
from provgraph.settings import load

RUN = "0195a2b0-5d7e-7c3a-8f00-00000000abcd"
# As an integration would: the client's own classes of events and facets.
EMIT = f"""
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated import column_lineage_dataset as cl
from openlineage.client.generated import schema_dataset, sql_job
column = cl.Fields(inputFields=[cl.InputField(namespace="postgres://db:5432", name="shop.public.orders",
    field="price", transformations=[cl.Transformation(type="DIRECT", subtype="AGGREGATION")])])
facets = {{"columnLineage": cl.ColumnLineageDatasetFacet(fields={{"total": column}}),
    "schema": schema_dataset.SchemaDatasetFacet(fields=[
        schema_dataset.SchemaDatasetFacetFields(name="total", type="DECIMAL")])}}
job = Job(namespace="nightly", name="totals",
    facets={{"sql": sql_job.SQLJobFacet(query="SELECT sum(price) AS total FROM orders")}})
inputs = [InputDataset(namespace="postgres://db:5432", name="shop.public.orders")]
outputs = [OutputDataset(namespace="s3://lake", name="totals", facets=facets)]
client = OpenLineageClient()
for state, time in ((RunState.COMPLETE, "08:10"), (RunState.START, "08:00"), (RunState.COMPLETE, "08:10")):
    client.emit(RunEvent(eventType=state, eventTime=f"2026-03-01T{{time}}:00Z", run=Run(runId="{RUN}"),
        job=job, producer="https://example.org/p", inputs=inputs, outputs=outputs))
"""


@pytest.fixture(name="told", scope="module")
def _told(tmp_path_factory):
    home = tmp_path_factory.mktemp("mapped") / "home"
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="airflow@example.org", roles=["ingest"])
    store.close()
    with serving(home) as server:
        environ = {name: value for name, value in os.environ.items() if "OPENLINEAGE" not in name}
        environ["OPENLINEAGE_URL"] = f"http://127.0.0.1:{server.port}"
        environ["OPENLINEAGE_API_KEY"] = secret
        subprocess.run([sys.executable, "-c", EMIT], env=environ, check=True, timeout=120)
        until = time.monotonic() + 60
        while time.monotonic() < until and not states(home):
            time.sleep(0.2)
    return home


def states(home):
    with readable_ledger(load({"PROVGRAPH_HOME": str(home)})) as ledger:
        return ledger.names(KIND, f"openlineage/run/{RUN}")


@pytest.fixture(name="asked")
def _asked(told, monkeypatch, capsys):
    monkeypatch.setenv("PROVGRAPH_HOME", str(told))

    def ask(*arguments):
        capsys.readouterr()
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    return ask


def test_the_server_has_the_run_mapped_from_events_out_of_order(asked):
    query = f"""PREFIX pg: <https://w3id.org/provgraph/ns#> PREFIX prov: <http://www.w3.org/ns/prov#>
    SELECT ?status ?start ?end ?query {{ <https://w3id.org/provgraph/id/run/openlineage-{RUN}>
      pg:status ?status ; prov:startedAtTime ?start ; prov:endedAtTime ?end ; pg:plan/pg:flowQuery ?query }}"""
    lines = asked("sparql", query, "--format", "csv").splitlines()
    assert lines[1:] == [
        "completed,2026-03-01T08:00:00Z,2026-03-01T08:10:00Z,SELECT sum(price) AS total FROM orders"
    ]


def test_its_column_lineage_can_be_asked_for(asked):
    query = """PREFIX pg: <https://w3id.org/provgraph/ns#>
    SELECT ?to ?from ?how { ?d pg:columnOrigin ?o .
      ?o pg:toColumn ?to ; pg:fromColumn ?from ; pg:transformation ?how }"""
    lines = asked("sparql", query, "--format", "csv").splitlines()
    assert lines[1:] == ["total,price,DIRECT/AGGREGATION"]


def test_mapping_again_what_was_kept_changes_nothing(told, asked):
    before = len(states(told))
    again = json.loads(asked("import", "kept://openlineage", "--json"))
    assert (again["new"], again["superseding"], again["unchanged"]) == (0, 0, 1)
    new = json.loads(asked("import", "kept://openlineage", "--new", "--json"))
    assert (new["new"], new["superseding"]) == (0, 0)
    assert len(states(told)) == before == 1


def test_the_record_says_which_bytes_it_was_made_of(told):
    with readable_ledger(load({"PROVGRAPH_HOME": str(told)})) as ledger:
        (row,) = states(told)
        record = ledger.read(row.index)
        (content,) = [ledger.attachment(each) for each in ledger.attachments(record.iri)]
    events = [json.loads(line) for line in content.splitlines()]
    assert [each["eventType"] for each in events] == ["START", "COMPLETE"]
