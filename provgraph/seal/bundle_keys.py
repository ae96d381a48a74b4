"""Step 8 of verifying a bundle: whose keys sealed it, judged by their place in the ledger.

A bundle carries the key events of every key that sealed something in it, and the trust files that its
home has installed, oldest first. What counts is the reader's own trust file where there is one; a newer
one in the bundle takes its place only as its successor. Without either, the ledger's first steward and
the keys themselves are taken as they are, and whoever verifies is told so.

What no bundle can show: a revocation that its maker left out, or made after it. Whoever holds a newer
trust file, checkpoint or bundle knows more. No I/O here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from provgraph.errors import UntrustedError
from provgraph.seal.charter import Charter
from provgraph.seal.entry import LOG, Entry
from provgraph.seal.keyevent import WITNESS
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.seal.note import NoteKey, open_note
from provgraph.seal.proof import parse_proof_config
from provgraph.seal.trust import KeyHistory, TrustedKey, admit, require_in_time
from provgraph.seal.trustfile import TrustFile, open_trust, require_roots, require_successor
from provgraph.terms import format_time

_NAME: Final = re.compile(r"trust/([0-9]{6,16})\.note")

_FOLDER: Final = re.compile(r"records/([0-9]{6,12})")


class Sealed(Protocol):
    """What step 7 has shown to stand in the ledger."""

    @property
    def position(self) -> int: ...  # noqa: D102
    @property
    def entry(self) -> Entry: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What the reader knows from elsewhere than the bundle."""

    trust: TrustFile | None = None
    roots: tuple[NoteKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Why each key counts, by which trust file, and what stays open."""

    trust: TrustFile | None
    source: str  # in words: where the trust came from
    keys: tuple[TrustedKey, ...]
    not_shown: tuple[str, ...]


def judge_keys(
    members: Mapping[str, bytes],
    records: Sequence[Sealed],
    *,
    charter: Charter,
    checkpoint_note: bytes,
    anchors: Anchors,
) -> Judged:
    """Judge every seal of a bundle.

    1. The trust files in the bundle are a chain: each the successor of the one before it, of this ledger.
    2. The reader's own trust file, or one that the reader's root keys have signed, leads to the one
       that is used (a trust file that the forger has signed, an old one put back).
    3. The log key is one that it lists.
    4. Key events are a steward's, and each seal is by a key that counts in its role at its place
       (a revoked key, a producer who names himself steward).
    5. A key that has a beginning or an end was used between them, as far as the times at hand show.

    Raises:
        FormatError: a trust file or key event that is not of its form.
        UntrustedError: the first thing that is wrong.
    """
    # 1.
    chain = _chain(members, origin=charter.origin)
    # 2.
    trust, source = _trust(chain, anchors, origin=charter.origin)
    # 3.
    log = verification_method(PublicKey(algorithm=ED25519, raw=charter.log_key))
    if trust is not None and trust.says.find(log, LOG) is None:
        raise UntrustedError(
            f"{log.partition('#')[0]} signed the checkpoint and is no log key of trust file"
            f" version {trust.version}"
        )
    # 4. In the order of the ledger; then once more, for ends that were set afterwards.
    history = KeyHistory(trust=trust)
    ordered = sorted(records, key=lambda each: each.position)
    folders = {
        int(match[1]): match[0] for name in members if (match := _FOLDER.match(name)) is not None
    }
    for record in ordered:
        folder = folders[record.position]
        try:
            admit(
                history,
                kind=record.entry.kind,
                index=record.position,
                method=record.entry.verification_method,
                # A graph that is withheld or erased is none of a key event.
                graph_nq=members.get(f"{folder}/graph.nq", b""),
            )
        except UntrustedError as error:
            raise UntrustedError(f"{folder}: {error}") from None
    # 5.
    there_at, who = _seen(checkpoint_note, charter, trust)
    keys: dict[tuple[str, str], TrustedKey] = {}
    not_shown: dict[str, None] = {}
    for record in ordered:
        folder = folders[record.position]
        try:
            key = _judged_again(history, record)
            config = parse_proof_config(members[f"{folder}/proof.nq"])
            said = require_in_time(key, created=config.created, there_at=there_at)
        except UntrustedError as error:
            raise UntrustedError(f"{folder}: {error}") from None
        keys[key.method, key.role] = key
        if said is not None:
            not_shown[said] = None
        elif key.valid_until is not None and there_at is not None:
            not_shown[
                f"that {key.method.partition('#')[0]} sealed before its end rests on the time of"
                f" {who}, {format_time(there_at)}"
            ] = None
    return Judged(trust=trust, source=source, keys=tuple(keys.values()), not_shown=tuple(not_shown))


def _judged_again(history: KeyHistory, record: Sealed) -> TrustedKey:
    """Judge a seal by the whole history: a key that was compromised may end before its revocation."""
    from provgraph.seal.entry import SEALED_BY

    return history.judge(
        record.entry.verification_method,
        index=record.position,
        role=SEALED_BY[record.entry.kind],
    )


def _chain(members: Mapping[str, bytes], *, origin: str) -> tuple[TrustFile, ...]:
    named = sorted(
        (int(match[1]), name) for name in members if (match := _NAME.fullmatch(name)) is not None
    )
    chain: list[TrustFile] = []
    for version, name in named:
        found = open_trust(members[name])
        if found.version != version:
            raise UntrustedError(f"{name}: its text says version {found.version}")
        if chain:
            require_successor(found, of=chain[-1])
        _require_origin(found, origin, whose=name)
        chain.append(found)
    return tuple(chain)


def _trust(
    chain: Sequence[TrustFile], anchors: Anchors, *, origin: str
) -> tuple[TrustFile | None, str]:
    own = anchors.trust
    if own is not None:
        _require_origin(own, origin, whose="your trust file")
        require_roots(own, anchors.roots)
        for known in chain:
            if known.version == own.version and known.fingerprint != own.fingerprint:
                raise UntrustedError(
                    f"there are two trust files of version {own.version}: yours, and another one in"
                    " the bundle"
                )
        last = own
        for newer in (each for each in chain if each.version > own.version):
            last = require_successor(newer, of=last)
        where = (
            "yours" if last is own else f"in the bundle, successor of your version {own.version}"
        )
        return last, f"trust file version {last.version} ({where})"
    if anchors.roots:
        if not chain:
            raise UntrustedError(
                "the bundle carries no trust file that your root keys could have signed;"
                " give one with --trust"
            )
        refusals = []
        for each in chain:
            try:
                require_roots(each, anchors.roots)
            except UntrustedError as error:
                refusals.append(error)
        if len(refusals) == len(chain):
            raise refusals[-1]
        return chain[-1], f"trust file version {chain[-1].version} (signed by your root keys)"
    if chain:
        roots = ", ".join(key.name for key in chain[0].signed_by)
        return chain[
            -1
        ], f"trust file version {chain[-1].version} (the bundle's own, roots {roots})"
    return None, "the ledger's own key events"


def _require_origin(trust: TrustFile, origin: str, *, whose: str) -> None:
    if trust.says.origin != origin:
        raise UntrustedError(
            f"{whose} is a trust file of {trust.says.origin}, the bundle is of {origin}"
        )


def _seen(note: bytes, charter: Charter, trust: TrustFile | None) -> tuple[datetime | None, str]:
    """Return when somebody saw the tree that the bundle's proofs lead to, and who.

    The earliest time of a witness that the trust file lists; without one the log's own.
    """
    witnesses: list[NoteKey] = []
    if trust is not None:
        witnesses = [
            key.witness_key
            for key in trust.says.keys
            if key.role == WITNESS and key.counts_before is None
        ]
    signatures = open_note(note, [*charter.log_keys, *witnesses]).signatures
    seen = [(each.time_s, each.key) for each in signatures if each.time_s]
    outside = [each for each in seen if each[1] in witnesses]
    if not seen:
        return None, "nobody"
    time_s, key = min(outside or seen, key=lambda each: each[0])
    who = f"the witness {key.name}" if key in witnesses else "the log itself, no witness"
    return datetime.fromtimestamp(time_s, UTC), who
