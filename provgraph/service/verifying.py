"""Verifying a live ledger: its file, what others have seen of it, and the index beside it.

1 to 9. Everything in the ledger (`provgraph.ledger.fsck`).
10. What was seen elsewhere is a beginning of this ledger: the checkpoint that witnesses saw last, a
    published folder, a checkpoint that somebody kept (a ledger cut short, restored from an old
    backup, or forked).
11. With `deep`: the index, graph by graph (`provgraph.service.index_check`), and the lineage index, row
    by row (`provgraph.service.lineage_check`).
12. With `artifacts`: recorded files, hashed again at their places (`provgraph.service.artifacts`).

Nothing is written but the state of an unfinished check, beside the ledger, and the result of step 12.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provgraph.errors import FormatError, NotFoundError, UntrustedError, UsageError
from provgraph.index.edges import lineage_folder
from provgraph.ledger.fsck import LedgerReport, check_ledger
from provgraph.ledger.fsck_range import Finding
from provgraph.ledger.fsck_resume import MAX_STATE_BYTES, State, token
from provgraph.ledger.published import verify_published
from provgraph.ledger.sqlite import Ledger
from provgraph.query import places
from provgraph.seal.entry import PRODUCER, SEALED_BY
from provgraph.seal.multikey import ED25519, PublicKey, did_key
from provgraph.seal.note import MAX_NOTE_BYTES, Checkpoint, open_checkpoint
from provgraph.seal.trustfile import TrustFile
from provgraph.service import artifacts
from provgraph.service.home import utc_now
from provgraph.service.index_check import STEP_INDEX, check_index
from provgraph.service.lineage_check import check_lineage
from provgraph.service.verification import Passed, Verification
from provgraph.settings import Settings

STEP_ELSEWHERE: Final = 10
STEP_ARTIFACTS: Final = 12
STATE_FILE: Final = "verify.state"
WITNESSED: Final = Path("witnessed", "checkpoint")
_SAVE_EVERY_S: Final = 2.0

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how much of it is done, how much there is)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked of a verification."""

    deep: bool = False
    artifacts: Settings | None = None  # of the home into whose ledger the result is recorded
    go_on: bool = False  # list everything that is wrong
    processes: int = 0
    resume: str | None = None  # a token; empty for whatever state is there
    log_key: str | None = None  # did:key from another source
    producer_keys: frozenset[str] | None = None
    trust: TrustFile | None = None
    published: tuple[Path, ...] = ()
    seen: tuple[Path, ...] = field(default=())  # files with checkpoints
    index_wait_s: float = 30.0


class Interrupted(Exception):  # noqa: N818 - no fault: somebody wanted it
    """A check was interrupted; with the token it goes on from where it stopped."""

    def __init__(self, *, position: int, size: int, token: str) -> None:
        super().__init__(f"interrupted after {position} of {size} entries")
        self.position, self.size, self.token = position, size, token


def verify_live(
    path: Path, options: Options, *, passed: Passed, progress: Progress
) -> Verification:
    """Verify the ledger at a path, as far as the options ask.

    Raises:
        NotFoundError: no ledger there, or no state to resume.
        UntrustedError: the state to resume does not fit.
        StorageError: the disk is at fault.
        Interrupted: by the user; what was checked so far is kept.
    """
    report = Verification(what="ledger", subject=str(path), started=utc_now())

    def note(step: int, text: str) -> None:
        report.passed(step, text)
        passed(step, text)

    try:
        ledger = Ledger.open(path, log_signer=None, clock=utc_now, read_only=True)
    except (UntrustedError, FormatError) as error:
        report.findings.append(Finding(step=2, message=str(error)))
        report.ended = utc_now()
        return report
    with ledger:
        found = _check_file(ledger, options, report, passed=note, progress=progress)
        if options.go_on or report.is_right:
            _check_elsewhere(ledger, options, report, found.size, passed=note)
        if options.deep and (options.go_on or report.is_right):
            _check_index(ledger, options, report, found.size, passed=note, progress=progress)
        if options.artifacts is not None and (options.go_on or report.is_right):
            _check_artifacts(
                ledger, options.artifacts, report, found, passed=note, progress=progress
            )
    report.is_cut_short = not options.go_on and not report.is_right
    report.ended = utc_now()
    return report


def _check_file(
    ledger: Ledger,
    options: Options,
    report: Verification,
    *,
    passed: Passed,
    progress: Progress,
) -> LedgerReport:
    state_path = ledger.path.with_name(STATE_FILE)
    resume = None
    if options.resume is not None:
        resume = _read_state(state_path, options.resume)
        report.parts["resumed"] = {
            "position": resume.frontier.size,
            "isProved": bool(options.resume),
        }
        if not options.resume:
            report.open_questions.append(
                f"entries below {resume.frontier.size} were not checked now. They are as"
                f" {state_path} says, which whoever can write there could have written: give the"
                " token that the interrupted check showed (--resume=TOKEN), or check without it"
            )
    kept = _Kept(state_path)
    counted = [0, 0]

    def count(done: int, total: int) -> None:
        counted[:] = done, total
        progress("ledger", done, total)

    try:
        found = check_ledger(
            ledger,
            processes=options.processes,
            trust=options.trust,
            go_on=options.go_on,
            passed=passed,
            progress=count,
            resume=resume,
            save=kept.keep,
        )
    except KeyboardInterrupt:
        if (written := kept.write()) is None:
            raise
        raise Interrupted(position=written[0], size=counted[1], token=written[1]) from None
    kept.remove()
    report.origin, report.size, report.root = found.origin, found.size, found.root
    report.findings += found.findings
    report.parts["ledger"] = {
        "names": found.names,
        "attachments": found.attachments,
        "erased": found.erased,
        "graphBytes": found.graph_bytes,
    }
    log = did_key(PublicKey(algorithm=ED25519, raw=ledger.log_key))
    report.parts["keys"] = [{"id": log, "role": "log", "entries": found.size}] + [
        {"id": method.partition("#")[0], "role": SEALED_BY[kind], "kind": kind, "entries": by.count}
        for (kind, method), by in sorted(found.sealed.items())
    ]
    if options.log_key is not None and _bare(options.log_key) != _bare(log):
        message = f"expected the log key {options.log_key}, found {log}"
        report.findings.append(Finding(step=2, message=message))
    allowed = options.producer_keys
    for (kind, method), by in sorted(found.sealed.items()):
        if allowed is None or SEALED_BY[kind] != PRODUCER:
            continue
        if _bare(method) not in {_bare(key) for key in allowed}:
            message = (
                f"{method.partition('#')[0]} sealed {by.count} records, the first of them entry"
                f" {by.first}, and is not among the expected keys"
            )
            report.findings.append(Finding(step=8, message=message, position=by.first))
    if options.trust is not None:
        report.parts["trust"] = {"version": options.trust.version}
    if options.log_key is None and options.trust is None:
        report.open_questions.append(
            "the ledger names its keys itself; compare them with ones that you got another way:"
            " --log-key and --producer-key"
        )
    return found


def _check_elsewhere(
    ledger: Ledger, options: Options, report: Verification, size: int, *, passed: Passed
) -> None:
    said = []
    seen = [*options.seen]
    witnessed = ledger.path.parent / WITNESSED
    if witnessed.exists():
        seen.append(witnessed)
    try:
        for path in seen:
            checkpoint = _read_checkpoint(path, ledger)
            _require_beginning(ledger, checkpoint, size, where=str(path))
            said.append(f"{path} ({checkpoint.size} entries)")
        for folder in options.published:
            published = verify_published(folder, keys=ledger.charter.log_keys)
            checkpoint = Checkpoint(
                origin=published.origin, size=published.size, root=published.root
            )
            _require_beginning(ledger, checkpoint, size, where=str(folder))
            said.append(f"{folder} ({published.size} entries)")
    except NotFoundError:
        raise
    except (UntrustedError, FormatError) as error:
        report.findings.append(Finding(step=STEP_ELSEWHERE, message=str(error)))
        return
    report.parts["seenElsewhere"] = said
    if said:
        passed(STEP_ELSEWHERE, f"continues what was seen elsewhere: {', '.join(said)}")
    else:
        report.open_questions.append(
            "no checkpoint from elsewhere was at hand, so that nothing was cut off the end cannot be"
            " shown: --published FOLDER, or --seen FILE with a checkpoint that was kept"
        )


def _require_beginning(ledger: Ledger, checkpoint: Checkpoint, size: int, *, where: str) -> None:
    if checkpoint.origin != ledger.origin:
        raise UntrustedError(f"{where} is of {checkpoint.origin}, the ledger is {ledger.origin}")
    if checkpoint.size > size and checkpoint.size <= ledger.size():
        size = checkpoint.size  # seen after this check began
    if checkpoint.size > size:
        raise UntrustedError(
            f"{where} shows {checkpoint.size} entries of {checkpoint.origin}, the ledger has {size}:"
            " it was cut short, or restored from an older backup. Restore a later one, and record"
            " nothing before that"
        )
    if ledger.root(checkpoint.size) != checkpoint.root:
        raise UntrustedError(
            f"{where} shows other entries below {checkpoint.size} than the ledger: two histories of"
            f" {checkpoint.origin} exist. Keep both, and find out which copy is the right one"
        )


def _check_index(
    ledger: Ledger,
    options: Options,
    report: Verification,
    size: int,
    *,
    passed: Passed,
    progress: Progress,
) -> None:
    found = check_index(
        ledger,
        ledger.path.with_name("index"),
        size=size,
        processes=options.processes,
        go_on=options.go_on,
        wait_s=options.index_wait_s,
        progress=lambda done, total: progress("index", done, total),
    )
    report.findings += found.findings
    report.parts["index"] = {
        "folder": found.folder,
        "wasBuilt": found.was_built,
        "size": found.size,
        "graphs": found.graphs,
        "statements": found.statements,
    }
    if found.findings and not options.go_on:
        return
    walks = check_lineage(ledger, lineage_folder(ledger.path.with_name("index")), size=size)
    if walks is not None:
        report.findings += walks.findings
        report.parts["lineage"] = {
            "folder": walks.folder,
            "size": walks.size,
            "things": walks.things,
            "edges": walks.edges,
            "hasArrays": walks.has_arrays,
        }
    if found.findings or (walks is not None and walks.findings):
        return
    edges = "" if walks is None else f", and so do the {walks.edges} edges of the lineage index"
    text = f"{found.graphs} graphs of the index say exactly what the ledger says{edges}"
    if found.was_built:
        text = f"no index is here; one was built from the ledger, and its {found.graphs} graphs say the same{edges}"
    elif found.size < size:
        text = f"{text}; it is {size - found.size} entries behind, and catches up when asked"
    passed(STEP_INDEX, text)


def _check_artifacts(
    ledger: Ledger,
    settings: Settings,
    report: Verification,
    found: LedgerReport,
    *,
    passed: Passed,
    progress: Progress,
) -> None:
    started = utc_now()
    recorded = artifacts.recorded_places(ledger, size=found.size)
    checked = list(
        places.check_places(recorded, progress=lambda done, total: progress("files", done, total))
    )
    counts = Counter(each.state for each in checked)
    receipt = artifacts.record_verification(
        settings, checked, ledger_size=found.size, root=found.root, started=started
    )
    report.parts["artifacts"] = {
        "counts": dict(counts),
        "record": receipt.record,
        "places": [artifacts.as_json(each) for each in checked],
    }
    for each in checked:
        if each.state == places.CHANGED:
            message = f"{each.place.location} was recorded as {each.place.digest}, and is {each.found} now"
            report.findings.append(Finding(step=STEP_ARTIFACTS, message=message))
    said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"
    if not counts[places.CHANGED]:
        passed(STEP_ARTIFACTS, f"recorded files: {said}; recorded as {receipt.record}")
    else:
        report.open_questions.append(f"recorded files: {said}; recorded as {receipt.record}")


# ---- what is kept of an unfinished check -------------------------------------------------------------
class _Kept:
    """The state of a check, written beside the ledger now and then, so that little is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: State | None = None
        self._written_s = time.monotonic()

    def keep(self, state: State) -> None:
        self._state = state
        if time.monotonic() - self._written_s > _SAVE_EVERY_S:
            self.write()

    def write(self) -> tuple[int, str] | None:
        """Write the state; return position and token, None where it could not be kept."""
        self._written_s = time.monotonic()
        if self._state is None:
            return None
        data = self._state.encode()
        temporary = self._path.with_name(f".{STATE_FILE}.{secrets.token_hex(8)}")
        try:
            # If the process dies here, the older state stays, or none: less is saved, no more.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
            temporary.rename(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            return None
        return self._state.frontier.size, token(data)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def _read_state(path: Path, expected: str) -> State:
    data = _read_bounded(path, max_bytes=MAX_STATE_BYTES, what="no unfinished check to resume")
    if expected and token(data) != expected:
        raise UsageError(
            f"expected the state {expected} in {path}, found {token(data)}: it is another check's, or"
            " was changed. Check again without --resume"
        )
    return State.decode(data)


def _read_checkpoint(path: Path, ledger: Ledger) -> Checkpoint:
    note = _read_bounded(path, max_bytes=MAX_NOTE_BYTES, what="no checkpoint")
    charter = ledger.charter
    try:
        return open_checkpoint(note, charter.note_key, known=charter.log_keys[1:])
    except (UntrustedError, FormatError) as error:
        raise UntrustedError(f"{path}: {error}") from None


def _read_bounded(path: Path, *, max_bytes: int, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise NotFoundError(f"{what} at {path}: {error.strerror or error}") from None
    if len(data) > max_bytes:
        raise UntrustedError(f"{path}: expected at most {max_bytes} bytes")
    return data


def _bare(key: str) -> str:
    """Return the multikey in a did:key, a verification method or a bare multikey."""
    return key.removeprefix("did:key:").partition("#")[0]
