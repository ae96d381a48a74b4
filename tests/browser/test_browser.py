"""Pages in a real browser: the ways an auditor goes, by keyboard, without a script, and axe-core on each."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import expect
from small_history import MODEL as SCORED

from provgraph import vocab
from provgraph.digests import Digest

IRI = vocab.content_iri(Digest.parse(SCORED))
ABOUT = f"/about/content/sha256/{SCORED.removeprefix('sha256:')}.html"
QUERY = "SELECT ?m { ?m a <https://w3id.org/provgraph/ns#Model> }"
PAGES = {
    "overview": "/",
    "models": "/search?kind=model",
    "found": "/search?q=churn",
    "model": ABOUT,
    "a run": "/about/run/score-1.html",
    "nothing there": "/about/run/score-x.html",
    "markup": f"/about/content/sha256/{1:064x}.html",
    "right to left": f"/about/content/sha256/{8:064x}.html",
    "picture": f"/picture?thing={quote(IRI)}",
    "compare": "/compare?before=churn:1&after=churn:2",
    "questions": "/queries",
    "answer": "/queries/Q02?model=churn:2",
    "sparql": f"/sparql?query={quote(QUERY)}",
    "error": "/sparql?query=SELECT%20*%20%7B%20%3Fs%20a%20pg:Model%20%7D",
    "verify": "/verify?thing=churn:1",
    "ledger": "/ledger",
    "entry": "/ledger/3",
    "sign in": "/sign-in",
}


def address(server, path=""):
    return f"http://127.0.0.1:{server.port}{path}"


@pytest.fixture
def plain(browser, house):
    """A page of a browser that runs no script."""
    context = browser.new_context(java_script_enabled=False, base_url=address(house))
    context.set_default_timeout(8000)
    yield context.new_page()
    context.close()


# ---- every page -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(browser, house, axe, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=address(house)
    )
    asked, said, found = set(), [], {}
    shown = context.new_page()
    shown.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    shown.on("console", lambda message: said.append((message.type, message.text)))
    shown.on("pageerror", lambda error: said.append(("error", str(error))))
    shown.on("dialog", lambda dialog: said.append(("dialog", dialog.message)))
    for name, path in PAGES.items():
        shown.goto(path)
        # Playwright evaluates past the policy of the page; the page itself cannot.
        shown.evaluate(axe)
        # What a page says is the same in every width and scheme; only its colours are not.
        asking = "axe.run()" if scheme == "light" else "axe.run({runOnly: ['color-contrast']})"
        result = shown.evaluate(asking)
        wider = shown.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        found[name] = (
            [(each["id"], each["nodes"][0]["target"]) for each in result["violations"]],
            wider,
        )
    context.close()
    assert found == dict.fromkeys(PAGES, ([], 0))
    assert asked == {urlsplit(address(house)).netloc}
    # Of a page that is an error the browser says so, and nothing else is said.
    loud = {(kind, text) for kind, text in said if kind != "verbose" and "status of 4" not in text}
    assert loud == set()


def test_axe_does_find_what_is_wrong(browser, axe):
    shown = browser.new_page()
    shown.set_content("<html><body><img src=x><input></body></html>")
    shown.evaluate(axe)
    found = {each["id"] for each in shown.evaluate("axe.run()")["violations"]}
    shown.close()
    assert {"image-alt", "label", "html-has-lang"} <= found


def test_pages_are_small(house):
    sizes = {
        name: len(house.ask("GET", path, headers={"Accept": "text/html"}).body)
        for name, path in {**PAGES, "style": "/static/provgraph.css"}.items()
    }
    assert {name: size for name, size in sizes.items() if size > 100_000} == {}


# ---- the ways of an auditor, without a script ------------------------------------------------------------
def test_from_what_is_in_production_to_its_data(plain):
    plain.goto("/")
    plain.get_by_label("Stage of a deployment").fill("production")
    plain.get_by_role("button", name="Find").click()
    plain.get_by_role("rowheader").get_by_role("link").first.click()
    plain.get_by_role("link", name="churn:2").first.click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("churn:2")
    expect(plain.get_by_text(re.compile(r"seals verified: (\d+) of \1"))).to_be_visible()
    plain.get_by_role("link", name=re.compile("^Lineage")).click()
    plain.locator("svg a", has_text="clean").first.click()
    expect(plain.get_by_role("heading", name="Facts")).to_be_visible()


def test_what_a_bad_dataset_reaches(plain):
    plain.goto("/queries/Q19")
    plain.get_by_label("dataset").fill("clean")
    plain.get_by_role("button", name="Ask").click()
    expect(plain.get_by_role("link", name="churn:2").first).to_be_visible()


def test_two_versions_compared(plain):
    plain.goto(ABOUT)
    plain.get_by_role("main").get_by_role("link", name="Compare").click()
    plain.get_by_label("Before").fill("churn:1")
    plain.get_by_role("button", name="Compare").click()
    expect(plain.get_by_role("row").filter(has_text="depth").first).to_contain_text("changed")


def test_a_query_mended_and_run(plain):
    plain.goto("/sparql?query=SELECT%20*%20%7B%20%3Fs%20a%20pg:Model%20%7D")
    expect(plain.get_by_role("alert")).to_contain_text("line 1, column 17")
    plain.locator("textarea").fill(QUERY)
    plain.get_by_role("button", name="Run").click()
    plain.get_by_role("link", name="churn:2").click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("churn:2")


def test_a_bundle_taken_and_checked(plain, tmp_path):
    # Of a dataset: the model has three thousand runs behind none of it, and its bundle holds few records.
    plain.goto(f"/about/content/sha256/{'ab' * 32}.html")
    with plain.expect_download() as download:
        plain.get_by_role("link", name="Signed bundle").click()
    path = tmp_path / "bundle.zip"
    download.value.save_as(path)
    plain.goto("/verify")
    plain.get_by_label("A zipped bundle").set_input_files(path)
    plain.get_by_role("button", name="Check", exact=True).click()
    expect(plain.get_by_text("It verifies:")).to_be_visible(timeout=30_000)


def test_a_name_with_an_error_leads_to_near_ones(plain):
    plain.goto("/picture?thing=churm:2")
    expect(plain.get_by_role("heading", name="Was one of these meant?")).to_be_visible()


def test_three_thousand_runs_are_a_picture_and_a_page(plain):
    plain.goto(ABOUT)
    expect(plain.get_by_text("The last 40 that were recorded")).to_be_visible()
    plain.goto(f"/picture?thing={quote(IRI)}")
    assert plain.locator("svg .node").count() <= 150
    plain.goto("/search?kind=run")
    plain.get_by_role("link", name="More").click()
    expect(plain.get_by_text("51 to 100, newest first.")).to_be_visible()


def test_signing_in_being_denied_and_signing_out(browser, guarded):
    server, secrets = guarded
    context = browser.new_context(java_script_enabled=False, base_url=address(server))
    shown = context.new_page()
    shown.goto(ABOUT)
    shown.get_by_role("main").get_by_role("link", name="Sign in").click()
    shown.get_by_label("Token").fill("pgt_wrong")
    shown.get_by_role("button", name="Sign in").click()
    expect(shown.get_by_role("alert")).to_be_visible()
    shown.get_by_label("Token").fill(secrets["ingest"])
    shown.get_by_role("button", name="Sign in").click()
    expect(shown.get_by_role("alert")).to_contain_text("to read takes the role admin or auditor")
    shown.get_by_role("main").get_by_role("link", name="sign in").click()
    shown.get_by_label("Token").fill(secrets["auditor"])
    shown.get_by_role("button", name="Sign in").click()
    # Back to where it began.
    expect(shown.get_by_role("heading", level=1)).to_have_text("churn:2")
    cookie = context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    shown.get_by_role("button", name="Sign out").click()
    shown.goto("/")
    expect(shown.get_by_role("alert")).to_contain_text("no valid token was given")
    context.close()


# ---- keyboard, paper -------------------------------------------------------------------------------------
def test_the_keyboard_is_enough(browser, house):
    shown = browser.new_page(base_url=address(house))
    shown.goto("/")
    shown.keyboard.press("Tab")
    expect(shown.locator(":focus")).to_have_text("Skip to the content")
    shown.keyboard.press("Enter")
    assert shown.url.endswith("#main")
    shown.goto(f"/picture?thing={quote(IRI)}&depth=2")
    nodes = shown.locator("svg a")
    reached = set()
    for _ in range(60):
        shown.keyboard.press("Tab")
        href = shown.evaluate("document.activeElement.closest('svg a')?.getAttribute('href') ?? ''")
        reached.add(href)
    assert {each.get_attribute("href") for each in nodes.all()} <= reached
    nodes.first.focus()
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/about/**")
    shown.close()


def test_a_page_is_printed_without_what_paper_cannot_do(browser, house):
    shown = browser.new_page(base_url=address(house))
    shown.goto(ABOUT)
    shown.emulate_media(media="print")
    expect(shown.get_by_role("navigation")).to_be_hidden()
    expect(shown.locator(".buttons").first).to_be_hidden()
    expect(shown.get_by_role("heading", level=1)).to_be_visible()
    assert shown.pdf()[:5] == b"%PDF-"
    shown.close()
