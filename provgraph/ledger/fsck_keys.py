"""The part of `fsck` that goes in the order of the ledger: whose seals count, and what was erased.

Key events and tombstones are few. A range without key events is judged by the first and last entry
of each key in it: within it nothing changes, and a key that ends stays ended. A range with some is
read again entry by entry.

What it does not do: verify seals; the ranges have been checked when they come here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from provgraph.errors import ProvgraphError, UntrustedError
from provgraph.ledger.codec import split_sealed
from provgraph.ledger.fsck_range import STEP_ADDITIONS, STEP_ERASED, STEP_KEYS, Finding, RangeReport
from provgraph.ledger.reading import LedgerReader
from provgraph.seal.entry import KEY_EVENTS, RECORD, SEALED_BY, STEWARD, TOMBSTONE, parse_entry
from provgraph.seal.proof import parse_proof_config
from provgraph.seal.tombstone import Claim, judge, read_claim
from provgraph.seal.trust import KNOWN_BY_USE, KeyHistory, admit, require_in_time
from provgraph.seal.trustfile import TrustFile


class Deciders:
    """The key events and tombstones met so far, and the judgement by them."""

    def __init__(self, ledger: LedgerReader, *, trust: TrustFile | None) -> None:
        self.history = KeyHistory(trust=trust)
        self._ledger = ledger
        self._claims: list[Claim] = []

    def take_again(self, positions: Iterable[int]) -> None:
        """Take in the deciding entries that an earlier, interrupted check has judged.

        Raises:
            UntrustedError: they decide otherwise now.
        """
        for position in positions:
            self._admit(position)

    def take(self, report: RangeReport) -> list[Finding]:
        """Judge the seals of a range, after those of all ranges before it."""
        kinds = {kind for kind, _ in report.sealed}
        if not kinds & KEY_EVENTS and self._is_right_throughout(report):
            for position in report.deciding:
                self._note_claim(position)
            return []
        findings = []
        for position in range(report.start, report.start + report.frontier.size):
            try:
                self._admit(position)
            except ProvgraphError as error:
                message = f"entry {position} of the ledger: {error}"
                findings.append(Finding(step=STEP_KEYS, message=message, position=position))
        return findings

    def take_erased(self, report: RangeReport) -> list[Finding]:
        """Check that each graph that is gone has a tombstone, and left nothing behind."""
        findings = []
        for position in report.erased:
            where = f"entry {position} of the ledger"
            try:
                # The entry and its tombstone, wherever it stands.
                self._ledger.read(position)
            except ProvgraphError as error:
                message = f"{where}: {error}"
                findings.append(Finding(step=STEP_ERASED, message=message, position=position))
                continue
            if position in report.leftovers:
                message = (
                    f"{where} was erased, and a name or attachment of it is still there; run"
                    " `provgraph erase --resume`"
                )
                findings.append(Finding(step=STEP_ADDITIONS, message=message, position=position))
        return findings

    def _is_right_throughout(self, report: RangeReport) -> bool:
        try:
            for (kind, method), by in report.sealed.items():
                for index in (by.first, by.last):
                    key = self.history.judge(method, index=index, role=SEALED_BY[kind])
                for created in (by.earliest, by.latest):
                    require_in_time(key, created=created)
        except UntrustedError:
            return False
        return True

    def _admit(self, position: int) -> None:
        row = self._ledger._one("SELECT sealed FROM record WHERE position = ?", position)
        entry_bytes, proof_nq = split_sealed(row[0], position)
        entry = parse_entry(entry_bytes)
        key = admit(
            self.history,
            kind=entry.kind,
            index=position,
            method=entry.verification_method,
            graph_nq=self._ledger.graph(position) if entry.kind in KEY_EVENTS else b"",
        )
        require_in_time(key, created=parse_proof_config(proof_nq).created)
        if entry.kind == TOMBSTONE:
            self._note_claim(position)

    def _note_claim(self, position: int) -> None:
        record = self._ledger.read(position)
        if record.kind == TOMBSTONE:
            entry = parse_entry(record.entry)
            self._claims.append(read_claim(record.graph_nq, position=position, entry=entry))

    def judge_erased(self, erased: Collection[int], *, producers: Collection[str]) -> None:
        """Check that each entry without a graph has its tombstone, and each tombstone its entry.

        Raises:
            UntrustedError: one has not.
        """
        found = {claim.erased_index for claim in self._claims}
        entries = {position: self._ledger.entry(position) for position in erased}
        # One that was erased while the ledger was being checked has a tombstone beyond its end.
        late = [
            self._ledger.tombstone_of(self._ledger.read(position))
            for position in erased
            if position not in found
        ]

        def is_steward(method: str, index: int) -> bool:
            key = self.history.judge(method, index=index, role=STEWARD)
            return key.basis != KNOWN_BY_USE or method not in producers

        judge(
            erased=entries,
            claims=[*self._claims, *late],
            producers=producers,
            is_steward=is_steward,
        )


def producers_of(sealed: Iterable[tuple[str, str]]) -> set[str]:
    """Return the verification methods that sealed records, out of (kind, verification method)."""
    return {method for kind, method in sealed if kind == RECORD}
