"""File systems of their own, on loop devices, whose power can be cut while programs write. As root.

The cut is the ioctl with which the Linux file systems' own tests cut it (xfstests, `shutdown -f`
without log flush): from that moment nothing reaches the device any more, whatever the page cache holds.
What a mount then finds is what had been synced, and what the kernel had written by itself.

Not shown: a drive whose cache forgets what it said was safe. The device is a file of this machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# EXT4_IOC_SHUTDOWN is XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32); 2 means without flushing the log.
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = (2).to_bytes(4, "little")

_MAKE = {
    "ext4": (64, ("mkfs.ext4", "-q", "-F")),
    "xfs": (320, ("mkfs.xfs", "-q", "-f")),
    "btrfs": (256, ("mkfs.btrfs", "-q", "-f")),
}


class Volume:
    """A file system in a file, mounted at `folder`."""

    def __init__(self, place: Path, kind: str) -> None:
        self.kind = kind
        self.folder = place / "volume"
        self._image = place / f"{kind}.image"

    def make(self) -> None:
        """Make and mount it; skips where that is not possible here."""
        size_mib, command = _MAKE[self.kind]
        if os.geteuid() != 0:
            _skip("mounting a file system takes root")
        if not os.path.exists("/dev/loop-control"):
            _skip("this machine has no loop devices")
        if shutil.which(command[0]) is None:
            _skip(f"{command[0]} is not installed")
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size_mib << 20)
        subprocess.run([*command, self._image], check=True, capture_output=True)
        done = self._mount()
        if done.returncode:
            _skip(f"a loop device cannot be mounted here: {done.stderr.strip()}")

    def _mount(self) -> subprocess.CompletedProcess[str]:
        command = ["mount", "-o", "loop", str(self._image), str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def cut_power(self) -> None:
        """From now on nothing reaches the device."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_LOG_FLUSH)
        except OSError as error:
            if error.errno in {errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL}:
                _skip(f"this kernel's {self.kind} cannot be shut down: {error.strerror}")
            raise
        finally:
            os.close(descriptor)

    def turn_on(self) -> None:
        """Mount it again, as after a power cut; its journal is replayed."""
        self.unmount()
        done = self._mount()
        assert (done.returncode, done.stderr) == (0, "")

    def become_read_only(self) -> None:
        """Do what ext4 does by itself after an error of the disk, with files open for writing."""
        device = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", self.folder],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        subprocess.run(["mount", "-o", "remount,errors=remount-ro", self.folder], check=True)
        Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("a test\n")

    def fill(self) -> None:
        """Leave no byte of room."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            block = 1 << 20
            while block:
                try:
                    file.write(b"\0" * block)
                except OSError:
                    block //= 2
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())

    def empty(self) -> None:
        """Give the room back."""
        (self.folder / "filler").unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away; a program that was just killed may still hold it for a moment."""
        for attempt in range(100):
            command = ["umount", str(self.folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0 or "not mounted" in done.stderr:
                return
            time.sleep(0.02 * (1 + attempt // 10))
        raise AssertionError(done.stderr)


def volumes(place: Path, kind: str) -> Iterator[Volume]:
    """Yield a mounted volume; a fixture's generator."""
    volume = Volume(place, kind)
    volume.make()
    try:
        yield volume
    finally:
        volume.unmount()


def _skip(reason: str) -> None:
    pytest.skip(reason)
