"""Every key that this home knows of: its own, those of the ledger's key events, of the trust file.

With `used`, also those that sealed entries and of which nothing else is said; that reads the whole ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from provgraph.errors import ProvgraphError
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import LOG, SEALED_BY, parse_entry
from provgraph.seal.keyfile import how_kept
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.seal.trust import KNOWN_BY_USE, KeyHistory
from provgraph.service.home import readable_ledger, utc_now
from provgraph.service.signing import OWN_ROLES, open_signer, place_of
from provgraph.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key in one role."""

    role: str
    method: str
    state: str  # active | retired | not valid yet | expired | revoked … | unreadable: …
    basis: str  # what says that it counts
    owner: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    kept: str = "absent"  # encrypted file | file | PKCS#11 | Vault | absent, of the private key
    sealed: int | None = None  # entries, where they were counted


def list_keys(settings: Settings, *, used: bool = False) -> list[KeyRow]:
    """Return the keys in the order of roles, the home's own first.

    Raises:
        UntrustedError: a key event of the ledger, or an installed trust file, does not count.
    """
    if not settings.ledger_path.exists():
        own = {role: own_method(settings, role) for role in OWN_ROLES}
        return [
            KeyRow(role=role, method=method, state="active", basis=KNOWN_BY_USE, kept=kept)
            for role, (method, kept) in own.items()
            if method is not None
        ]
    with readable_ledger(settings) as ledger:
        keys, size = ledger.keys(), ledger.size()
        counts = sealed_by(ledger) if used else None
        log = verification_method(PublicKey(algorithm=ED25519, raw=ledger.log_key))
    return list(_rows(settings, keys, counts, size=size, log=log))


def own_method(settings: Settings, role: str) -> tuple[str | None, str]:
    """Return the verification method of this home's own key, and how its private part is kept."""
    place = place_of(settings, role)
    if place.kept == "absent":
        return None, "absent"
    try:
        return open_signer(place).verification_method, place.kept
    except ProvgraphError as error:
        # Its passphrase is not here, or its server is away: the rest can still be shown.
        return None, f"{place.kept}, not readable: {error}"


def sealed_by(ledger: Ledger) -> Counter[tuple[str, str]]:
    """Count the entries that each key sealed, by (method, role)."""
    counts: Counter[tuple[str, str]] = Counter()
    for data in ledger.entries(0, ledger.size()):
        entry = parse_entry(data)
        counts[entry.verification_method, SEALED_BY.get(entry.kind, entry.kind)] += 1
    return counts


def _rows(
    settings: Settings,
    keys: KeyHistory,
    counts: Counter[tuple[str, str]] | None,
    *,
    size: int,
    log: str,
) -> Iterator[KeyRow]:
    own = {role: own_method(settings, role) for role in OWN_ROLES}
    kept = {(method, role): how for role, (method, how) in own.items() if method is not None}
    kept |= _retired(settings)
    named = list(dict.fromkeys([*kept, (log, LOG), *keys.methods()]))
    if keys.trust is not None:
        named += [(key.method, key.role) for key in keys.trust.says.keys]
    if counts is not None:
        named += list(counts)
    for method, role in sorted(
        dict.fromkeys(named),
        key=lambda each: OWN_ROLES.index(each[1]) if each[1] in OWN_ROLES else 9,
    ):
        listed = None if keys.trust is None else keys.trust.says.find(method, role)
        addition = keys.addition(method, role)
        valid_from = listed.valid_from if listed else addition.valid_from if addition else None
        valid_until = listed.valid_until if listed else addition.valid_until if addition else None
        yield KeyRow(
            role=role,
            method=method,
            state=_state(keys, method, role, valid_from, valid_until, size=size),
            basis=_basis(keys, method, role, log=log),
            owner=listed.owner if listed else addition.owner if addition else None,
            valid_from=valid_from,
            valid_until=valid_until,
            kept=kept.get((method, role), "absent"),
            sealed=None if counts is None else counts[method, role],
        )
    for role, (method_or_none, how) in own.items():
        if method_or_none is None and how != "absent":
            yield KeyRow(role=role, method="", state="unknown", basis="", kept=how)


def _retired(settings: Settings) -> dict[tuple[str, str], str]:
    """Find the files of keys that rotations have moved aside; their names say whose they are."""
    found = {}
    for role in OWN_ROLES:
        path = place_of(settings, role).path
        folder = Path("/nonexistent") if path is None else path.parent / "retired"
        stem = role if path is None else path.stem
        for each in sorted(folder.glob(f"{stem}-z*.pem")):
            multikey = each.stem.removeprefix(f"{stem}-")
            found[f"did:key:{multikey}#{multikey}", role] = f"retired {how_kept(each)}"
    return found


def _state(
    keys: KeyHistory,
    method: str,
    role: str,
    valid_from: datetime | None,
    valid_until: datetime | None,
    *,
    size: int,
) -> str:
    revoked = keys.revocation(method)
    if revoked is not None:
        if revoked.reason == "retired":
            return f"retired at entry {revoked.index}"
        since = "" if revoked.counts_before == revoked.index else f", since {revoked.counts_before}"
        return f"revoked at entry {revoked.index} ({revoked.reason}{since})"
    listed = None if keys.trust is None else keys.trust.says.find(method, role)
    if listed is not None and listed.counts_before is not None and listed.counts_before <= size:
        return f"revoked from entry {listed.counts_before} (trust file)"
    now = utc_now()
    if valid_until is not None and now > valid_until:
        return "expired"
    if valid_from is not None and now < valid_from:
        return "not valid yet"
    return "active"


def _basis(keys: KeyHistory, method: str, role: str, *, log: str) -> str:
    if keys.trust is not None and keys.trust.says.find(method, role) is not None:
        return f"trust file {keys.trust.version}"
    added = keys.added_at(method, role)
    if added is not None:
        return f"entry {added}"
    if role == LOG and method == log:
        return "charter"
    if keys.trust is not None:
        return "nothing: not in the trust file"
    return KNOWN_BY_USE
