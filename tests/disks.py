"""Small disks of their own for tests that fill them up or make them read-only: tmpfs, as root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Disk:
    """A mounted file system of some MiB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no byte of room."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            block = 1 << 20
            while block:
                try:
                    file.write(b"\0" * block)
                except OSError:
                    block //= 2

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "filler").unlink()

    def remount(self, how: str) -> None:
        """Make it read-only (`ro`) or writable (`rw`)."""
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)


def mounted(folder: Path, *, size_mib: int = 4) -> Iterator[Disk]:
    """Mount a disk; a fixture's generator. Skips where that takes rights that we have not."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk of its own takes root")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)
