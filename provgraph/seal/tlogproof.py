"""Offline proof files: that an entry is in a log, checkable with the log's key alone.

Specification: C2SP tlog-proof (`c2sp.org/tlog-proof@v1`): the index, the inclusion proof from the
leaf up, a blank line, and the log's checkpoint verbatim. Stored with the extension `.tlog-proof`.

What it does not do: it trusts no `extra` data; nothing in the file authenticates it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Final

from provgraph.errors import FormatError
from provgraph.frozen import dataclass
from provgraph.seal.merkle import (
    HASH_BYTES,
    MAX_PROOF_HASHES,
    MAX_SIZE,
    leaf_hash,
    verify_inclusion,
)
from provgraph.seal.note import MAX_NOTE_BYTES, Checkpoint, NoteKey, decode_base64, open_checkpoint

HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """What the file says; nothing in it is verified yet."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines.extend(base64.b64encode(value).decode() for value in self.hashes)
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint


def parse_tlog_proof(data: bytes) -> TlogProof:
    """Read a proof file.

    Raises:
        FormatError: anything but the form of the specification.
    """
    if len(data) > 2 * MAX_NOTE_BYTES:
        raise FormatError(f"expected a .tlog-proof of at most 2 MiB, found {len(data)} bytes")
    head, separator, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise FormatError("expected ASCII before the checkpoint of a .tlog-proof") from None
    if not separator or lines.pop(0) != HEADER:
        raise FormatError(f"expected a .tlog-proof that starts with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
    match = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None or int(match[1]) >= MAX_SIZE:
        raise FormatError("expected a line 'index <number>' in a .tlog-proof")
    if len(lines) > MAX_PROOF_HASHES:
        raise FormatError(
            f"expected at most {MAX_PROOF_HASHES} hashes in a .tlog-proof, found {len(lines)}"
        )
    hashes = tuple(decode_base64(line) for line in lines)
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise FormatError(
                f"expected hashes of {HASH_BYTES} bytes in a .tlog-proof, found {len(value)}"
            )
    return TlogProof(index=int(match[1]), hashes=hashes, checkpoint=checkpoint, extra=extra)


def verify_tlog_proof(proof: TlogProof, *, entry: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """Check that the log of those keys holds the entry; return the checkpoint that says so.

    1. The checkpoint is signed by each of the keys and of their origin.
    2. The path from the entry's leaf hash leads to the checkpoint's root.

    Raises:
        FormatError: the checkpoint is malformed.
        UntrustedError: either step.
    """
    # 1.
    checkpoint = open_checkpoint(proof.checkpoint, *keys)
    # 2.
    verify_inclusion(
        leaf=leaf_hash(entry),
        index=proof.index,
        size=checkpoint.size,
        proof=proof.hashes,
        root=checkpoint.root,
    )
    return checkpoint
