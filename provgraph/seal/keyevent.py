"""Key events: what the ledger's entries of kinds key-add and key-revoke say, read from their graphs.

A key event is a sealed graph like any other. What counts in it is read strictly: one act, one key,
each deciding fact at most once; whatever else the graph says (who did it, why in words) is for
people. Terms: `ontology/provgraph.ttl`. The key is named by its verification method, the name that
seals use (`did:key:<multikey>#<multikey>`).

What it does not do: judge whether the steward may say so; see `provgraph.seal.trust`. No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from provgraph import terms, vocab
from provgraph.errors import FormatError
from provgraph.seal.entry import KEY_ADD, KEY_REVOKE, LOG, PRODUCER, STEWARD
from provgraph.seal.keys import require_usable_key
from provgraph.seal.multikey import parse_verification_method
from provgraph.terms import Term, format_time
from provgraph.vocab import LABEL, PROV_T, A, C, P

ACCESS_TRAIL: Final = "access-trail"  # seals who read what
WITNESS: Final = "witness"  # cosigns checkpoints from outside
ROLES: Final = (PRODUCER, STEWARD, LOG, ACCESS_TRAIL, WITNESS)

SUPERSEDED: Final = "superseded"  # another key took its place
COMPROMISED: Final = "compromised"  # somebody else may have it
RETIRED: Final = "retired"  # nobody needs it any more
REASONS: Final = (SUPERSEDED, COMPROMISED, RETIRED)

_DATETIME: Final = f"{vocab.XSD}dateTime"
_INTEGER: Final = f"{vocab.XSD}integer"

# The class of the act, and the relation from the key to it, by kind of entry.
_ACTS: Final = {
    KEY_ADD: (C["KeyAddition"], PROV_T["wasGeneratedBy"]),
    KEY_REVOKE: (C["KeyRevocation"], PROV_T["wasInvalidatedBy"]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAdded:
    """From its entry on, a key may seal in a role, between two times where those are said."""

    method: str
    role: str
    owner: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    replaces: str | None = None  # verification method of the key that it takes over from


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked:
    """From its entry on, what a key seals does not count; `counts_before` moves that backwards."""

    method: str
    reason: str
    counts_before: int | None = None  # ledger index; only for a key that was compromised


KeyEvent = KeyAdded | KeyRevoked


def parse_key_event(kind: str, graph_nq: bytes) -> KeyEvent:
    """Read what a key event says.

    1. One act of the class that the entry's kind asks for, and of no other.
    2. One key, named by a did:key, with its multikey as label, tied to that act.
    3. The key is fit to verify with: not of low order, on its curve.
    4. The deciding facts, each at most once and in its one spelling.

    Raises:
        FormatError: the kind is none of a key event, or the graph is not of this form.
        UntrustedError: step 3.
    """
    if kind not in _ACTS:
        raise FormatError(f"expected an entry of kind {' or '.join(sorted(_ACTS))}, found {kind}")
    facts = _facts(graph_nq)
    act_class, relation = _ACTS[kind]
    # 1.
    acts = {each: _typed(facts, wanted) for each, (wanted, _) in _ACTS.items()}
    if len(acts[kind]) != 1 or any(acts[each] for each in acts if each != kind):
        raise FormatError(f"expected a {kind} entry to tell of one {_local(act_class)}")
    (act,) = acts[kind]
    # 2.
    keys = _typed(facts, C["Key"])
    if len(keys) != 1:
        raise FormatError(f"expected a {kind} entry to tell of one key, found {len(keys)}")
    (key,) = keys
    about = facts[key]
    method = key[1:-1]
    multikey = method.partition("#")[2]
    public_key = parse_verification_method(method)
    if about.get(LABEL) != [terms.string(multikey)] or about.get(relation) != [act]:
        raise FormatError(
            f"expected a {kind} entry to label the key {multikey} and to tie it to its act"
        )
    # 3.
    require_usable_key(public_key)
    # 4.
    if kind == KEY_ADD:
        return _added(facts, about, method)
    reason = _text(facts[act], P["revocationReason"])
    counts_before = _integer(facts[act], P["countsBefore"])
    if reason not in REASONS:
        raise FormatError(f"expected a revocation for {', '.join(REASONS)}, found {reason!r:.80}")
    if counts_before is not None and reason != COMPROMISED:
        raise FormatError(
            f"expected an earlier end only for a key that was {COMPROMISED}, found {reason}"
        )
    return KeyRevoked(method=method, reason=reason, counts_before=counts_before)


def require_validity(valid_from: datetime | None, valid_until: datetime | None) -> None:
    """Refuse a time of validity that ends before it begins.

    Raises:
        FormatError: it does.
    """
    if valid_from is not None and valid_until is not None and valid_from >= valid_until:
        raise FormatError(
            f"expected a key to be valid from before {format_time(valid_until)},"
            f" found {format_time(valid_from)}"
        )


def parse_time(text: str) -> datetime:
    """Read a time in the only spelling that `format_time` writes.

    Raises:
        FormatError: anything else.
    """
    try:
        value = datetime.fromisoformat(text)
        if format_time(value) == text:
            return value
    except (ValueError, FormatError):
        pass
    raise FormatError(f"expected a time as 2026-01-02T03:04:05Z, found {text[:80]!r}")


_Facts = Mapping[Term, Mapping[Term, list[Term]]]


def _facts(graph_nq: bytes) -> _Facts:
    facts: dict[Term, dict[Term, list[Term]]] = {}
    for subject, predicate, value, _ in terms.parse_lines(graph_nq):
        facts.setdefault(subject, {}).setdefault(predicate, []).append(value)
    return facts


def _typed(facts: _Facts, wanted: Term) -> list[Term]:
    return [subject for subject, about in facts.items() if wanted in about.get(A, [])]


def _added(facts: _Facts, about: Mapping[Term, list[Term]], method: str) -> KeyAdded:
    role = _text(about, P["keyRole"])
    if role not in ROLES:
        raise FormatError(f"expected the role of a key as {', '.join(ROLES)}, found {role!r:.80}")
    owner = _only(about, PROV_T["wasAttributedTo"])
    replaces = _only(about, PROV_T["wasRevisionOf"])
    if replaces is not None:
        parse_verification_method(replaces[1:-1])
    valid_from, valid_until = _time(about, P["validFrom"]), _time(about, P["validUntil"])
    require_validity(valid_from, valid_until)
    return KeyAdded(
        method=method,
        role=role,
        owner=None if owner is None else _text(facts.get(owner, {}), LABEL),
        valid_from=valid_from,
        valid_until=valid_until,
        replaces=None if replaces is None else replaces[1:-1],
    )


def _only(about: Mapping[Term, list[Term]], predicate: Term) -> Term | None:
    values = about.get(predicate, [])
    if len(values) > 1:
        raise FormatError(f"expected {_local(predicate)} of a key at most once, found {values[:3]}")
    return values[0] if values else None


def _typed_value(about: Mapping[Term, list[Term]], predicate: Term, datatype: str) -> str | None:
    term = _only(about, predicate)
    if term is None:
        return None
    text, found, _ = terms.literal_parts(term)
    if found != datatype:
        raise FormatError(f"expected {_local(predicate)} as {datatype}, found {term[:120]}")
    return text


def _text(about: Mapping[Term, list[Term]], predicate: Term) -> str | None:
    return _typed_value(about, predicate, terms.XSD_STRING)


def _time(about: Mapping[Term, list[Term]], predicate: Term) -> datetime | None:
    text = _typed_value(about, predicate, _DATETIME)
    return None if text is None else parse_time(text)


def _integer(about: Mapping[Term, list[Term]], predicate: Term) -> int | None:
    text = _typed_value(about, predicate, _INTEGER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or str(int(text)) != text:
        raise FormatError(f"expected {_local(predicate)} as a ledger index, found {text[:40]!r}")
    return int(text)


def _local(term: Term) -> str:
    return term[1:-1].rpartition("#")[2]
