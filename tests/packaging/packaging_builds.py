"""Builds provgraph and installs it into fresh environments, downloading nothing.

A fresh environment sees the packages of the environment that runs the tests through a `.pth` file:
they come after its own on the path, and the `.pth` files among them are not read, so the editable
provgraph of the test environment is not one of them. Builds run with the hatchling found there.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def run(command: Sequence[str | Path], *, cwd: Path, **variables: str) -> str:
    """Run a command away from the checkout and return its standard output."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        command, cwd=cwd, env=kept | variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def pip(*arguments: str | Path, cwd: Path) -> None:
    """Run the test environment's pip, offline, on sources that are here."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    run([*command, "--quiet", "--no-deps", "--no-index"], cwd=cwd, PIP_ROOT_USER_ACTION="ignore")


def site_packages(python: Path, *, cwd: Path) -> str:
    """Return the folder into which packages of that interpreter are installed."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return run([python, "-c", code], cwd=cwd).strip()
