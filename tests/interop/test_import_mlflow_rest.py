"""MLflow behind its REST API: the same records as from its database; a stranger's answers do no harm."""

from __future__ import annotations

import http.server
import json
import os
import threading

import pytest
from real_mlflow import needs_mlflow, serving
from stores import made

from provgraph.converters.mlflow import rest
from provgraph.errors import FormatError, UnreachableError, UsageError
from provgraph.service.importing import import_source
from provgraph.settings import load


@needs_mlflow
def test_a_real_server_gives_the_records_that_its_database_gives(home, tmp_path):
    store = made(tmp_path)
    settings = load(os.environ)
    assert import_source(settings, str(store)).new == 14
    with serving(store) as address:
        imported = import_source(settings, address)
        again = import_source(settings, address, goes_on=True)
    # The API shows no assessments of a model together, and no deleted versions.
    assert imported.what == "an MLflow server"
    assert (imported.new, imported.superseding, imported.unchanged) == (0, 1, 12)
    assert (again.recorded, again.report.total("refused")) == (0, 0)


# ---- a stranger -----------------------------------------------------------------------------------
@pytest.fixture
def answering(monkeypatch):
    """A server with one answer to everything; what it was asked is kept."""
    monkeypatch.setattr(rest, "_TRIES", 1)
    servers = []

    def answering(status, body):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers.get("Content-Length", 0))
                asked.append(
                    (self.path, self.headers.get("Authorization"), self.rfile.read(length))
                )
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", asked

    yield answering
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def bring(address, **more):
    return import_source(load(os.environ), address, is_dry=True, **more)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"experiments": 1}',
        b'{"experiments": [1]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_an_answer_in_another_form_is_an_error_that_names_it(home, answering, body):
    address, _ = answering(200, body)
    with pytest.raises((FormatError, UsageError)):
        bring(address, converter="mlflow")


def test_a_server_that_fails_is_named(home, answering):
    address, _ = answering(500, b"no")
    with pytest.raises(UnreachableError, match="answers 500: no"):
        list(rest.RestStore(address, {}).read(None))


def test_a_server_that_is_no_mlflow_is_not_recognised(home, answering):
    address, _ = answering(404, b"no such page")
    with pytest.raises(UsageError, match="in no format that can be imported"):
        bring(address)


def test_a_server_that_asks_for_credentials_gets_those_of_the_environment(
    home, answering, monkeypatch
):
    address, asked = answering(401, b"who?")
    with pytest.raises(UsageError, match="set MLFLOW_TRACKING_TOKEN"):
        bring(address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    with pytest.raises(UsageError, match="answers 401"):
        bring(address)
    assert [each[1] for each in asked] == [None, "Basic YWRhOnNlY3JldA=="]
    assert json.loads(asked[0][2]) == {"max_results": 1}


def test_credentials_in_an_address_are_refused_and_not_shown(home):
    with pytest.raises(UsageError) as caught:
        bring("http://ada:secret@127.0.0.1:1/")
    assert "secret" not in str(caught.value)
