"""Every endpoint against every role, live; and what the guard asks of tokens and hosts."""

import http.client
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from serving_process import serving

from provgraph.access.roles import ROLES
from provgraph.access.store import AccessStore
from provgraph.access.verdict import Caller, judge
from provgraph.server.app import endpoints

NOBODY = "nobody"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, served_home):
    """A server with one token a role."""
    home = tmp_path_factory.mktemp("guarded") / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "access.db"))
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    secrets = {
        role: store.create_token(owner=f"{role}@example.org", roles=[role])[1] for role in ROLES
    }
    with serving(home) as running:
        yield running, secrets, store
    store.close()


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("role", [NOBODY, *sorted(ROLES)])
@pytest.mark.parametrize("endpoint", endpoints(), ids=lambda each: f"{each.method} {each.path}")
def test_an_endpoint_admits_who_has_its_right(guarded, endpoint, role):
    server, secrets, _ = guarded
    caller = None if role == NOBODY else Caller(name="x", by="token", roles=frozenset({role}))
    headers = {} if role == NOBODY else bearer(secrets[role])
    path = endpoint.path.replace("{number}", "0").replace("{level}", "0")
    path = path.replace("{rest:path}", "000").replace("{path:path}", "run/0")
    answer = server.ask(endpoint.method, path, headers=headers)
    # What policy refuses to everybody (a graph is never deleted) is 403 under another title.
    refusals = {"Unauthorized": 401} if role == NOBODY else {"Forbidden": 403}
    title = answer.json.get("title") if answer.status in {401, 403} else None
    is_refused = refusals.get(title) == answer.status
    is_allowed = judge(caller, endpoint.action).is_allowed
    assert (is_refused, answer.status >= 500) == (not is_allowed, False)


def test_a_refusal_without_a_token_says_how_to_send_one(guarded):
    server, _, _ = guarded
    answer = server.ask("GET", "/sparql?query=ASK%20%7B%7D")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="provgraph"')


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer ", "Bearer pgt_nothing", "x"])
def test_other_credentials_are_refused(guarded, value):
    server, _, _ = guarded
    answer = server.ask("GET", "/sparql?query=ASK%20%7B%7D", headers={"Authorization": value})
    assert answer.status == 401


def test_a_token_that_ends_while_the_server_runs_is_refused(guarded):
    server, _, store = guarded
    token, secret = store.create_token(owner="x", roles=["reader"])
    path = "/sparql?query=ASK%20%7B%7D"
    before = server.ask("GET", path, headers=bearer(secret)).status
    store.revoke_token(token.id)
    assert (before, server.ask("GET", path, headers=bearer(secret)).status) == (200, 401)
    _, short = store.create_token(owner="x", roles=["reader"], lifetime=timedelta(microseconds=1))
    assert server.ask("GET", path, headers=bearer(short)).status == 401


def test_an_open_server_refuses_names_that_are_not_its_machines(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/sparql?query=ASK%20%7B%7D", headers={"Host": "evil.example"})
    answer = connection.getresponse()
    assert answer.status == 421
    connection.close()
