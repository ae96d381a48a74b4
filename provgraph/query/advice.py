"""What is wrong or slow about a query, and what the same question looks like put better.

Warnings name a rule. Where a rewriting gives the same rows, it is made, by changing the text at that
place; where it would only mostly, the warning says what to write. What is slow was measured on
Oxigraph (a constant at the end of an endless path, NOT EXISTS and OPTIONAL with two patterns, a sub-select
beside a class, more than 500 rows of VALUES); what is short or double follows from the recommendation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from provgraph.errors import QueryError
from provgraph.query.parsed import (
    Part,
    Pattern,
    Query,
    Triple,
    parse_query,
    parts_of,
    variables_of,
)

MAX_VALUES_ROWS: Final = 500
MAX_IMPROVED: Final = 8 * 1024
"""Longer queries are run as they are written: reading one takes some milliseconds for each KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something to know before a query is run."""

    rule: str
    message: str
    at: str  # the part of the query that it is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """A query that gives the same rows, and why it is better."""

    text: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


# A quick look, so that a query in which nothing can be rewritten is not parsed for it: an endless path,
# or two patterns in NOT EXISTS or OPTIONAL.
_SUSPICIOUS = re.compile(r"[\w>)][+*]|EXISTS|OPTIONAL", re.IGNORECASE)


def may_be_rewritten(text: str) -> bool:
    """Whether it is worth parsing a query for a rewriting."""
    return _SUSPICIOUS.search(text) is not None


def improved(text: str) -> Rewriting | None:
    """Return a rewriting where there is one; None also for what is not SPARQL 1.1 or too long.

    Whoever runs the query then gets the engine's own word on it.
    """
    if len(text) > MAX_IMPROVED or not may_be_rewritten(text):
        return None
    try:
        return rewrite(text)
    except QueryError:
        return None


def warnings_of(query: Query) -> list[Advice]:
    """Return what to know before a query is run, in the order of the query."""
    found = [
        *_graphs(query),
        *_open_paths(query),
        *_slow(query),
        *_joined_selects(query),
        *_products(query),
    ]
    if (
        query.form == "select"
        and not query.has_limit
        and (query.has_group or not query.has_aggregate)
    ):
        found.append(
            Advice(
                rule="no-limit",
                message="nothing bounds how many rows come; add LIMIT while you try it out",
                at="SELECT",
            )
        )
    if query.froms:
        found.append(
            Advice(
                rule="from",
                message="FROM makes the default graph of these graphs only, not of all records",
                at=" ".join(query.froms),
            )
        )
    return list(dict.fromkeys(found))


def _graphs(query: Query) -> Iterator[Advice]:
    for part, around in parts_of(query.where):
        graph = next((each for each in reversed(around) if each.kind == "graph"), None)
        if graph is None:
            continue
        if isinstance(part, Triple) and (part.is_unbounded or part.steps > 1):
            yield Advice(
                rule="path-in-graph",
                message=f"a path inside GRAPH {graph.name} stays within one record, so a lineage over"
                " several records comes back short, silently; take the path out of GRAPH",
                at=_text(part),
            )
    projected = query.shown | (
        variables_of(query.where) if query.where is not None and query.has_star else frozenset()
    )
    for part, _ in parts_of(query.where):
        if (
            isinstance(part, Pattern)
            and part.kind == "graph"
            and part.name[:1] in {"?", "$"}
            and part.name not in projected
            and not query.is_distinct
        ):
            what = "count" if query.has_aggregate else "row"
            yield Advice(
                rule="repeated-by-record",
                message=f"a statement that several records make is a {what} for each; use DISTINCT, or"
                " leave GRAPH out: the default graph holds every statement once",
                at=f"GRAPH {part.name}",
            )


def _open_paths(query: Query) -> Iterator[Advice]:
    every = list(parts_of(query.where))
    for part, _ in every:
        if not isinstance(part, Triple) or not part.is_unbounded:
            continue
        ends = {part.subject, part.object}
        if not all(each[:1] in {"?", "$"} for each in ends):
            continue
        elsewhere = {
            variable
            for other, _ in every
            if other is not part
            and (isinstance(other, Triple) or other.kind in {"values", "bind", "select"})
            for variable in variables_of(other)
        }
        if not ends & elsewhere:
            yield Advice(
                rule="open-path",
                message="both ends of an endless path are open: it walks the whole graph from every"
                " thing; bind one end, for instance with VALUES",
                at=_text(part),
            )


def _slow(query: Query) -> Iterator[Advice]:
    for part, around in parts_of(query.where):
        if isinstance(part, Triple):
            if part.is_unbounded and around and len(around[-1].parts) > 1:
                ends = [each for each in (part.subject, part.object) if _is_constant(each)]
                if ends:
                    yield Advice(
                        rule="constant-path-end",
                        message=f"an endless path with {ends[0]} written into it can be started at its"
                        " other end; bound by VALUES it takes a ten-thousandth of the time",
                        at=_text(part),
                    )
        elif part.kind in {"not exists", "optional"} and _triples(part) > 1:
            word = "NOT EXISTS" if part.kind == "not exists" else "OPTIONAL"
            instead = (
                "MINUS" if part.kind == "not exists" else "one OPTIONAL after the other, or a path"
            )
            yield Advice(
                rule=f"two-patterns-in-{word.lower().replace(' ', '-')}",
                message=f"{word} with several patterns is evaluated for all of them first; write {instead}",
                at=_short(part.text),
            )
        elif part.kind == "values" and part.rows > MAX_VALUES_ROWS:
            yield Advice(
                rule="long-values",
                message=f"VALUES of more than {MAX_VALUES_ROWS} rows are slow beyond measure; ask in"
                f" blocks of at most {MAX_VALUES_ROWS}",
                at=f"VALUES of {part.rows} rows",
            )


def _joined_selects(query: Query) -> Iterator[Advice]:
    for part, around in parts_of(query.where):
        if not (isinstance(part, Pattern) and part.kind == "select" and around):
            continue
        # `{ SELECT … }` is a group of its own: its neighbours stand around that.
        outer = around[-2] if len(around) > 1 else around[-1]
        for other in outer.parts:
            if (
                isinstance(other, Triple)
                and other.predicate in {"a", "rdf:type"}
                and variables_of(other) & part.variables
            ):
                yield Advice(
                    rule="select-beside-class",
                    message="a sub-select beside a class is joined after all members of the class"
                    " are listed; put the class inside the sub-select",
                    at=_text(other),
                )


def _products(query: Query) -> Iterator[Advice]:
    """Triples of one whole pattern that nothing relates multiply each other.

    Only the pattern of a query or of a sub-select: within OPTIONAL and the like, what stands outside
    relates. A filter or BIND over both counts as relating them.
    """
    for part, around in parts_of(query.where):
        is_whole = not around or around[-1].kind == "select"
        if not (isinstance(part, Pattern) and part.kind == "group" and is_whole):
            continue
        sets: list[tuple[set[str], bool]] = []
        for each in part.parts:
            own, has_triple = set(variables_of(each)), isinstance(each, Triple)
            apart = [known for known in sets if not known[0] & own]
            for known in sets:
                if known[0] & own:
                    own |= known[0]
                    has_triple |= known[1]
            sets = [*apart, (own, has_triple)]
        related = sorted(min(own) for own, has_triple in sets if own and has_triple)
        if len(related) > 1:
            yield Advice(
                rule="product",
                message=f"nothing relates {' and '.join(related[:2])}: every one is paired with every"
                " other",
                at=_short(part.text),
            )


def rewrite(text: str) -> Rewriting | None:
    """Return the same question put so that the engine can run it, or None where there is nothing.

    Raises:
        QueryError: it is not SPARQL 1.1.
    """
    query = parse_query(text)
    if query.where is None:
        return None
    edits: list[_Edit] = []
    reasons: list[str] = []
    for rule in (_bound_ends, _minus):
        for made, reason in rule(query, text):
            edits += made
            reasons.append(reason)
    if not edits:
        return None
    for edit in sorted(edits, key=lambda each: (each.start, each.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return Rewriting(text=text, reasons=tuple(dict.fromkeys(reasons)))


def _bound_ends(query: Query, text: str) -> Iterator[tuple[list[_Edit], str]]:
    """Bind a constant at the end of an endless path with VALUES.

    The variable is new, so the join with VALUES gives the same rows. It would show up under `*`, and
    a blank node may not stand on both sides of VALUES: such queries are left alone.
    """
    if query.has_star or query.has_blank_labels or query.form == "describe":
        return
    used = {each.lstrip("?$") for each in re.findall(r"[?$]\w+", text)}
    number = 0
    done: set[tuple[int, int]] = set()  # a subject may stand for several objects
    for part, around in parts_of(query.where):
        if not isinstance(part, Triple) or not part.is_unbounded or part.subject == "[]":
            continue
        if any(
            each.kind == "select" and each.select is not None and each.select.has_star
            for each in around
        ):
            continue
        if not around or len(around[-1].parts) < 2:
            # Alone in its group the path starts at its constant anyway.
            continue
        edits: list[_Edit] = []
        names: list[str] = []
        values = ""
        for end, span in ((part.subject, part.subject_span), (part.object, part.object_span)):
            if not _is_constant(end) or span in done:
                continue
            done.add(span)
            number += 1
            while f"end{number}" in used:
                number += 1
            values += f"VALUES ?end{number} {{ {end} }} "
            edits.append(_Edit(*span, f"?end{number}"))
            names.append(end)
        if names:
            first = edits[0]
            start = part.subject_span[0]
            edits = (
                [_Edit(start, first.end, values + first.text), *edits[1:]]
                if first.start == start
                else [_Edit(start, start, values), *edits]
            )
            yield edits, f"{' and '.join(names)}, at the end of an endless path, bound by VALUES"


def _minus(query: Query, _: str) -> Iterator[tuple[list[_Edit], str]]:
    """Write FILTER NOT EXISTS of several patterns as MINUS, where both give the same rows.

    They do where the patterns are plain triples and share a variable with the group that is bound in
    every row of it. MINUS takes away from what stands before it, the filter from the whole group: so it
    moves to the group's end.
    """
    for part, around in parts_of(query.where):
        if not (isinstance(part, Pattern) and part.kind == "filter" and len(part.parts) == 1):
            continue
        inner = part.parts[0]
        if not isinstance(inner, Pattern) or inner.kind != "not exists" or not around:
            continue
        if not re.sub(r"\s", "", part.text.upper()).startswith("FILTERNOTEXISTS{"):
            # It is one condition of several.
            continue
        group = around[-1]
        if len(inner.parts) < 2 or not all(isinstance(each, Triple) for each in inner.parts):
            continue
        if group.kind != "group" or query.has_blank_labels:
            continue
        always = {
            variable
            for each in group.parts
            if isinstance(each, Triple)
            for variable in variables_of(each)
        }
        inside = variables_of(inner)
        sometimes = {
            variable
            for each in group.parts
            if isinstance(each, Pattern) and each is not part
            for variable in variables_of(each)
        } - always
        if not inside & always or inside & sometimes:
            continue
        body = part.text[part.text.index("{") :]
        end = group.span[1] - 1
        yield (
            [_Edit(*part.span, ""), _Edit(end, end, f" MINUS {body} ")],
            "NOT EXISTS of several patterns written as MINUS",
        )


def _triples(pattern: Pattern) -> int:
    return sum(1 for each in pattern.parts if isinstance(each, Triple))


def _is_constant(text: str) -> bool:
    return text[:1] not in {"?", "$", "[", "_", "("}


def _text(part: Part) -> str:
    if isinstance(part, Triple):
        return f"{part.subject} {part.predicate} {part.object}"
    return _short(part.text)


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}…"
