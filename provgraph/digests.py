r"""Digests of bytes, files and folders, computed as streams.

A `Digest` names an algorithm and a value; content IRIs are minted from it. `sha256` is over the
bytes of a file. `folder-v1` is the SHA-256 over one line per regular file below a folder,
`<sha256 hex>  <relative path with />\n`, sorted by path bytes: what `sha256sum` prints, so a
person can check it with coreutils. Tables and arrays in memory have algorithms of their own, see
`provgraph.capture.data`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provgraph.errors import CaptureError, FormatError
from provgraph.frozen import dataclass
from provgraph.loading import import_lock

if TYPE_CHECKING:
    import hashlib

CHUNK_BYTES: Final = 1024 * 1024

# Algorithm names as they stand in IRIs. `weak-` marks digests that another system computed over a
# part of the data only: they can show a difference, never equality.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VALUE = re.compile(r"[0-9a-f]{8,128}")

Progress = Callable[[int], None]
"""Called with the number of bytes read since the last call."""


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest: algorithm name in lower case, value in lower-case hex."""

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.algorithm) or not _VALUE.fullmatch(self.value):
            raise FormatError(
                f"expected <algorithm>:<lower-case hex>, found {self.algorithm}:{self.value}"
            )

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:ab12…`.

        Raises:
            FormatError: no colon, an unknown form of name, or a value that is not hex.
        """
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)

    @property
    def is_weak(self) -> bool:
        """Whether equal digests do not mean equal content."""
        return self.algorithm.startswith("weak-")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDigest:
    """What hashing a path found: the digest, bytes read, and how many files."""

    digest: Digest
    size_bytes: int
    file_count: int


def sha256_bytes(data: bytes) -> Digest:
    """Return the SHA-256 of bytes."""
    return Digest("sha256", _sha256(data).hexdigest())


def digest_path(path: Path, *, progress: Progress | None = None) -> PathDigest:
    """Hash a regular file (`sha256`) or a folder (`folder-v1`) as a stream.

    Links to files are followed; a link to a folder inside a folder is not (it could loop).

    Raises:
        CaptureError: missing, unreadable, not a regular file or folder, or changed while read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _digest_folder(path, progress)
        if stat.S_ISREG(mode):
            hex_value, size_bytes = _digest_file(path, progress)
            return PathDigest(
                digest=Digest("sha256", hex_value), size_bytes=size_bytes, file_count=1
            )
    except FileNotFoundError:
        raise CaptureError(f"no such file: {path}") from None
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}") from error
    raise CaptureError(f"cannot digest {path}: neither a regular file nor a folder")


def total_bytes(path: Path) -> int:
    """Return how many bytes `digest_path` will read, 0 where it cannot be known."""
    try:
        if path.is_dir():
            return sum(os.path.getsize(name) for _, name in _files_below(path))
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(data: bytes = b"") -> hashlib._Hash:
    with import_lock:  # not before something is digested: it brings OpenSSL
        import hashlib

    return hashlib.sha256(data)


def _digest_folder(root: Path, progress: Progress | None) -> PathDigest:
    outer = _sha256()
    size_bytes = file_count = 0
    for relative, name in sorted(_files_below(root)):
        hex_value, size = _digest_file(Path(name), progress)
        outer.update(f"{hex_value}  ".encode() + relative + b"\n")
        size_bytes += size
        file_count += 1
    return PathDigest(
        digest=Digest("folder-v1", outer.hexdigest()), size_bytes=size_bytes, file_count=file_count
    )


def _files_below(root: Path) -> Iterator[tuple[bytes, str]]:
    """Yield (relative path bytes with /, full name) of every regular file below root."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(root, onerror=refuse):
        for name in names:
            full = os.path.join(folder, name)
            if os.path.isfile(full):
                yield os.fsencode(os.path.relpath(full, root)).replace(b"\\", b"/"), full


def _digest_file(path: Path, progress: Progress | None) -> tuple[str, int]:
    """Return (hex SHA-256, bytes read); refuse a file that changed under the reader."""
    hasher = _sha256()
    size_bytes = 0
    # Not held up by a FIFO that took the file's place.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise CaptureError(f"cannot digest {path}: no regular file")
        # A folder of many small files should not allocate a megabyte for each.
        buffer = memoryview(bytearray(min(CHUNK_BYTES, before.st_size + 1)))
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
            size_bytes += count
            if progress is not None:
                progress(count)
        after = os.fstat(file.fileno())
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise CaptureError(f"{path} changed while it was being read; record it once it is whole")
    return hasher.hexdigest(), size_bytes
