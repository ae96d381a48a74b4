"""Other people's programs that these tests run: Node with npm packages, Go, packages from PyPI.

Whatever they need is locked by version and hash in files beside this one, and is put in place by the
first test that asks, into folders that git ignores: nothing of it is installed with provgraph, nor
shared with the tests' own environment.

Where Node or the network is missing, the tests skip and say so; in continuous integration (CI=true)
they fail, since there it is a fault of the machine. Go is asked for only where it is installed and
recent, since no Debian has one that is: its tests skip everywhere else.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).resolve().parent
NODE = HERE / "node"
GO = HERE / "go"
PYTHON = HERE / "python"
PYMERKLE = PYTHON / "site-packages"
IN_TOTO = PYTHON / "site-packages-dsse"

# What the locked versions ask for. An older golang.org/x/mod would build with an older Go, and take
# tiles that were tampered with (CVE-2026-56865).
OLDEST_NODE = 18
OLDEST_GO = (1, 25)

# A first build of Go's standard library takes most of a minute on two cores.
INSTALL_TIMEOUT_S = 300
RUN_TIMEOUT_S = 120


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find(program: str) -> str:
    """Return the path of a program of Node's."""
    path = shutil.which(program)
    if path is None:
        missing(f"needs {program}; on Debian or Ubuntu: apt-get install nodejs npm")
    return path


# ---- Node ----------------------------------------------------------------------------------------
def ready_node() -> None:
    """Make sure that Node is there, and its packages as package-lock.json says."""
    version = _run([find("node"), "--version"], cwd=NODE).decode().strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        missing(f"needs Node {OLDEST_NODE} or later, found {version}")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _install(
        [find(command[0]), *command[1:]],
        locks=[NODE / "package.json", NODE / "package-lock.json"],
        into=NODE / "node_modules",
    )


def run_node(script: str, request: Any) -> Any:
    """Give a script of node/ a JSON request and return its JSON answer."""
    data = _run([find("node"), script], cwd=NODE, data=json.dumps(request).encode())
    return json.loads(data)


# ---- Go ------------------------------------------------------------------------------------------
def build_go(folder: Path, *, source: Path = GO, oldest: tuple[int, int] = OLDEST_GO) -> Path:
    """Build a folder of Go and return the program; skip where there is no Go that could."""
    # Where Go's own archive puts it is on the PATH of login shells only.
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        pytest.skip("Go is not installed")
    # The toolchain that is there, and no file of ours changed.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    version = _run([go, "env", "GOVERSION"], cwd=folder).decode().strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or tuple(map(int, found.groups())) < oldest:
        pytest.skip(f"needs Go {oldest[0]}.{oldest[1]} or later, found {version}")
    program = folder / "program"
    _prepare([go, "build", "-o", str(program), "."], cwd=source, environment=environment)
    return program


def run_go(program: Path, *arguments: str) -> tuple[int, str]:
    """Run the program; return its exit status and what it printed on either stream."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, timeout=RUN_TIMEOUT_S, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


# ---- Python --------------------------------------------------------------------------------------
def ready_pymerkle() -> None:
    """Make sure that pymerkle is there, in a folder of its own."""
    _ready_python(PYTHON / "requirements.txt", into=PYMERKLE)


def run_pymerkle(request: Any) -> Any:
    """Give python/merkle.py a JSON request and return its JSON answer."""
    return _run_python("merkle.py", PYMERKLE, request)


def ready_in_toto() -> None:
    """Make sure that securesystemslib and in-toto-attestation are there."""
    _ready_python(PYTHON / "requirements-dsse.txt", into=IN_TOTO)


def run_in_toto(request: Any) -> Any:
    """Give python/statement.py a JSON request and return its JSON answer."""
    return _run_python("statement.py", IN_TOTO, request)


def _ready_python(requirements: Path, *, into: Path) -> None:
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    hashed = ["--require-hashes", "--only-binary=:all:", "--requirement", str(requirements)]
    _install(
        [sys.executable, *command, *hashed, "--upgrade", "--target", str(into)],
        locks=[requirements],
        into=into,
    )


def _run_python(script: str, packages: Path, request: Any) -> Any:
    # -I: neither this environment's variables nor the current folder.
    command = [sys.executable, "-I", str(PYTHON / script), str(packages)]
    return json.loads(_run(command, cwd=PYTHON, data=json.dumps(request).encode()))


# ---- all -----------------------------------------------------------------------------------------
def _install(command: Sequence[str], *, locks: Sequence[Path], into: Path) -> None:
    """Run an installer unless what it makes is there, made from these very lock files."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in locks)).hexdigest()
    stamp = into / ".installed-from"
    with locks[0].open("rb") as lock:
        # Two test runs in one checkout must not install at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        _prepare(command, cwd=locks[0].parent, environment=os.environ)
        stamp.write_text(wanted)


def _prepare(command: Sequence[str], *, cwd: Path, environment: Any) -> None:
    try:
        subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        missing(f"{command[0]} was not done after {INSTALL_TIMEOUT_S} s")
    except subprocess.CalledProcessError as error:
        missing(f"{' '.join(command)} failed: {error.output.decode()[-2000:]}")


def _run(command: Sequence[str], *, cwd: Path, data: bytes = b"") -> bytes:
    done = subprocess.run(
        command, cwd=cwd, input=data, capture_output=True, timeout=RUN_TIMEOUT_S, check=False
    )
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout
