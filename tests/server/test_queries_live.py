"""`/queries` on a real server: pages, JSON and CSV, paging, earlier sizes, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from small_history import DATA, RAW

from provgraph.query.catalogue import catalogue

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
CSV = {"Accept": "text/csv"}


class _Page(HTMLParser):
    """The tags and cells of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data.strip())

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def get(server, path, headers=None):
    return server.ask("GET", path, headers=headers or {})


def page(server, path):
    answer = get(server, path, HTML)
    return answer, _Page(answer.body.decode())


def test_the_questions_are_listed(server):
    found = get(server, "/queries").json["queries"]
    assert [each["id"] for each in found] == [query.id for query in catalogue()]
    answer, listed = page(server, "/queries")
    links = {each["href"] for each in listed.of("a")}
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert links >= {f"/queries/{query.id}" for query in catalogue()}


def test_an_answer_carries_what_it_is_worth(server):
    answer = get(server, f"/queries/Q19?dataset={RAW}")
    body = answer.json
    size = int(answer.headers["provgraph-ledger-size"])
    assert (answer.status, body["query"], body["ledger_size"]) == (200, "Q19", size)
    assert {"Model", "Deployment", "Approval"} <= {row["kind"] for row in body["rows"]}
    assert body["evidence"]["kind"] == "sufficient"
    assert {each["state"] for each in body["evidence"]["records"]} == {"verified"}
    # It was evaluated on the data that it was trained on.
    assert {each["rule"] for each in body["contradictions"]} == {"train-and-test"}
    assert body["completeness"]["required"].keys() == {"owner"}
    assert body["no_rows_mean"].startswith("nothing recorded was made from this")


def test_a_question_goes_by_its_name_too(server):
    by_name = get(server, f"/queries/impact?dataset={RAW}").json
    assert by_name == get(server, f"/queries/q19?dataset={RAW}").json
    assert by_name == get(server, f"/queries/Q19?dataset={RAW}").json


def test_rows_come_in_parts_that_add_up(server):
    whole = get(server, f"/queries/Q19?dataset={RAW}").json
    path, rows = f"/queries/Q19?dataset={RAW}&limit=2", []
    while path is not None:
        part = get(server, path).json
        rows += part["rows"]
        path = part.get("next")
        assert part["more"] is (path is not None)
    assert rows == whole["rows"]


def test_csv_has_all_rows(server):
    whole = get(server, f"/queries/Q19?dataset={RAW}").json
    answer = get(server, f"/queries/Q19?dataset={RAW}", CSV)
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    expected = [{name: "" if v is None else v for name, v in row.items()} for row in whole["rows"]]
    assert rows == expected
    assert get(server, f"/queries/Q19?dataset={RAW}&format=csv").body == answer.body
    report = get(server, "/queries/Q32?format=csv").body.splitlines()
    assert report[0] == b"rule,thing,fact,first,second,with,firstRecord,secondRecord"
    assert {line.partition(b",")[0] for line in report[1:]} == {b"train-and-test"}


def test_a_page_shows_labels_and_folds_its_evidence(server):
    answer, shown = page(server, f"/queries/Q19?dataset={RAW}")
    assert (answer.status, len(shown.of("script")), len(shown.of("details"))) == (200, 0, 1)
    assert "Evidence: " in " ".join(shown.text)
    assert "churn:2" in shown.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; form-action 'self'")
    assert [each for each in shown.tags if "style" in each[1] or "onclick" in each[1]] == []
    style = next(each["href"] for each in shown.of("link"))
    assert get(server, style).headers["content-type"].startswith("text/css")
    about = next(each["href"] for each in shown.of("a") if each["href"].startswith("/about/"))
    assert get(server, about).status == 200


def test_a_page_without_parameters_is_the_form(server):
    answer, form = page(server, "/queries/Q22")
    fields = [each for each in form.of("input") if each.get("type") != "search"]
    names = {each["name"]: "required" in each for each in fields}
    assert (answer.status, names) == (200, {"before": True, "after": True, "as-of": False})
    assert "Answer" not in form.text


def test_what_somebody_types_is_shown_as_text(server):
    evil = '"><script>alert(1)</script>'
    answer, shown = page(server, f"/queries/Q19?dataset={quote(evil)}")
    assert (answer.status, shown.of("script")) == (404, [])
    assert evil in [each["value"] for each in shown.of("input") if "value" in each]


def test_an_empty_answer_says_what_that_means(server):
    answer, shown = page(server, "/queries/Q13?experiment=none-of-that-name")
    assert answer.status == 200
    assert "No rows:" in shown.text
    assert "no sealed run names this experiment" in " ".join(shown.text)


def test_the_ledger_as_it_was(server):
    now = get(server, f"/queries/Q19?dataset={RAW}").json
    size = now["ledger_size"]
    then = get(server, f"/queries/Q19?dataset={RAW}&as-of={size - 2}").json
    again = get(server, f"/queries/Q19?dataset={RAW}&as_of={size - 2}").json
    same = get(server, f"/queries/Q19?dataset={RAW}&as-of={size}").json
    assert (then["ledger_size"], len(then["rows"]) < len(now["rows"])) == (size - 2, True)
    assert (again, same["rows"]) == (then, now["rows"])
    table = get(server, f"/queries/Q19?dataset={RAW}&as-of={size - 2}&format=csv").body
    assert table.count(b"\r\n") == len(then["rows"]) + 1


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/queries/impakt", 404, "did you mean impact"),
        ("/queries/Q19", 400, "needs dataset: A dataset"),
        (f"/queries/Q19?dataset={RAW}&colour=red", 400, "has no parameter 'colour'"),
        (f"/queries/Q19?dataset={RAW}&dataset={DATA}", 400, "dataset is given twice"),
        ("/queries/Q19?dataset=kleen", 404, "nothing here is called 'kleen'"),
        ("/queries/Q19?dataset=https://example.org/none", 404, "nothing is recorded here about"),
        ("/queries/Q19?dataset=/etc/passwd", 404, "nothing here is called '/etc/passwd'"),
        (f"/queries/Q19?dataset={RAW}&as-of=soon", 400, "expected a ledger size or a time"),
        (f"/queries/Q19?dataset={RAW}&as-of=99999", 404, "expected a ledger size of 1 to"),
        (f"/queries/Q19?dataset={RAW}&limit=0", 400, "limit: expected at least 1"),
        (f"/queries/Q19?dataset={RAW}&limit=99999999", 400, "limit: expected a number up to"),
        (f"/queries/Q19?dataset={RAW}&format=pdf", 400, "format: expected one of json, html, csv"),
        (f"/queries/Q19?dataset={RAW}&format=csv&limit=3", 400, "CSV has all rows"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(server, path, status, detail):
    answer = get(server, path)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert detail in answer.json["detail"]


def test_what_nobody_wants_is_not_acceptable(server):
    assert get(server, "/queries/Q32", {"Accept": "image/png"}).status == 406


def test_every_question_has_an_operation_with_its_parameters(server):
    paths = get(server, "/openapi.json").json["paths"]
    for query in catalogue():
        operation = paths[f"/queries/{query.id}"]["get"]
        given = {each["name"]: each for each in operation["parameters"]}
        for parameter in query.parameters:
            told = given[parameter.name]
            needed = not parameter.is_optional and parameter.default is None
            assert (told["in"], told["required"]) == ("query", needed)
            assert (told["description"], told["example"]) == (parameter.help, parameter.sample)
        assert operation["responses"]["200"]["content"].keys() == {
            "application/json",
            "text/html",
            "text/csv",
        }
    assert "post" in paths["/queries/{name}/certificate"]


def test_nobody_certifies_who_may_not(server):
    body = json.dumps({"parameters": {"dataset": RAW}}).encode()
    answer = server.ask("POST", "/queries/Q19/certificate", body=body)
    assert answer.status == 403
    assert re.search("to certify takes the role auditor", answer.json["detail"]) is not None
