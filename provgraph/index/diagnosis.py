"""What is wrong with a query that the engine could not read: line, column, a caret, a hint.

The engine says how far its parser got and what it would have taken next, which is often far from the
mistake ("expected OPTIONAL" for a prefix that nobody declared). So the usual mistakes are looked for
here, by words and brackets, and the engine's own place is the last resort. A diagnosis is a guess for
the reader; nothing is decided by it.

Lines and columns count from 1, columns in characters.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from provgraph.errors import QueryError
from provgraph.index.lexemes import lexemes

_PLACE: Final = re.compile(r"error at ([0-9]+):([0-9]+): expected (.*)", re.DOTALL)
_SCHEME: Final = re.compile(r"<[A-Za-z][A-Za-z0-9+.\-]*:")
_CLOSING: Final = {"}": "{", ")": "(", "]": "["}
_MAX_SHOWN: Final = 120
_MAX_LOOKED_AT: Final = 16 * 1024  # characters

_KEYWORDS: Final = frozenset(
    [
        "SELECT",
        "CONSTRUCT",
        "DESCRIBE",
        "ASK",
        "WHERE",
        "FROM",
        "NAMED",
        "PREFIX",
        "BASE",
        "DISTINCT",
        "REDUCED",
        "AS",
        "GROUP",
        "BY",
        "HAVING",
        "ORDER",
        "ASC",
        "DESC",
        "LIMIT",
        "OFFSET",
        "VALUES",
        "UNDEF",
        "OPTIONAL",
        "GRAPH",
        "UNION",
        "MINUS",
        "FILTER",
        "BIND",
        "EXISTS",
        "NOT",
        "IN",
        "LATERAL",
        "SEPARATOR",
        "true",
        "false",
        "a",
    ]
)
_FUNCTIONS: Final = frozenset(
    [
        "STR",
        "LANG",
        "LANGMATCHES",
        "DATATYPE",
        "BOUND",
        "IRI",
        "URI",
        "BNODE",
        "RAND",
        "ABS",
        "CEIL",
        "FLOOR",
        "ROUND",
        "CONCAT",
        "STRLEN",
        "UCASE",
        "LCASE",
        "ENCODE_FOR_URI",
        "CONTAINS",
        "STRSTARTS",
        "STRENDS",
        "STRBEFORE",
        "STRAFTER",
        "YEAR",
        "MONTH",
        "DAY",
        "HOURS",
        "MINUTES",
        "SECONDS",
        "TIMEZONE",
        "TZ",
        "NOW",
        "UUID",
        "STRUUID",
        "MD5",
        "SHA1",
        "SHA256",
        "SHA384",
        "SHA512",
        "COALESCE",
        "IF",
        "STRLANG",
        "STRDT",
        "SAMETERM",
        "ISIRI",
        "ISURI",
        "ISBLANK",
        "ISLITERAL",
        "ISNUMERIC",
        "REGEX",
        "SUBSTR",
        "REPLACE",
        "COUNT",
        "SUM",
        "MIN",
        "MAX",
        "AVG",
        "SAMPLE",
        "GROUP_CONCAT",
        "TRIPLE",
        "SUBJECT",
        "PREDICATE",
        "OBJECT",
        "ISTRIPLE",
        "LANGDIR",
        "HASLANG",
        "HASLANGDIR",
        "STRLANGDIR",
        "ADJUST",
    ]
)
_KNOWN: Final = {word.upper() for word in _KEYWORDS | _FUNCTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Where a query is wrong, and what may be meant."""

    line: int
    column: int
    message: str
    hint: str | None
    excerpt: str  # the line, and a caret below the place

    def __str__(self) -> str:
        hint = f"\n{self.hint}" if self.hint else ""
        return f"line {self.line}, column {self.column}: {self.message}\n{self.excerpt}{hint}"


class QuerySyntaxError(QueryError):
    """The engine cannot read the query; `diagnosis` says where and why."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        """Take what was found."""
        super().__init__(f"syntax error: {diagnosis}")
        self.diagnosis = diagnosis


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lexeme:
    kind: str
    text: str
    start: int
    prefix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    start: int
    message: str
    hint: str | None = None


def diagnose(query: str, engine_message: str) -> Diagnosis:
    """Explain a syntax error.

    Args:
        query: the text that the engine refused.
        engine_message: what it said: `error at <line>:<column>: expected …`.
    """
    # Nobody wrote a text of this size by hand; looking through it would hold up others.
    found = list(_lexemes(query)) if len(query) <= _MAX_LOOKED_AT else []
    for look in _LOOKS if found else ():
        finding = look(found)
        if finding is not None:
            return _diagnosis(query, finding)
    return _diagnosis(query, _by_engine(query, engine_message))


def _lexemes(query: str) -> Iterator[_Lexeme]:
    for kind, text, start, prefix in lexemes(query):
        if not text.isspace() and not text.startswith("#"):
            yield _Lexeme(kind=kind, text=text, start=start, prefix=prefix)
            if kind == "unclosed":
                return  # where a string does not end, nothing after it can be told


def _unclosed_string(lexemes: list[_Lexeme]) -> _Finding | None:
    for each in lexemes:
        if each.kind == "unclosed":
            return _Finding(
                start=each.start,
                message="this string is not closed",
                hint=f"end it with {each.text} on the same line, or use {each.text * 3} around it",
            )
    return None


def _bracket(lexemes: list[_Lexeme]) -> _Finding | None:
    opened: list[_Lexeme] = []
    for each in lexemes:
        if each.kind != "bracket":
            continue
        if each.text in _CLOSING.values():
            opened.append(each)
        elif not opened:
            return _Finding(start=each.start, message=f"this {each.text} closes nothing")
        elif opened[-1].text != _CLOSING[each.text]:
            return _unclosed(opened[-1])
        else:
            opened.pop()
    return _unclosed(opened[-1]) if opened else None


def _unclosed(bracket: _Lexeme) -> _Finding:
    closing = next(key for key, value in _CLOSING.items() if value == bracket.text)
    return _Finding(
        start=bracket.start,
        message=f"this {bracket.text} is not closed",
        hint=f"add the {closing} that belongs to it",
    )


def _undeclared_prefix(lexemes: list[_Lexeme]) -> _Finding | None:
    declared: set[str] = set()
    for before, each in zip([None, *lexemes], lexemes, strict=False):
        if each.prefix is None:
            continue
        if before is not None and before.text.upper() == "PREFIX":
            declared.add(each.prefix)
        elif each.prefix not in declared and each.prefix != "_":
            known = _WELL_KNOWN.get(each.prefix)
            near = difflib.get_close_matches(each.prefix, declared, n=1)
            hint = f"did you mean {near[0]}: ?" if near else None
            if known is not None:
                hint = f"put this first: PREFIX {each.prefix}: <{known}>"
            return _Finding(
                start=each.start,
                message=f"the prefix {each.prefix}: is not declared",
                hint=hint or f"put this first: PREFIX {each.prefix}: <its IRI>",
            )
    return None


_WELL_KNOWN: Final = {
    "prov": "http://www.w3.org/ns/prov#",
    "pg": "https://w3id.org/provgraph/ns#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcterms": "http://purl.org/dc/terms/",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
}


def _unknown_word(lexemes: list[_Lexeme]) -> _Finding | None:
    for place, each in enumerate(lexemes):
        if each.kind != "word" or each.text.upper() in _KNOWN or len(each.text) < 2:
            continue
        after = lexemes[place + 1] if place + 1 < len(lexemes) else None
        if _continues(lexemes[place - 1] if place else None, each) or _continues(each, after):
            continue
        is_call = after is not None and after.text == "("
        near = difflib.get_close_matches(
            each.text.upper(), _FUNCTIONS if is_call else sorted(_KNOWN), n=1, cutoff=0.7
        )
        what = "function" if is_call else "word"
        return _Finding(
            start=each.start,
            message=f"{each.text} is no {what} of SPARQL",
            hint=f"did you mean {near[0]}?"
            if near
            else "a variable begins with ?, a name with its prefix",
        )
    return None


def _continues(before: _Lexeme | None, after: _Lexeme | None) -> bool:
    """Whether two lexemes are one word for a reader: digits and underscores are cut off."""
    if before is None or after is None or before.start + len(before.text) != after.start:
        return False
    return any(each.text in {"_", "^"} or each.text.isdigit() for each in (before, after))


def _relative_iri(lexemes: list[_Lexeme]) -> _Finding | None:
    if any(each.kind == "word" and each.text.upper() == "BASE" for each in lexemes):
        return None
    depth = 0
    for each in lexemes:
        depth += {"(": 1, ")": -1}.get(each.text, 0)
        if each.kind == "iri" and depth == 0 and not _SCHEME.match(each.text):
            return _Finding(
                start=each.start,
                message=f"{each.text[:_MAX_SHOWN]} is no absolute IRI",
                hint="write it whole, with its scheme (https://…), or declare a BASE",
            )
    return None


def _broken_iri(lexemes: list[_Lexeme]) -> _Finding | None:
    for place, each in enumerate(lexemes[:-1]):
        after = lexemes[place + 1]
        if each.text == "<" and after.prefix is not None and after.start == each.start + 1:
            return _Finding(
                start=each.start,
                message="this IRI holds a character that an IRI may not hold, or is not closed",
                hint="write a space in an IRI as %20, and close it with >",
            )
    return None


def _several_queries(lexemes: list[_Lexeme]) -> _Finding | None:
    depth = 0
    forms = 0
    for each in lexemes:
        depth += {"{": 1, "}": -1}.get(each.text, 0)
        if depth == 0 and each.kind == "word":
            forms += each.text.upper() in {"SELECT", "ASK", "CONSTRUCT", "DESCRIBE"}
            if forms > 1:
                return _Finding(start=each.start, message="a second query begins here")
    return None


def _comma(lexemes: list[_Lexeme]) -> _Finding | None:
    is_head = False
    for each in lexemes:
        if each.kind == "word" and each.text.upper() == "SELECT":
            is_head = True
        elif each.text in {"{", "("} or each.text.upper() == "WHERE":
            is_head = False
        elif is_head and each.text == ",":
            return _Finding(
                start=each.start,
                message="variables stand without commas between them",
                hint="write SELECT ?a ?b",
            )
    return None


_LOOKS: Final[tuple[Callable[[list[_Lexeme]], _Finding | None], ...]] = (
    _unclosed_string,
    _broken_iri,
    _bracket,
    _undeclared_prefix,
    _comma,
    _unknown_word,
    _relative_iri,
    _several_queries,
)

# What the engine says of rules that are no matter of words.
_RULES: Final = {
    "The SELECT contains a variable that is unbound": "a selected variable is neither grouped nor"
    " aggregated",
    "Duplicated variable name in SELECT": "a variable is named twice in SELECT",
    "IRI parsing failed": "an IRI is not well formed",
}


def _by_engine(query: str, engine_message: str) -> _Finding:
    match = _PLACE.search(engine_message)
    if match is None:
        return _Finding(start=0, message=engine_message[:_MAX_SHOWN])
    lines = query.split("\n")
    number = min(int(match[1]), len(lines))
    start = sum(len(line) + 1 for line in lines[: number - 1]) + int(match[2]) - 1
    for rule, message in _RULES.items():
        if rule in match[3]:
            return _Finding(start=start, message=message)
    return _Finding(
        start=start,
        message="the query cannot be read from here on",
        hint="look at this place and just before it: a dot between two patterns, a missing variable?",
    )


def _diagnosis(query: str, finding: _Finding) -> Diagnosis:
    start = min(finding.start, len(query))
    line_start = query.rfind("\n", 0, start) + 1
    line_end = query.find("\n", start)
    line = query[line_start : line_end if line_end >= 0 else len(query)].replace("\t", " ")
    column = start - line_start
    # A long line is shown around the place.
    cut = max(0, column - _MAX_SHOWN // 2)
    shown = line[cut : cut + _MAX_SHOWN]
    return Diagnosis(
        line=query.count("\n", 0, start) + 1,
        column=column + 1,
        message=finding.message,
        hint=finding.hint,
        excerpt=f"{shown}\n{' ' * (column - cut)}^",
    )
