"""Decisions about keys: added, revoked, and one put in the place of another, as entries of the ledger.

A rotation is one append: the new key added and, mostly, the old one revoked, sealed by the steward. The
new key waits in `<role>.next.pem` until the entries are durable; then the old file is moved to
`retired/`, never deleted, and the new one takes its place. A process that dies in between leaves
`<role>.next.pem` with its entry in the ledger, and whoever is refused next finishes the work
(`finish_rotation`). A process that still has the old key open is refused by the ledger, reads the new
one, and seals again (`provgraph.service.recording`).

The first decision of a ledger adds its steward, so that it is known who may decide.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from provgraph import __version__
from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.errors import StorageError, UsageError
from provgraph.ledger.rows import Pending, Position
from provgraph.ledger.sqlite import Ledger
from provgraph.records import Agent, KeyAddition, KeyDecision, KeyRevocation
from provgraph.seal.entry import KEY_ADD, KEY_REVOKE, PRODUCER, STEWARD
from provgraph.seal.keyevent import COMPROMISED, REASONS, ROLES, require_validity
from provgraph.seal.keys import Signer, require_usable_key
from provgraph.seal.multikey import parse_verification_method
from provgraph.seal.publish import PRIVATE_FOLDER_MODE
from provgraph.seal.trust import KeyHistory
from provgraph.service.home import steward_signer, utc_now, writable_ledger
from provgraph.service.recording import sealed
from provgraph.service.signing import open_signer, place, place_of, signer_of
from provgraph.settings import Settings

ROTATED_ROLES: Final = (PRODUCER, STEWARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What stands in the ledger now: the keys concerned, and the entries that say so."""

    key: str  # verification method
    replaced: str | None = None
    counts_before: int | None = None  # the index from which the replaced or revoked key ends
    positions: tuple[Position, ...]
    moved_to: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Who decides, and why in words; both go into the ledger."""

    by: Agent | None = None
    reason: str | None = None


def add_key(
    settings: Settings,
    key: str,
    *,
    role: str,
    owner: Agent | None,
    valid_from: datetime | None,
    valid_until: datetime | None,
    why: Why,
) -> Decided:
    """Let a key count in a role from the next entry on.

    Raises:
        FormatError: not a key, or a validity that ends before it begins.
        UntrustedError: a key of low order, or off its curve.
        UsageError: an unknown role.
        KeyRefusedError: it is there already, was revoked, or this home's steward may not decide.
        StorageError: it could not be made durable.
    """
    if role not in ROLES:
        raise UsageError(f"expected a role of {', '.join(ROLES)}, found {role!r}")
    require_usable_key(parse_verification_method(key))
    require_validity(valid_from, valid_until)
    with writable_ledger(settings) as ledger:
        addition = _addition(
            key, role, why, owner=owner, valid_from=valid_from, valid_until=valid_until
        )
        if key == steward_signer(settings).verification_method and not _is_named(ledger, key):
            return Decided(key=key, positions=_append(settings, ledger, [addition]))
        return Decided(key=key, positions=_decide(settings, ledger, [addition], why=why))


def revoke_key(
    settings: Settings, key: str, *, reason: str, counts_before: int | None, why: Why
) -> Decided:
    """Let what a key seals count no more, from the next entry on or from an earlier one.

    Raises:
        FormatError: not a key.
        UsageError: an unknown reason, an earlier end for another reason than a compromise, or the
            ledger would be left without a steward.
        KeyRefusedError: this home's steward may not decide.
        StorageError: it could not be made durable.
    """
    if reason not in REASONS:
        raise UsageError(f"expected a reason of {', '.join(REASONS)}, found {reason!r}")
    if counts_before is not None and reason != COMPROMISED:
        raise UsageError(f"--since is for keys that were {COMPROMISED}; this one is {reason}")
    parse_verification_method(key)
    revocation = KeyRevocation(
        id=secrets.token_hex(16),
        key=key,
        revocation_reason=reason,
        counts_before=counts_before,
        by=why.by,
        reason=why.reason,
        at=utc_now(),
    )
    with writable_ledger(settings) as ledger:
        if key == steward_signer(settings).verification_method:
            raise UsageError(
                "this is the key that seals decisions, and the ledger would be left without one;"
                " put another in its place with `provgraph keys rotate steward`, which revokes it"
            )
        return Decided(key=key, positions=_decide(settings, ledger, [revocation], why=why))


def rotate_key(
    settings: Settings,
    role: str,
    *,
    reason: str | None,
    counts_before: int | None,
    owner: Agent | None,
    valid_until: datetime | None,
    why: Why,
) -> Decided:
    """Put a new key in the place of this home's key of a role; the old one's file is kept aside.

    `reason` None leaves the old key valid, for processes elsewhere that still have it.

    Raises:
        UsageError: a role whose key cannot be replaced, or a key that is no file of this home.
        KeyRefusedError: this home's steward may not decide.
        StorageError: it could not be made durable.
    """
    if role not in ROTATED_ROLES:
        raise UsageError(
            f"expected {' or '.join(ROTATED_ROLES)}, found {role!r}; the log key stands in the"
            " ledger's charter, so a new one means a new ledger"
        )
    path = place_of(settings, role).path
    if path is None:
        raise UsageError(
            f"the {role} key is no file of this home ({place_of(settings, role).text}): make the new"
            f" one where the old one is, then `provgraph keys add <new> --role {role}`, change the"
            f" setting {role}_key, and `provgraph keys revoke <old>`"
        )
    with writable_ledger(settings) as ledger, _alone(path.parent):
        _finish(settings, ledger.keys())
        old = signer_of(settings, role)
        new = open_signer(place(str(_next(path))), create=True)
        decisions: list[KeyDecision] = [
            _addition(
                new.verification_method,
                role,
                why,
                owner=owner,
                valid_until=valid_until,
                replaces=old.verification_method,
            )
        ]
        known = ledger.keys().revocation(old.verification_method)
        if reason is not None and (known is None or reason == COMPROMISED):
            decisions.append(
                KeyRevocation(
                    id=secrets.token_hex(16),
                    key=old.verification_method,
                    revocation_reason=reason,
                    counts_before=counts_before,
                    by=why.by,
                    reason=why.reason,
                    at=utc_now(),
                )
            )
        positions = _decide(settings, ledger, decisions, why=why)
        revoked = ledger.keys().revocation(old.verification_method)
        # If the process dies here, the ledger knows the new key and its file still waits:
        # whoever comes next finishes.
        moved_to = _put_in_place(path, old)
    return Decided(
        key=new.verification_method,
        replaced=old.verification_method,
        counts_before=None if revoked is None else revoked.counts_before,
        positions=positions,
        moved_to=moved_to,
    )


def finish_rotation(settings: Settings, keys: KeyHistory) -> bool:
    """Put keys in their place that the ledger knows and whose rotation was cut short.

    Returns:
        Whether there was one.
    """
    waiting = [
        path
        for role in ROTATED_ROLES
        if (path := place_of(settings, role).path) is not None and _next(path).exists()
    ]
    if not waiting:
        return False
    with _alone(waiting[0].parent):
        return _finish(settings, keys)


def _finish(settings: Settings, keys: KeyHistory) -> bool:
    found = False
    for role in ROTATED_ROLES:
        path = place_of(settings, role).path
        if path is None or not _next(path).exists():
            continue
        new = open_signer(place(str(_next(path))))
        if keys.added_at(new.verification_method, role) is not None:
            _put_in_place(path, signer_of(settings, role))
            found = True
    return found


def _decide(
    settings: Settings, ledger: Ledger, decisions: Sequence[KeyDecision], *, why: Why
) -> tuple[Position, ...]:
    """Append decisions; a ledger whose steward nobody has named yet gets that said first."""
    steward = steward_signer(settings)
    if ledger.keys().trust is None and not _has_steward(ledger):
        first = _addition(
            steward.verification_method,
            STEWARD,
            Why(by=why.by, reason="the first decision names who may decide"),
        )
        decisions = [first, *decisions]
    return _append(settings, ledger, decisions)


def _append(
    settings: Settings, ledger: Ledger, decisions: Sequence[KeyDecision]
) -> tuple[Position, ...]:
    steward = steward_signer(settings)
    pending = [_pending(ledger, decision, steward) for decision in decisions]
    # One transaction: all are in, or none.
    return tuple(ledger.append(pending))


def _pending(ledger: Ledger, decision: KeyDecision, steward: Signer) -> Pending:
    now = utc_now()
    context = Context(
        namespace=ledger.namespace,
        software_version=__version__,
        recorded_at=now,
        previous={},
    )
    kind = KEY_ADD if isinstance(decision, KeyAddition) else KEY_REVOKE
    converted = convert(decision, record_id=f"{kind}-{decision.id}", context=context)
    return sealed(converted, signer=steward, now=now, kind=kind)


def _addition(
    key: str,
    role: str,
    why: Why,
    *,
    owner: Agent | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    replaces: str | None = None,
) -> KeyAddition:
    return KeyAddition(
        id=secrets.token_hex(16),
        key=key,
        role=role,
        owner=owner,
        valid_from=valid_from,
        valid_until=valid_until,
        replaces=replaces,
        by=why.by,
        reason=why.reason,
        at=utc_now(),
    )


def _has_steward(ledger: Ledger) -> bool:
    return any(role == STEWARD for _, role in ledger.keys().methods())


def _is_named(ledger: Ledger, key: str) -> bool:
    return ledger.keys().added_at(key, STEWARD) is not None


def _next(path: Path) -> Path:
    return path.with_name(f"{path.stem}.next.pem")


def _put_in_place(path: Path, old: Signer) -> Path:
    """Move the key at path aside and the waiting one into its place; safe to do twice."""
    multikey = old.verification_method.partition("#")[2]
    retired = path.parent / "retired" / f"{path.stem}-{multikey}.pem"
    try:
        retired.parent.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            # A second name first: at no time is the old key without one.
            os.link(path, retired)
        _sync(retired.parent)
        os.replace(_next(path), path)
        _sync(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot put {_next(path)} in the place of {path}: {error.strerror or error}; mend the"
            " permissions, then run `provgraph keys list`, which finishes it"
        ) from error
    return retired


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from moving keys of this folder meanwhile."""
    try:
        folder.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"cannot open {folder}: {error.strerror or error}") from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
