"""W3C PROV, in: PROV-JSON, PROV-N, PROV-XML, PROV-JSONLD, and PROV-O in any RDF format.

A document becomes a graph of its own, and each of its bundles another, beside the bytes they came in.
Nothing is added: a derivation is there where the document states one. It is read in a process of its own,
bounded and without a network, and what `provgraph check` finds in it is in the report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from provgraph import terms, vocab
from provgraph.constraints.foreign import MAX_BYTES, format_of, run_worker
from provgraph.converters.contract import Converter, ForeignGraph, Reading, Unit
from provgraph.converters.sources import Source
from provgraph.digests import sha256_bytes
from provgraph.errors import FormatError, StorageError, UsageError

TIMEOUT_S: Final = 120.0
MEMORY_BYTES: Final = 2 * 1024**3
_MAX_FINDINGS: Final = 100
_WORKER: Final = Path(__file__).with_name("worker.py")
_TITLES: Final = {
    "json": "PROV-JSON",
    "provn": "PROV-N",
    "xml": "PROV-XML",
    "jsonld": "PROV-JSONLD",
    "turtle": "PROV-O in Turtle",
    "trig": "PROV-O in TriG",
    "ntriples": "PROV-O in N-Triples",
    "nquads": "PROV-O in N-Quads",
    "rdfxml": "PROV-O in RDF/XML",
    "rdf-jsonld": "PROV-O in JSON-LD",
}
_MEDIA_TYPES: Final = {
    "json": "application/json",
    "provn": "text/provenance-notation",
    "xml": "application/provenance+xml",
    "jsonld": "application/ld+json",
    "turtle": "text/turtle",
    "trig": "application/trig",
    "ntriples": "application/n-triples",
    "nquads": "application/n-quads",
    "rdfxml": "application/rdf+xml",
    "rdf-jsonld": "application/ld+json",
}
# What a document of PROV-JSON may have at its top; a prefix alone is not enough to be one.
_PROV_JSON: Final = re.compile(
    rb'"(?:entity|activity|agent|used|bundle|was[A-Z][A-Za-z]+|specializationOf|alternateOf|hadMember'
    rb'|actedOnBehalfOf|mentionOf)"\s*:\s*\{'
)


def _form(source: Source) -> str | None:
    if source.file is None:
        return None
    try:
        form = format_of(source.file, source.head)
    except UsageError:
        return None
    if form == "json" and (b'"eventTime"' in source.head or not _PROV_JSON.search(source.head)):
        return None
    if form not in {"json", "provn", "jsonld"} and b"http://www.w3.org/ns/prov" not in source.head:
        return None
    return form


def _recognises(source: Source) -> str | None:
    form = _form(source)
    return None if form is None else _TITLES[form]


def minted_prefix(data: bytes) -> str:
    """Return what the IRIs of things without a name begin with, for a document of these bytes."""
    return f"{vocab.ID}genid/{sha256_bytes(data).value[:32]}-"


def _read(source: Source, reading: Reading) -> Iterator[Unit]:
    path = source.file
    if path is None:
        raise UsageError(f"{source.text} is no file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"{path.name} has more than {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    form = _form(source) or format_of(path, data)
    try:
        answer = run_worker(
            _WORKER,
            data,
            name=path.name,
            request={"format": form, "minted": minted_prefix(data)},
            timeout_s=TIMEOUT_S,
            memory_bytes=MEMORY_BYTES,
        )
    except FormatError as error:
        reading.report.refused("document", where=path.name, reason=str(error))
        return
    _report(answer, path.name, reading)
    digest = sha256_bytes(data).value
    for name, lines in answer["bundles"].items():
        if not lines:
            reading.report.note(f"{_called(name)} says nothing that could be kept")
            continue
        statements = frozenset(
            (terms.read_term(s), terms.read_term(p), terms.read_term(o)) for s, p, o in lines
        )
        reading.report.mapped("graph")
        reading.report.mapped("triple", len(statements))
        yield Unit(
            key=f"prov/{digest}/{name}" if name else f"prov/{digest}",
            record=ForeignGraph(statements=statements),
            content=data,
            media_type=_MEDIA_TYPES[form],
        )


def _called(name: str) -> str:
    return f"the bundle {name[:200]}" if name else "the document, outside of its bundles,"


def _report(answer: dict[str, Any], where: str, reading: Reading) -> None:
    report = reading.report
    for shown, reason in answer["refused"]:
        report.refused("statement", where=f"{where}: {shown}", reason=reason)
    for what, reason in answer["kept"]:
        report.kept(what, where=where, reason=reason)
    if answer["zoneless"]:
        report.note(f"{answer['zoneless']} times have no zone; they are kept as they are")
    findings = answer["findings"]
    for name, message, bundle, is_violation in findings[:_MAX_FINDINGS]:
        kind = "breaks" if is_violation else "its clocks contradict"
        place = f" in {bundle}" if bundle else ""
        report.note(f"{kind} PROV-CONSTRAINTS{place}: {name}: {message}")
    if len(findings) > _MAX_FINDINGS:
        report.note(f"{len(findings) - _MAX_FINDINGS} findings more: provgraph check {where}")
    if not findings:
        report.note("no violation of PROV-CONSTRAINTS")


CONVERTER: Final = Converter(name="prov", version="1", recognises=_recognises, read=_read)
