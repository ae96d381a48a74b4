"""Foreign SPARQL in a process of its own: bounded in time, memory and rows, without a network.

What stops what: the deadline is a SIGKILL from here; memory and sockets are closed inside the
worker; SERVICE and LOAD are refused by a look at the words before the engine sees the query; the
depth of nesting is bounded, since the engine's parser overflows its stack. An answer is complete or
an error, never cut.

The engine's grammar works on characters, not on words: it reads `SERVICEex:x` as a keyword and a
name, and `<` as an operator wherever that fits. Where two readings differ in what they would do,
the query is refused here with a hint, never guessed at.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provgraph.errors import DamagedIndexError, QueryError
from provgraph.index import worker
from provgraph.index.diagnosis import QuerySyntaxError, diagnose
from provgraph.index.lexemes import lexemes
from provgraph.index.store import Row
from provgraph.terms import Term

MAX_NESTING: Final = 64
MAX_QUERY_BYTES: Final = 256 * 1024
MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024

# After `<`, a scheme and `//` nothing but an IRI can be meant: no expression has two slashes.
_SURE_IRI = re.compile(r"<[A-Za-z][A-Za-z0-9+.\-]*://")
_UPDATES: Final = frozenset(
    {"LOAD", "CLEAR", "DROP", "CREATE", "ADD", "MOVE", "COPY", "INSERT", "DELETE"}
)
_ESCAPED_CODEPOINT = re.compile(r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one foreign query may take."""

    timeout_s: float
    memory_bytes: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAnswer:
    """A complete answer. `kind` is select, boolean or triples; rows hold canonical terms.

    Unlike in records, a term may be a blank node (`_:b`).
    """

    kind: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    boolean: bool | None = None


def check_query(query: str) -> bool:
    """Refuse what must not reach the engine; return whether the query names its dataset with FROM.

    Raises:
        QueryError: too long, too deep, SERVICE, an update, or a text that can be read in two ways.
    """
    if len(query.encode("utf-8", "replace")) > MAX_QUERY_BYTES:
        raise QueryError(f"a query holds at most {MAX_QUERY_BYTES // 1024} KiB")
    if _ESCAPED_CODEPOINT.search(query):
        # \u escapes work everywhere in SPARQL, keywords and brackets included.
        raise QueryError("\\u escapes are not allowed in queries; write the character itself")
    depths = {"{": 0, "(": 0, "[": 0}
    names_dataset = is_ambiguous = False
    before = ""
    for kind, lexeme, start, prefix in lexemes(query):
        if kind == "word":
            word = lexeme.upper()
            _check_word(word)
            # A dataset clause stands outside of all braces.
            names_dataset |= "FROM" in word and not depths["{"]
        elif kind == "prefix":
            is_declared = before == "PREFIX"
            _check_prefix((prefix or "").upper(), can_be_from=not depths["{"] and not is_declared)
        elif kind == "bracket":
            _count(lexeme, depths)
        elif kind == "iri":
            # An operator stands only inside parentheses.
            is_ambiguous |= depths["("] > 0 and not _SURE_IRI.match(lexeme)
        elif kind == "unclosed":
            raise QueryError(f"a string is not closed: {query[start : start + 40]!r}")
        if not lexeme.isspace():
            before = lexeme.upper()
    if is_ambiguous and "service" in query.lower():
        raise QueryError(
            "SERVICE is refused, and a `<` inside parentheses makes it unclear whether this is one;"
            " put a space after each `<` that compares"
        )
    return names_dataset


def _check_word(word: str) -> None:
    if "SERVICE" in word:
        raise QueryError("SERVICE is refused: a query never reaches the network")
    if word in _UPDATES:
        raise QueryError(f"{word} is refused: the past is never rewritten; use capture")


def _check_prefix(prefix: str, *, can_be_from: bool) -> None:
    """Refuse a keyword that hangs on to a prefixed name (`SERVICEex:x`)."""
    if "SERVICE" in prefix:
        raise QueryError(
            f"SERVICE is refused: a query never reaches the network; if {prefix}: is a prefix, name"
            " it otherwise"
        )
    if can_be_from and "FROM" in prefix:
        raise QueryError(f"put a space between FROM and the name in {prefix}:")


def _count(bracket: str, depths: dict[str, int]) -> None:
    if bracket in depths:
        depths[bracket] += 1
        if sum(depths.values()) > MAX_NESTING:
            raise QueryError(f"nested deeper than {MAX_NESTING} brackets")
    else:
        depths[{"}": "{", ")": "(", "]": "["}[bracket]] -= 1


def run_foreign(query: str, *, index_folder: Path, limits: Limits) -> ForeignAnswer:
    """Run a foreign query in a process of its own; the caller holds the index lock.

    Raises:
        QueryError: refused, malformed, over a limit, or it crashed the engine.
        DamagedIndexError: the files of the index cannot be read.
    """
    check_query(query)
    request: dict[str, Any] = {
        "index": str(index_folder),
        "query": query,
        "rows": limits.rows,
        "bytes": MAX_ANSWER_BYTES,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": int(limits.timeout_s) + 1,
        # The worker is isolated from the environment; it finds its library where we did.
        "path": [each for each in sys.path if each],
    }
    # By path, not by name: the package may be importable here in a way that the worker's is not.
    process = subprocess.Popen(
        [sys.executable, "-I", worker.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=worker.ENVIRONMENT,
    )
    try:
        output, _ = process.communicate(json.dumps(request).encode(), timeout=limits.timeout_s)
    except BaseException as error:
        # Interrupted or late: no query outlives who asked it.
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise QueryError(
                f"stopped after {limits.timeout_s:g} s; make it narrower, or raise"
                " PROVGRAPH_QUERY_TIMEOUT_S"
            ) from None
        raise
    return _parse(output, process.returncode, query=query)


def _parse(output: bytes, code: int, *, query: str) -> ForeignAnswer:
    lines = output.decode("utf-8", "replace").split("\n")
    if code == 0 and lines[-2:] == [".", ""]:
        head = json.loads(lines[0])
        rows = tuple(tuple(Term(v) if v else None for v in row.split("\t")) for row in lines[1:-2])
        if head["kind"] == "boolean":
            value = lines[1] == "true"
            return ForeignAnswer(kind="boolean", columns=(), rows=(), boolean=value)
        columns = tuple(head.get("columns", ("subject", "predicate", "object")))
        if not columns:
            rows = tuple(() for _ in rows)
        return ForeignAnswer(kind=head["kind"], columns=columns, rows=rows)
    for line in reversed(lines):
        if line.startswith('{"kind": "error"'):
            refusal = json.loads(line)
            if refusal["is_damage"]:
                raise DamagedIndexError(str(refusal["message"]))
            if refusal["is_syntax"]:
                raise QuerySyntaxError(diagnose(query, str(refusal["message"])))
            raise QueryError(str(refusal["message"]))
    raise QueryError(
        f"the query ended the engine's process (status {code}): it needs too much memory or nests"
        " too deeply; the store is unharmed"
    )
