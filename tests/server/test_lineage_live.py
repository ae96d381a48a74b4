"""GET /lineage: the walk of `provgraph lineage` over HTTP; and what pages and walks say of erased things."""

import os
import shutil
import subprocess
import sys
from urllib.parse import urlencode

import pytest
from serving_process import serving
from small_history import DATA, MODEL, OLD, RAW

from provgraph import vocab
from provgraph.digests import Digest
from provgraph.service.asking import open_reader
from provgraph.settings import load


def content(digest):
    return vocab.content_iri(Digest.parse(digest))


def walk(server, thing, **more):
    return server.ask("GET", "/lineage?" + urlencode({"thing": thing, **more}))


def edges(answer):
    return {(each["child"], each["parent"]) for each in answer.json["edges"]}


def labels(answer):
    return {each["label"] for each in answer.json["nodes"]}


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("thing", ["churn:2", "churn:1", "clean", DATA, content(RAW)])
def test_it_is_the_walk_of_the_command_line(server, served_home, thing, direction, tmp_path):
    answer = walk(server, thing, direction=direction)
    home = tmp_path / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "index*"))
    with open_reader(load({"PROVGRAPH_HOME": str(home)})) as reader:
        expected = reader.walk(thing, up=direction == "up", max_depth=None)
    nodes = {(each["iri"], each["kind"], each["label"]) for each in answer.json["nodes"]}
    assert nodes == {(iri, node.kind, node.title or None) for iri, node in expected.nodes.items()}
    assert answer.json["edges"] == [
        {"child": each.child, "parent": each.parent, "activities": list(each.activities)}
        for each in expected.edges
    ]
    assert answer.json["roots"] == list(expected.roots)


def test_a_walk_that_is_cut_says_so(server):
    whole, cut = walk(server, "churn:2"), walk(server, "churn:2", depth=1)
    assert (whole.json["isCut"], edges(whole)) == (
        False,
        {(content(MODEL), content(DATA)), (content(DATA), content(RAW))},
    )
    assert (cut.json["isCut"], edges(cut)) == (True, {(content(MODEL), content(DATA))})


def test_a_restriction_says_what_matches_and_keeps_the_way_there(server):
    answer = walk(server, "raw", direction="down", kind="model")
    assert answer.json["matches"] == sorted([content(MODEL), content(OLD)])
    assert {each["iri"] for each in answer.json["nodes"]} == {
        *answer.json["matches"],
        content(DATA),
        content(RAW),
    }
    assert walk(server, "raw", direction="down").json["matches"] is None
    nobody = walk(server, "raw", direction="down", project="nobody")
    assert (nobody.json["matches"], len(nobody.json["nodes"])) == ([], 1)


def test_the_past_is_asked_by_ledger_size(server):
    early = walk(server, "raw", direction="down", **{"as-of": 3})
    assert early.json["asOf"] == 3
    assert edges(early) == {(content(DATA), content(RAW))}
    size = early.json["ledgerSize"]
    assert edges(walk(server, "raw", direction="down", **{"as-of": size})) == edges(
        walk(server, "raw", direction="down")
    )
    assert walk(server, "churn:2", **{"as-of": 1}).status == 404


def test_a_name_of_several_contents_starts_from_all_of_them(server):
    assert set(walk(server, "churn").json["roots"]) == {content(MODEL), content(OLD)}


def test_a_name_of_several_runs_asks_which(server):
    answer = walk(server, "train")
    assert (answer.status, "3 things are called train" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("thing=nothing", 404),
        ("thing=urn:nothing", 404),
        (f"thing={'7' * 64}", 404),
        ("thing=/etc/hostname", 404),
        ("", 400),
        ("thing=churn:2&direction=sideways", 400),
        ("thing=churn:2&depth=-1", 400),
        ("thing=churn:2&depth=1001", 400),
        ("thing=churn:2&depth=x", 400),
        ("thing=churn:2&as-of=soon", 400),
        ("thing=churn:2&as-of=1000000", 404),
        ("thing=urn:a%3Eb", 400),
        ("thing=x%22%20%7D%20%7B", 404),
    ],
)
def test_what_cannot_be_walked_is_refused(server, query, status):
    assert server.ask("GET", f"/lineage?{query}").status == status


@pytest.fixture(scope="module")
def erased(tmp_path_factory, served_home):
    """A server over a home in which the record of preparation was erased."""
    home = tmp_path_factory.mktemp("erased") / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "access.db"))
    main = "import sys; from provgraph.cli.main import main; sys.exit(main())"
    order = ["--by", "dpo@example.org", "--why", "the <customer> asked", "--yes"]
    subprocess.run(
        [sys.executable, "-c", main, "erase", "prepare", *order],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    with serving(home) as running:
        yield running


def test_an_answer_to_sparql_says_that_something_was_erased(erased, server):
    asked = "/sparql?query=SELECT%20*%20%7B%20?s%20?p%20?o%20%7D%20LIMIT%201"
    found = [
        each.ask("GET", asked).headers["provgraph-erased-records"] for each in (erased, server)
    ]
    assert found == ["1", "0"]


def test_a_walk_goes_on_across_what_was_erased_and_marks_it(erased):
    answer = walk(erased, "churn:2")
    nodes = {each["iri"]: each for each in answer.json["nodes"]}
    mark = nodes[content(RAW)]["erased"][0]
    assert (mark["by"], mark["reason"], nodes[content(RAW)]["isPartlyErased"]) == (
        "dpo@example.org",
        "the <customer> asked",
        False,
    )
    # Of the cleaned data others still speak; the model was not touched.
    assert (nodes[content(DATA)]["isPartlyErased"], "erased" in nodes[content(MODEL)]) == (
        True,
        False,
    )
    assert edges(answer) == edges(walk(erased, MODEL))


def test_pages_mark_what_was_erased_by_whom_and_why(erased):
    path = content(RAW).removeprefix(vocab.ID)
    page = erased.ask("GET", f"/about/{path}.html").body.decode()
    assert '<p class="erased">erased by dpo@example.org on ' in page
    assert "the &lt;customer&gt; asked" in page
    turtle = erased.ask("GET", f"/about/{path}.ttl").body.decode()
    assert ("the <customer> asked" in turtle, "dpo" in turtle) == (True, True)
    # And beside each link to it, on the pages of others.
    other = erased.ask("GET", f"/about/{content(DATA).removeprefix(vocab.ID)}.html").body.decode()
    assert '<span class="erased">erased by dpo@example.org on ' in other
    model = erased.ask("GET", f"/about/{content(MODEL).removeprefix(vocab.ID)}.html").body.decode()
    assert '<p class="erased">' not in model
