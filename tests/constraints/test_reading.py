"""PROV-O as PROV statements, files of every format, and files that must be refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provgraph.constraints import check
from provgraph.constraints.foreign import Checked, check_file, format_of
from provgraph.constraints.syntaxes import read_rdf
from provgraph.errors import FormatError, UsageError

PREFIXES = "@prefix prov: <http://www.w3.org/ns/prov#> . @prefix ex: <http://example.org/> . "
XSD = "^^<http://www.w3.org/2001/XMLSchema#dateTime>"


def checked(path: Path, text: str, **more: object) -> Checked:
    path.write_text(text, "utf-8")
    given = {"form": None, "timeout_s": 30.0, "memory_bytes": 1 << 30, **more}
    return check_file(path, **given)  # type: ignore[arg-type]


def found(turtle: str) -> list[tuple[tuple[int, ...], bool]]:
    document = read_rdf((PREFIXES + turtle).encode(), "trig")
    return [(each.constraints, each.is_violation) for each in check(document)]


def test_what_prov_o_says_holds_or_breaks() -> None:
    assert found("ex:e prov:wasDerivedFrom ex:f . ex:f prov:wasGeneratedBy ex:a .") == []
    assert found("ex:e prov:wasDerivedFrom ex:f . ex:f prov:wasDerivedFrom ex:e .") == [
        ((42,), True)
    ]
    assert found("ex:e a prov:Entity . ex:b prov:used ex:e . ex:c prov:wasInformedBy ex:e .") == [
        ((50, 55), True)
    ]
    assert found("ex:g { ex:e a prov:Entity } ex:h { ex:e a prov:Activity }") == []


def test_a_plain_property_repeats_its_qualified_relation() -> None:
    usage = "ex:a prov:used ex:e ; prov:qualifiedUsage ex:u . ex:u prov:entity ex:e"
    document = read_rdf(
        f'{PREFIXES}{usage} ; prov:atTime "2026-01-01T00:00:00Z"{XSD} .'.encode(), "turtle"
    )
    used = [each for each in document.bundles[""] if each.kind == "used"]
    assert [each.id for each in used] == ["http://example.org/u"]
    assert used[0].arguments[2] == "2026-01-01T00:00:00Z"


def test_two_start_times_of_one_activity_cannot_be() -> None:
    time = f'"2026-01-0{{}}T00:00:00Z"{XSD}'
    both = f"{time.format(1)}, {time.format(2)}"
    assert ((22,), True) in found(f"ex:a prov:startedAtTime {both} .")


def test_every_format_is_told_by_name_or_content_and_judged_the_same(tmp_path: Path) -> None:
    e, f = "http://example.org/e", "http://example.org/f"
    derived = {"_:1": {"prov:generatedEntity": "ex:e", "prov:usedEntity": "ex:f"}}
    back = {"_:2": {"prov:generatedEntity": "ex:f", "prov:usedEntity": "ex:e"}}
    prov_json = {
        "prefix": {"ex": "http://example.org/"},
        "entity": {"ex:e": {}, "ex:f": {}},
        "wasDerivedFrom": derived | back,
    }
    pair = "<prov:wasDerivedFrom><prov:generatedEntity prov:ref='ex:{}'/><prov:usedEntity prov:ref='ex:{}'/></prov:wasDerivedFrom>"
    xml = (
        "<prov:document xmlns:prov='http://www.w3.org/ns/prov#' xmlns:ex='http://example.org/'>"
        f"<prov:entity prov:id='ex:e'/><prov:entity prov:id='ex:f'/>{pair.format('e', 'f')}"
        f"{pair.format('f', 'e')}</prov:document>"
    )
    was_derived = "http://www.w3.org/ns/prov#wasDerivedFrom"
    texts = {
        "a.json": json.dumps(prov_json),
        "a.provn": "document prefix ex <http://example.org/>\nentity(ex:e) entity(ex:f)\n"
        "wasDerivedFrom(ex:e, ex:f) wasDerivedFrom(ex:f, ex:e)\nendDocument",
        "a.xml": xml,
        "a.ttl": f"<{e}> <{was_derived}> <{f}> . <{f}> <{was_derived}> <{e}> .",
        "a.nq": f"<{e}> <{was_derived}> <{f}> .\n<{f}> <{was_derived}> <{e}> .\n",
        "b.jsonld": json.dumps(
            {
                "@context": {"d": {"@id": was_derived, "@type": "@id"}},
                "@graph": [{"@id": e, "d": f}, {"@id": f, "d": e}],
            }
        ),
    }
    for name, text in texts.items():
        done = checked(tmp_path / name, text)
        assert [each.constraints for each in done.findings] == [(42,)], name
    assert format_of(Path("x"), texts["a.provn"].encode()) == "provn"
    assert format_of(Path("x"), texts["a.json"].encode()) == "json"
    assert format_of(Path("x"), b"<?xml version='1.0'?>" + xml.encode()) == "xml"
    with pytest.raises(UsageError, match="--format"):
        format_of(Path("notes"), b"hello")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "declared_entity.xml",
            "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
            "DOCTYPE",
        ),
        ("cut_short.json", '{"entity": {', "not PROV-JSON"),
        ("no_prov.provn", "document entity(", "not PROV-N"),
        ("half_a_triple.ttl", "<urn:a> <urn:b>", "not Turtle"),
        ("nested.json", '{"entity":' * 50_000, "not PROV-JSON|nested too deeply|memory"),
        ("not_utf8.json", '{"a": "\udcff"}', "not PROV-JSON"),
    ],
)
def test_a_broken_file_is_refused_with_its_format(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=message):
        check_file(path, form=None, timeout_s=30.0, memory_bytes=1 << 30)


def test_work_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    lines = "".join(
        f"<urn:e{n}> <http://www.w3.org/ns/prov#wasDerivedFrom> <urn:e{n + 1}> .\n"
        for n in range(40_000)
    )
    with pytest.raises(FormatError, match=r"not checked within 0\.5 s"):
        checked(tmp_path / "long.nt", lines, timeout_s=0.5)


def test_work_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    lines = "".join(
        f"<urn:e{n}> <http://www.w3.org/ns/prov#wasDerivedFrom> <urn:e{n + 1}> .\n"
        for n in range(20_000)
    )
    with pytest.raises(FormatError, match="memory"):
        checked(tmp_path / "large.nt", lines, memory_bytes=8 << 20)
