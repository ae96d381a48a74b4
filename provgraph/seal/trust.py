"""Whose seals count: judged by the place of an entry in the ledger, never by a date that its signer chose.

A `KeyHistory` is built from the key events of a ledger, in its order, and from a trust file where
there is one. Then `judge` says of any entry whether the key that sealed it may, and why.

- An event counts from its own entry on. A revoked key counts for the entries before its revocation;
  one that was compromised can be revoked with an earlier index, from which its seals count no more.
- Key events are sealed by a steward: one whom the trust file names, or, without a trust file, one
  whom the ledger's first key event names (which must name the very key that seals it), and later
  those whom stewards have added.
- A key that no event and no trust file speaks of is *known by use*: it sealed, and nobody has said
  whose it is. A trust file ends that: what it does not list, and no steward has added, does not
  count.
- A key counts in the role in which it was added or listed, and in no other.
- A steward's own revocation takes nothing back that it had decided, except where it was compromised:
  keys that it added since then do not count. Revocations that it made stay, since a revocation too
  many does less harm than one too few.

What it does not do: no I/O, no signatures; the caller has verified the seals of what it hands over.
What no history can show is an event that was withheld from it; the ledger's tree can.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from provgraph.errors import UntrustedError
from provgraph.seal.entry import KEY_EVENTS, PRODUCER, SEALED_BY, STEWARD
from provgraph.seal.keyevent import COMPROMISED, KeyAdded, KeyEvent, parse_key_event
from provgraph.seal.trustfile import TrustFile
from provgraph.terms import format_time

KNOWN_BY_USE: Final = "known by use"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A key that may seal in a role at one place of the ledger, and what says so."""

    method: str
    role: str
    basis: str  # "trust file version 2", "key-add at entry 7", "known by use"
    owner: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Why and from where on a key counts no more."""

    index: int  # of the entry that revoked it first
    reason: str
    counts_before: int  # seals at and after this index do not count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Added:
    index: int
    by: str
    event: KeyAdded


class KeyHistory:
    """What is known of keys up to some entry. `take` adds events; copies do not see each other's."""

    __slots__ = ("_added", "_first_steward", "_last", "_revoked", "trust")

    def __init__(self, *, trust: TrustFile | None = None) -> None:
        self.trust = trust
        self._added: dict[tuple[str, str], _Added] = {}
        self._revoked: dict[str, Revocation] = {}
        self._first_steward: int | None = None  # the entry that named it, without a trust file
        self._last = -1

    def copy(self) -> Self:
        """Return a history that can go on by itself."""
        other = type(self)(trust=self.trust)
        other._added, other._revoked = dict(self._added), dict(self._revoked)
        other._first_steward, other._last = self._first_steward, self._last
        return other

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of any key, so that every producer is known by use."""
        return self.trust is None and self._last < 0

    def take(self, event: KeyEvent, *, index: int, sealed_by: str) -> None:
        """Add the key event at an entry whose seal was verified.

        1. Events come in the order of the ledger.
        2. Its seal is a steward's (a producer who registers or revokes keys).
        3. A key that was revoked never comes back, and is added once in a role (a revocation that
           is undone).
        4. A revocation reaches back at most to the beginning, and not forward.

        Raises:
            UntrustedError: one of these.
        """
        # 1.
        if index <= self._last:
            raise UntrustedError(
                f"key events come in the order of the ledger: expected one after entry"
                f" {self._last}, found entry {index}"
            )
        # 2.
        self._require_steward(event, index, sealed_by)
        if isinstance(event, KeyAdded):
            # 3.
            if event.method in self._revoked:
                raise UntrustedError(
                    f"the key event at entry {index} adds {_did(event.method)}, which entry"
                    f" {self._revoked[event.method].index} revoked; a revoked key never comes"
                    " back, make a new one"
                )
            known = self._added.get((event.method, event.role))
            if known is not None:
                raise UntrustedError(
                    f"the key event at entry {index} adds {_did(event.method)} as {event.role},"
                    f" which entry {known.index} did already"
                )
            self._added[event.method, event.role] = _Added(index=index, by=sealed_by, event=event)
            if self.trust is None and self._first_steward is None:
                self._first_steward = index
        else:
            # 4.
            before = index if event.counts_before is None else event.counts_before
            if before > index:
                raise UntrustedError(
                    f"the key event at entry {index} revokes {_did(event.method)} from entry"
                    f" {before} on, which lies ahead"
                )
            known_end = self._revoked.get(event.method)
            if known_end is None:
                self._revoked[event.method] = Revocation(
                    index=index, reason=event.reason, counts_before=before
                )
            else:
                # What was learned later can only take more away.
                is_worse = event.reason == COMPROMISED
                self._revoked[event.method] = Revocation(
                    index=known_end.index,
                    reason=COMPROMISED if is_worse else known_end.reason,
                    counts_before=min(before, known_end.counts_before),
                )
        self._last = index

    def judge(self, method: str, *, index: int, role: str) -> TrustedKey:
        """Return the key that sealed the entry at an index, if it may seal there in this role.

        1. It is not revoked there.
        2. The trust file lists it in this role, and does not end it before this entry.
        3. Or a steward has added it in this role by then, and was not compromised when it did.
        4. Or nobody has said anything of it, there is no trust file, and for a steward nobody has
           been named yet: it is known by use.

        Raises:
            UntrustedError: none of these holds.
        """
        # 1.
        revoked = self._revoked.get(method)
        if revoked is not None and index >= revoked.counts_before:
            since = (
                ""
                if revoked.counts_before == revoked.index
                else (f" with effect from entry {revoked.counts_before}")
            )
            raise UntrustedError(
                f"{_did(method)} was revoked ({revoked.reason}) at entry {revoked.index}{since},"
                f" so its seal at entry {index} does not count"
            )
        # 2.
        listed = None if self.trust is None else self.trust.says.find(method, role)
        if self.trust is not None and listed is not None:
            if listed.counts_before is not None and index >= listed.counts_before:
                raise UntrustedError(
                    f"{_did(method)} counts before entry {listed.counts_before} only, says trust"
                    f" file version {self.trust.version}; its seal at entry {index} does not"
                )
            return TrustedKey(
                method=method,
                role=role,
                basis=f"trust file version {self.trust.version}",
                owner=listed.owner,
                valid_from=listed.valid_from,
                valid_until=listed.valid_until,
            )
        # 3.
        added = self._added.get((method, role))
        if added is not None and index >= added.index:
            self._require_sound(added)
            return TrustedKey(
                method=method,
                role=role,
                basis=f"key-add at entry {added.index}",
                owner=added.event.owner,
                valid_from=added.event.valid_from,
                valid_until=added.event.valid_until,
            )
        # 4.
        if self.trust is None and self._is_known_by_use(method, index=index, role=role):
            return TrustedKey(method=method, role=role, basis=KNOWN_BY_USE)
        raise UntrustedError(self._why_unknown(method, index=index, role=role))

    def added_at(self, method: str, role: str) -> int | None:
        """Return the entry that added a key in a role, or None."""
        added = self._added.get((method, role))
        return None if added is None else added.index

    def addition(self, method: str, role: str) -> KeyAdded | None:
        """Return what the ledger says of a key in a role, or None."""
        added = self._added.get((method, role))
        return None if added is None else added.event

    def revocation(self, method: str) -> Revocation | None:
        """Return why a key counts no more, or None."""
        return self._revoked.get(method)

    def revocations(self) -> dict[str, Revocation]:
        """Return every revocation by verification method, in the order of the ledger."""
        return dict(self._revoked)

    def methods(self) -> list[tuple[str, str]]:
        """Return (method, role) of every key that was added, in the order of the ledger."""
        return list(self._added)

    def _require_steward(self, event: KeyEvent, index: int, sealed_by: str) -> None:
        if self.trust is None and self._first_steward is None:
            if isinstance(event, KeyAdded) and (event.method, event.role) == (sealed_by, STEWARD):
                return
            raise UntrustedError(
                f"the key event at entry {index} is the ledger's first, so it must add the steward"
                f" that seals it; it is sealed by {_did(sealed_by)} and speaks of"
                f" {_did(event.method)}"
            )
        try:
            self.judge(sealed_by, index=index, role=STEWARD)
        except UntrustedError as error:
            raise UntrustedError(f"the key event at entry {index}: {error}") from None

    def _require_sound(self, added: _Added) -> None:
        """Refuse a key that a thief may have added: its steward was compromised by then."""
        adder = self._revoked.get(added.by)
        ended = None if adder is None else adder.counts_before
        if self.trust is not None and (listed := self.trust.says.find(added.by, STEWARD)):
            ends = [each for each in (ended, listed.counts_before) if each is not None]
            ended = min(ends) if ends else None
        if ended is not None and added.index >= ended and added.by != added.event.method:
            raise UntrustedError(
                f"{_did(added.event.method)} was added at entry {added.index} by the steward"
                f" {_did(added.by)}, which was {COMPROMISED} from entry {ended} on;"
                " a steward who counts must add it"
            )
        # The adder may itself have been added by a thief. Who adds was added earlier, so this ends.
        above = self._added.get((added.by, STEWARD))
        if above is not None and above.index < added.index:
            self._require_sound(above)

    def _is_known_by_use(self, method: str, *, index: int, role: str) -> bool:
        if any(other == method and each != role for other, each in self._added):
            return False  # it has a role, and it is another one
        if role == PRODUCER:
            return True
        return self._first_steward is None or index < self._first_steward

    def _why_unknown(self, method: str, *, index: int, role: str) -> str:
        roles = [each for other, each in self._added if other == method]
        if self.trust is not None:
            roles += [key.role for key in self.trust.says.keys if key.method == method]
        if roles and role not in roles:
            return f"{_did(method)} sealed entry {index} as {role}, and is {' and '.join(roles)}"
        by = (
            "the steward whom the ledger's first key event names has"
            if self.trust is None
            else f"trust file version {self.trust.version} lists it, or a steward has"
        )
        return (
            f"{_did(method)} sealed entry {index} as {role}, and is none there: expected that {by}"
            " added it by then"
        )


def admit(
    history: KeyHistory, *, kind: str, index: int, method: str, graph_nq: bytes
) -> TrustedKey:
    """Judge one entry whose seal was verified, and take it into the history if it is a key event.

    Called with every entry in the order of the ledger, it judges each by what stood before it.

    Raises:
        FormatError: a key event that is not of its form.
        UntrustedError: the seal does not count, or a kind of entry that nobody knows.
    """
    role = SEALED_BY.get(kind)
    if role is None:
        raise UntrustedError(f"entry {index} is of kind {kind[:40]!r}, which means nothing here")
    # Before the event counts: a steward may revoke itself.
    key = history.judge(method, index=index, role=role)
    if kind in KEY_EVENTS:
        history.take(parse_key_event(kind, graph_nq), index=index, sealed_by=method)
    return key


def require_in_time(
    key: TrustedKey,
    *,
    created: datetime,
    there_at: datetime | None = None,
    absent_at: datetime | None = None,
) -> str | None:
    """Hold a seal against the times between which its key is valid; say what is not shown.

    Args:
        key: as `KeyHistory.judge` returned it.
        created: the signer's own claim, which can only count against it.
        there_at: a time at which somebody else than the signer saw the entry in the ledger.
        absent_at: a time at which somebody else saw the ledger without it.

    1. The signer's own date lies outside: refused.
    2. The entry was in the ledger before the key was valid, or not yet when it ended: refused.
    3. A key that ends: that the entry was there by its end is shown by `there_at`, or by nothing.

    Returns:
        None where nothing is open, otherwise what is not shown, in words.

    Raises:
        UntrustedError: steps 1 and 2.
    """
    begin, end = key.valid_from, key.valid_until
    who = _did(key.method)
    # 1.
    if begin is not None and created < begin:
        raise UntrustedError(
            f"{who} is valid from {format_time(begin)}, its seal says {format_time(created)}"
        )
    if end is not None and created > end:
        raise UntrustedError(
            f"{who} was valid until {format_time(end)}, its seal says {format_time(created)}"
        )
    # 2.
    if begin is not None and there_at is not None and there_at < begin:
        raise UntrustedError(
            f"{who} is valid from {format_time(begin)}, and what it sealed was there at"
            f" {format_time(there_at)}"
        )
    if end is not None and absent_at is not None and absent_at > end:
        raise UntrustedError(
            f"{who} was valid until {format_time(end)}, and what it sealed was not there yet at"
            f" {format_time(absent_at)}"
        )
    # 3.
    if end is None or (there_at is not None and there_at <= end):
        return None
    return (
        f"that {who} sealed before its end on {format_time(end)} is the signer's own claim:"
        " no checkpoint at hand shows the entry by then"
    )


def _did(method: str) -> str:
    return method.partition("#")[0]
