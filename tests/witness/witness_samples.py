"""A log of numbered leaves that signs checkpoints of any size and of any history, and a witness."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.merkle import Frontier, consistency_proof, leaf_hash, tree_root
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.note import (
    Checkpoint,
    Cosigner,
    NoteKey,
    encode_base64,
    sign_checkpoint,
)

ORIGIN = "provgraph.local/0123456789abcdef"
LOG: Signer = signer_from_seed(b"\x01" * 32)
LOG_MLDSA = Cosigner(
    name=ORIGIN,
    signer=mldsa_signer_from_seed(b"\x03" * 32),
    clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
)
LOG_KEYS = (NoteKey(name=ORIGIN, public_key=LOG.public_key), LOG_MLDSA.key)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Log:
    """Leaves `<text> 0`, `<text> 1`, …; from `fork_at` on they are others."""

    def __init__(self, size: int, *, fork_at: int | None = None) -> None:
        self.leaves = [
            leaf_hash(f"{'b' if fork_at is not None and n >= fork_at else 'a'} {n}".encode())
            for n in range(size)
        ]

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(origin=ORIGIN, size=size, root=tree_root(self.leaves[:size]))

    def note(self, size: int) -> bytes:
        return sign_checkpoint(self.checkpoint(size), LOG, LOG_MLDSA)

    def proof(self, old: int, new: int) -> list[bytes]:
        return consistency_proof(old, new, self.node_at) if old else []

    def node_at(self, level: int, index: int) -> bytes:
        frontier = Frontier(size=0)
        for leaf in self.leaves[index << level : (index + 1) << level]:
            frontier.append(leaf)
        return frontier.root()

    def body(self, old: int, new: int) -> bytes:
        return body(old, self.proof(old, new), self.note(new))


def body(old: int | str, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of add-checkpoint, written by hand."""
    lines = [f"old {old}", *map(encode_base64, proof), "", ""]
    return "\n".join(lines).encode() + note


def ed25519_vkey(name: str, public_key: bytes, *, type_: int = 0x04) -> str:
    """A verifier key, written by hand."""
    material = bytes([type_]) + public_key
    key_id = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    return f"{name}+{key_id.hex()}+{encode_base64(material)}"
