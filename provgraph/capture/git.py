"""git, run so that nothing the repository says can make it run anything else.

A repository's own configuration may name programs (filters, file system monitors, hooks, external
diffs, text converters, transports for missing objects), and whoever wrote the folder wrote that
configuration. Reading the state of a work tree must not start them, so each is switched off:

- `core.fsmonitor` and `core.hooksPath` on the command line, which wins over the repository;
- filters that the repository itself configures are emptied by name; the user's own (git-lfs) stay;
- `--no-ext-diff` and `--no-textconv` on every diff;
- no transport is allowed and no object is fetched (`GIT_ALLOW_PROTOCOL`, `GIT_NO_LAZY_FETCH`);
- GIT_* variables that point at another repository or name programs are dropped.

Nothing is written: `--no-optional-locks`. Needs git 2.26 (`config --show-scope`). Units: seconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provgraph.capture.redact import redact
from provgraph.digests import Digest
from provgraph.errors import CaptureError

# What may be asked of the configuration, and the names of filters that a repository brings.
_CONFIG_KEYS: Final = (
    r"^(filter\..*\.(clean|smudge|process|required)|remote\..*\.url|branch\..*\.remote"
    r"|core\.worktree)$"
)
_FILTER = re.compile(r"filter\.(.*)\.(?:clean|smudge|process|required)", re.DOTALL)
# Scopes of configuration that belong to the user or the machine, not to the folder.
_OWN_SCOPES: Final = frozenset({"system", "global", "command"})

# One state of the files gives one output, whatever the user has configured. Binary changes are not
# compressed, because zlib's output differs between its builds.
_FIXED: Final = (
    *("-c", "core.quotePath=true"),
    *("-c", "core.compression=0"),
    *("-c", "diff.suppressBlankEmpty=false"),
)

_REFUSED = re.compile(r"dubious ownership|unsafe repository")
_CHUNK_BYTES: Final = 1024 * 1024


class Repository:
    """A git work tree, to be asked within one deadline."""

    def __init__(self, root: Path, *, environ: Mapping[str, str], timeout_s: float) -> None:
        self.root = root
        self._environ = _clean(environ)
        self._deadline_s = time.monotonic() + timeout_s
        self._overrides: list[str] = []
        self.config = self._read_config()

    def _read_config(self) -> dict[str, str]:
        """Read the keys above, first value first, and empty the repository's own filters."""
        text = self.ask(
            "config", "-z", "--show-scope", "--get-regexp", _CONFIG_KEYS, allowed=(0, 1)
        )
        fields = text.split("\0")
        config: dict[str, str] = {}
        for scope, pair in zip(fields[::2], fields[1::2], strict=False):
            key, _, value = pair.partition("\n")
            config.setdefault(key, value)
            match = _FILTER.fullmatch(key)
            if match is None or scope in _OWN_SCOPES:
                continue
            if "=" in match[1]:
                raise CaptureError(
                    "the repository configures a filter program whose name cannot be overridden;"
                    " git was not run on its files"
                )
            for name, empty in (
                ("clean", ""),
                ("smudge", ""),
                ("process", ""),
                ("required", "false"),
            ):
                self._overrides += ["-c", f"filter.{match[1]}.{name}={empty}"]
        return config

    def ask(
        self, *arguments: str, allowed: tuple[int, ...] = (0,), within_s: float | None = None
    ) -> str:
        """Run git and return its output; undecodable bytes of paths survive `os.fsencode`.

        Raises:
            CaptureError: git is not there, refuses, fails or takes too long.
            TimeoutError: it took longer than `within_s`, where that was given.
        """
        import subprocess

        left_s = self.left_s()
        try:
            done = subprocess.run(
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=self._environ,
                timeout=left_s if within_s is None else min(within_s, left_s),
            )
        except subprocess.TimeoutExpired:
            if within_s is not None and self._deadline_s > time.monotonic():
                raise TimeoutError from None
            raise _too_slow(arguments[0]) from None
        except OSError as error:
            raise _not_started(error) from None
        if done.returncode not in allowed:
            raise self._failure(arguments[0], done.stderr)
        return os.fsdecode(done.stdout)

    def digest(self, *arguments: str) -> Digest:
        """Run git and return the SHA-256 of its output, which is kept nowhere.

        Raises:
            CaptureError: as for `ask`.
        """
        import subprocess
        import threading

        hasher = hashlib.sha256()
        try:
            process = subprocess.Popen(
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
            )
        except OSError as error:
            raise _not_started(error) from None
        timer = threading.Timer(self.left_s(), process.kill)
        timer.start()
        try:
            with process:
                assert process.stdout is not None
                while chunk := process.stdout.read(_CHUNK_BYTES):
                    hasher.update(chunk)
        finally:
            timer.cancel()
        if process.returncode < 0:
            raise _too_slow(arguments[0])
        if process.returncode > 0:
            raise CaptureError(f"git {arguments[0]} failed with exit code {process.returncode}")
        return Digest("sha256", hasher.hexdigest())

    def left_s(self) -> float:
        """Return the time until the deadline; a little after it, so that a call can still fail."""
        return max(self._deadline_s - time.monotonic(), 0.1)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [
            "git",
            "-C",
            str(self.root),
            "--no-pager",
            "--no-optional-locks",
            "-c",
            "core.fsmonitor=",
            "-c",
            f"core.hooksPath={os.devnull}",
            *_FIXED,
            *self._overrides,
            *arguments,
        ]

    def _failure(self, command: str, stderr: bytes) -> CaptureError:
        text = stderr.decode("utf-8", "replace").strip()
        if _REFUSED.search(text):
            import shlex

            return CaptureError(
                f"git refuses {self.root}, which another user owns; if you trust it, run"
                f" git config --global --add safe.directory {shlex.quote(str(self.root))}"
            )
        line = text.splitlines()[0] if text else "no message"
        return CaptureError(f"git {command} failed: {redact(line)}")


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep the user's variables but those of git, of which only its configuration stays."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_") or name == "GIT_EXEC_PATH"
    }
    # LC_ALL: messages are matched. GIT_ALLOW_PROTOCOL: none is called so; all others are refused.
    return kept | {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _too_slow(command: str) -> CaptureError:
    return CaptureError(f"git {command} took too long and was stopped")


def _not_started(error: OSError) -> CaptureError:
    if isinstance(error, FileNotFoundError):
        return CaptureError("git is not installed, or not on PATH")
    return CaptureError(f"git cannot be started: {error.strerror}")
