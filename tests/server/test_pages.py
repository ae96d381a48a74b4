"""Pages on a real server: what they show, to whom, and what names and texts cannot make of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hostile_names import HOSTILE
from serving_process import serving
from small_history import MODEL

from provgraph.access.store import AccessStore

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MODEL_PAGE = f"/about/content/sha256/{MODEL.removeprefix('sha256:')}.html"
_RECORD = """
import provgraph, sys
names = sys.argv[1:]
for number, name in enumerate(names):
    digest = "sha256:" + f"{number:064x}"
    data = "sha256:" + f"{number + 1000:064x}"
    with provgraph.run(name, project=name[:200], owner=name[:200]) as run:
        run.use("s3://b/d", name=name[:500], role="train", digest=data)
        run.generate("s3://b/m", role="model", name=name[:500], version="1", digest=digest, kind="model")
        run.note(name if number else "x" * 2_000_000)
"""


class Page(HTMLParser):
    """The tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page(server, path, headers=HTML):
    answer = server.ask("GET", path, headers=headers)
    return answer, Page(answer.body.decode())


def active(shown):
    """Return what on a page could run or fetch something."""
    bad_tags = {"script", "iframe", "object", "embed", "base", "img", "style", "meta http-equiv"}
    return [
        (tag, attributes)
        for tag, attributes in shown.tags
        if tag in bad_tags
        or any(name.startswith("on") or name == "style" for name in attributes)
        or any(
            str(attributes.get(name) or "").lower().startswith(("javascript:", "data:", "http"))
            for name in ("href", "src", "action", "formaction")
        )
    ]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile") / "home"
    subprocess.run(
        [sys.executable, "-c", _RECORD, *HOSTILE],
        check=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, served_home):
    import shutil

    home = tmp_path_factory.mktemp("signing") / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "access.db"))
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    secrets = {
        role: store.create_token(owner=f"{role}@example.org", roles=[role])
        for role in ("reader", "ingest")
    }
    with serving(home) as running:
        yield running, secrets, store
    store.close()


# ---- what pages show ----------------------------------------------------------------------------------
def test_the_overview_counts_and_says_what_needs_attention(server):
    answer, shown = page(server, "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert re.search(r"2 model\b", shown.text).group() == "2 model"
    assert "train-and-test" in shown.text
    assert f"As of {answer.headers['provgraph-ledger-size']} ledger entries" in shown.text
    assert "witnessed by nobody" in shown.text


def test_programs_find_at_the_root_what_they_did_before(server):
    answer = server.ask("GET", "/", headers={"Accept": "application/json"})
    assert (answer.status, answer.json["detail"]) == (
        404,
        "there is nothing at /; see /openapi.json",
    )
    assert server.ask("GET", "/").status == 404


def test_an_empty_home_says_what_to_do_first(tmp_path):
    with serving(tmp_path / "home") as empty:
        answer, shown = page(empty, "/")
        assert (answer.status, "provgraph demo --serve" in shown.text) == (200, True)
        assert "Nothing is recorded yet" in shown.text


def test_a_list_is_filtered_and_comes_in_pages(server):
    _, shown = page(server, "/search?kind=model")
    links = [
        each["href"] for each in shown.of("a") if (each.get("href") or "").startswith("/about/")
    ]
    assert MODEL_PAGE in links
    assert len(links) == 2
    everything = server.ask("GET", "/search?limit=1000").json["hits"]
    rest = server.ask("GET", "/search?limit=1000&offset=3").json["hits"]
    assert [each["thing"] for each in rest] == [each["thing"] for each in everything][3:]
    _, none = page(server, "/search?kind=model&owner=nobody")
    assert "Nothing found" in none.text
    answer, bad = page(server, "/search?since=yesterday")
    assert (answer.status, "expected a day or time" in bad.text) == (400, True)


def test_the_page_of_a_model_says_what_it_rests_on(server):
    answer, shown = page(server, MODEL_PAGE)
    assert (answer.status, shown.of("script"), active(shown)) == (200, [], [])
    assert "churn:2" in shown.text
    assert re.search(r"seals verified: (\d+) of \1", shown.text) is not None
    assert "0.89 to 0.93" in shown.text
    assert "The query behind this page" in shown.text
    headings = [word for word in shown.words if word in {"Made by", "Made from", "Timeline"}]
    assert headings == ["Made by", "Made from", "Timeline"]


def test_a_page_as_of_an_earlier_size_knows_less(server):
    size = int(server.ask("GET", MODEL_PAGE).headers["provgraph-ledger-size"])
    answer, then = page(server, f"{MODEL_PAGE}?as-of={size - 3}")
    assert answer.headers["provgraph-ledger-size"] == str(size - 3)
    assert f"As the ledger was at size {size - 3}." in then.text
    assert ("approval" in page(server, MODEL_PAGE)[1].text, "approval" in then.text) == (
        True,
        False,
    )
    assert page(server, f"{MODEL_PAGE}?as-of=1")[0].status == 404
    assert page(server, f"{MODEL_PAGE}?as-of=soon")[0].status == 400


def test_facts_come_as_csv_too(server):
    answer = server.ask("GET", MODEL_PAGE.replace(".html", ".csv"))
    assert answer.body.splitlines()[0] == b"s,p,o,sLabel,oLabel"
    assert server.ask("GET", "/about/run/none.csv").status == 404


def test_what_is_not_there_is_a_page_with_near_names(server):
    answer, shown = page(server, "/about/model/churm.html")
    assert (answer.status, "Was one of these meant?" in shown.text) == (404, True)
    assert "churn:2" in shown.text
    assert page(server, "/nothing/here")[0].status == 404
    assert server.ask("GET", "/about/model/churm.html").headers["content-type"] == (
        "application/problem+json"
    )


# ---- names and texts ----------------------------------------------------------------------------------
@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=lambda n: HOSTILE[n][:12])
def test_a_name_stays_text_wherever_it_stands(hostile, number):
    name = HOSTILE[number]
    digest = f"{number:064x}"
    run = hostile.ask("GET", f"/search?kind=run&q={quote(name[:900])}").json["hits"]
    paths = [
        f"/about/content/sha256/{digest}.html",
        "/",
        f"/search?{urlencode({'q': name[:900], 'project': name[:200]})}",
        f"/about/{quote(name[:500])}.html",
        *(f"/about/{hit['thing'].partition('/id/')[2]}.html" for hit in run[:1]),
    ]
    for path in paths:
        answer, shown = page(hostile, path)
        assert (path, answer.status in {200, 404}) == (path, True)
        assert active(shown) == []
        assert "9876536" not in shown.text
    title = page(hostile, paths[0])[1].text
    assert name[:100] in title


def test_a_note_of_two_megabytes_does_not_fill_a_page(hostile):
    run = hostile.ask("GET", f"/search?kind=run&q={quote('alert')}&limit=100").json["hits"]
    sizes = []
    for hit in run:
        answer, _ = page(hostile, f"/about/{hit['thing'].partition('/id/')[2]}.html")
        sizes.append(len(answer.body))
    assert (len(run) >= 5, max(sizes) < 100_000) == (True, True)


# ---- signing in ---------------------------------------------------------------------------------------
FORM = {"Content-Type": "application/x-www-form-urlencoded", **HTML}


def sign_in(server, secret, *, following="/", **more):
    headers = {**FORM, "Origin": f"http://127.0.0.1:{server.port}", **more}
    body = urlencode({"token": secret, "next": following}).encode()
    return server.ask("POST", "/sign-in", body=body, headers=headers)


def cookie(answer):
    return answer.headers["set-cookie"].partition(";")[0]


def test_signing_in_gives_a_cookie_that_stands_for_the_token(guarded):
    server, secrets, _ = guarded
    answer, shown = page(server, "/")
    assert (answer.status, "no valid token was given" in shown.text) == (401, True)
    secret = secrets["reader"][1]
    signed = sign_in(server, secret, following="/search?kind=model")
    assert (signed.status, signed.headers["location"]) == (303, "/search?kind=model")
    flags = {each.strip().lower() for each in signed.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert secret not in signed.headers["set-cookie"]
    found, inside = page(server, "/", {**HTML, "Cookie": cookie(signed)})
    assert (found.status, "reader@example.org" in inside.text) == (200, True)


def test_a_wrong_token_is_said_on_the_form(guarded):
    server, _, _ = guarded
    answer = sign_in(server, "pgt_nothing")
    assert (answer.status, "set-cookie" in answer.headers) == (401, False)
    assert sign_in(server, "").status == 401


@pytest.mark.parametrize(
    "origin",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_site_signs_nobody_in_or_out(guarded, origin):
    server, secrets, _ = guarded
    assert sign_in(server, secrets["reader"][1], **origin).status == 403
    held = cookie(sign_in(server, secrets["reader"][1]))
    out = server.ask("POST", "/sign-out", body=b"", headers={**FORM, "Cookie": held, **origin})
    assert out.status == 403
    assert page(server, "/", {**HTML, "Cookie": held})[0].status == 200


def test_another_site_sends_nothing_in_a_session(guarded):
    server, secrets, _ = guarded
    held = cookie(sign_in(server, secrets["reader"][1]))
    query = {"Content-Type": "application/sparql-query", "Cookie": held}
    answers = [
        server.ask("POST", "/sparql", body=b"ASK {}", headers={**query, **more}).status
        for more in (
            {"Origin": "https://evil.example"},
            {},
            {"Sec-Fetch-Site": "same-origin"},
            {"Origin": f"http://127.0.0.1:{server.port}"},
        )
    ]
    assert answers == [403, 403, 200, 200]


def test_signing_out_ends_the_session_at_the_server(guarded):
    server, secrets, _ = guarded
    held = cookie(sign_in(server, secrets["reader"][1]))
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Cookie": held}
    assert server.ask("POST", "/sign-out", body=b"", headers={**FORM, **own}).status == 303
    answer, shown = page(server, "/", {**HTML, "Cookie": held})
    assert (answer.status, "your session has ended" in shown.text) == (401, True)


def test_a_revoked_token_ends_its_sessions(guarded):
    server, _, store = guarded
    token, secret = store.create_token(owner="x@example.org", roles=["reader"])
    held = {**HTML, "Cookie": cookie(sign_in(server, secret))}
    before = page(server, "/", held)[0].status
    store.revoke_token(token.id)
    assert (before, page(server, "/", held)[0].status) == (200, 401)


def test_a_denied_page_says_which_role_is_missing(guarded):
    server, secrets, _ = guarded
    held = {**HTML, "Cookie": cookie(sign_in(server, secrets["ingest"][1]))}
    answer, shown = page(server, "/", held)
    assert answer.status == 403
    assert "has the roles ingest; to read takes the role admin or auditor" in shown.text


@pytest.mark.parametrize(
    "away", ["https://evil.example/", "//evil.example", "/\\evil.example", "x"]
)
def test_signing_in_leads_to_no_other_place(guarded, away):
    server, secrets, _ = guarded
    assert sign_in(server, secrets["reader"][1], following=away).headers["location"] == "/"
