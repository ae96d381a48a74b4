"""Pictures, comparisons, SPARQL, verification and the ledger, as pages and as what programs get."""

from __future__ import annotations

import re
import subprocess
import sys
from urllib.parse import quote, urlencode

import pytest
from small_history import MODEL
from test_pages import HTML, MODEL_PAGE, active, page

from provgraph import vocab
from provgraph.digests import Digest
from provgraph.query.picture import HEIGHT, WIDTH
from provgraph.seal import merkle
from provgraph.seal.note import unverified_checkpoint
from provgraph.service.bundle_check import check_bundle

ID = vocab.content_iri(Digest.parse(MODEL))


def about(thing, **more):
    return "/picture?" + urlencode({"thing": thing, **more})


# ---- pictures -----------------------------------------------------------------------------------------
def test_a_picture_has_positions_and_lines_from_origins_to_results(server):
    drawn = server.ask("GET", about(ID)).json
    nodes = {each["id"]: each for each in drawn["nodes"]}
    focus = next(each for each in drawn["nodes"] if each["rank"] == 0)
    assert (focus["iri"], focus["label"]) == (ID, "churn:2")
    ends = [(nodes[each["from"]], nodes[each["to"]]) for each in drawn["edges"]]
    assert {a["x"] < b["x"] for a, b in ends} == {True}
    labels = [(a["label"], b["label"]) for a, b in ends]
    assert ("clean", "train") in labels
    assert ("train", "churn:2") in labels
    assert not overlapping(drawn["nodes"])


def overlapping(nodes):
    return [
        (a["id"], b["id"])
        for a in nodes
        for b in nodes
        if a["id"] < b["id"] and abs(a["x"] - b["x"]) < WIDTH and abs(a["y"] - b["y"]) < HEIGHT
    ]


def test_the_table_beside_it_has_what_the_picture_has(server):
    drawn = server.ask("GET", about(ID)).json
    answer, shown = page(server, about(ID))
    assert (answer.status, active(shown)) == (200, [])
    in_table = re.findall(r'<th scope="row"><a href="([^"]+)"', answer.body.decode())
    in_picture = re.findall(r'\n<a href="([^"]+)"><g', answer.body.decode())
    assert len(in_table) == len(in_picture) == len(drawn["nodes"])
    assert sorted(in_table) == sorted(in_picture)
    kept = server.ask("GET", about(ID, format="svg"))
    assert kept.headers["content-type"] == "image/svg+xml"
    assert kept.headers["content-disposition"].startswith("attachment")


def test_a_browser_is_led_from_lineage_to_the_picture(server):
    answer = server.ask("GET", f"/lineage?thing={quote(ID)}", headers=HTML)
    assert answer.headers["location"].startswith("/picture?thing=")
    assert server.ask("GET", about("nothing-of-that-name")).status == 404
    assert server.ask("GET", about(ID, format="png")).status == 400
    assert server.ask("GET", about(ID, depth="13")).status == 400


# ---- comparisons --------------------------------------------------------------------------------------
def test_two_versions_are_compared(server):
    answer, shown = page(server, "/compare?before=churn:1&after=churn:2")
    assert (answer.status, active(shown)) == (200, [])
    assert "depth parameter changed 3 6" in shown.text
    found = server.ask("GET", "/compare?before=churn:1&after=churn:2").json
    depth = next(
        each for each in found["sections"]["parameters"]["changes"] if each["name"] == "depth"
    )
    assert (depth["before"], depth["after"], depth["kind"]) == (["3"], ["6"], "changed")
    same = page(server, "/compare?before=churn:2&after=churn:2")[1]
    assert "The two differ in nothing that was recorded" in same.text
    assert page(server, "/compare?before=churn:1&after=nobody")[0].status == 404
    assert server.ask("GET", "/compare?before=churn:1").status == 400


# ---- SPARQL -------------------------------------------------------------------------------------------
MODELS = "SELECT ?m { ?m a <https://w3id.org/provgraph/ns#Model> }"


def sparql(text, **more):
    return "/sparql?" + urlencode({"query": text, **more})


def test_a_query_is_answered_with_names(server):
    answer, shown = page(server, sparql(MODELS))
    assert (answer.status, active(shown)) == (200, [])
    assert "2 rows at ledger size" in shown.text
    assert MODEL_PAGE in {each["href"] for each in shown.of("a")}
    assert "Gives each ?m such that" in shown.text
    assert "Yes" in page(server, sparql("ASK { ?s ?p ?o }"))[1].text
    assert "No rows," in page(server, sparql("SELECT * { <x:y> ?p ?o }"))[1].text
    csv = server.ask("GET", sparql(MODELS, format="csv"), headers=HTML)
    assert csv.body.splitlines()[0] == b"m"
    assert server.ask("GET", sparql(MODELS, format="json"), headers=HTML).json["head"]["vars"] == [
        "m"
    ]


def test_an_error_is_shown_at_its_place_with_a_hint(server):
    answer, shown = page(server, sparql("SELECT * { ?s a pg:Model }"))
    assert answer.status == 400
    assert "line 1, column 17: the prefix pg: is not declared" in shown.text
    assert "put this first: PREFIX pg:" in shown.text
    assert "^" in shown.text
    refused = page(server, sparql("SELECT * { SERVICE <http://127.0.0.1/> { ?s ?p ?o } }"))
    assert (refused[0].status, "The query was not run" in refused[1].text) == (400, True)


def test_the_library_fills_the_form(server):
    answer, shown = page(server, "/sparql?library=Q02")
    assert (answer.status, "VALUES ?model { UNDEF }" in shown.text) == (200, True)
    assert page(server, "/sparql?library=Q99")[0].status == 400


def test_programs_get_what_they_did_before(server):
    assert server.ask("GET", sparql(MODELS)).json["head"]["vars"] == ["m"]
    described = server.ask("GET", "/sparql")
    assert described.headers["content-type"].partition(";")[0] in {
        "text/turtle",
        "application/trig",
    }
    mixed = {"Accept": "application/sparql-results+json, text/html;q=0.5"}
    assert server.ask("GET", sparql(MODELS), headers=mixed).json["head"]["vars"] == ["m"]


# ---- verification -------------------------------------------------------------------------------------
def test_a_thing_is_verified_now(server):
    answer, shown = page(server, "/verify?thing=churn:2")
    assert (answer.status, active(shown)) == (200, [])
    assert "Every record behind it is what was sealed" in shown.text
    assert page(server, "/verify?thing=nobody")[0].status == 404
    assert "openssl pkeyutl -verify" in page(server, "/verify")[1].text


def test_a_bundle_is_handed_out_and_checked(server):
    made = server.ask("GET", f"/bundle?thing={quote(ID)}")
    assert (made.status, made.headers["content-type"]) == (200, "application/zip")
    found = server.ask(
        "POST", "/verify", body=made.body, headers={"Content-Type": "application/zip"}
    ).json
    assert (found["isVerified"], found["problem"], found["root"]) == (True, None, ID)
    assert [step for step, _ in found["steps"]][-1] == 10
    own = {"Origin": f"http://127.0.0.1:{server.port}", **HTML}
    form = b'--B\r\nContent-Disposition: form-data; name="bundle"; filename="b.zip"\r\n\r\n'
    form += made.body + b"\r\n--B--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = server.ask("POST", "/verify", body=form, headers={**own, **kind})
    assert (answer.status, b"It verifies:" in answer.body) == (200, True)
    other = server.ask(
        "POST", "/verify", body=form, headers={**own, **kind, "Origin": "https://evil.example"}
    )
    assert other.status == 403
    refused = [
        server.ask("GET", path).status
        for path in ("/bundle", "/bundle?thing=--help", f"/bundle?thing={vocab.ID}run/none")
    ]
    assert refused == [400, 400, 404]


@pytest.mark.parametrize("flaw", ["one byte changed", "cut short", "no zip", "empty"])
def test_a_bundle_that_was_touched_does_not_verify(server, flaw):
    whole = server.ask("GET", f"/bundle?thing={quote(ID)}").body
    at = len(whole) // 2
    sent = {
        "one byte changed": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "cut short": whole[:at],
        "no zip": b"x" * 1000,
        "empty": b"",
    }[flaw]
    answer = server.ask("POST", "/verify", body=sent, headers={"Content-Type": "application/zip"})
    if flaw == "empty":
        assert answer.status == 400
    else:
        assert (answer.status, answer.json["isVerified"]) == (200, False)
        assert answer.json["problem"].startswith("step ")


def test_the_process_that_checks_has_no_network_and_starts_nothing():
    code = (
        "from provgraph.index.worker import close_doors; close_doors(memory_bytes=1 << 30, cpu_s=5)\n"
        "import socket, subprocess\n"
        "for act in (lambda: socket.socket(), lambda: subprocess.run(['true'])):\n"
        "    try: act(); print('open')\n"
        "    except OSError: print('closed')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["closed", "closed"]
    assert check_bundle(b"PK")["isVerified"] is False


# ---- the ledger ---------------------------------------------------------------------------------------
def test_entries_are_listed_and_one_is_proved(server):
    answer, shown = page(server, "/ledger")
    size = int(answer.headers["provgraph-ledger-size"])
    links = [
        each["href"]
        for each in shown.of("a")
        if re.fullmatch(r"/ledger/\d+", each.get("href") or "")
    ]
    assert links == [f"/ledger/{index}" for index in range(size - 1, -1, -1)][:50]
    checkpoint = unverified_checkpoint(server.ask("GET", "/log/checkpoint").body)
    for index in range(size):
        answer, _proved = page(server, f"/ledger/{index}")
        hashes = re.findall(r"<code>([0-9a-f]{64})</code>", answer.body.decode())
        # The last hash that is made is the root that the checkpoint signs.
        assert hashes[-1] == hashes[-2] == checkpoint.root.hex()
        made = bytes.fromhex(hashes[0])
        for sibling, given, side in zip(
            hashes[1:-1:2],
            hashes[2:-1:2],
            re.findall(r'"On its">(\w+)<', answer.body.decode()),
            strict=True,
        ):
            pair = (
                (bytes.fromhex(sibling), made) if side == "left" else (made, bytes.fromhex(sibling))
            )
            made = merkle.node_hash(*pair)
            assert made.hex() == given
    assert page(server, f"/ledger/{size}")[0].status == 404
    assert page(server, "/ledger/x")[0].status == 400
    assert len(page(server, "/ledger?below=2")[1].of("tr")) == 3
