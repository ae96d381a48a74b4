"""What a witness does with a submission: check it, remember it, and only then cosign in public.

Specification: C2SP tlog-witness add-checkpoint, with its status codes. For each log a witness cosigns
one history: every checkpoint is consistent with the one before, and two requests at once go one after
the other. The time in a cosignature never goes back, since it says that the tree was the largest that
the witness knew at that time.

What it does not do: speak HTTP (`provgraph.witness.server`), or keep what it refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from provgraph.errors import FormatError, NotFoundError, StorageError, UntrustedError
from provgraph.seal.merkle import EMPTY_ROOT, verify_consistency
from provgraph.seal.note import (
    Checkpoint,
    Cosigner,
    add_signature,
    open_checkpoint,
    signature_lines,
)
from provgraph.witness.folder import State, WitnessFolder
from provgraph.witness.protocol import SIZE_TYPE, TEXT_TYPE, Submission, parse_submission

# A clock that was set back by more than this is wrong, now or before; by less, it was adjusted.
MAX_CLOCK_BACK: Final = timedelta(minutes=5)


class RefusedError(Exception):
    """A submission that is not cosigned: the HTTP answer that says why."""

    def __init__(self, status: int, text: str, *, content_type: str = TEXT_TYPE) -> None:
        super().__init__(text)
        self.status = status
        self.body = f"{text}\n".encode()
        self.content_type = content_type


def add_checkpoint(folder: WitnessFolder, data: bytes, *, clock: Callable[[], datetime]) -> bytes:
    """Cosign a submitted checkpoint; return the signature lines.

    1. The body has the form of a submission (400).
    2. The witness knows the log (404).
    3. All the log's keys have signed the checkpoint (403).
    4. The old size is not above the new one (400).
    5. Nobody else changes this log's state until the end.
    6. The old size is that of the checkpoint cosigned last (409, with that size).
    7. The new tree contains the old one (422).
    8. The cosigned checkpoint is durable before a signature leaves.

    Raises:
        RefusedError: steps 1 to 7, with the status.
        StorageError: the state cannot be read or written, or the clock went back.
        UntrustedError: the state is damaged.
    """
    try:
        submission = parse_submission(data)  # 1.
    except FormatError as error:
        raise RefusedError(400, str(error)) from None
    checkpoint = _trusted(folder, submission)  # 2. and 3.
    if submission.old_size > checkpoint.size:  # 4.
        raise RefusedError(
            400, f"expected an old size of at most {checkpoint.size}, found {submission.old_size}"
        )
    with folder.alone(checkpoint.origin):  # 5.
        state = folder.state(checkpoint.origin)
        if submission.old_size != state.checkpoint.size:  # 6.
            raise RefusedError(409, str(state.checkpoint.size), content_type=SIZE_TYPE)
        _require_consistent(state.checkpoint, checkpoint, submission)  # 7.
        note, lines = _cosigned(folder, submission, at=_time_after(state, clock()))
        # 8. If the process dies before the file is in place, nothing was cosigned; after that, the
        # log submits the same checkpoint again and gets its signatures.
        folder.put_state(checkpoint.origin, note)
    return lines


def _trusted(folder: WitnessFolder, submission: Submission) -> Checkpoint:
    try:
        keys = folder.log_keys(submission.claimed.origin)
    except NotFoundError:
        raise RefusedError(
            404, f"this witness does not know the log {submission.claimed.origin}"
        ) from None
    try:
        return open_checkpoint(submission.note, *keys)
    except UntrustedError as error:
        raise RefusedError(403, str(error)) from None


def _require_consistent(old: Checkpoint, new: Checkpoint, submission: Submission) -> None:
    try:
        if new.size == 0 and new.root != EMPTY_ROOT:
            raise UntrustedError("expected the root of the empty tree at size 0")
        if old.size > 0:
            verify_consistency(
                old_size=old.size,
                new_size=new.size,
                old_root=old.root,
                new_root=new.root,
                proof=submission.proof,
            )
        elif submission.proof:
            raise UntrustedError("expected no proof from size 0: every tree contains the empty one")
    except UntrustedError as error:
        raise RefusedError(422, str(error)) from None


def _time_after(state: State, now: datetime) -> datetime:
    """Return the time to state: now, or that of the last cosignature where the clock was adjusted."""
    now = now.astimezone(UTC).replace(microsecond=0)
    last = None if state.cosigned is None else state.cosigned.at
    if last is None or now >= last:
        return now
    if last - now > MAX_CLOCK_BACK:
        raise StorageError(
            f"the clock says {now:%Y-%m-%d %H:%M:%S}Z, before the last cosignature of"
            f" {last:%Y-%m-%d %H:%M:%S}Z; set it right"
        )
    return last


def _cosigned(
    folder: WitnessFolder, submission: Submission, *, at: datetime
) -> tuple[bytes, bytes]:
    """Return the checkpoint as it is kept, with the log's and our signatures, and our lines alone."""
    log_keys = {(key.name, key.key_id) for key in folder.log_keys(submission.claimed.origin)}
    kept = [
        line
        for name, key_id, line in signature_lines(submission.note)
        if (name, key_id) in log_keys
    ]
    note = submission.claimed.encode() + b"\n" + b"".join(kept)
    bare = len(note)
    for cosigner in folder.cosigners:
        timed = Cosigner(name=cosigner.name, signer=cosigner.signer, clock=lambda: at)
        note = add_signature(note, timed)
    return note, note[bare:]
