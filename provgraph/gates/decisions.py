"""Whose decisions count: approvals, validations, waivers, remediations and assignments of roles.

The index only finds them. What one says is read from the bytes of its record, whose seal, key and place
in the ledger were checked just now, so no other record can put words into it. A decision counts if

1. its record is what was sealed, by a key that counts where it stands (`provgraph.query.seals`);
2. it was not retracted, and is not dated ahead of the clock;
3. it names who decided, and that person did not make the model, nor develops it as assigned;
4. where the profile asks for named keys: a steward or the trust file says that the key is theirs, or
   belongs to somebody who vouches for others, such as a server that checks who asks;
5. where a role is asked: the profile says that they hold it, or an assignment by somebody else does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from provgraph import terms, vocab
from provgraph.errors import ProvgraphError
from provgraph.gates.sight import Sight
from provgraph.query.lineage import plain
from provgraph.query.parameters import read_time
from provgraph.query.promotion import DecisionRules, Profile
from provgraph.seal.entry import SEALED_BY
from provgraph.terms import Term
from provgraph.vocab import PROV_T, P

DEVELOPER: Final = "developer"
# Clocks of two machines differ by a little.
_SKEW: Final = timedelta(minutes=5)
_ACTS: Final = (
    "SELECT DISTINCT ?record ?act WHERE {{ {model} ?act pg:model ?model ; a ?class ."
    " FILTER(?class = pg:%s) GRAPH ?record {{ ?act prov:startedAtTime ?at }} }}"
)
_REMEDIES: Final = (
    "SELECT DISTINCT ?record ?act WHERE {{ {model} ?act pg:remedies ?model ."
    " GRAPH ?record {{ ?act prov:startedAtTime ?at }} }}"
)
# In one piece (pg:none never occurs), or the planner starts it at its unbound end.
_ASSIGNS: Final = (
    "SELECT DISTINCT ?record ?act WHERE {{ {model}"
    " ?model (prov:specializationOf*/pg:responsibility/^pg:establishes)|pg:none ?act ."
    " GRAPH ?record {{ ?act prov:startedAtTime ?at }} }}"
)
_RETRACTED: Final = (
    "SELECT DISTINCT ?it WHERE {{ {model} ?retraction pg:retracts ?model . BIND(?model AS ?it) }}"
)
_MAKERS: Final = (
    "SELECT DISTINCT ?agent ?name WHERE {{ {model}"
    " ?model (prov:wasGeneratedBy/pg:partOfRun?/prov:wasAssociatedWith)|pg:none ?agent ."
    " ?agent a prov:Person . OPTIONAL {{ ?agent rdfs:label ?name }} }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that somebody decided, as its own record says it."""

    iri: str
    record: str
    position: int
    values: Mapping[Term, tuple[Term, ...]]
    """Predicate to what the record says of the act."""
    nodes: Mapping[Term, Mapping[Term, tuple[Term, ...]]]
    """Everything in the record, by subject."""

    def text(self, predicate: Term) -> str | None:
        """Return the one value of a predicate; None where there is none, or several."""
        found = self.values.get(predicate, ())
        return plain(found[0]) if len(found) == 1 else None

    def time(self, predicate: Term) -> datetime | None:
        """Return the one time of a predicate."""
        text = self.text(predicate)
        try:
            return None if text is None else read_time(text)
        except ValueError:
            return None

    @property
    def by(self) -> str | None:
        """Who decided, by name."""
        agents = self.values.get(PROV_T["wasAssociatedWith"], ())
        return self.name(agents[0]) if len(agents) == 1 else None

    @property
    def at(self) -> datetime | None:
        """When, as they say."""
        return self.time(PROV_T["startedAtTime"])

    def name(self, agent: Term) -> str | None:
        """Return what the record calls somebody."""
        labels = self.nodes.get(agent, {}).get(vocab.LABEL, ())
        return plain(labels[0]) if len(labels) == 1 else None


@dataclass(slots=True, kw_only=True)
class Decisions:
    """The decisions about one model."""

    sight: Sight
    profile: Profile
    _makers: frozenset[str] | None = None
    _assigned: list[Act] | None = None

    def acts(self, kind: str) -> list[Act]:
        """Return the acts of a class, such as `Waiver`, in the order of the ledger."""
        return self._read(_ACTS % kind)

    def remediations(self) -> list[Act]:
        """Return what was decided on the model after withdrawals, in the order of the ledger."""
        return self._read(_REMEDIES)

    @property
    def makers(self) -> frozenset[str]:
        """Who made the model or develops it, spelt to be compared."""
        if self._makers is None:
            made = {spelt(name or agent or "") for agent, name in self.sight.select(_MAKERS)}
            self._makers = frozenset(made | set(self._holders(DEVELOPER)))
        return self._makers

    def problem(self, act: Act, *, roles: Iterable[str] = ()) -> str | None:
        """Return why a decision does not count, None where it does; the steps are the module's."""
        roles = tuple(roles)
        # 1.
        seal = self.sight.seal(act.record)
        if not self.sight.is_sealed(act.record):
            return f"its record does not count: {seal.reason or seal.state}"
        # 2.
        if self._is_retracted(act):
            return "it was retracted"
        if act.at is None or act.at > self.sight.now + _SKEW:
            return "it is dated ahead of this clock, or not at all"
        # 3.
        if act.by is None:
            return "it does not say who decided"
        if not self.makers:
            return f"nobody is known to have made the model, so it may have been {act.by}"
        if spelt(act.by) in self.makers:
            return f"{act.by} made the model, and cannot decide on it"
        # 4.
        if (why := self._key_problem(act, self.profile.decisions)) is not None:
            return why
        # 5.
        if roles and not any(self.holds(act.by, role) for role in roles):
            return f"{act.by} does not hold the role {' or '.join(roles)}"
        return None

    def holds(self, name: str, role: str) -> bool:
        """Whether somebody holds a role for the model now."""
        listed = self.profile.roles.get(role)
        if listed is not None:
            return spelt(name) in set(map(spelt, listed))
        return spelt(name) in self._holders(role)

    def _holders(self, role: str) -> set[str]:
        """Return who was assigned a role by somebody else, and holds it now."""
        if self._assigned is None:
            self._assigned = self._read(_ASSIGNS)
        found = set()
        for act in self._assigned:
            if not self.sight.is_sealed(act.record) or self._is_retracted(act):
                continue
            for values in act.nodes.values():
                if values.get(P["agentRole"]) != (terms.string(role),):
                    continue
                agents = values.get(P["responsible"], ())
                name = act.name(agents[0]) if len(agents) == 1 else None
                # Nobody gives a role to themselves; one that limits somebody they may.
                is_own = act.by is None or spelt(name or "") == spelt(act.by)
                if name is None or (is_own and role != DEVELOPER):
                    continue
                if role != DEVELOPER and self._key_problem(act, self.profile.decisions) is not None:
                    continue
                since, until = (_time(values, P[each]) for each in ("validFrom", "validUntil"))
                if (since is None or since <= self.sight.now) and (
                    until is None or until > self.sight.now
                ):
                    found.add(spelt(name))
        return found

    def _key_problem(self, act: Act, rules: DecisionRules) -> str | None:
        if rules.keys == "any":
            return None
        record = self.sight.entries.read(act.position)
        try:
            key = self.sight.keys.judge(
                record.verification_method, index=act.position, role=SEALED_BY[record.kind]
            )
        except ProvgraphError as error:
            return str(error)
        if key.owner is None:
            return (
                "nobody says whose the key is that sealed it; a steward does:"
                " `provgraph keys add … --role producer --owner NAME`"
            )
        owners = {spelt(each) for each in (act.by or "", *rules.vouching)}
        if spelt(key.owner) not in owners:
            return f"it is by {act.by}, and sealed with the key of {key.owner}"
        return None

    def _is_retracted(self, act: Act) -> bool:
        return any(self.sight.select(_RETRACTED, model=each) for each in (act.iri, act.record))

    def _read(self, pattern: str) -> list[Act]:
        found = []
        for record, iri in self.sight.select(pattern):
            position = None if record is None else self.sight.entries.find(record)
            if record is None or iri is None or position is None:
                continue  # no record of this ledger, or none that the asker sees
            stored = self.sight.entries.read(position)
            if stored.is_erased:
                continue
            nodes: dict[Term, dict[Term, tuple[Term, ...]]] = {}
            for subject, predicate, value, _ in terms.parse_lines(stored.graph_nq):
                values = nodes.setdefault(subject, {})
                values[predicate] = (*values.get(predicate, ()), value)
            values = nodes.get(terms.iri(iri), {})
            found.append(Act(iri=iri, record=record, position=position, values=values, nodes=nodes))
        return sorted(found, key=lambda act: (act.position, act.iri))


def spelt(name: str) -> str:
    """Spell a name so that two ways to write it are one."""
    return name.strip().casefold()


def _time(values: Mapping[Term, tuple[Term, ...]], predicate: Term) -> datetime | None:
    found = values.get(predicate, ())
    return read_time(plain(found[0])) if found else None
