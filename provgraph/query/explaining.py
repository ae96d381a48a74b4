"""A query in words: what it looks for, what may be absent, what is left out, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from provgraph.query.advice import Advice, Rewriting, rewrite, warnings_of
from provgraph.query.parsed import Pattern, Query, Triple, parse_query


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a query asks, line by line; indentation shows what belongs to what."""

    lines: tuple[str, ...]
    warnings: tuple[Advice, ...]
    rewriting: Rewriting | None


def explain(text: str) -> Explanation:
    """Explain a query.

    Raises:
        QueryError: it is not SPARQL 1.1.
    """
    query = parse_query(text)
    return Explanation(
        lines=tuple(_lines(query)),
        warnings=tuple(warnings_of(query)),
        rewriting=rewrite(text),
    )


def explanation_json(found: Explanation) -> dict[str, object]:
    """Return an explanation as JSON, as command line and server give it."""
    return {
        "explanation": list(found.lines),
        "warnings": [asdict(each) for each in found.warnings],
        "rewriting": asdict(found.rewriting) if found.rewriting is not None else None,
    }


def _lines(query: Query) -> Iterator[str]:
    yield _head(query)
    if query.froms:
        yield f"from these graphs only: {', '.join(each[5:] for each in query.froms)}"
    if query.where is not None:
        yield from _pattern(query.where, depth=1)
    if query.order:
        yield f"in order of {re.sub('(?i)^order by ', '', query.order)}"
    if query.offset or query.limit:
        bounds = [
            f"at most {query.limit.split()[-1]} rows" if query.limit else "",
            f"after the first {query.offset.split()[-1]}" if query.offset else "",
        ]
        yield ", ".join(each for each in bounds if each)


def _head(query: Query) -> str:
    if query.form == "ask":
        return "Whether there is anything such that"
    if query.form == "construct":
        return "New statements, by its template, for everything such that"
    if query.form == "describe":
        return (
            "All that is said of the things named, such that"
            if query.where
            else "All that is said of the things named"
        )
    what = "every variable" if query.has_star else ", ".join(query.columns)
    how = "each different row of" if query.is_distinct else "each"
    if query.has_aggregate:
        how = "one row for each group, with" if query.has_group else "one row with"
    return f"Gives {how} {what} such that"


def _pattern(pattern: Pattern, *, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for part in pattern.parts:
        if isinstance(part, Triple):
            yield f"{indent}{_triple(part)}"
        elif part.kind == "union":
            for place, each in enumerate(part.parts):
                yield f"{indent}{'either' if place == 0 else 'or'}"
                if isinstance(each, Pattern):
                    yield from _pattern(each, depth=depth + 1)
        elif part.kind == "select" and part.select is not None:
            yield f"{indent}by a query of its own:"
            for line in _lines(part.select):
                yield f"{indent}  {line}"
        elif part.kind in _WORDS:
            yield f"{indent}{_WORDS[part.kind].format(name=part.name)}"
            yield from _pattern(part, depth=depth + 1)
        elif part.kind == "filter" and part.parts:
            yield from _pattern(part, depth=depth)
        elif part.kind == "filter":
            yield f"{indent}only where {re.sub('(?i)^filter *', '', part.text)}"
        elif part.kind == "bind":
            yield f"{indent}{part.name} is what {re.sub('(?i)^bind *', '', part.text)} says"
        elif part.kind == "values":
            given = ", ".join(sorted(part.variables))
            rows = "one row" if part.rows == 1 else f"{part.rows} rows"
            yield f"{indent}{given} is given, {rows}"


_WORDS = {
    "group": "together:",
    "optional": "if it is known:",
    "minus": "leaving out where",
    "not exists": "only where there is no",
    "exists": "only where there is",
    "graph": "said by one record, {name}:",
    "service": "asked of another server, {name} (refused here):",
}


def _triple(part: Triple) -> str:
    if part.predicate in {"a", "rdf:type"}:
        return f"{part.subject} is a {part.object}"
    if not part.is_unbounded and part.steps == 1:
        return f"{part.subject} {part.predicate} {part.object}"
    over = "any number of steps" if part.is_unbounded else f"{part.steps} steps in a row"
    return f"{part.subject} leads to {part.object} by {part.predicate} ({over})"
