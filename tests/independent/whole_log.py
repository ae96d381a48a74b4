"""Whole ledgers: one of a hundred entries with the checkpoint of every size and every proof there is,
and a larger one, published as tiles.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provgraph import terms, vocab
from provgraph.ledger.rows import Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.tiles import publish
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.proof import seal
from provgraph.terms import Graph

SIZE = 100
PUBLISHED_SIZE = 700

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """A proof that the entry at index is in the tree of a size."""

    index: int
    size: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """A proof that the tree of the old size is the beginning of that of the new one."""

    old: int
    new: int
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeLog:
    """Everything that a log says. `checkpoints[i]` is that of size i + 1."""

    key: bytes
    entries: Sequence[bytes]
    checkpoints: Sequence[bytes]
    inclusion: Sequence[Inclusion]
    consistency: Sequence[Consistency]

    def to_json(self) -> dict[str, Any]:
        """Return what `tlogcheck log` reads."""
        return {
            "key": text(self.key),
            "entries": [*map(text, self.entries)],
            "checkpoints": [*map(text, self.checkpoints)],
            "inclusion": [
                {"index": each.index, "size": each.size, "hashes": [*map(text, each.hashes)]}
                for each in self.inclusion
            ],
            "consistency": [
                {"old": each.old, "new": each.new, "hashes": [*map(text, each.hashes)]}
                for each in self.consistency
            ],
        }


def make(folder: Path) -> WholeLog:
    """Append a hundred records, one by one, to a ledger in a folder."""
    log_signer, producer = signer_from_seed(b"\x01" * 32), signer_from_seed(b"\x02" * 32)
    checkpoints = []
    with Ledger.open(folder / "ledger.db", log_signer=log_signer, clock=lambda: NOW) as ledger:
        for number in range(SIZE):
            ledger.append([record(number, producer)])
            checkpoints.append(ledger.checkpoint())
        return WholeLog(
            key=log_signer.public_key,
            entries=[ledger.entry(index) for index in range(SIZE)],
            checkpoints=checkpoints,
            inclusion=[
                Inclusion(index=index, size=size, hashes=ledger.inclusion_proof(index, size))
                for size in range(1, SIZE + 1)
                for index in range(size)
            ],
            consistency=[
                Consistency(old=old, new=new, hashes=ledger.consistency_proof(old, new))
                for new in range(1, SIZE + 1)
                for old in range(1, new + 1)
            ],
        )


def publish_tiles(folder: Path) -> str:
    """Publish a ledger of 700 entries, two full tiles and a part, into a folder; return its key.

    The checkpoint carries a second signature, by ML-DSA-44, that Go does not know.
    """
    log_signer, producer = signer_from_seed(b"\x01" * 32), signer_from_seed(b"\x02" * 32)
    second = mldsa_signer_from_seed(b"\x03" * 32)
    path = folder.with_name("ledger.db")
    with Ledger.open(path, log_signer=log_signer, mldsa_signer=second, clock=lambda: NOW) as ledger:
        # The folder is brought up to date three times, as it grows.
        for start, stop in ((0, 100), (100, 300), (300, PUBLISHED_SIZE)):
            ledger.append([record(number, producer) for number in range(start, stop)])
            note = ledger.cosigned_checkpoint(mldsa_signer=second, clock=lambda: NOW)
            publish(ledger, folder, note=note)
        return ledger.charter.note_key.vkey


def record(number: int, producer: Signer) -> Pending:
    """Return a small sealed record."""
    graph = Graph(f"{vocab.ID}record/{number}")
    graph.add(terms.iri(graph.name), vocab.LABEL, terms.string(f"record {number} 😀"))
    graph_nq = graph.canonical()
    sealed = seal(graph_nq, signer=producer, created=NOW)
    return Pending(iri=graph.name, graph_nq=graph_nq, seal=sealed)


def text(data: bytes) -> str:
    """Write bytes in base64."""
    return base64.b64encode(data).decode()
