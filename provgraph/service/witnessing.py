"""Witnesses of a home's ledger: naming them, asking them to cosign, and what they have seen.

Specification: C2SP tlog-witness, the log's side. A witness is named by an entry of the ledger, sealed
by its steward. When a checkpoint leaves the home the witnesses are asked; one that is away is said and
holds nothing up. What they cosigned is remembered outside of the ledger (`provgraph.ledger.witnessed`).

A witness that knows more of this ledger than this copy holds, or something else, shows that this copy
is old or that there are two: the ledger then stops for good. The witness's word alone is not taken for
proof; the checkpoint that it shows is, since this ledger's own key signed it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from provgraph.capture.identifiers import new_id
from provgraph.convert.witnesses import KIND, NAMED, RETIRED, read_appointment
from provgraph.errors import (
    FormatError,
    NotFoundError,
    RolledBackError,
    UntrustedError,
    UsageError,
)
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.witnessed import Claim
from provgraph.outgoing import require_address
from provgraph.records import Agent, Appointment
from provgraph.seal.entry import WITNESS
from provgraph.seal.note import Checkpoint, NoteKey, unverified_checkpoint
from provgraph.seal.witnessed import (
    Cosigned,
    add_cosignatures,
    parse_witness_keys,
    require_cosigned,
)
from provgraph.service.home import (
    cosigned_checkpoint,
    steward_signer,
    utc_now,
    writable_ledger,
)
from provgraph.service.recording import write_record
from provgraph.settings import Settings
from provgraph.witness.client import (
    DEFAULT_TIMEOUT_S,
    Answer,
    Cosignatures,
    Inconsistent,
    KnowsSize,
    Peer,
    Silent,
    ask_all,
    last_cosigned,
)
from provgraph.witness.protocol import Submission, new_submission

logger = logging.getLogger(__name__)

# The first question may bring the size that the witness knows, the second one the cosignature; the
# others are for a ledger that grows meanwhile.
_MAX_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A checkpoint as it may leave the home, with the cosignatures that could be had."""

    note: bytes
    checkpoint: Checkpoint
    cosigned: tuple[Cosigned, ...] = ()
    keys: tuple[NoteKey, ...] = ()  # of the witnesses that have cosigned it
    warnings: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()  # names of the witnesses that have not cosigned it


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a ledger stands with its witnesses, as far as this home knows."""

    witnesses: tuple[Peer, ...]
    seen: Checkpoint | None  # the last witnessed checkpoint
    cosigned: tuple[tuple[str, datetime], ...]
    behind: int  # entries that no witness has seen
    stopped: str | None  # why nothing is appended
    missing_copies: tuple[str, ...]


def witnesses(ledger: Ledger) -> tuple[Peer, ...]:
    """Return the witnesses that are named in a ledger and not retired, sorted by name.

    Raises:
        UntrustedError: an entry that names one is not what it should be.
    """
    # Only the steward names witnesses: what another kind of entry calls one is passed over.
    rows = [(row.name, ledger.read(row.index)) for row in ledger.names_of_kind(KIND)]
    latest = {name: record for name, record in rows if record.kind == WITNESS}
    found = []
    for name, record in sorted(latest.items()):
        try:
            appointed = read_appointment(record.graph_nq)
            if appointed.status == NAMED:
                keys = parse_witness_keys(appointed.verifier_keys)
                found.append(Peer(name=name, address=appointed.address, keys=keys))
        except FormatError as error:
            raise UntrustedError(
                f"entry {record.index} names the witness {name}: {error}"
            ) from None
    return tuple(found)


def name_witness(settings: Settings, *, address: str, keys: Sequence[str]) -> Peer:
    """Name a witness in the ledger: from here on it is asked to cosign.

    Raises:
        UsageError: an address that may not be asked, keys that are not one witness's, or a witness
            that is named so already.
        StorageError, RolledBackError, UntrustedError: the ledger cannot be written.
    """
    try:
        parsed = parse_witness_keys(keys)
    except FormatError as error:
        raise UsageError(f"{error}; `provgraph witness key` prints them") from None
    peer = Peer(name=parsed[0].name, address=require_address(address), keys=parsed)
    with writable_ledger(settings) as ledger:
        if peer in witnesses(ledger):
            raise UsageError(f"the witness {peer.name} is named in this ledger already")
    _appoint(settings, peer, status=NAMED, reason=None)
    return peer


def retire_witness(settings: Settings, name: str, *, reason: str | None) -> None:
    """Ask a witness no more; what it has cosigned stays true, what it claimed is let go.

    Raises:
        NotFoundError: no witness of that name.
        StorageError, RolledBackError, UntrustedError: the ledger cannot be written.
    """
    with writable_ledger(settings) as ledger:
        known = {peer.name: peer for peer in witnesses(ledger)}
        if name not in known:
            names = ", ".join(known) or "none"
            raise NotFoundError(f"no witness {name} in this ledger; there are: {names}")
        for claim in ledger.memory.claims():
            if claim.witness == name:
                said = f"it said, without proof: {claim.text}"
                reason = said if reason is None else f"{reason} ({said})"
        # If the process dies before the entry is in, the witness is asked again, and says it again.
        ledger.memory.forget_claim(name)
    _appoint(settings, known[name], status=RETIRED, reason=reason)


def cosign(
    settings: Settings, *, timeout_s: float = DEFAULT_TIMEOUT_S, is_fresh: bool = False
) -> Witnessed:
    """Return the latest checkpoint, cosigned by all witnesses that answer in time.

    Witnesses that have cosigned this very checkpoint are asked again only with `is_fresh`.

    Raises:
        RolledBackError: a witness has seen a later or another history; it is remembered, and nothing
            is appended from then on.
        StorageError, LedgerError, UntrustedError: the checkpoint cannot be signed or kept.
    """
    _settle_claims(settings, timeout_s=timeout_s)
    asking = _Asking(settings, timeout_s=timeout_s)
    for _ in range(_MAX_ROUNDS):
        note = cosigned_checkpoint(settings)
        if not asking.begin(note, is_fresh=is_fresh):
            break
        if asking.ask():
            break
    return asking.end()


def standing(ledger: Ledger) -> Standing:
    """Say how a ledger, open for reading, stands with its witnesses.

    Raises:
        StorageError: what was remembered cannot be read.
        UntrustedError: an entry that names a witness is not what it should be.
    """
    stopped = None
    size = ledger.size()
    try:
        ledger.memory.require_current(ledger, size)
    except (RolledBackError, UntrustedError) as error:
        stopped = str(error)
    known = witnesses(ledger)
    note = ledger.memory.checkpoint()
    seen, cosigned = None, []
    if note is not None:
        try:
            seen = unverified_checkpoint(note)
        except FormatError:
            note = None
    for peer in known if note is not None else ():
        try:
            found = require_cosigned(note or b"", peer.keys)
        except (FormatError, UntrustedError):
            continue
        cosigned.append((peer.name, found.at))
    copies = ledger.memory.missing_copies(ledger.origin)
    return Standing(
        witnesses=known,
        seen=seen,
        cosigned=tuple(cosigned),
        behind=size if seen is None else max(0, size - seen.size),
        stopped=stopped,
        missing_copies=tuple(map(str, copies)),
    )


@dataclass(slots=True)
class _Asking:
    """One cosigning: the checkpoint at hand, and what each witness has said so far."""

    settings: Settings
    timeout_s: float
    note: bytes = b""
    checkpoint: Checkpoint | None = None
    waiting: dict[Peer, int] = field(default_factory=dict)  # with the size it is believed to know
    peers: tuple[Peer, ...] = ()
    warnings: list[str] = field(default_factory=list)

    def begin(self, note: bytes, *, is_fresh: bool) -> bool:
        """Take up a checkpoint; return whether somebody must be asked about it."""
        with writable_ledger(self.settings) as ledger:
            self.peers = witnesses(ledger)
            remembered = ledger.memory.checkpoint()
        self.note, self.checkpoint = note, unverified_checkpoint(note)
        self.warnings = []
        known = None
        if remembered is not None:
            # The guard has checked its signature and its place before this note was signed.
            known = unverified_checkpoint(remembered)
            if known == self.checkpoint:
                lines = remembered[remembered.index(b"\n\n") + 2 :]
                for peer in self.peers:
                    if _is_cosigned(remembered, peer):
                        self.note = add_cosignatures(self.note, lines, peer.keys)
        self.waiting = {
            peer: known.size if known is not None and _is_cosigned(remembered, peer) else 0
            for peer in self.peers
            if is_fresh or not _is_cosigned(self.note, peer)
        }
        return bool(self.waiting)

    def ask(self) -> bool:
        """Ask until each has answered; return False if the ledger has grown beyond the checkpoint."""
        asked = len(self.waiting)
        for _ in range(_MAX_ROUNDS):
            if not self.waiting:
                break
            answers = ask_all(self._submissions(), timeout_s=self.timeout_s)
            known = dict(self.waiting)
            self.waiting = {}
            for peer, answer in answers.items():
                if not self._take(peer, answer, known=known[peer]):
                    return False
        for peer in self.waiting:
            self._silent(peer, "it says another size each time")
        if asked and any(_is_cosigned(self.note, peer) for peer in self.peers):
            with writable_ledger(self.settings) as ledger:
                failed = ledger.memory.remember(self.note, origin=ledger.origin)
            self.warnings += [f"no copy of the witnessed checkpoint: {each}" for each in failed]
        return True

    def end(self) -> Witnessed:
        """Return what could be had."""
        assert self.checkpoint is not None, "begin was called"
        cosigned = [
            require_cosigned(self.note, peer.keys)
            for peer in self.peers
            if _is_cosigned(self.note, peer)
        ]
        names = {each.name for each in cosigned}
        return Witnessed(
            note=self.note,
            checkpoint=self.checkpoint,
            cosigned=tuple(cosigned),
            keys=tuple(key for peer in self.peers if peer.name in names for key in peer.keys),
            warnings=tuple(self.warnings),
            silent=tuple(peer.name for peer in self.peers if peer.name not in names),
        )

    def _submissions(self) -> dict[Peer, Submission]:
        assert self.checkpoint is not None, "begin was called"
        size = self.checkpoint.size
        found = {}
        with writable_ledger(self.settings) as ledger:
            for peer, old in self.waiting.items():
                proof = ledger.consistency_proof(old, size) if old else []
                found[peer] = new_submission(old_size=old, proof=proof, note=self.note)
        return found

    def _take(self, peer: Peer, answer: Answer, *, known: int) -> bool:
        """Act on an answer; return False if the ledger has grown beyond the checkpoint meanwhile."""
        assert self.checkpoint is not None, "begin was called"
        if isinstance(answer, Cosignatures):
            self.note = add_cosignatures(self.note, answer.lines, peer.keys)
        elif isinstance(answer, Silent):
            self._silent(peer, answer.reason)
        elif isinstance(answer, KnowsSize) and answer.size <= self.checkpoint.size:
            if answer.size < known:
                self.warnings.append(
                    f"the witness {peer.name} has cosigned {known} entries, and says now that it knows"
                    f" {answer.size}: it has lost its state. Tell its operator"
                )
            self.waiting[peer] = answer.size
        else:
            return self._contradicted(peer, answer)
        return True

    def _contradicted(self, peer: Peer, answer: KnowsSize | Inconsistent) -> bool:
        """Find out whether this copy of the ledger is old or forked, and stop it if so."""
        claim = (
            f"it cosigned {answer.size} entries, and this copy has fewer"
            if isinstance(answer, KnowsSize)
            else f"this tree does not contain the one that it cosigned ({answer.reason})"
        )
        with writable_ledger(self.settings) as ledger:
            size = ledger.size()
            if isinstance(answer, KnowsSize) and answer.size <= size:
                # Another process of this home recorded and cosigned while we asked.
                return False
            _judge(ledger, peer, claim, timeout_s=self.timeout_s)
        self._silent(peer, f"{claim}; but what it shows is in this ledger")
        return True

    def _silent(self, peer: Peer, reason: str) -> None:
        self.warnings.append(f"the witness {peer.name} has not cosigned: {reason}")


def _settle_claims(settings: Settings, *, timeout_s: float) -> None:
    """Look once more at what witnesses claimed without proof, before anything is signed."""
    with writable_ledger(settings) as ledger:
        claims = ledger.memory.claims()
        if not claims:
            return
        peers = {peer.name: peer for peer in witnesses(ledger)}
        for claim in claims:
            if claim.witness in peers:
                _judge(ledger, peers[claim.witness], claim.text, timeout_s=timeout_s)


def _judge(ledger: Ledger, peer: Peer, claim: str, *, timeout_s: float) -> None:
    """Stop the ledger if a witness is right, or may be; return if what it shows is in the ledger.

    Raises:
        RolledBackError: it showed a checkpoint of this log that the ledger does not contain, or it
            showed none.
    """
    shown = last_cosigned(peer, ledger.charter.log_keys, timeout_s=timeout_s)
    size = ledger.size()
    if shown is None:
        ledger.memory.remember_claim(Claim(witness=peer.name, text=claim))
    else:
        note, checkpoint = shown
        if checkpoint.size > size or ledger.root(checkpoint.size) != checkpoint.root:
            # Signed by this ledger's own key: no witness can make that up.
            ledger.memory.remember_conflict(note)
        ledger.memory.forget_claim(peer.name)
    ledger.memory.require_current(ledger, size)


def _is_cosigned(note: bytes | None, peer: Peer) -> bool:
    try:
        require_cosigned(note or b"", peer.keys)
    except (FormatError, UntrustedError):
        return False
    return True


def _appoint(settings: Settings, peer: Peer, *, status: str, reason: str | None) -> None:
    record = Appointment(
        id=new_id(),
        witness=peer.name,
        address=peer.address,
        verifier_keys=tuple(key.vkey for key in peer.keys),
        status=status,
        reason=reason,
        by=Agent(name=settings.owner) if settings.owner else None,
        at=utc_now(),
    )
    write_record(
        settings, record, record_id=record.id, kind=WITNESS, signer=steward_signer(settings)
    )
