r"""The messages of C2SP tlog-witness: a submission, and the answers to it.

Specification: C2SP tlog-witness, add-checkpoint and Monitor Retrieval Mechanism. A submission is

    old <size>\n
    <base64 hash>\n      0 to 63 of these: the consistency proof from the old size
    \n
    <signed checkpoint>

Pure functions over bytes; whatever is malformed is a FormatError.

What it does not do: `sign-subtree`, which the specification leaves optional.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.errors import FormatError
from provgraph.seal.merkle import HASH_BYTES, MAX_SIZE
from provgraph.seal.note import Checkpoint, decode_base64, encode_base64, unverified_checkpoint

MAX_PROOF_LINES: Final = 63
# 16 post-quantum cosignatures are about 80 kB; a proof at most 3 kB.
MAX_SUBMISSION_BYTES: Final = 256 * 1024
MAX_ANSWER_BYTES: Final = 256 * 1024

SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

ADD_CHECKPOINT: Final = "/add-checkpoint"

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checkpoint on its way to a witness. What it claims is read, and not yet believed."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes
    claimed: Checkpoint

    def encode(self) -> bytes:
        """Return the body of the request."""
        lines = [f"old {self.old_size}", *map(encode_base64, self.proof), "", ""]
        return "\n".join(lines).encode() + self.note


def new_submission(*, old_size: int, proof: Sequence[bytes], note: bytes) -> Submission:
    """Return a submission of a signed checkpoint.

    Raises:
        FormatError: the note is no signed checkpoint.
    """
    claimed = unverified_checkpoint(note)
    return Submission(old_size=old_size, proof=tuple(proof), note=note, claimed=claimed)


def parse_submission(data: bytes) -> Submission:
    """Read the body of a request.

    Raises:
        FormatError: too long, another form, or the checkpoint is malformed.
    """
    if len(data) > MAX_SUBMISSION_BYTES:
        raise FormatError(
            f"expected a submission of at most {MAX_SUBMISSION_BYTES} bytes, found {len(data)}"
        )
    head, parted, note = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n") if parted else [""]
    except UnicodeDecodeError:
        raise FormatError("expected ASCII before the empty line of a submission") from None
    old = _OLD.fullmatch(first)
    if old is None or int(old[1]) > MAX_SIZE:
        raise FormatError(
            "expected a submission to begin with 'old <size>', proof lines and an empty line;"
            f" found {data[:80]!r}"
        )
    if len(lines) > MAX_PROOF_LINES:
        raise FormatError(f"expected at most {MAX_PROOF_LINES} proof lines, found {len(lines)}")
    proof = [decode_base64(line) for line in lines]
    for value in proof:
        if len(value) != HASH_BYTES:
            raise FormatError(f"expected proof hashes of {HASH_BYTES} bytes, found {len(value)}")
    return new_submission(old_size=int(old[1]), proof=proof, note=note)


def parse_size(data: bytes) -> int:
    """Read the answer of status 409: the size that the witness cosigned last.

    Raises:
        FormatError: not one decimal number and a newline.
    """
    try:
        match = _SIZE.fullmatch(data.decode("ascii"))
    except UnicodeDecodeError:
        match = None
    if match is None or int(match[1]) > MAX_SIZE:
        raise FormatError(f"expected a tree size and a newline, found {data[:80]!r}")
    return int(match[1])


def origin_hash(origin: str) -> str:
    """Return what names a log in paths: the SHA-256 of its origin, in hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


def checkpoint_path(origin: str) -> str:
    """Return the path, below the monitoring prefix, of the checkpoint that was cosigned last."""
    return f"/{origin_hash(origin)}/checkpoint"
