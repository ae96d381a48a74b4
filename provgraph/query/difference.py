"""What differs between two runs or models, by content; what is equal is counted, not listed.

It begins from Q22 (what is behind one and not behind the other) and pairs what both sides have under one
name: a package of two versions has changed, one that only a side has was added or removed. Results come
from Q15. What neither side recorded is unknown, and is said where one side has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.query.answers import Answer
from provgraph.terms import Term, literal_parts

Ask = Callable[[str, Mapping[str, object]], Answer]

# Section -> what Q22 calls its rows.
_SECTIONS: Final = {
    "data": ("data", "feature", "features", "model", "file"),
    "parameters": ("parameter", "seed"),
    "code": ("code",),
    "environment": ("package", "environment"),
    "people": ("person",),
    "unknown": ("unknown",),
}
SECTIONS: Final = (*_SECTIONS, "results")
# What differs from run to run by itself.
_ALWAYS: Final = frozenset({"startedAtTime", "endedAtTime", "durationSeconds", "process"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs. Values are as people read them; empty where a side has none."""

    what: str
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    where: str = ""  # own run | earlier runs
    note: str = ""

    @property
    def kind(self) -> str:
        """Whether it was added, removed or changed."""
        if not self.before:
            return "added"
        return "changed" if self.after else "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All that differs of one sort, and how much of it is equal (None: it was not counted)."""

    name: str
    changes: tuple[Change, ...]
    equal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs between two things, and the ledger size that it holds for."""

    before: str
    after: str
    sections: tuple[Section, ...]
    commits: tuple[str, str] | None  # the two commits, where both are known and differ
    ledger_size: int


def difference(ask: Ask, before: str, after: str) -> Difference:
    """Compare two runs or models.

    Args:
        ask: answers a written-down question.
        before: the earlier one, as people call it.
        after: the later one.

    Raises:
        NotFoundError: one of them is not known here.
    """
    answer = ask("Q22", {"before": before, "after": after})
    rows: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in _dicts(answer):
        key = (row["what"], row["name"], row["where"])
        side = row["only"] if row["only"] in {"before", "after"} else "both"
        rows[key][side].append(row["value"])
    sections = []
    for name, kinds in _SECTIONS.items():
        changes = [_change(key, sides) for key, sides in rows.items() if key[0] in kinds]
        sections.append(
            Section(
                name=name,
                changes=tuple(
                    sorted(changes, key=lambda each: (each.where != "own run", each.name))
                ),
                equal=_equal(ask, name, before, after),
            )
        )
    sections.append(_results(ask, before, after))
    return Difference(
        before=before,
        after=after,
        sections=tuple(sections),
        commits=_commits(rows),
        ledger_size=answer.ledger_size,
    )


def _change(key: tuple[str, str, str], sides: Mapping[str, Sequence[str]]) -> Change:
    what, name, where = key
    both = tuple(sides.get("both", ()))
    return Change(
        what=what,
        name=name,
        before=(*sides.get("before", ()), *both),
        after=(*sides.get("after", ()), *both),
        where=where,
        note="both used it without a digest: whether its bytes changed is unknown" if both else "",
    )


def _commits(
    rows: Mapping[tuple[str, str, str], Mapping[str, Sequence[str]]],
) -> tuple[str, str] | None:
    for (what, name, where), sides in rows.items():
        if (what, name, where) == ("code", "commit", "own run"):
            before, after = sides.get("before", ()), sides.get("after", ())
            if len(before) == len(after) == 1:
                return before[0], after[0]
    return None


# Section -> the question that lists all of it, its parameter, and the columns that make two rows equal.
_COUNTED: Final = {
    "data": ("Q02", "model", ("role", "digest")),
    "parameters": ("Q10", "run", ("name", "value")),
    "environment": ("Q11", "run", ("fact", "value", "detail")),
    "code": ("Q12", "run", ("fact", "value")),
}


def _equal(ask: Ask, section: str, before: str, after: str) -> int | None:
    if section not in _COUNTED:
        return None
    question, parameter, columns = _COUNTED[section]
    sides = []
    for thing in (before, after):
        found = _dicts(ask(question, {parameter: thing}))
        sides.append(
            {
                tuple(row[column] for column in columns)
                for row in found
                if row.get("fact") not in _ALWAYS and row.get("digest") != ""
            }
        )
    return len(sides[0] & sides[1])


def _results(ask: Ask, before: str, after: str) -> Section:
    values: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    intervals: dict[tuple[str, str], dict[str, tuple[float, float]]] = defaultdict(dict)
    for side, thing in (("before", before), ("after", after)):
        for row in _dicts(ask("Q15", {"model": thing})):
            key = (row["metric"], row["slice"])
            if row["kind"] == "observation":
                continue
            if row["value"] not in values[key][side]:
                values[key][side].append(row["value"])
            if row["low"] and row["high"]:
                intervals[key][side] = (float(row["low"]), float(row["high"]))
    changes, equal = [], 0
    for measured, sides in sorted(values.items()):
        old, new = sides.get("before", []), sides.get("after", [])
        if sorted(old) == sorted(new):
            equal += 1
            continue
        metric, where = measured
        changes.append(
            Change(
                what="result",
                name=f"{metric} on {where}" if where else metric,
                before=tuple(old),
                after=tuple(new),
                note=_note(old, new, intervals.get(measured, {})),
            )
        )
    return Section(name="results", changes=tuple(changes), equal=equal)


def _note(
    old: Sequence[str], new: Sequence[str], intervals: Mapping[str, tuple[float, float]]
) -> str:
    if len(old) != 1 or len(new) != 1:
        return ""
    try:
        note = f"{float(new[0]) - float(old[0]):+.4g}"
    except ValueError:
        return ""
    if len(intervals) == 2:
        (low, high), (other_low, other_high) = intervals["before"], intervals["after"]
        apart = high < other_low or other_high < low
        note += "; the intervals do not overlap" if apart else "; the intervals overlap"
    return note


def _dicts(answer: Answer) -> Iterable[dict[str, str]]:
    for row in answer.rows:
        yield {
            column: "" if term is None else _text(term, answer)
            for column, term in zip(answer.columns, row, strict=True)
        }


def _text(term: Term, answer: Answer) -> str:
    if term.startswith('"'):
        return literal_parts(term)[0]
    iri = term[1:-1]
    return answer.labels.get(iri) or iri
