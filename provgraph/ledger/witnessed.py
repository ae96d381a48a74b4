"""What witnesses have seen of a ledger, remembered outside of its file: the guard against an old copy.

<home>/witnessed/checkpoint   the last checkpoint that witnesses cosigned, with their signature lines
<home>/witnessed/conflict     a checkpoint signed by this ledger's key that the ledger did not contain
                              when a witness showed it
<home>/witnessed/claim-…      what a witness said and could not prove, a file for each witness

Copies of `checkpoint` lie in the folders of the setting `checkpoint_copies`, on other disks, as
`<SHA-256 of the origin>.checkpoint`. Every such checkpoint must be a prefix of the ledger's tree, or
nothing is appended or signed: a ledger restored from an older backup, or continued on two machines,
would give what others have seen a second history. The rule holds again by itself once a ledger that
contains them is put back. An unproved claim stops the ledger as well, until the witness is retired.

Cost: the files are read when a ledger is first written to; after that one `stat` for each transaction. Durability: what is remembered is on the disk before it is relied on. What it does not do:
help where the home was restored as a whole; then the witness itself does, when it is next asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from provgraph import disk
from provgraph.errors import (
    FormatError,
    RolledBackError,
    StorageError,
    UntrustedError,
)
from provgraph.frozen import dataclass
from provgraph.ledger.reading import LedgerReader
from provgraph.seal.note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    NoteKey,
    open_checkpoint,
    unverified_checkpoint,
)
from provgraph.seal.publish import replace_durably

FOLDER: Final = "witnessed"

_CHECKPOINT: Final = "checkpoint"
_CONFLICT: Final = "conflict"
_CLAIM: Final = "claim-"
# A folder's time of change stands still for some milliseconds: one that is younger may change again
# unseen, so what was read then is read again.
_SETTLED_NS: Final = 100_000_000
_MAX_CLAIM_BYTES: Final = 4096


# Device, number and time of change (ns) of the folder; zeros where it is not there.
_State = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a witness said against this ledger, without proof."""

    witness: str
    text: str


class Memory:
    """The remembered checkpoints of the ledger at a path."""

    def __init__(self, ledger_path: Path, *, copies: Sequence[Path] = ()) -> None:
        """Name the places; nothing is read yet."""
        self._folder = ledger_path.with_name(FOLDER)
        self._ledger_path = ledger_path
        self._copies = tuple(copies)
        self._checked: _State | None = None

    def checkpoint(self) -> bytes | None:
        """Return the last witnessed checkpoint with its signature lines, None before the first.

        Raises:
            StorageError: the file cannot be read.
        """
        return _content(self._folder / _CHECKPOINT)

    def claims(self) -> tuple[Claim, ...]:
        """Return what witnesses have said against this ledger and not proved.

        Raises:
            StorageError: a file cannot be read.
        """
        found = []
        for path in sorted(self._folder.glob(f"{_CLAIM}*")):
            name, _, text = (_content(path) or b"").decode("utf-8", "replace").partition("\n")
            found.append(Claim(witness=name, text=text.strip()))
        return tuple(found)

    def missing_copies(self, origin: str) -> tuple[Path, ...]:
        """Return the places of copies where none is to be read: a disk that is away, say."""
        return tuple(path for path in self._copy_paths(origin) if not os.access(path, os.R_OK))

    def remember(self, note: bytes, *, origin: str) -> list[str]:
        """Put a witnessed checkpoint in the place of an earlier one; return which copies failed.

        Raises:
            StorageError: the home's own file cannot be written.
        """
        failed = []
        with self._alone():
            # If the process dies before this, the witness knows more than we do, and says so when it
            # is asked again.
            if not _is_later(self.checkpoint(), note):
                replace_durably(self._folder / _CHECKPOINT, note)
        for path in self._copy_paths(origin):
            try:
                # A folder that is not there is a disk that is not mounted: never made here.
                if not path.parent.is_dir():
                    raise StorageError(f"{path.parent} is not there; mount it, or mend the setting")
                replace_durably(path, note)
            except StorageError as error:
                failed.append(str(error))
        return failed

    def remember_conflict(self, note: bytes) -> None:
        """Keep the proof that another history of this ledger exists, or a longer one.

        Raises:
            StorageError: it cannot be kept.
        """
        replace_durably(self._folder / _CONFLICT, note)

    def remember_claim(self, claim: Claim) -> None:
        """Keep what a witness said; the ledger stops until it is taken back.

        Raises:
            StorageError: it cannot be kept.
        """
        text = f"{claim.witness}\n{claim.text}\n".encode()
        replace_durably(self._claim_path(claim.witness), text[:_MAX_CLAIM_BYTES])

    def forget_claim(self, witness: str) -> None:
        """Take a claim back: its witness is retired, or says something else now.

        Raises:
            StorageError: the file cannot be removed.
        """
        path = self._claim_path(witness)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror or error}") from error

    def require_none(self) -> None:
        """Check that no ledger stood here before: a new one would take its place without a word.

        Raises:
            RolledBackError: witnesses have seen a ledger here, and its file is gone.
        """
        if self.checkpoint() is not None:
            raise RolledBackError(
                f"the ledger {self._ledger_path} is gone, and witnesses have seen one here"
                f" ({self._folder / _CHECKPOINT}). Restore it from a backup; to begin a new one, choose"
                " another home with PROVGRAPH_HOME"
            )

    def require_current(self, ledger: LedgerReader, size: int) -> None:
        """Check that the ledger contains all that was remembered; at once where nothing changed.

        1. Whatever is remembered is signed by this ledger's key.
        2. It is a prefix of the tree (an old copy is shorter, a fork has other entries).
        3. No witness has claimed otherwise.

        Raises:
            RolledBackError: step 2 or 3.
            UntrustedError: step 1.
            StorageError: a file cannot be read.
        """
        state = _identity(self._folder)
        if state == self._checked:
            return
        key = ledger.charter.note_key
        known = [self._folder / _CHECKPOINT, self._folder / _CONFLICT]
        for path in [*known, *self._copy_paths(ledger.origin)]:
            note = _content(path, is_copy=path not in known)
            if note is not None:
                # 1.
                seen = _opened(path, note, key)
                # 2.
                self._require_prefix(ledger, size, seen, path)
        # 3.
        for claim in self.claims():
            raise RolledBackError(
                f"the witness {claim.witness} says of the ledger {self._ledger_path}: {claim.text}."
                " It has not proved it. Nothing is appended or signed until this is settled: find out"
                " whether this copy is old or there is another one, and put the right one back; if the"
                f" witness is wrong, `provgraph cosign --retire {claim.witness}` goes on without it"
            )
        self._checked = state if _is_settled(state) else None

    def _require_prefix(
        self, ledger: LedgerReader, size: int, seen: Checkpoint, path: Path
    ) -> None:
        if seen.size > size:
            raise RolledBackError(
                f"the ledger {self._ledger_path} has {size} entries, and a checkpoint over {seen.size}"
                f" of them has left it ({path}): this is an older copy. Nothing is appended or signed:"
                " what others have seen would get a second history. Put back a copy that has at least"
                f" {seen.size} entries; if there is none, keep this home as it is for reading, and begin"
                " a new ledger in another one (PROVGRAPH_HOME). docs/witness.md says more"
            )
        if ledger.root(seen.size) != seen.root:
            raise RolledBackError(
                f"the ledger {self._ledger_path} has other entries below {seen.size} than a checkpoint"
                f" that was signed with its key ({path}): two histories of {seen.origin} exist, on two"
                " machines or after a backup was restored. Nothing is appended or signed. Find the copy"
                " that contains that checkpoint and put it back; records that only this copy holds are"
                " recorded there anew. docs/witness.md says more"
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from remembering at the same time; without locks, the last one wins."""
        descriptor = None
        try:
            disk.make_folder(self._folder, mode=0o700)
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            _warn(f"no lock folder={self._folder} error={error}")
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _claim_path(self, witness: str) -> Path:
        return self._folder / f"{_CLAIM}{hashlib.sha256(witness.encode()).hexdigest()}"

    def _copy_paths(self, origin: str) -> list[Path]:
        name = f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"
        return [folder / name for folder in self._copies]


def _opened(path: Path, note: bytes, key: NoteKey) -> Checkpoint:
    try:
        return open_checkpoint(note, key)
    except (FormatError, UntrustedError) as error:
        raise UntrustedError(
            f"{path} is not a checkpoint of the ledger beside it: {error}. Nothing is appended or"
            " signed. Restore the file, or the ledger that it belongs to. If it is damaged, remove it"
            " and run `provgraph cosign`: the witness says whether the ledger is the right one"
        ) from None


def _identity(folder: Path) -> _State:
    """Name a folder's state: every file that is put in or taken out changes its time."""
    try:
        status = os.stat(folder)
    except OSError:
        return 0, 0, 0
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _is_settled(state: _State) -> bool:
    return time.time_ns() - state[2] > _SETTLED_NS


def _is_later(known: bytes | None, note: bytes) -> bool:
    """Whether another process has remembered a later checkpoint meanwhile."""
    if known is None:
        return False
    try:
        return unverified_checkpoint(known).size > unverified_checkpoint(note).size
    except FormatError:
        return False


def _content(path: Path, *, is_copy: bool = False) -> bytes | None:
    """Return a file's bytes, None where there is none; a copy that cannot be read counts as none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_NOTE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if is_copy:
            _warn(f"cannot read a copy of the checkpoint path={path} error={error}")
            return None
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}; mend its permissions"
        ) from error
    return data


def _warn(text: str) -> None:
    import logging  # 16 ms that a program which only records need not spend

    logging.getLogger(__name__).warning(text)
