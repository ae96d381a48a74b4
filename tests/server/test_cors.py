"""Pages of other origins: none may ask unless a setting names it."""

import pytest
from serving_process import serving

HERE = "https://audit.example.org"


@pytest.fixture(scope="module")
def open_server(served_home):
    with serving(served_home, cors_origins=f"{HERE}, http://localhost:3000") as running:
        yield running


def test_no_page_may_ask_by_default(server):
    answer = server.ask("GET", "/sparql?query=ASK%20%7B%7D", headers={"Origin": HERE})
    assert (answer.status, "access-control-allow-origin" in answer.headers) == (200, False)
    asked = server.ask("OPTIONS", "/sparql", headers={"Origin": HERE})
    assert (asked.status, "access-control-allow-methods" in asked.headers) == (204, False)
    assert asked.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_a_page_that_is_named_may_ask(open_server):
    answer = open_server.ask("GET", "/sparql?query=ASK%20%7B%7D", headers={"Origin": HERE})
    assert answer.headers["access-control-allow-origin"] == HERE
    assert answer.headers["vary"] == "Accept, Origin"
    asked = open_server.ask("OPTIONS", "/sparql", headers={"Origin": HERE})
    assert asked.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
    assert "access-control-allow-credentials" not in asked.headers


def test_another_page_may_not(open_server):
    for origin in (f"{HERE}.evil.example", "null", f"{HERE}:8443"):
        answer = open_server.ask("GET", "/healthz", headers={"Origin": origin})
        assert (origin, "access-control-allow-origin" in answer.headers) == (origin, False)
