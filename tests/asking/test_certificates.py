"""Answer certificates: equal, differing, erased since, of an older question, and not to be believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from story import THIRD as THIRD_RUN
from story import Home, at, home_at, tell, uuid_of

from provgraph import vocab
from provgraph.cli.main import main
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import NotFoundError, QueryError, UsageError
from provgraph.frozen import replace
from provgraph.query import catalogue
from provgraph.query.catalogue import find, parse
from provgraph.records import Agent, Certificate
from provgraph.service.asking import open_reader
from provgraph.service.certifying import Compared, compare, prepare
from provgraph.service.erasing import Order, carry_out, plan_erasure
from provgraph.service.recording import write_record
from provgraph.terms import string

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ANN = Agent(name="ann@acme.example")
THIRD = vocab.record_iri(uuid_of(4))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = home_at(tmp_path / "home")
    tell(home)
    return home


def prepared(
    home: Home, query: catalogue.CannedQuery | None = None
) -> tuple[Certificate, dict[Digest, bytes]]:
    with open_reader(home.settings) as reader:
        asked = reader.asked(query or find("Q19"), {"dataset": "calls.csv"})
        return prepare(asked, by=ANN, now=NOW)


def keep(home: Home, certificate: Certificate, attachments: dict[Digest, bytes]) -> str:
    write_record(home.settings, certificate, record_id=certificate.id, attachments=attachments)
    return certificate.id


def checked(home: Home, thing: str) -> Compared:
    with open_reader(home.settings) as reader:
        return compare(reader, thing)


def test_an_answer_that_holds_is_equal_whatever_was_recorded_since(home):
    name = keep(home, *prepared(home))
    later = replace(THIRD_RUN, id=uuid_of(40), started_at=at(90), ended_at=at(95))
    write_record(home.settings, later, record_id=uuid_of(40))
    for thing in (name, vocab.record_iri(name), vocab.activity_iri("certificate", name)):
        found = checked(home, thing)
        assert (found.verdict, found.new, found.gone, found.notes) == ("equal", (), 0, ())
    assert (
        found.said.question,
        found.said.rows,
        found.said.by.endswith("/ann%40acme.example"),
    ) == (
        "Q19",
        12,
        True,
    )


def test_a_certificate_holds_no_row(home):
    certificate, attachments = prepared(home)
    name = keep(home, certificate, attachments)
    with open_reader(home.settings) as reader:
        graph = reader.ledger.graph(reader.ledger.find(vocab.record_iri(name)))
    assert b"fit for production" not in graph + b"".join(attachments.values())
    assert len(attachments[certificate.row_digests]) == 12 * 16


def test_an_answer_that_was_never_given_differs_in_the_rows_that_it_lacks(home):
    certificate, attachments = prepared(home)
    forged = attachments.pop(certificate.row_digests)[16:] + bytes(16)
    certificate = replace(
        certificate, result=sha256_bytes(b"other rows"), row_digests=sha256_bytes(forged)
    )
    name = keep(home, certificate, {**attachments, certificate.row_digests: forged})
    found = checked(home, name)
    assert (found.verdict, len(found.new), found.gone) == ("differs", 1, 1)


def test_an_answer_over_what_was_erased_since_cannot_be_given_again(home):
    name = keep(home, *prepared(home))
    with open_reader(home.settings) as reader:
        plan = plan_erasure(reader, THIRD)
    carry_out(home.settings, plan, Order(by="dpo@acme.example", why="a person", ground=None))
    found = checked(home, name)
    assert (found.verdict, found.erased_since) == ("erased", 1)
    assert found.gone > 0


def test_an_older_question_is_asked_as_it_read_then_and_in_a_process_of_its_own(home, monkeypatch):
    text = find("Q19").text.replace("ORDER BY ?kind", "ORDER BY ?affected ?kind")
    older = parse(text, where="older.rq")
    monkeypatch.setattr(catalogue, "catalogue", lambda: (older,))
    name = keep(home, *prepared(home, older))
    monkeypatch.undo()
    found = checked(home, name)
    assert found.verdict == "equal"
    assert found.notes == ("Q19 reads otherwise today; it was asked again as it read then",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # A certificate anybody sealed brings its own question: it must reach no network and no code.
        (("SELECT DISTINCT ?kind", "SELECT DISTINCT ?kind"), ""),
        (("ORDER BY ?kind ?label", "ORDER BY ?label"), ""),
        (("BIND(STRAFTER", "SERVICE <http://127.0.0.1:9/> { ?x ?y ?z } BIND(STRAFTER"), "SERVICE"),
        (
            ("# tags =", '# report = "provgraph.query.contradictions:report"\n# tags ='),
            "which is not known",
        ),
    ],
    ids=["the-same", "another-order", "reaches-the-network", "runs-a-report"],
)
def test_a_question_that_a_certificate_brings_is_run_as_a_foreign_one(home, change, message):
    certificate, attachments = prepared(home)
    text = attachments.pop(certificate.question_digest).decode().replace(*change).encode()
    certificate = replace(certificate, question_digest=sha256_bytes(text))
    name = keep(home, certificate, {**attachments, certificate.question_digest: text})
    if message:
        with pytest.raises(QueryError, match=message):
            checked(home, name)
    else:
        assert checked(home, name).verdict == "equal"


def test_a_term_that_would_end_the_hole_that_it_is_put_into_is_no_term(home):
    certificate, attachments = prepared(home)
    broken = replace(certificate, asked_with={"dataset": ("<urn:a> } SELECT",)})
    with pytest.raises(Exception, match="lacks what one has"):
        checked(home, keep(home, broken, attachments))


def test_what_is_no_certificate_is_refused(home):
    with pytest.raises(NotFoundError, match="there is no certificate"):
        checked(home, "019c8a00-0000-7000-8000-00000000abcd")
    with pytest.raises(UsageError, match="is a record, and no certificate"):
        checked(home, uuid_of(3))


def test_rows_have_one_canonical_form(home):
    from provgraph.query.reporting import Table
    from provgraph.service.certifying import canonical

    rows = [(string("b"), None), (string("a\tb"), string("x")), (string("b"), None)]
    expected = b'one\ttwo\n"a\\tb"\t"x"\n"b"\t\n"b"\t\n'
    assert canonical(Table(columns=("one", "two"), rows=rows)) == expected
    assert canonical(Table(columns=("one", "two"), rows=rows[::-1])) == expected
    assert canonical(Table(columns=("one", "two"), rows=rows[:2])) != expected


def test_the_command_line_certifies_and_checks(home, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PROVGRAPH_HOME", str(home.settings.home))
    asked = ["query", "Q15", "--param", "model=churn:2", "--certificate", "--json"]
    assert main(asked) == 2
    assert "give --by NAME" in capsys.readouterr().err
    assert main([*asked, "--by", "ann@acme.example"]) == 0
    name = json.loads(capsys.readouterr().out)["certificate"]
    report = tmp_path / "report.json"
    assert main(["verify", "--answer", name, "--report", str(report)]) == 0
    assert "equal: 4 rows" in capsys.readouterr().out
    told = json.loads(report.read_text())
    assert (told["verdict"], told["question"], told["rowsNew"]) == ("equal", "Q15", [])
