"""Runs a command as its parent: signals passed on, standard error passed through and its end kept.

Standard input and output are the user's own. Standard error goes through a pipe, byte for byte as
it comes; a program that asks whether it is a terminal is told no. The exit code is the one a shell
gives: 128 + n for a command that signal n ended. Units: seconds, bytes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

from provgraph.capture.redact import redact
from provgraph.errors import NotFoundError, UsageError
from provgraph.frozen import dataclass

if TYPE_CHECKING:
    from subprocess import Popen

TAIL_CHARACTERS: Final = 4096
# Redaction looks for names before values, so more is kept than shown: no secret is cut in two.
_KEPT_BYTES: Final = 4 * TAIL_CHARACTERS
_CHUNK_BYTES: Final = 64 * 1024
# A process that the command left in the background may hold standard error open for ever. It loses
# its standard error when we end; waiting for it would keep the user waiting.
_GRACE_S: Final = 2.0

# Schedulers announce the end of an allocation with SIGUSR1 or SIGUSR2.
_FORWARDED: Final = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__
)
# A terminal sends these to all processes in its foreground, so to the command as well.
_FROM_TERMINAL: Final = frozenset({"SIGINT", "SIGQUIT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended."""

    process_id: int
    exit_code: int
    duration_s: float
    stderr_tail: str  # redacted
    is_stderr_open: bool  # a process in the background still holds it


def run_to_end(argv: Sequence[str], environ: Mapping[str, str]) -> Finished:
    """Run a program, no shell in between, until it ends.

    Raises:
        NotFoundError: there is no such program.
        UsageError: it cannot be executed.
    """
    reader, writer = os.pipe()
    tail = bytearray()
    started_s = time.monotonic()
    with _Forwarder() as forwarder:
        try:
            process = _start(argv, environ, stderr=writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        forwarder.attach(process)
        pump = threading.Thread(target=_pump, args=(reader, tail), daemon=True)
        pump.start()
        code = process.wait()
    duration_s = time.monotonic() - started_s
    pump.join(_GRACE_S)
    return Finished(
        process_id=process.pid,
        exit_code=code if code >= 0 else 128 - code,
        duration_s=duration_s,
        stderr_tail=_tail_text(bytes(tail)),
        is_stderr_open=pump.is_alive(),
    )


def _start(argv: Sequence[str], environ: Mapping[str, str], *, stderr: int) -> Popen[bytes]:
    import subprocess

    try:
        return subprocess.Popen(list(argv), env=dict(environ), stderr=stderr)
    except FileNotFoundError:
        if os.path.exists(argv[0]):
            raise NotFoundError(
                f"{argv[0]} names an interpreter in its first line that does not exist"
            ) from None
        raise NotFoundError(
            f"command not found: {argv[0]}; check its spelling and PATH, or give its full path"
        ) from None
    except PermissionError:
        raise UsageError(
            f"{argv[0]} is not executable; run it through its interpreter, or chmod +x"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{argv[0]} cannot be executed ({reason}); a script without #! needs its interpreter"
        ) from None


def _pump(reader: int, tail: bytearray) -> None:
    """Copy standard error to ours as it comes, and keep its end; close the pipe when it ends."""
    is_writable = True
    try:
        while chunk := os.read(reader, _CHUNK_BYTES):
            tail += chunk
            del tail[:-_KEPT_BYTES]
            while chunk and is_writable:
                try:
                    chunk = chunk[os.write(2, chunk) :]
                except OSError:
                    is_writable = False  # ours is gone; the command must not block for that
    finally:
        os.close(reader)


def _tail_text(tail: bytes) -> str:
    """Return the last lines, redacted, at most `TAIL_CHARACTERS` long."""
    text = redact(tail.decode("utf-8", "replace"))
    if len(text) <= TAIL_CHARACTERS:
        return text
    cut = text[-TAIL_CHARACTERS:]
    return cut.partition("\n")[2] or cut


class _Forwarder:
    """Passes signals on to the command while it runs; ours would end us, and not it."""

    def __init__(self) -> None:
        self._process: Popen[bytes] | None = None
        self._early: list[int] = []
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python allows handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in _FORWARDED:
                # What is ignored (nohup, a job in the background) stays so, for the command too.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def attach(self, process: Popen[bytes]) -> None:
        """Name the process that signals go to, and send it those that came before it was there."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _forward(self, number: int, _: FrameType | None) -> None:
        if signal.Signals(number).name in _FROM_TERMINAL and _is_in_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _is_in_foreground() -> bool:
    """Whether a terminal sends its signals to our process group, of which the command is one."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
