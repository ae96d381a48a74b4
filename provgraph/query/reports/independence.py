"""Q16: whether what a model was tested on is independent of what it was made from.

Five checks for each pair, from what is recorded: equal content; one made from the other; sources that
both come from; times of collection; and rows that occur in both, which digests of whole files cannot
tell. Nothing here says "independent" of what nobody recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from provgraph import terms
from provgraph.query.lineage import plain
from provgraph.query.reporting import Material, Table
from provgraph.terms import Term

COLUMNS: Final = ("check", "test_data", "train_data", "verdict", "detail", "shared")
_DATE: Final = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")
Row = tuple[Term | None, ...]


@dataclass(slots=True)
class Data:
    """One dataset with what it comes from, itself included."""

    iri: Term
    ancestors: set[Term] = field(default_factory=set)
    sources: set[Term] = field(default_factory=set)
    collected: dict[Term, str] = field(default_factory=dict)
    is_pinned: bool = False


def report(material: Material) -> Table:
    """Compare every test set with every training set."""
    sides: dict[str, dict[Term, Data]] = {"train": {}, "test": {}}
    for side, data, ancestor, is_source, collected, digest in material.found.rows:
        if side is None or data is None or ancestor is None:
            continue
        known = sides[plain(side)].setdefault(data, Data(data))
        known.ancestors.add(ancestor)
        if is_source == terms.boolean(True):
            known.sources.add(ancestor)
        if collected is not None:
            known.collected[ancestor] = plain(collected)
        if digest is not None and ancestor == data and not plain(digest).startswith("weak-"):
            known.is_pinned = True
    train, test = (
        sorted(sides[side].values(), key=lambda data: data.iri) for side in ("train", "test")
    )
    rows: list[Row] = []
    for tested in test:
        for trained in train:
            rows.extend(_pair(tested, trained))
        if not train:
            rows.append(
                _row(
                    "same content",
                    tested,
                    None,
                    "unknown",
                    "what the model was made from is not recorded",
                )
            )
    if not test:
        rows.extend(
            _row("same content", None, trained, "unknown", "no test data is recorded")
            for trained in train
        )
    return Table(columns=COLUMNS, rows=rows)


def _pair(test: Data, train: Data) -> Iterator[Row]:
    if test.iri == train.iri:
        yield _row(
            "same content", test, train, "overlap", "the model was tested on what it was made from"
        )
        return
    if test.is_pinned and train.is_pinned:
        yield _row("same content", test, train, "independent", "their digests differ")
    else:
        reason = "the bytes of one or both were not pinned"
        yield _row("same content", test, train, "unknown", reason)
    if test.iri in train.ancestors or train.iri in test.ancestors:
        first, second = (
            ("test", "training") if test.iri in train.ancestors else ("training", "test")
        )
        reason = f"the {second} data was made from the {first} data"
        yield _row("derivation", test, train, "overlap", reason)
    else:
        yield _row(
            "derivation",
            test,
            train,
            "independent",
            "neither was made from the other, by the record",
        )
    shared = sorted((test.ancestors & train.ancestors) - {test.iri, train.iri})
    nearest = [each for each in shared if each in test.sources] or shared
    for each in nearest:
        reason = "both come from this: a split keeps rows apart only as far as its code does"
        yield (*_row("shared sources", test, train, "look", reason)[:-1], each)
    if not shared:
        is_known = bool(test.sources - {test.iri}) and bool(train.sources - {train.iri})
        reason = (
            "no source of theirs is the same"
            if is_known
            else "of one of them no source is recorded"
        )
        verdict = "independent" if is_known else "unknown"
        yield _row("shared sources", test, train, verdict, reason)
    yield _time(test, train)
    reason = "digests are of whole files; no digests of rows are recorded"
    yield _row("rows", test, train, "unknown", reason)


def _time(test: Data, train: Data) -> Row:
    tested, trained = _period(test), _period(train)
    if tested is None or trained is None:
        reason = "when one of them was collected is not recorded as dates"
        return _row("time", test, train, "unknown", reason)
    told = f"test {_told(tested)}, training {_told(trained)}"
    if tested[0] > trained[1]:
        return _row("time", test, train, "independent", f"collected later: {told}")
    if tested[1] < trained[0]:
        return _row(
            "time",
            test,
            train,
            "look",
            f"collected earlier, so the training data knew what came after: {told}",
        )
    return _row("time", test, train, "look", f"collected in the same time: {told}")


def _period(data: Data) -> tuple[str, str] | None:
    """Return from when to when data was collected, by its own record or by all of its sources."""
    if data.iri in data.collected:
        said: Sequence[str | None] = [data.collected[data.iri]]
    else:
        said = [data.collected.get(source) for source in sorted(data.sources)]
    periods = [None if each is None else _read(each) for each in said]
    known = [each for each in periods if each is not None]
    if not known or len(known) < len(periods):
        return None
    return min(start for start, _ in known), max(end for _, end in known)


def _read(text: str) -> tuple[str, str] | None:
    """Read an ISO 8601 date or interval; a month or year lasts to its end."""
    start, slash, end = (part.strip() for part in text.partition("/"))
    end = end if slash else start
    if not _DATE.fullmatch(start) or not _DATE.fullmatch(end):
        return None
    # Texts of dates compare as the dates do; what is left out of an end comes after all days.
    whole = start + "-01-01"[len(start) - 4 :]
    last = end + "-99-99"[len(end) - 4 :]
    return (whole, last) if whole <= last else None


def _told(period: tuple[str, str]) -> str:
    return f"{period[0]} to {period[1].replace('-99', '')}"


def _row(check: str, test: Data | None, train: Data | None, verdict: str, detail: str) -> Row:
    return (
        terms.string(check),
        None if test is None else test.iri,
        None if train is None else train.iri,
        terms.string(verdict),
        terms.string(detail),
        None,
    )
