"""Foreign SPARQL: bounded in time, memory and rows, without a network, complete or an error."""

import subprocess
import sys
import time

import pytest
from small_history import record_history

from provgraph.errors import QueryError
from provgraph.index.lexemes import lexemes
from provgraph.index.sandbox import Limits, check_query, run_foreign
from provgraph.service.asking import open_reader
from provgraph.settings import load

LIMITS = Limits(timeout_s=20, memory_bytes=1 << 30, rows=10_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("sandbox") / "home"
    patch.setenv("PROVGRAPH_HOME", str(home))
    record_history()
    with open_reader(load()):
        pass
    yield home / "index"
    patch.undo()


def run(query, folder, limits=LIMITS):
    return run_foreign(query, index_folder=folder, limits=limits)


def test_select_ask_construct_and_describe(folder):
    rows = run("SELECT ?r WHERE { ?r a <https://w3id.org/provgraph/ns#Run> }", folder).rows
    assert len(rows) == 4
    assert run("ASK { ?r a <https://w3id.org/provgraph/ns#Run> }", folder).boolean is True
    assert run("ASK { ?r a <https://e.org/None> }", folder).boolean is False
    built = run(
        "CONSTRUCT { ?r <https://e.org/p> 1 } WHERE { ?r a <https://w3id.org/provgraph/ns#Run> }",
        folder,
    )
    assert (built.kind, len(built.rows)) == ("triples", 4)


def test_no_rows_and_no_columns_are_told_apart(folder):
    empty = run("SELECT ?x WHERE { ?x <https://e.org/none> ?y }", folder)
    assert (empty.columns, empty.rows) == (("x",), ())


def test_from_names_its_own_dataset(folder):
    (graph,) = run(
        'SELECT ?g WHERE { GRAPH ?g { ?r <https://w3id.org/provgraph/ns#status> "failed" } }',
        folder,
    ).rows[0]
    count = "SELECT (COUNT(*) AS ?n) FROM {g} WHERE {{ ?r a <https://w3id.org/provgraph/ns#Run> }}"
    ((number,),) = run(count.format(g=graph), folder).rows
    assert number.startswith('"1"')


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * { SERVICE <http://127.0.0.1:9/> { ?s ?p ?o } }",
        "select * { service silent <http://127.0.0.1:9/> { ?s ?p ?o } }",
        "SELECT * { SERVICE# comment\n<http://127.0.0.1:9/> { ?s ?p ?o } }",
        "SELECT * { SERVICE?x { ?s ?p ?o } }",
        "SELECT * { \\u0053ERVICE <http://127.0.0.1:9/> { ?s ?p ?o } }",
        "LOAD <http://127.0.0.1:9/>",
        "DELETE WHERE { ?s ?p ?o }",
        "INSERT DATA { <https://e.org/s> <https://e.org/p> 1 }",
        "CLEAR ALL",
        "SELECT * { " + "{" * 5000,
        "SELECT (" + "(" * 5000 + "1" + ")" * 5000 + " AS ?x) {}",
        "SELECT * { ?s ?p ?o } #" + "x" * 300_000,
    ],
    ids=[
        "service",
        "service_silent_lower_case",
        "service_comment",
        "service_variable",
        "service_escaped",
        "load",
        "delete",
        "insert",
        "clear",
        "braces",
        "parentheses",
        "too_long",
    ],
)
def test_what_must_not_reach_the_engine_is_refused(query):
    with pytest.raises(QueryError):
        check_query(query)


@pytest.mark.parametrize(
    "query",
    [
        'SELECT * { ?s ?p "SERVICE" }',
        "SELECT * { ?s ?p '''LOAD \"SERVICE\"''' }",
        "SELECT * { ?service <https://e.org/SERVICE> ?load }",
        "PREFIX e: <https://e.org/> SELECT * { ?s e:SERVICE e:LOAD }",
        "SELECT * { ?s ?p ?o } # SERVICE",
    ],
)
def test_the_words_alone_are_no_offence(query, folder):
    check_query(query)
    run(query, folder)


def test_what_crashes_the_parser_kills_only_its_process(folder):
    chain = " || ".join(["?s = ?o"] * 20_000)
    with pytest.raises(QueryError):
        run(f"SELECT * {{ ?s ?p ?o FILTER({chain}) }}", folder)
    assert len(run("SELECT * { ?s ?p ?o } LIMIT 3", folder).rows) == 3


def test_a_cross_product_is_killed_at_its_deadline(folder):
    query = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"
    began_s = time.monotonic()
    with pytest.raises(QueryError, match="stopped after 1 s"):
        run(query, folder, Limits(timeout_s=1, memory_bytes=1 << 30, rows=10))
    assert time.monotonic() - began_s < 3


def test_memory_is_bounded(folder):
    query = (
        "SELECT (GROUP_CONCAT(CONCAT(STR(?a), STR(?b), STR(?c), STR(?d), STR(?e), STR(?f))) AS ?x)"
        " { ?a ?b ?c . ?d ?e ?f }"
    )
    with pytest.raises(QueryError):
        run(query, folder, Limits(timeout_s=30, memory_bytes=64 << 20, rows=10))


def test_too_many_rows_are_an_error_and_never_cut(folder):
    with pytest.raises(QueryError, match="more than 5 rows"):
        run("SELECT * { ?s ?p ?o }", folder, Limits(timeout_s=20, memory_bytes=1 << 30, rows=5))


def test_a_syntax_error_says_where(folder):
    with pytest.raises(QueryError, match="syntax error"):
        run("SELECT ?x WHERE { ?x ?y }", folder)


DOORS = """
import socket, os, subprocess, sys
from provgraph.index.worker import close_doors
close_doors(memory_bytes=1 << 30, cpu_s=5)
for name, attempt in (
    ("socket", lambda: socket.socket()),
    ("exec", lambda: os.execv("/bin/true", ["true"])),
):
    try:
        attempt()
    except PermissionError:
        print(name, "refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's seccomp")
def test_the_worker_has_neither_sockets_nor_programs():
    done = subprocess.run([sys.executable, "-c", DOORS], capture_output=True, text=True, check=True)
    assert done.stdout == "socket refused\nexec refused\n"


@pytest.mark.parametrize("unit", ["1", "_", "-", "a1", "é", "a-"])
def test_a_long_run_of_name_characters_is_looked_at_once(unit):
    """A look that begins again at each character would take minutes for this."""
    query = unit * (100_000 // len(unit))
    found = [text for kind, text, _, _ in lexemes(query) if kind == "word"]
    assert len(found) == query.count("a")
    with pytest.raises(QueryError, match="SERVICE is refused"):
        check_query(f"{query}1SERVICE")
