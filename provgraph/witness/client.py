"""Asking witnesses: submissions go out together, and each answer is what one witness says.

Specification: C2SP tlog-witness, the client's side. An answer is sorted into what it means; a
cosignature has been verified when it is returned, everything else is a claim.

What it does not do: read the ledger. Who asks brings the submissions, and judges the claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from provgraph.errors import FormatError, UnreachableError, UntrustedError
from provgraph.outgoing import Reply, send
from provgraph.seal.note import Checkpoint, NoteKey, open_checkpoint
from provgraph.seal.witnessed import add_cosignatures, require_cosigned
from provgraph.witness.protocol import (
    ADD_CHECKPOINT,
    MAX_ANSWER_BYTES,
    Submission,
    checkpoint_path,
    parse_size,
)

DEFAULT_TIMEOUT_S: Final = 5.0
_MAX_THREADS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A witness as a log knows it: where it is, and under which keys its cosignatures verify."""

    name: str
    address: str
    keys: tuple[NoteKey, ...]


@dataclass(frozen=True, slots=True)
class Cosignatures:
    """It cosigned: the signature lines, verified."""

    lines: bytes


@dataclass(frozen=True, slots=True)
class KnowsSize:
    """It says that it cosigned another size last (409)."""

    size: int


@dataclass(frozen=True, slots=True)
class Inconsistent:
    """It says that the tree does not contain the one it knows (422)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Silent:
    """It did not cosign, and says nothing of the history: away, overloaded, another witness."""

    reason: str


Answer = Cosignatures | KnowsSize | Inconsistent | Silent


def ask_all(
    submissions: Mapping[Peer, Submission], *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> dict[Peer, Answer]:
    """Submit to several witnesses at once; each answers, or is silent, within the time."""
    if not submissions:
        return {}
    with ThreadPoolExecutor(min(_MAX_THREADS, len(submissions))) as pool:
        answers = pool.map(
            lambda item: _ask(item[0], item[1], timeout_s=timeout_s), submissions.items()
        )
        return dict(zip(submissions, answers, strict=True))


def last_cosigned(
    peer: Peer, log_keys: Sequence[NoteKey], *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> tuple[bytes, Checkpoint] | None:
    """Fetch the checkpoint that a witness cosigned last of a log: what proves its claims.

    It is signed by the log's own keys, so no witness can invent one. None where there is none to be
    had, or it does not verify.
    """
    address = peer.address + checkpoint_path(log_keys[0].name)
    try:
        reply = send("GET", address, timeout_s=timeout_s, max_bytes=MAX_ANSWER_BYTES)
        if reply.status != 200:
            return None
        return reply.body, open_checkpoint(reply.body, *log_keys)
    except (UnreachableError, FormatError, UntrustedError):
        return None


def _ask(peer: Peer, submission: Submission, *, timeout_s: float) -> Answer:
    try:
        reply = send(
            "POST",
            peer.address + ADD_CHECKPOINT,
            body=submission.encode(),
            headers={"Content-Type": "text/plain; charset=utf-8"},
            timeout_s=timeout_s,
            max_bytes=MAX_ANSWER_BYTES,
        )
        return _read(peer, submission, reply)
    except (UnreachableError, FormatError, UntrustedError) as error:
        return Silent(str(error))


def _read(peer: Peer, submission: Submission, reply: Reply) -> Answer:
    # A stranger's words end up in our messages: on one line, short, nothing that steers a terminal.
    words = " ".join(reply.body.decode("utf-8", "replace").split())[:200]
    text = "".join(each if each.isprintable() else "?" for each in words)
    if reply.status == 200:
        require_cosigned(add_cosignatures(submission.note, reply.body, peer.keys), peer.keys)
        return Cosignatures(reply.body)
    if reply.status == 409:
        size = parse_size(reply.body)
        # Earlier versions of the specification answered so for two trees of one size, too.
        if size == submission.old_size:
            return Inconsistent(f"another tree of the same size {size}")
        return KnowsSize(size)
    if reply.status == 422:
        return Inconsistent(text)
    hint = _HINTS.get(reply.status, "")
    return Silent(f"it answered {reply.status}: {text}{hint}")


_HINTS: Final = {
    403: "; its operator has other keys of this log than the ledger's charter names",
    404: "; ask its operator to add this log (`provgraph witness add-log`), or look at the address",
}
