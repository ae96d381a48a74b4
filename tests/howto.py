"""Follows HOWTO-VERIFY.txt as a reader would: pastes its lines into bash, in the bundle's folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("bash", "openssl", "xxd", "sha256sum", "base64", "awk", "sed")


def require_tools() -> None:
    """Skip where a tool is missing, and fail in continuous integration."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"needs {', '.join(lacking)}")
    assert lacking == []


def follow(folder: Path, instructions: str | None = None) -> str:
    """Return what the lines print; their files in /tmp are put beside the folder instead."""
    text = instructions or (folder / "HOWTO-VERIFY.txt").read_text()
    lines = [line[5:] for line in text.splitlines() if line.startswith("     ")]
    script = "\n".join(line for line in lines if not re.match(r"[a-z]+ +did:", line))
    aside = folder.with_name(f"{folder.name}-aside")
    aside.mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-c", script.replace("/tmp/", f"{aside}/")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout
