"""RDF terms as canonical N-Quads text: IRIs, literals, and one graph's canonical bytes.

Specification: RDF 1.1 N-Quads, and the canonical form of RDFC-1.0 section 5 for graphs without
blank nodes: sorted lines, LF, no duplicates, UTF-8. A term here *is* its canonical text
(`<iri>` or `"literal"^^<datatype>`), so that what is signed is what was built and no RDF library
stands between. Literals are written only in the lexical form that the index keeps as it is
(Oxigraph rewrites `1.50` to `1.5`, `+00:00` to `Z`), otherwise a graph read back from the index
would not equal the graph that was signed.

What it does not do: blank nodes, language-tagged strings with direction, triple terms. They are
refused, never converted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NewType
from urllib.parse import quote

from provgraph.errors import FormatError

Term = NewType("Term", str)
"""One RDF term in canonical N-Quads text."""

XSD: Final = "http://www.w3.org/2001/XMLSchema#"

# The size limit of one graph. A record is small by design (facts.md: a leaf holds hashes); above
# this a graph is a data dump, which belongs in an attachment.
MAX_GRAPH_BYTES: Final = 16 * 1024 * 1024

# RFC 3987 without the parts that parsers disagree on: ASCII only, no brackets outside a host, every
# percent sign followed by two hex digits. `to_iri` turns any text into this.
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?:[A-Za-z0-9\-._~:/?#@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_IRI_SAFE: Final = "-._~:/?#@!$&'()*+,;=%"
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

# Canonical escapes: ECHAR for these seven, UCHAR for the other control characters.
_ESCAPES: Final = {i: f"\\u{i:04X}" for i in (*range(0x20), 0x7F)} | {
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0C: "\\f",
    0x0D: "\\r",
    0x22: '\\"',
    0x5C: "\\\\",
}
_NEEDS_ESCAPE = re.compile(r'[\x00-\x1f\x7f"\\]')
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_INTEGER: Final = f"^^<{XSD}integer>"
_DECIMAL: Final = f"^^<{XSD}decimal>"
_DOUBLE: Final = f"^^<{XSD}double>"
_BOOLEAN: Final = f"^^<{XSD}boolean>"
_DATETIME: Final = f"^^<{XSD}dateTime>"


def iri(text: str) -> Term:
    """Return an absolute IRI as a term.

    Raises:
        FormatError: the text is not an absolute ASCII IRI (use `to_iri` for foreign text).
    """
    if not _IRI.fullmatch(text):
        raise FormatError(
            f"expected an absolute IRI, found {text[:200]!r}; percent-encode it first"
        )
    return Term(f"<{text}>")


def to_iri(text: str) -> str:
    """Percent-encode whatever an IRI may not hold, so that foreign text becomes a valid one.

    Text without a scheme is refused: a relative IRI means something else elsewhere.

    Raises:
        FormatError: no scheme, hence not absolute.
    """
    encoded = quote(_clean(_BARE_PERCENT.sub("%25", text)), safe=_IRI_SAFE)
    if not _IRI.fullmatch(encoded):
        raise FormatError(f"expected an absolute IRI with a scheme, found {text[:200]!r}")
    return encoded


def segment(text: str) -> str:
    """Encode any text as one path segment of an IRI (`a b/ü` becomes `a%20b%2F%C3%BC`)."""
    return quote(_clean(text), safe="")


def string(text: str) -> Term:
    """Return an xsd:string literal (written without its datatype, as canonical N-Quads asks)."""
    text = _clean(text)
    if _NEEDS_ESCAPE.search(text):
        text = text.translate(_ESCAPES)
    return Term(f'"{text}"')


def integer(value: int) -> Term:
    """Return an xsd:integer literal."""
    return Term(f'"{value}"{_INTEGER}')


def decimal(value: Decimal) -> Term:
    """Return an xsd:decimal literal without exponent or trailing zeros."""
    if not value.is_finite():
        raise FormatError(f"expected a finite decimal, found {value}")
    return Term(f'"{_plain(value)}"{_DECIMAL}')


def double(value: float) -> Term:
    """Return an xsd:double literal in the plain form that Oxigraph keeps (`0.1`, `1`, `NaN`)."""
    if math.isnan(value):
        text = "NaN"
    elif math.isinf(value):
        text = "INF" if value > 0 else "-INF"
    else:
        # repr is the shortest text that reads back as the same double, as Rust's Display is.
        text = repr(float(value))
        if "e" in text:
            text = _plain(Decimal(text))
        elif text.endswith(".0"):
            text = text[:-2]
    return Term(f'"{text}"{_DOUBLE}')


def boolean(value: bool) -> Term:  # noqa: FBT001 - the value is the subject here, not a switch
    """Return an xsd:boolean literal."""
    return Term(f'"{"true" if value else "false"}"{_BOOLEAN}')


def timestamp(value: datetime) -> Term:
    """Return an xsd:dateTime literal in UTC with Z, without trailing zeros in its fraction.

    Raises:
        FormatError: the time has no zone, so it names no instant.
    """
    return Term(f'"{format_time(value)}"{_DATETIME}')


def format_time(value: datetime) -> str:
    """Write an aware time as `2026-01-02T03:04:05.5Z`."""
    if value.tzinfo is None:
        raise FormatError(f"expected a time with a zone, found {value.isoformat()}")
    utc = value.astimezone(UTC)
    text = utc.strftime("%Y-%m-%dT%H:%M:%S") if utc.year >= 1000 else utc.isoformat()[:19]
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{text}{fraction}Z"


def typed(lexical: str, datatype: str) -> Term:
    """Return a literal of a datatype whose lexical forms the index keeps (date, gYear, duration).

    The caller answers for the canonical form; `provgraph.vocab` names the datatypes in use.
    """
    return Term(f"{string(lexical)}^^{iri(datatype)}")


def scalar(value: str | bool | int | float | Decimal | datetime) -> Term:
    """Return the literal that a Python value of a plain type maps to."""
    if isinstance(value, str):
        return string(value)
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return double(value)
    if isinstance(value, Decimal):
        return decimal(value)
    return timestamp(value)


class Graph:
    """The statements of one named graph, collected as text and written as canonical bytes.

    Statements are kept as a set: adding one twice is harmless. Nothing here can hold a blank node.
    """

    __slots__ = ("_lines", "_suffix", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._suffix = f" {iri(name)} .\n"
        self._lines: set[str] = set()

    def add(self, subject: Term, predicate: Term, value: Term) -> None:
        """Add one statement; all three are canonical terms."""
        self._lines.add(f"{subject} {predicate} {value}{self._suffix}")

    def __len__(self) -> int:
        return len(self._lines)

    def canonical(self) -> bytes:
        """Return the canonical N-Quads of the graph: sorted by code point, LF, UTF-8.

        Raises:
            FormatError: larger than MAX_GRAPH_BYTES, or its order differs between code points and
                UTF-16 units, so that JavaScript verifiers would sort it otherwise (RDFC-1.0
                sorts by code point; npm rdf-canonize by UTF-16 unit).
        """
        lines = sorted(self._lines)
        if not all(map(str.isascii, lines)):
            require_one_order(lines)
        data = "".join(lines).encode()
        if len(data) > MAX_GRAPH_BYTES:
            raise FormatError(
                f"graph {self.name} has {len(data)} bytes; the limit is {MAX_GRAPH_BYTES}."
                " Put bulk data into an attachment and refer to it"
            )
        return data


def require_one_order(lines: Iterable[str]) -> None:
    """Refuse sorted lines whose order differs between code points and UTF-16 units.

    Raises:
        FormatError: two neighbours change places; happens only where a character above U+FFFF
            meets one between U+E000 and U+FFFF.
    """
    previous = ""
    previous_key = b""
    for line in lines:
        key = line.encode("utf-16-be")
        if key < previous_key:
            raise FormatError(
                "two statements sort differently by code point and by UTF-16 unit, so not every"
                f" verifier would agree on their order: {previous[:120]!r} and {line[:120]!r}."
                " Rewrite the character between U+E000 and U+FFFF"
            )
        previous, previous_key = line, key


def _plain(value: Decimal) -> str:
    """Write a finite decimal without exponent, without trailing zeros after the point."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text


def _clean(text: str) -> str:
    """Replace lone surrogates (undecodable file names), which no UTF-8 text can hold."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
