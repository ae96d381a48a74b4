"""OpenLineage events over HTTP: kept byte for byte, once; refused where they are none."""

import contextlib
import gzip
import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from serving_process import serving

from provgraph.access.store import AccessStore
from provgraph.digests import Digest
from provgraph.ledger.fsck import verify_ledger
from provgraph.service.home import readable_ledger
from provgraph.settings import load

RUN = "0195a2b0-5d7e-7c3a-8f00-0123456789ab"
EVENT = {
    "eventType": "COMPLETE",
    "eventTime": "2026-03-01T08:00:00.123456789Z",
    "producer": "https://example.org/nightly/1.0",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": RUN, "facets": {"x": {"deep": [1, 2.5, None, "\U0001f600"]}}},
    "job": {"namespace": "nightly", "name": "orders"},
    "inputs": [{"namespace": "postgres://db", "name": "public.orders"}],
    "outputs": [],
}
DATASET = {
    "eventTime": "2020-12-28T19:52:00.001+10:00",
    "producer": "https://example.org/nightly/1.0",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetEvent",
    "dataset": {"namespace": "s3://lake", "name": "orders"},
}
JOB = {**DATASET, "job": EVENT["job"], "inputs": EVENT["inputs"]}
del JOB["dataset"]


def without(event, *names):
    return {name: value for name, value in event.items() if name not in names}


class Client:
    """A server, and a token that may append."""

    def __init__(self, server, secret):
        self.server = server
        self.secret = secret

    def send(self, event, **headers):
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {self.secret}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.ask("POST", "/api/v1/lineage", body=data, headers=sent)

    @contextlib.contextmanager
    def ledger(self):
        with readable_ledger(load({"PROVGRAPH_HOME": str(self.server.home)})) as ledger:
            yield ledger


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("lineage") / "home"
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="airflow@example.org", roles=["ingest"])
    store.close()
    with serving(home) as server:
        yield Client(server, secret)


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        DATASET,
        JOB,
        {**EVENT, "eventTime": "2020-12-28T19:51:01.641499"},
        {**EVENT, "job": {"namespace": "flink-jobs"}},
        without(EVENT, "schemaURL", "inputs", "outputs", "eventType"),
    ],
    ids=["run", "dataset", "job", "no-time-zone", "nameless-job", "least"],
)
def test_an_event_is_kept_byte_for_byte(client, event):
    data = json.dumps(event, indent=1).encode() + b"\n"
    answer = client.send(data)
    assert answer.status == 201, answer.body
    (receipt,) = answer.json["receipts"]
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    with client.ledger() as ledger:
        assert ledger.find(receipt["record"]) == receipt["position"]
        assert ledger.attachment(digest) == data
        text = ledger.graph(receipt["position"]).decode()
    assert f'noticeProducer> "{event["producer"]}"' in text
    assert f'eventTime> "{event["eventTime"]}"' in text
    assert "airflow%40example.org" in text or "airflow@example.org" in text
    assert ("foreignDataset" in text, "foreignJob" in text) == ("dataset" in event, "job" in event)


def test_identical_bytes_are_one_record_and_others_are_another(client):
    event = {**EVENT, "eventType": "START"}
    first, again = client.send(event), client.send(event)
    other = client.send(json.dumps(event, indent=3).encode())
    assert (first.status, again.status, other.status) == (201, 200, 201)
    one, two = first.json["receipts"][0], again.json["receipts"][0]
    assert (two["isNew"], one["position"]) == (False, two["position"])


def test_gzip_is_read_and_names_the_same_event(client):
    event = {**EVENT, "eventType": "RUNNING"}
    data = json.dumps(event).encode()
    first = client.send(gzip.compress(data), Content_Encoding="gzip")
    assert (first.status, client.send(data).json["receipts"][0]["isNew"]) == (201, False)


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (without(EVENT, "eventTime"), "/eventTime"),
        (without(EVENT, "producer"), "/producer"),
        (without(EVENT, "job"), "/job"),
        ({**EVENT, "eventTime": "2026-02-30T08:00:00Z"}, "/eventTime"),
        ({**EVENT, "eventTime": "yesterday"}, "/eventTime"),
        ({**EVENT, "eventTime": 7}, "/eventTime"),
        ({**EVENT, "eventType": "DONE"}, "/eventType"),
        ({**EVENT, "eventType": ["START"]}, "/eventType"),
        ({**EVENT, "producer": "not a uri"}, "/producer"),
        ({**EVENT, "schemaURL": None}, "/schemaURL"),
        ({**EVENT, "run": {"runId": "1"}}, "/run/runId"),
        ({**EVENT, "run": {}}, "/run/runId"),
        ({**EVENT, "run": None}, "/run"),
        ({**EVENT, "job": {"namespace": "a", "name": None}}, "/job/name"),
        ({**EVENT, "job": {"name": "a"}}, "/job/namespace"),
        ({**DATASET, "dataset": {"namespace": "a"}}, "/dataset/name"),
        ({**EVENT, "job": {"namespace": "a", "name": ""}}, "/job/name"),
        ({**EVENT, "job": {"namespace": "a", "name": "x" * 2001}}, "/job/name"),
        ({**EVENT, "job": {"namespace": "a", "name": "\ud800"}}, "/job/name"),
        ({**EVENT, "inputs": {}}, "/inputs"),
        ({**EVENT, "outputs": [{"namespace": "a"}]}, "/outputs/0/name"),
        ({**DATASET, "job": EVENT["job"]}, "/dataset"),
    ],
)
def test_what_is_no_event_is_refused_with_its_path(client, event, path):
    answer = client.send(event)
    assert (answer.status, answer.json["errors"][0]["path"]) == (422, path)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"{", {}, 400),
        (b'{"a": NaN}', {}, 400),
        (b"\xff\xfe{}", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b"{}", {"Content_Encoding": "br"}, 415),
        (b"{}", {"Content_Encoding": "gzip"}, 400),
        (gzip.compress(b"{}")[:-4], {"Content_Encoding": "gzip"}, 400),
        (gzip.compress(b"{}") * 2, {"Content_Encoding": "gzip"}, 400),
        (gzip.compress(b" " * 17_000_000), {"Content_Encoding": "gzip"}, 413),
        (b" " * 17_000_000, {}, 413),
    ],
    ids=[
        "empty",
        "array",
        "truncated",
        "nan",
        "utf-16",
        "deep",
        "text",
        "brotli",
        "not-gzip",
        "truncated-gzip",
        "two-streams",
        "gzip-bomb",
        "giant",
    ],
)
def test_what_is_no_json_is_refused(client, body, headers, status):
    assert client.send(body, **headers).status == status


def test_the_python_client_delivers_through_its_two_variables(client):
    code = f"""
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
event = RunEvent(eventType=RunState.START, eventTime="2026-03-01T08:00:00Z", run=Run(runId="{RUN}"),
    job=Job(namespace="real", name="client"), producer="https://example.org/p", inputs=[], outputs=[])
OpenLineageClient().emit(event)
"""
    environ = {name: value for name, value in os.environ.items() if "OPENLINEAGE" not in name}
    environ |= {
        "OPENLINEAGE_URL": f"http://127.0.0.1:{client.server.port}",
        "OPENLINEAGE_API_KEY": client.secret,
    }
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60)
    with client.ledger() as ledger:
        (row,) = ledger.names("notice", "real/client")
        assert f'foreignRun> "{RUN}"'.encode() in ledger.graph(row.index)
    environ["OPENLINEAGE_API_KEY"] = "pgt_wrong"
    refused = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (refused.returncode, "401" in refused.stderr) == (1, True)


def test_the_ledger_verifies_with_events_in_it(client):
    with client.ledger() as ledger:
        report = verify_ledger(ledger)
        assert report.size == ledger.size()
