"""A real witness: the command line in a process of its own, on loopback."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from provgraph.seal.note import NoteKey
from provgraph.service.home import utc_now
from provgraph.witness.folder import open_folder

COMMAND = (
    sys.executable,
    "-c",
    "from provgraph.cli.main import main; raise SystemExit(main())",
)


def run(*words: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a provgraph command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env=_variables(home),
        capture_output=True,
        text=True,
        check=False,
    )


class WitnessProcess:
    """`provgraph witness serve`, its address, and what it has logged."""

    def __init__(
        self, folder: Path, *, listen: str = "127.0.0.1:0", log: Path | None = None
    ) -> None:
        self._log = (log or folder.with_suffix(".log")).open("w")
        self.process = subprocess.Popen(
            [*COMMAND, "witness", "serve", str(folder), "--listen", listen],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=_variables(None),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r"http://(127\.0\.0\.1|\[::1\]):([0-9]+)", line)
        if match is None:
            self.stop()
            raise AssertionError(
                f"the witness did not start: {line!r} {Path(self._log.name).read_text()}"
            )
        self.host, self.port = match[1].strip("[]"), int(match[2])
        self.address = match[0]

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self._end()

    def stop(self) -> int:
        self.process.terminate()
        return self._end()

    def _end(self) -> int:
        code = self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
        return code


@contextlib.contextmanager
def serving(folder: Path, *, listen: str = "127.0.0.1:0") -> Iterator[WitnessProcess]:
    """Serve a folder until the end of the block."""
    process = WitnessProcess(folder, listen=listen)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.stop()


def make_witness(
    folder: Path, *logs: Sequence[NoteKey], name: str = "witness.example.org"
) -> tuple[NoteKey, ...]:
    """Make a witness that knows these logs, in this process; return its keys."""
    made = open_folder(folder, clock=utc_now, name=name)
    for keys in logs:
        made.add_log(keys)
    return made.keys


def _variables(home: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROVGRAPH_")}
    return kept if home is None else {**kept, "PROVGRAPH_HOME": str(home)}
