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

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NewType
from urllib.parse import quote

from provgraph.errors import FormatError
from provgraph.loading import import_lock
from provgraph.patterns import pattern

if TYPE_CHECKING:
    from decimal import Decimal

if TYPE_CHECKING:
    Term = NewType("Term", str)
    """One RDF term in canonical N-Quads text."""
else:
    Term = str  # as a NewType is when a program runs, in half the time

XSD: Final = "http://www.w3.org/2001/XMLSchema#"
XSD_STRING: Final = f"{XSD}string"
RDF_LANG_STRING: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
_DIR_LANG: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#dirLangString"

# The size limit of one graph. A record is small by design (facts.md: a leaf holds hashes); above
# this a graph is a data dump, which belongs in an attachment.
MAX_GRAPH_BYTES: Final = 16 * 1024 * 1024

# Names come back from run to run: properties, roles, parameters, metrics.
_KNOWN_NAMES: Final = 8192

# RFC 3987 without the parts that parsers disagree on: ASCII only, no brackets outside a host, every
# percent sign followed by two hex digits. `to_iri` turns any text into this.
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?:[A-Za-z0-9\-._~:/?#@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_IRI_SAFE: Final = "-._~:/?#@!$&'()*+,;=%"
_AUTHORITY = pattern(r"([A-Za-z][A-Za-z0-9+.\-]*://)([^/?#]*)")
_BARE_PERCENT = pattern(r"%(?![0-9A-Fa-f]{2})")

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
# Lone surrogates have no UTF-8. U+FFFE and U+FFFF do, but N-Quads implementations disagree on
# whether their canonical form is an escape (Oxigraph) or the character (npm rdf-canonize).
_UNWRITABLE = pattern(r"[\ud800-\udfff\ufffe\uffff]")

# One statement in canonical form. Possessive quantifiers: no input makes it backtrack.
IRI_TERM: Final = (
    r"<[A-Za-z][A-Za-z0-9+.\-]*+:"
    r"[A-Za-z0-9\-._~:/?#@!$&'()*+,;=]*+(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~:/?#@!$&'()*+,;=]*+)*+>"
)
_PLAIN_TEXT: Final = r'[^"\\\x00-\x1f\x7f\ufffe\uffff]*+'
_LITERAL_TERM: Final = (
    rf'"{_PLAIN_TEXT}(?:\\(?:[btnfr"\\]|u00(?:0[0-7BEF]|1[0-9A-F]|7F)){_PLAIN_TEXT})*+"'
    # xsd:string is written without its datatype, a language tag without rdf:langString.
    rf"(?:\^\^(?!<{re.escape(XSD)}string>|<{re.escape(RDF_LANG_STRING)}>|<{re.escape(_DIR_LANG)}>)"
    rf"{IRI_TERM}|@[a-z]{{1,8}}(?:-[a-z0-9]{{1,8}})*+)?"
)
_ONE_TERM = pattern(rf"(?:{IRI_TERM}|{_LITERAL_TERM})")
_STATEMENT = pattern(
    rf"^({IRI_TERM}) ({IRI_TERM}) ({IRI_TERM}|{_LITERAL_TERM}) ({IRI_TERM}) \.$", re.MULTILINE
)
_UNESCAPE = pattern(r"\\(?:u00(..)|(.))")
_ECHARS: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}

# What Oxigraph's decimals hold: 128 bits with 18 digits after the point.
MAX_FRACTION_DIGITS: Final = 18
_MAX_DECIMAL: Final = 1e18
_SHORT: Final = 2 + MAX_FRACTION_DIGITS  # `0.` and the digits

_INTEGER: Final = f"^^<{XSD}integer>"
_DECIMAL: Final = f"^^<{XSD}decimal>"
_DOUBLE: Final = f"^^<{XSD}double>"
_BOOLEAN: Final = f"^^<{XSD}boolean>"
_DATETIME: Final = f"^^<{XSD}dateTime>"


@functools.lru_cache(_KNOWN_NAMES)
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


@functools.lru_cache(_KNOWN_NAMES)
def to_iri(text: str) -> str:
    """Percent-encode whatever an IRI may not hold, so that foreign text becomes a valid one.

    Text without a scheme is refused: a relative IRI means something else elsewhere.

    Raises:
        FormatError: no scheme, hence not absolute.
    """
    encoded = quote(clean(_BARE_PERCENT.sub("%25", text)), safe=_IRI_SAFE)
    head, hash_sign, fragment = encoded.partition("#")
    encoded = head + hash_sign + fragment.replace("#", "%23")
    if (match := _AUTHORITY.match(encoded)) is not None:
        encoded = match[1] + _authority(match[2]) + encoded[match.end() :]
    if not _IRI.fullmatch(encoded):
        raise FormatError(f"expected an absolute IRI with a scheme, found {text[:200]!r}")
    return encoded


@functools.lru_cache(_KNOWN_NAMES)
def segment(text: str) -> str:
    """Encode any text as one path segment of an IRI (`a b/ü` becomes `a%20b%2F%C3%BC`)."""
    return quote(clean(text), safe="")


def clean(text: str) -> str:
    """Replace what no canonical text can hold, such as lone surrogates of undecodable file names."""
    return text if text.isascii() else _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def string(text: str) -> Term:
    """Return an xsd:string literal (written without its datatype, as canonical N-Quads asks)."""
    # No control character, surrogate or noncharacter is printable.
    if text.isprintable() and '"' not in text and "\\" not in text:
        return Term(f'"{text}"')
    return Term(f'"{clean(text).translate(_ESCAPES)}"')


def integer(value: int) -> Term:
    """Return an xsd:integer literal."""
    return Term(f'"{value}"{_INTEGER}')


def decimal(value: Decimal) -> Term:
    """Return an xsd:decimal literal without exponent or trailing zeros."""
    if not value.is_finite():
        raise FormatError(f"expected a finite decimal, found {value}")
    # There is one decimal zero: the index rewrites `-0`.
    return Term(f'"{_plain(value) if value else "0"}"{_DECIMAL}')


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
            text = _plain(_decimal(text))
        elif text.endswith(".0"):
            text = text[:-2]
    return Term(f'"{text}"{_DOUBLE}')


def real(value: float) -> Term:
    """Return a number exactly: as xsd:decimal where that can be computed with, else as xsd:double.

    JSON-LD processors in JavaScript and Python write every xsd:double anew (`0.97` becomes
    `9.7E-1`, 17 digits become 16), so a signature over one would not verify through them; decimals
    they leave alone. Engines compute with decimals of up to 18 digits after the point, so numbers
    that need more, are too large, or are none (NaN, infinities) stay doubles.
    """
    text = repr(float(value))
    if len(text) <= _SHORT and "e" not in text and "n" not in text:
        # Most are of this form: digits, a point, and no more digits than a decimal holds.
        if text[-2:] != ".0":
            return Term(f'"{text}"{_DECIMAL}')
        return Term(f'"{text[:-2] if value else 0}"{_DECIMAL}')
    if not -_MAX_DECIMAL < value < _MAX_DECIMAL:  # NaN neither
        return double(value)
    if "e" not in text:
        # Digits, a point, digits; trailing zeros only in `.0`.
        whole, _, fraction = text.partition(".")
        if fraction == "0":
            return Term(f'"{whole if value else 0}"{_DECIMAL}')
        if len(fraction) <= MAX_FRACTION_DIGITS:
            return Term(f'"{text}"{_DECIMAL}')
        return double(value)
    exact = _decimal(text)
    exponent = exact.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MAX_FRACTION_DIGITS:
        return double(value)
    return decimal(exact)


def boolean(value: bool, /) -> Term:  # noqa: FBT001 - the value is the subject, not a switch
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
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    text = value.isoformat()[:-6]  # without +00:00
    return f"{text.rstrip('0') if '.' in text else text}Z"


def typed(lexical: str, datatype: str) -> Term:
    """Return a literal of a datatype whose lexical forms the index keeps (date, gYear, duration).

    The caller answers for the canonical form; `provgraph.vocab` names the datatypes in use.
    """
    return Term(f"{string(lexical)}^^{iri(datatype)}")


def scalar(value: str | float | Decimal | datetime) -> Term:
    """Return the literal that a Python value of a plain type maps to."""
    write = _SCALARS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, str):
        return string(value)
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return real(value)
    if isinstance(value, datetime):
        return timestamp(value)
    return decimal(value)


_SCALARS: Final[dict[type, Callable[[Any], Term]]] = {
    str: string,
    bool: boolean,
    int: integer,
    float: real,
    datetime: timestamp,
}


class Canonical(bytes):
    """The canonical bytes of a graph, as `Graph.canonical` made them: sorted, none twice, UTF-8.

    The type says so, so that nobody needs to look again; and since bytes never change, their digest
    is computed once.
    """

    # The sorted statements as text, without the graph's name; None where nobody has them at hand.
    statements: Sequence[str] | None = None
    _sha256: bytes | None = None

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the bytes."""
        if self._sha256 is None:
            with import_lock:  # it brings OpenSSL
                import hashlib

            self._sha256 = hashlib.sha256(self).digest()
        return self._sha256


def sha256_of(graph_nq: bytes) -> bytes:
    """Return the SHA-256 of a graph's bytes, remembered where they are `Canonical`."""
    return (graph_nq if type(graph_nq) is Canonical else Canonical(graph_nq)).sha256


class Graph:
    """The statements of one named graph, collected as text and written as canonical bytes.

    Statements are kept as a set: adding one twice is harmless. Nothing here can hold a blank node.
    """

    __slots__ = ("_lines", "_suffix", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._suffix = f" {iri(name)} .\n"
        # Without what all lines end with: no term is the beginning of another but for characters
        # above the space that follows here, so they sort as the whole lines do.
        self._lines: set[str] = set()

    def add(self, subject: Term, predicate: Term, value: Term) -> None:
        """Add one statement; all three are canonical terms."""
        self._lines.add(f"{subject} {predicate} {value}")

    def add_all(self, subject: Term, statements: Iterable[tuple[Term, Term]]) -> None:
        """Add statements (predicate, value) about one subject."""
        self._lines.update([f"{subject} {predicate} {value}" for predicate, value in statements])

    def statements(self) -> frozenset[str]:
        """Return the statements without the graph's name, for `merge`."""
        return frozenset(self._lines)

    def merge(self, statements: frozenset[str]) -> None:
        """Add the statements of another graph to this one."""
        self._lines |= statements

    def __len__(self) -> int:
        return len(self._lines)

    def canonical(self) -> Canonical:
        """Return the canonical N-Quads of the graph: sorted by code point, LF, UTF-8.

        Raises:
            FormatError: larger than MAX_GRAPH_BYTES, or its order differs between code points and
                UTF-16 units, so that JavaScript verifiers would sort it otherwise (RDFC-1.0
                sorts by code point; npm rdf-canonize by UTF-16 unit).
        """
        lines = sorted(self._lines)
        if not all(map(str.isascii, lines)):
            require_one_order(lines)
        data = Canonical(self._suffix.join([*lines, ""]).encode())
        if len(data) > MAX_GRAPH_BYTES:
            raise FormatError(
                f"graph {self.name} has {len(data)} bytes; the limit is {MAX_GRAPH_BYTES}."
                " Put bulk data into an attachment and refer to it"
            )
        data.statements = lines
        return data


def parse_lines(canonical: bytes) -> Iterator[tuple[Term, Term, Term, Term]]:
    """Read canonical N-Quads back into (subject, predicate, object, graph), in their order.

    Strict: every line in the one canonical spelling, in a named graph, sorted, none twice, LF after
    each, UTF-8. Whether a literal's lexical form is the one that the index keeps is not judged.

    Raises:
        FormatError: anything else, with the line; blank nodes and triple terms among it. Nothing
            is yielded before all is checked.
    """
    if len(canonical) > MAX_GRAPH_BYTES:
        raise FormatError(
            f"expected a graph of at most {MAX_GRAPH_BYTES} bytes, found {len(canonical)}"
        )
    try:
        text = canonical.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"expected N-Quads in UTF-8: {error}") from None
    lines = text.split("\n")
    if lines.pop():
        raise FormatError(f"expected LF after the last statement, found {text[-120:]!r}")
    statements = _STATEMENT.findall(text)
    if len(statements) != len(lines):
        number, line = next(
            (number, line)
            for number, line in enumerate(lines, start=1)
            if not _STATEMENT.fullmatch(line)
        )
        raise FormatError(
            "expected canonical N-Quads statements (absolute IRIs, no blank nodes, canonical"
            f" escapes, a graph name); line {number} is {line[:200]!r}"
        )
    if lines != sorted(set(lines)):
        raise FormatError("expected sorted N-Quads lines without duplicates, found another order")
    return iter(statements)


def read_term(text: str) -> Term:
    """Read an IRI or literal in the one canonical spelling, and nothing around it.

    Raises:
        FormatError: anything else.
    """
    if not _ONE_TERM.fullmatch(text):
        raise FormatError(
            f"expected an IRI or literal in canonical N-Triples, found {text[:200]!r}"
        )
    return Term(text)


def is_literal(term: Term) -> bool:
    """Whether a term is a literal; everything else here is an IRI."""
    return term.startswith('"')


def literal_parts(term: Term) -> tuple[str, str, str]:
    """Split a literal into its lexical form, datatype IRI and language tag ("" for none).

    Raises:
        FormatError: the term is an IRI.
    """
    end = term.rfind('"')
    if end < 1 or term[0] != '"':
        raise FormatError(f"expected a literal, found {term[:200]}")
    lexical, rest = term[1:end], term[end + 1 :]
    if "\\" in lexical:
        lexical = _UNESCAPE.sub(_unescape, lexical)
    if not rest:
        return lexical, XSD_STRING, ""
    if rest[0] == "@":
        return lexical, RDF_LANG_STRING, rest[1:]
    return lexical, rest[3:-1], ""


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


def _authority(text: str) -> str:
    """Encode what `userinfo@host:port` may not hold (RFC 3986 section 3.2), as RDF parsers ask."""
    userinfo, at, place = text.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or not (port.isdigit() or not port):
        host, colon, port = place, "", ""
    return userinfo.replace("@", "%40") + at + host.replace(":", "%3A") + colon + port


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else _ECHARS[match[2]]


def _decimal(text: str) -> Decimal:
    with import_lock:  # only numbers with an exponent need it
        from decimal import Decimal

    return Decimal(text)


def _plain(value: Decimal) -> str:
    """Write a finite decimal without exponent, without trailing zeros after the point."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text
