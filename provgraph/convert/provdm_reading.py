"""PROV-DM statements, as the package `prov` holds them, as PROV-O triples.

Which format they came in makes no difference here, and the package is not imported: a document is
walked by its attributes. A name that no IRI may be is percent-encoded, and counted; a name without a
scheme is refused with its statement. Times without a zone stay as they are, and are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from provgraph import terms
from provgraph.convert.provdm import (
    ATTRIBUTES,
    DERIVATIONS,
    ELEMENTS,
    MOMENTS,
    RELATIONS,
    TIMES,
    UNNAMED,
    Relation,
    Triple,
    prov,
)
from provgraph.errors import FormatError
from provgraph.terms import XSD, Term
from provgraph.vocab import PROV, A

_KINDS: Final = {(f"{PROV}type", PROV + class_): prov(name) for name, class_ in DERIVATIONS.items()}
_MOMENT_OF: Final = {RELATIONS[kind].plain: prov(name) for name, kind in MOMENTS.items()}


@dataclass(slots=True)
class Reading:
    """What came of reading a document: triples by bundle, and what had to be said about them."""

    bundles: dict[str, list[Triple]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    encoded_iris: set[str] = field(default_factory=set)  # held characters that no IRI may hold
    zoneless_times: int = 0
    statements: int = 0


def read_statements(document: Any, *, minted: str) -> Reading:
    """Write a `ProvDocument` as triples; those outside of any bundle stand under the empty name.

    Args:
        document: of the package `prov`.
        minted: begins the IRIs of relations that have none.
    """
    reading = Reading()
    minter = _Minter(minted)
    _read_records(document.get_records(), "", reading, minter)
    for bundle in document.bundles:
        name = bundle.identifier.uri if bundle.identifier is not None else ""
        _read_records(bundle.get_records(), name, reading, minter)
    return reading


class _Minter:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._known: dict[str, int] = {}

    def node(self) -> Term:
        """Mint the IRI of a node that has no name."""
        self._count += 1
        return terms.iri(f"{self._prefix}{UNNAMED}{self._count}")

    def of_blank(self, label: str) -> Term:
        """Mint the IRI of a blank node, the same for the same label."""
        number = self._known.setdefault(label, len(self._known) + 1)
        return terms.iri(f"{self._prefix}b{number}")


def _read_records(records: Iterable[Any], bundle: str, reading: Reading, minter: _Minter) -> None:
    out = reading.bundles.setdefault(bundle, [])
    for record in records:
        reading.statements += 1
        kind = type(record).__name__.removeprefix("Prov")
        try:
            if kind in ELEMENTS:
                out.extend(_element(record, kind, reading, minter))
            elif kind in RELATIONS:
                out.extend(_relation(record, RELATIONS[kind], reading, minter))
            else:
                reading.refused.append(f"{record}: a kind of statement that is not known here")
        except FormatError as error:
            reading.refused.append(f"{_shown(record)}: {error}")


def _shown(record: Any) -> str:
    try:
        return str(record)[:200]
    except Exception:
        return type(record).__name__


def _element(record: Any, kind: str, reading: Reading, minter: _Minter) -> list[Triple]:
    subject = _name(record.identifier, reading, minter)
    found = [(subject, A, prov(kind))]
    for name, value in record.formal_attributes:
        local = name.localpart
        for property_, formal in TIMES.items():
            if formal == local and value is not None:
                found.append((subject, prov(property_), _value(value, reading, minter)))
    found.extend(_attributes(subject, record, reading, minter))
    return found


def _relation(record: Any, relation: Relation, reading: Reading, minter: _Minter) -> list[Triple]:
    given = {name.localpart: value for name, value in record.formal_attributes if value is not None}
    first, second, *_ = relation.arguments
    # Something that nobody named: PROV-N has a place for it, PROV-O needs a thing to say it of.
    subject = minter.node() if first not in given else _name(given[first], reading, minter)
    found: list[Triple] = []
    if second in given:
        found.append((subject, prov(relation.plain), _name(given[second], reading, minter)))
    others = [each for each in relation.arguments[1:] if each in given]
    has_more = record.identifier is not None or bool(record.extra_attributes) or others != [second]
    if relation.qualified is None:
        if second not in given:
            raise FormatError(f"expected the argument {second}, found none")
        if record.identifier is not None or record.extra_attributes:
            reading.refused.append(
                f"{_shown(record)}: PROV gives such a relation neither identifier nor attributes;"
                " the relation is kept without"
            )
        for argument, property_ in zip(relation.arguments[2:], relation.properties, strict=False):
            if argument in given:
                value = _value(given[argument], reading, minter)
                found.append((subject, prov(property_), value))
        return found
    if not has_more:
        return found
    if others == [second] and record.identifier is None and (kind := _kind_of(record)) is not None:
        return [*found, (subject, kind, found[0][2])]
    moment = _MOMENT_OF.get(relation.plain)
    if others == ["time"] and record.identifier is None and not record.extra_attributes and moment:
        return [(subject, moment, _value(given["time"], reading, minter))]
    node = minter.node() if record.identifier is None else _name(record.identifier, reading, minter)
    found.append((subject, prov(f"qualified{relation.qualified}"), node))
    found.append((node, A, prov(relation.qualified)))
    for argument, property_ in zip(relation.arguments[1:], relation.properties, strict=True):
        if argument in given:
            found.append((node, prov(property_), _value(given[argument], reading, minter)))
    found.extend(_attributes(node, record, reading, minter))
    return found


def _kind_of(record: Any) -> Term | None:
    """Return the property that says of a derivation all that its attributes say."""
    if len(record.extra_attributes) != 1:
        return None
    name, value = record.extra_attributes[0]
    return _KINDS.get((name.uri, getattr(value, "uri", "")))


def _attributes(subject: Term, record: Any, reading: Reading, minter: _Minter) -> Iterator[Triple]:
    for name, value in record.extra_attributes:
        term = _value(value, reading, minter)
        predicate = ATTRIBUTES.get(name.uri)
        if predicate is None or (predicate in (A, prov("hadRole")) and terms.is_literal(term)):
            predicate = _iri(name.uri, reading)
        yield subject, predicate, term


def _name(value: Any, reading: Reading, minter: _Minter) -> Term:
    uri = getattr(value, "uri", None)
    if not isinstance(uri, str):
        raise FormatError(f"expected the name of a thing, found {value!r:.100}")
    if uri.startswith("_:"):
        return minter.of_blank(uri)
    return _iri(uri, reading)


def _iri(text: str, reading: Reading) -> Term:
    encoded = terms.to_iri(text)
    if encoded != text:
        reading.encoded_iris.add(text)
    return terms.iri(encoded)


def _value(value: Any, reading: Reading, minter: _Minter) -> Term:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            reading.zoneless_times += 1
            return terms.typed(_plain_time(value), f"{XSD}dateTime")
        return terms.timestamp(value)
    kind = type(value).__name__
    if kind == "QualifiedName":
        return _name(value, reading, minter)
    if kind == "Identifier":
        return terms.typed(value.uri, f"{XSD}anyURI")
    if kind == "Literal":
        if value.langtag:
            return Term(f"{terms.string(str(value.value))}@{str(value.langtag).lower()}")
        datatype = f"{XSD}string" if value.datatype is None else value.datatype.uri
        if datatype == f"{XSD}string":
            return terms.string(str(value.value))
        return Term(f"{terms.string(_lexical(value.value))}^^{_iri(datatype, reading)}")
    if isinstance(value, bool):
        return terms.boolean(value)
    if isinstance(value, int):
        return terms.integer(value)
    if isinstance(value, float):
        return terms.double(value)
    return terms.string(str(value))


def _plain_time(value: datetime) -> str:
    text = value.isoformat()
    return text.rstrip("0") if "." in text else text


def _lexical(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
