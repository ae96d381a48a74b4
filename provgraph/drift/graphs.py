"""Record graphs as they are read for drift: statements by subject, from canonical bytes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from provgraph import vocab
from provgraph.terms import Term, is_literal, literal_parts, parse_lines
from provgraph.vocab import LABEL, PROV_T, A, C, P

Statements = dict[Term, dict[Term, list[Term]]]

XSD: Final = "http://www.w3.org/2001/XMLSchema#"


class Facts:
    """The statements of several record graphs, and which record describes which activity."""

    def __init__(self) -> None:
        self.by_subject: Statements = {}
        self.made: dict[Term, list[Term]] = {}  # activity -> what it made
        self.record: dict[Term, str] = {}  # subject -> the first record that types it

    def add(self, canonical: bytes) -> None:
        """Read one graph."""
        for subject, predicate, value, graph in parse_lines(canonical):
            values = self.by_subject.setdefault(subject, {}).setdefault(predicate, [])
            if value not in values:
                values.append(value)
            if predicate == PROV_T["wasGeneratedBy"]:
                those = self.made.setdefault(value, [])
                if subject not in those:
                    those.append(subject)
            if predicate == A:
                self.record.setdefault(subject, graph[1:-1])

    def all(self, subject: Term, predicate: Term) -> list[Term]:
        """Return all values."""
        return self.by_subject.get(subject, {}).get(predicate, [])

    def one(self, subject: Term, predicate: Term) -> Term | None:
        """Return the first value, None where there is none."""
        found = self.all(subject, predicate)
        return found[0] if found else None

    def text(self, subject: Term, predicate: Term) -> str | None:
        """Return a value as text."""
        found = self.one(subject, predicate)
        return None if found is None else plain(found)

    def number(self, subject: Term, predicate: Term) -> float | None:
        """Return a value as a number; NaN for a number that is none."""
        found = self.text(subject, predicate)
        if found is None:
            return None
        try:
            return float(found)
        except ValueError:
            return float("nan")

    def whole(self, subject: Term, predicate: Term) -> int | None:
        """Return a value as an integer."""
        found = self.number(subject, predicate)
        return None if found is None or found != found else int(found)  # noqa: PLR0124 - NaN

    def time(self, subject: Term, predicate: Term) -> datetime | None:
        """Return a value as a time."""
        found = self.text(subject, predicate)
        try:
            return None if found is None else datetime.fromisoformat(found)
        except ValueError:
            return None

    def is_a(self, subject: Term, *classes: str) -> bool:
        """Whether something is of one of our classes."""
        types = self.all(subject, A)
        return any(C[name] in types for name in classes)

    def label(self, subject: Term) -> str | None:
        """Return what something is called."""
        return self.text(subject, LABEL)

    def values(self, subject: Term, prefix: str) -> dict[str, str | int | float | bool]:
        """Return what stands under properties named by the user."""
        found: dict[str, str | int | float | bool] = {}
        for predicate, objects in self.by_subject.get(subject, {}).items():
            if predicate[1:-1].startswith(prefix):
                name = unquote(predicate[1 + len(prefix) : -1])
                found[name] = scalar(objects[0])
        return found

    def roles(self, activity: Term) -> dict[Term, str]:
        """Return used entity to its role."""
        return self._roles(self.all(activity, PROV_T["qualifiedUsage"]), PROV_T["entity"])

    def role_made(self, entity: Term) -> str | None:
        """Return the role in which something was made."""
        for node in self.all(entity, PROV_T["qualifiedGeneration"]):
            role = self.one(node, PROV_T["hadRole"])
            if role is not None:
                return role_name(role)
        return None

    def _roles(self, nodes: Iterable[Term], key: Term) -> dict[Term, str]:
        found = {}
        for node in nodes:
            entity, role = self.one(node, key), self.one(node, PROV_T["hadRole"])
            if entity is not None and role is not None:
                found[entity] = role_name(role)
        return found

    def steps(self, activity: Term) -> list[Term]:
        """Return the steps of a run or step, in order."""
        found = self.all(activity, P["step"])
        return sorted(found, key=lambda step: (self.number(step, P["position"]) or 0, step))


def role_name(role: Term) -> str:
    """Return `train` of `…/role/train`."""
    return unquote(role[1:-1].removeprefix(vocab.ROLE))


def plain(term: Term) -> str:
    """Return an IRI without brackets, a literal without quotes."""
    return literal_parts(term)[0] if is_literal(term) else term[1:-1]


def scalar(term: Term) -> str | int | float | bool:
    """Return a literal as a Python value."""
    text, datatype, _ = literal_parts(term) if is_literal(term) else (term[1:-1], "", "")
    if datatype == f"{XSD}boolean":
        return text == "true"
    try:
        if datatype == f"{XSD}integer":
            return int(text)
        if datatype in {f"{XSD}decimal", f"{XSD}double", f"{XSD}float"}:
            return float(text)
    except ValueError:
        return text
    return text
