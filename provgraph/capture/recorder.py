"""The recorder behind a run: facts into journal and state, faults into words, the end into a sink.

It does not judge what a fact means, and nothing in it waits for another process; only `end` does,
which seals. All its methods may be called from several threads, and in forked children, whose
facts reach the parent through the journal.

Times: the wall clock says when, the monotonic clock how long.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.ending import elapsed_end, ending_of
from provgraph.capture.facts import Fact, encode
from provgraph.capture.journal import Journal, fallback_folder, line_of
from provgraph.capture.redact import redact
from provgraph.capture.sinks import HandedOver, Receipt, Sink
from provgraph.capture.state import Ending, RunState, Start, replay
from provgraph.capture.values import describe_error
from provgraph.digests import Digest
from provgraph.errors import CaptureError, FormatError
from provgraph.loading import import_lock
from provgraph.records import Entity, Missing
from provgraph.terms import format_time

if TYPE_CHECKING:
    from provgraph.capture.profiling.limits import Limits

CLOCK_TOLERANCE_S: Final = 2.0

# Faults listed one by one; a loop that hands over nonsense ten thousand times is one fault.
MAX_LISTED: Final = 100


def say(text: str) -> None:
    """Log a warning; whatever a logging handler of the user does, it does not reach the caller."""
    with contextlib.suppress(Exception):
        with import_lock:  # most runs have nothing to say
            import logging

        logging.getLogger("provgraph").warning("provgraph: %s", redact(text))


class Recorder:
    """Takes the facts of one run. Made anew for each; `begin` before and `end` after all facts."""

    def __init__(
        self,
        sink: Sink,
        *,
        run_id: str,
        is_strict: bool,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is read or written before `begin`."""
        self.is_strict = is_strict
        self.limits = limits
        """The budget of profiles; None for no profiles."""
        self.named: dict[str, Entity] = {}
        """What this run calls its inputs and outputs, by name and by name:version."""
        self.clock = clock
        self.monotonic = monotonic
        self._sink = sink
        self._run_id = run_id
        self._lock = threading.RLock()
        self._state = RunState()
        self._journal: Journal | None = None
        self._owner_pid = os.getpid()
        self._is_over = False
        self._started_at = datetime.fromtimestamp(clock(), UTC)
        self._started_s = monotonic()
        self._steps = 0
        self._branch = ""
        self._said: set[str] = set()
        self._lost = 0

    def begin(self, start: Start) -> None:
        """Write the first fact, and open the journal with it."""
        home = self._sink.journal_folder()
        self._journal = Journal(self._run_id, home, otherwise=fallback_folder)
        self.write({"f": "start", **encode(start)}, part=start)

    @property
    def is_owner(self) -> bool:
        """Whether this process began the run; a forked child that leaves its block ends nothing."""
        return os.getpid() == self._owner_pid

    @property
    def started_at(self) -> datetime:
        """When this was made."""
        return self._started_at

    def now(self) -> datetime:
        """Return the time, never one before the start."""
        now = datetime.fromtimestamp(self.clock(), UTC)
        if now >= self._started_at:
            return now
        return elapsed_end(self._started_at, now, self.monotonic() - self._started_s)[0]

    def write(self, fact: Fact, *, part: Any = None, line: bytes | None = None) -> None:
        """Add a fact to state and journal, or to none of them; for part and line see `Told`.

        Raises:
            CaptureError: the run has ended, or JSON cannot hold the fact.
            FormatError: the fact is not one.
        """
        if line is None:
            line = line_of(fact)
        with self._lock:
            if self._is_over:
                raise CaptureError("the run has ended")
            self._state.apply(fact, part)
            if self._journal is not None:
                self._journal.write(line)
                if self._journal.fault is not None:
                    self._say_fault(self._journal)

    def record(self, kind: str, value: Any, *, step: int | str = 0) -> None:
        """Add a part of a record as a fact.

        Raises:
            CaptureError, FormatError: as for `write`.
        """
        fact: Fact = {"f": kind, "value": encode(value), "at": format_time(self.now())}
        if step:
            fact["s"] = step
        self.write(fact, part=value)

    def attach(self, attachments: Mapping[Digest, bytes]) -> None:
        """Keep texts that a fact names by their digest.

        Raises:
            CaptureError, FormatError: as for `write`.
        """
        for digest, data in attachments.items():
            with self._lock:
                known = self._state.holds(digest)
            if not known:
                self.write({"f": "attachment", "value": data.decode()}, part=data)

    def attempt(self, what: str, action: Callable[[], object]) -> None:
        """Do something whose fault must not reach the caller (see `fault`)."""
        try:
            action()
        except Exception as error:
            self.fault(what, error)

    def next_step(self) -> int | str:
        """Return a key for a step that no other step of the run has, in no process."""
        with self._lock:
            self._steps += 1
            return f"{self._branch}-{self._steps}" if self._branch else self._steps

    def say(self, text: str) -> None:
        """Say something once per run; a warning a thousand times over is noise."""
        if text not in self._said and len(self._said) < MAX_LISTED:
            self._said.add(text)
            say(text)

    def lost(self, field: str, reason: str, *, step: int | str = 0) -> None:
        """Say and record that something the user meant to record is not there.

        Raises:
            CaptureError: in strict mode, instead.
        """
        if self.is_strict:
            raise CaptureError(f"{field}: {reason}")
        self.say(f"not recorded: {field}: {reason}")
        with self._lock:
            self._lost += 1
            if self._lost <= MAX_LISTED:
                missing = Missing(field=redact(field), reason=redact(reason))
                self.record("missing", missing, step=step)

    def fault(self, method: str, error: Exception, *, step: int | str = 0) -> None:
        """Deal with a fault of the recording itself: it never reaches the caller.

        Raises:
            Exception: the fault, in strict mode.
        """
        if self.is_strict:
            raise error
        reason = str(error) if isinstance(error, CaptureError) else describe_error(error)
        try:
            self.lost(method, reason, step=step)
        except Exception:
            self.say(f"not recorded: {method}: {reason}")

    def end(self, error: BaseException | None, *, ending: Ending | None = None) -> Receipt | None:
        """Seal the run; return where it stands, None where that could not be done now.

        `ending` says how it ended where that is known otherwise than by an exception of this
        process. The facts are kept in the journal until they are sealed; none is taken after this.

        Raises:
            Exception: why it could not be sealed, in strict mode.
        """
        if ending is None:
            ending = self._ending(error)
        if self._lost > MAX_LISTED:
            reason = f"{self._lost - MAX_LISTED} more that could not be recorded are not listed"
            self._add_missing("missing", reason)
        with self._lock:
            # Without it the run would be recorded as abandoned, which is the least that it was.
            self.attempt(
                "end", functools.partial(self.write, {"f": "end", **encode(ending)}, part=ending)
            )
            self._is_over = True
            journal, state = self._journal, self._state
            if journal is not None and journal.has_foreign_lines():
                # Forked children wrote too; their facts are only in the file.
                try:
                    state = replay(journal.read())
                except (FormatError, OSError) as damage:
                    self.say(f"what forked processes wrote could not be read: {damage}")
        receipt = None
        begin: Callable[[], Receipt | None] | None = None
        try:
            receipt = self._sink.seal(state)
        except HandedOver as way:
            begin = way.begin
        except Exception as fault:
            if self.is_strict:
                raise
            self._say_unsealed(fault)
        finally:
            if journal is not None:
                if begin is not None:
                    journal.sync()
                journal.close(remove=receipt is not None)
        if begin is not None:
            with contextlib.suppress(Exception):
                receipt = begin()
        return receipt

    def discard(self) -> None:
        """Forget a run that did not begin."""
        with self._lock:
            self._is_over = True
            if self._journal is not None:
                self._journal.close(remove=True)

    def _ending(self, error: BaseException | None) -> Ending:
        duration_s = max(0.0, self.monotonic() - self._started_s)
        now = datetime.fromtimestamp(self.clock(), UTC)
        ended_at, drift_s = elapsed_end(self._started_at, now, duration_s)
        if drift_s < -CLOCK_TOLERANCE_S:
            set_back = f"the clock was set back by about {-drift_s:.0f} s meanwhile"
            self._add_missing("clock", f"{set_back}; durations are right")
        return ending_of(error, ended_at=ended_at, duration_s=duration_s)

    def _add_missing(self, field: str, reason: str) -> None:
        missing = Missing(field=field, reason=reason)
        self.attempt("missing", functools.partial(self.record, "missing", missing))

    def _say_fault(self, journal: Journal) -> None:
        where = f"going on in {journal.path.parent}"
        if journal.unwritten:
            where = "what follows is kept in memory until the run ends"
        self.say(
            f"the journal of run {self._run_id} could not be written: {journal.fault}; {where}"
        )

    def _say_unsealed(self, fault: Exception) -> None:
        text = f"run {self._run_id} is not in the ledger yet: {describe_error(fault)}."
        journal = self._journal
        if journal is None:
            text += " Its facts are lost"
        else:
            text += f" Its facts are kept in {journal.path}; `provgraph recover` seals them"
            if journal.unwritten:
                text += f". {len(journal.unwritten)} of them are lost: no disk took them"
        self.say(text)

    def _after_fork(self) -> None:
        # Another thread of the parent may have held the lock; here nobody would let go of it.
        self._lock = threading.RLock()
        self._branch = os.urandom(4).hex()
