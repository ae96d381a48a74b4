"""What an interrupted check of a ledger had seen, kept so that it can go on from there.

A state answers for the entries before its position: that they were checked, and what their rows
were, as one SHA-256 per range. Going on reads those rows again and compares, so that nothing that was
changed since goes unnoticed. What a state cannot prove is that it is genuine: whoever can write it
can write one that claims a check which never was. So a check that is interrupted shows the state's
token, its SHA-256, to who runs it; with that token only this very state is taken.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.ledger.fsck_range import RANGE_ENTRIES, RangeReport, SealedBy
from provgraph.ledger.reading import LedgerReader
from provgraph.seal.merkle import HASH_BYTES, Frontier

FORMAT: Final = "provgraph-verify-state/v2"
TOKEN_DIGITS: Final = 32
# One digest per range: 10 million entries take 0.7 MB.
MAX_STATE_BYTES: Final = 64 * 1024 * 1024


class RefusedStateError(UntrustedError):
    """A state does not fit the ledger that is to be checked."""


@dataclass(slots=True, kw_only=True)
class State:
    """What has been checked so far: the entries below `frontier.size`."""

    origin: str
    frontier: Frontier
    rows: list[str] = field(default_factory=list)
    sealed: dict[tuple[str, str], SealedBy] = field(default_factory=dict)
    names: int = 0
    attachments: int = 0
    graph_bytes: int = 0
    deciding: list[int] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)

    @classmethod
    def at_start(cls, origin: str) -> State:
        """Return the state in which nothing has been checked."""
        return cls(origin=origin, frontier=Frontier(size=0))

    def add(self, report: RangeReport) -> None:
        """Add what a range came to, but for its place in the tree."""
        self.rows.append(report.rows_sha256)
        self.names += report.names
        self.attachments += report.attachments
        self.graph_bytes += report.graph_bytes
        self.deciding += report.deciding
        self.erased += report.erased
        for key, by in report.sealed.items():
            known = self.sealed.setdefault(key, by)
            if known is not by:
                known.add(by)

    def require_fit(self, ledger: LedgerReader, *, snapshot_size: int) -> None:
        """Check that this state is of this ledger's tree.

        Raises:
            RefusedStateError: of another ledger, or of a tree that this one does not continue.
        """
        size = self.frontier.size
        if self.origin != ledger.origin or size > snapshot_size or size % RANGE_ENTRIES:
            raise RefusedStateError(
                f"the state to resume is of {self.origin} at entry {size}, the ledger is"
                f" {ledger.origin} with {snapshot_size}; check again without --resume"
            )
        if len(self.rows) != size // RANGE_ENTRIES or ledger.root(size) != self.frontier.root():
            raise RefusedStateError(
                f"the state to resume does not fit the ledger's tree at entry {size}: one of them was"
                " changed since; check again without --resume"
            )

    def encode(self) -> bytes:
        """Return the state as JSON."""
        value = {
            "format": FORMAT,
            "origin": self.origin,
            "position": self.frontier.size,
            "peaks": [peak.hex() for peak in self.frontier.peaks],
            "rows": self.rows,
            "sealed": [[kind, method, *by.encode()] for (kind, method), by in self.sealed.items()],
            "names": self.names,
            "attachments": self.attachments,
            "graph_bytes": self.graph_bytes,
            "deciding": self.deciding,
            "erased": self.erased,
        }
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> State:
        """Read a state.

        Raises:
            FormatError: it is none.
        """
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise FormatError(f"expected a {FORMAT}, found {value['format']!r:.80}")
            return cls(
                origin=_typed(value, "origin", str),
                frontier=Frontier.of_peaks(
                    _typed(value, "position", int), [bytes.fromhex(each) for each in value["peaks"]]
                ),
                rows=[_hash(each) for each in value["rows"]],
                sealed={
                    (str(kind), str(method)): SealedBy.decode(by)
                    for kind, method, *by in value["sealed"]
                },
                names=_typed(value, "names", int),
                attachments=_typed(value, "attachments", int),
                graph_bytes=_typed(value, "graph_bytes", int),
                deciding=[int(each) for each in value["deciding"]],
                erased=[int(each) for each in value["erased"]],
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FormatError(
                f"the state to resume is damaged ({type(error).__name__}: {error}); check again"
                " without --resume"
            ) from None


def token(data: bytes) -> str:
    """Return what names a state's bytes: the first digits of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:TOKEN_DIGITS]


def _typed(value: dict[str, Any], name: str, kind: type) -> Any:
    if type(value[name]) is not kind:
        raise FormatError(f"expected {kind.__name__} as {name}, found {value[name]!r:.80}")
    return value[name]


def _hash(text: str) -> str:
    if len(bytes.fromhex(text)) != HASH_BYTES:
        raise FormatError(f"expected a SHA-256, found {text!r:.80}")
    return text
