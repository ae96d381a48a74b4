"""The log over HTTP: the same tiles as those of a published folder, proofs that verify."""

from urllib.parse import quote

import pytest
from serving_process import serving

from provgraph.ledger.tiles import publish
from provgraph.seal.charter import open_charter
from provgraph.seal.note import open_checkpoint
from provgraph.seal.tlogproof import parse_tlog_proof, verify_tlog_proof
from provgraph.service.home import readable_ledger
from provgraph.settings import load


@pytest.fixture
def ledger(served_home):
    with readable_ledger(load({"PROVGRAPH_HOME": str(served_home)})) as ledger:
        yield ledger


def test_tiles_are_those_of_a_published_folder(server, ledger, tmp_path):
    note = server.ask("GET", "/log/checkpoint").body
    folder = tmp_path / "log"
    publish(ledger, folder, note=note)
    files = [path for path in (folder / "tile").rglob("*") if path.is_file()]
    assert len(files) == 2  # hashes and entries of one partial tile
    for path in files:
        answer = server.ask("GET", f"/log/{path.relative_to(folder)}")
        assert (answer.status, answer.body == path.read_bytes()) == (200, True)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_checkpoint_is_signed_by_all_keys_and_asked_anew(server, ledger):
    answer = server.ask("GET", "/log/checkpoint")
    charter = open_charter(server.ask("GET", "/log/charter").body)
    assert open_checkpoint(answer.body, *charter.log_keys).size == ledger.size()
    assert answer.headers["cache-control"] == "no-cache"
    again = server.ask("GET", "/log/checkpoint", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_a_proof_verifies_offline(server, ledger):
    record = ledger.read(2)
    by_index = server.ask("GET", "/log/proof?index=2").body
    by_record = server.ask("GET", f"/log/proof?record={quote(record.iri, safe='')}").body
    assert by_index == by_record
    proof = parse_tlog_proof(by_index)
    keys = ledger.charter.log_keys
    assert verify_tlog_proof(proof, entry=record.entry, keys=keys).size == ledger.size()


@pytest.mark.parametrize(
    "path",
    [
        "/log/tile/0/000",  # full, and not there yet
        "/log/tile/0/0",
        "/log/tile/0/x000/000",
        "/log/tile/00/000.p/1",
        "/log/tile/64/000.p/1",
        "/log/tile/1/000.p/1",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/256",
        "/log/tile/0/000.p/01",
        "/log/tile/entries/001",
        "/log/tile/-1/000",
        "/log/tile/0/../../charter",
        "/log/proof?record=urn:none",
        "/log/proof?index=99999",
    ],
)
def test_what_is_not_there(server, path):
    assert server.ask("GET", path).status == 404


def test_a_question_that_is_none(server):
    for query in ("", "?index=x", "?index=-1", "?index=1&record=urn:a"):
        assert (query, server.ask("GET", f"/log/proof{query}").status) == (query, 400)


def test_before_anything_is_recorded(tmp_path):
    with serving(tmp_path / "home") as running:
        assert running.ask("GET", "/log/tile/0/000.p/1").status == 404
