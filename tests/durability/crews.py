"""Recorders that run beside each other (`recorder.py`) until they end or are killed, and what they said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

RECORDER = Path(__file__).resolve().parent / "recorder.py"
FOREVER = 10**9


class Recorder:
    """One process. What it says goes to a file elsewhere than the home, in whole lines."""

    def __init__(self, home: Path, what: str, number: int, environ: Mapping[str, str]) -> None:
        self.what = what
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        self._complained: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        self.process = subprocess.Popen(
            [sys.executable, str(RECORDER), what, str(number)],
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                **environ,
                "PROVGRAPH_HOME": str(home),
            },
            stdout=self._said,
            stderr=self._complained,
        )

    def kill(self) -> None:
        """End it at once."""
        self.process.send_signal(signal.SIGKILL)

    def end(self, *, timeout_s: float = 120) -> list[str]:
        """Wait for its end and return what it had said."""
        self.process.wait(timeout=timeout_s)
        lines = self.said()
        self._said.close()
        self._complained.close()
        return lines

    def said(self) -> list[str]:
        """Return what it has said so far."""
        data = os.pread(self._said.fileno(), 1 << 30, 0).decode()
        return data[: data.rfind("\n") + 1].splitlines()

    def complaint(self) -> str:
        """Return what it wrote to stderr."""
        return os.pread(self._complained.fileno(), 1 << 20, 0).decode()


class Crew:
    """Recorders of one home. Leaving the block kills whoever is still there."""

    def __init__(self, home: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.members: list[Recorder] = []
        self.lines: list[str] = []
        self._environ = {"PROVGRAPH_STRICT": "on", **(environ or {})}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill_all()

    def start(self, what: str, number: int = FOREVER) -> Recorder:
        """Start one more."""
        member = Recorder(self.home, what, number, self._environ)
        self.members.append(member)
        return member

    def kill(self, member: Recorder) -> None:
        """Kill one and keep what it had said."""
        member.kill()
        self.finish(member)

    def finish(self, member: Recorder, *, timeout_s: float = 120) -> None:
        """Wait for one and keep what it had said."""
        self.lines += member.end(timeout_s=timeout_s)
        self.members.remove(member)

    def kill_all(self) -> None:
        """Kill all and keep what they had said."""
        for member in self.members:
            member.kill()
        for member in list(self.members):
            self.finish(member)

    def acknowledged(self) -> int:
        """Return how many records have been acknowledged, by those who are still there too."""
        return sum(line.startswith("said record ") for line in self.all_said())

    def all_said(self) -> list[str]:
        """Return all lines so far, of those who are still there too."""
        return [*self.lines, *(line for member in self.members for line in member.said())]
