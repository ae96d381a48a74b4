"""Foreign SPARQL in a process of its own: bounded in time, memory and rows, without a network.

What stops what: the deadline is a SIGKILL from here; memory and sockets are closed inside the
worker; SERVICE and LOAD are refused by a look at the words before the engine sees the query; the
depth of nesting is bounded, since the engine's parser overflows its stack. An answer is complete or
an error, never cut.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provgraph.errors import QueryError
from provgraph.index.store import Row
from provgraph.terms import Term

MAX_NESTING: Final = 64
MAX_QUERY_BYTES: Final = 256 * 1024
MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024

# Strings, IRIs and comments are skipped, so that `SERVICE` inside a literal is no SERVICE.
_LEXEME = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*'''"
    r'|"(?:[^"\\\n\r]|\\.)*"'
    r"|'(?:[^'\\\n\r]|\\.)*'"
    r"|<[^\x00-\x20<>\"{}|^`\\]*>"
    r"|#[^\n\r]*"
    r"|[?$][\w]+"
    r"|[\w\-]*:[\w\-.:%]*"
    r"|[A-Za-z]+"
    r"|[{}()\[\]]"
    r"|.",
    re.DOTALL,
)
_UPDATES: Final = frozenset(
    {"LOAD", "CLEAR", "DROP", "CREATE", "ADD", "MOVE", "COPY", "INSERT", "DELETE"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one foreign query may take."""

    timeout_s: float
    memory_bytes: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAnswer:
    """A complete answer. `kind` is select, boolean or triples; rows hold canonical terms."""

    kind: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    boolean: bool | None = None


def check_query(query: str) -> None:
    """Refuse what must not reach the engine.

    Raises:
        QueryError: too long, too deep, SERVICE, or an update.
    """
    if len(query.encode("utf-8", "replace")) > MAX_QUERY_BYTES:
        raise QueryError(f"a query holds at most {MAX_QUERY_BYTES // 1024} KiB")
    if _ESCAPED_CODEPOINT.search(query):
        # \u escapes work everywhere in SPARQL, keywords and brackets included: decode, then look.
        raise QueryError("\\u escapes are not allowed in queries; write the character itself")
    depth = 0
    for match in _LEXEME.finditer(query):
        lexeme = match[0]
        if lexeme in "{([":
            depth += 1
            if depth > MAX_NESTING:
                raise QueryError(f"nested deeper than {MAX_NESTING} brackets")
        elif lexeme in "})]":
            depth -= 1
        elif lexeme.isalpha():
            word = lexeme.upper()
            if word == "SERVICE":
                raise QueryError("SERVICE is refused: a query never reaches the network")
            if word in _UPDATES:
                raise QueryError(f"{word} is refused: the past is never rewritten; use capture")


def has_from(query: str) -> bool:
    """Whether a query names its own dataset with FROM."""
    return any(match[0].upper() == "FROM" for match in _LEXEME.finditer(query))


_ESCAPED_CODEPOINT = re.compile(r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}")


def run_foreign(query: str, *, index_folder: Path, limits: Limits) -> ForeignAnswer:
    """Run a foreign query in a process of its own; the caller holds the index lock.

    Raises:
        QueryError: refused, malformed, over a limit, or it crashed the engine.
    """
    check_query(query)
    request: dict[str, Any] = {
        "index": str(index_folder),
        "query": query,
        "rows": limits.rows,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": int(limits.timeout_s) + 1,
        # The engine's union switch would ignore the query's own FROM (facts: 0.5.13).
        "union_default_graph": not has_from(query),
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "provgraph.index.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        output, _ = process.communicate(json.dumps(request).encode(), timeout=limits.timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise QueryError(
            f"stopped after {limits.timeout_s:g} s; make it narrower, or raise"
            " PROVGRAPH_QUERY_TIMEOUT_S"
        ) from None
    return _parse(output, process.returncode)


def _parse(output: bytes, code: int) -> ForeignAnswer:
    lines = output.decode().split("\n")
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
            raise QueryError(str(json.loads(line)["message"]))
    raise QueryError(
        f"the query ended the engine's process (status {code}): it needs too much memory or nests"
        " too deeply; the store is unharmed"
    )
