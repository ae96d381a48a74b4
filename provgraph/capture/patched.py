"""Which installed packages were edited after they were installed.

A wheel's RECORD (PyPA "Recording installed projects") lists the size and SHA-256 of every file.
Checking all of them would cost seconds, so this looks only at the files that loaded modules came
from: a file is changed when its size differs, or when it is younger than RECORD and its hash
differs. So an edit in place is found. Not found: an edit of the same size whose time was put back
to before the installation, one in a module that is loaded later, and one in a package that has no
RECORD (as distributions of Linux install them).

Units: sizes in bytes, times in nanoseconds.
"""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from provgraph.capture.packages import Distribution, normal_name
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass, replace
from provgraph.records import Package

# Installers write RECORD last; file systems with coarse times round by up to 2 s (FAT).
_SLACK_NS: Final = 2_000_000_000
MAX_HASHED_BYTES: Final = 64 * 1024 * 1024
"""More than this to hash means that every file looks young, as in a copied environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What RECORD says of one file that is loaded."""

    path: str
    sha256: bytes  # as RECORD writes it: URL-safe base64 without padding
    size_bytes: int


def mark_patched(
    distributions: Iterable[Distribution], module_files: Iterable[str]
) -> tuple[Package, ...]:
    """Return the packages, in the same order, the edited ones with the origin `patched`.

    Raises:
        CaptureError: too many files are younger than their RECORD to hash them all.
    """
    distributions = tuple(distributions)
    unclaimed = _by_site({each.site for each in distributions}, module_files)
    patched: set[str] = set()
    left_bytes = MAX_HASHED_BYTES
    for each in _likely_owners_first(distributions, unclaimed):
        recorded_ns, rows = _claim(each, unclaimed[each.site])
        for row in rows:
            try:
                status = os.stat(row.path)
            except OSError:
                continue  # removed under a running process: an upgrade, which is no patch
            if status.st_size != row.size_bytes:
                patched.add(each.metadata)
            elif status.st_mtime_ns > recorded_ns + _SLACK_NS:
                left_bytes -= status.st_size
                if left_bytes < 0:
                    raise CaptureError(
                        "too many installed files are younger than their RECORD to hash them all,"
                        " so it is not known which packages were patched"
                    )
                if _wheel_hash(row.path) != row.sha256:
                    patched.add(each.metadata)
    return tuple(
        replace(each.package, origin="patched") if each.metadata in patched else each.package
        for each in distributions
    )


def _by_site(sites: set[str], module_files: Iterable[str]) -> dict[str, set[bytes]]:
    """Sort loaded files by the search path entry they lie below, as paths relative to it."""
    found: dict[str, set[bytes]] = {site: set() for site in sites}
    # The longest entry first: one search path entry may lie inside another.
    prefixes = [(os.path.join(site, ""), site) for site in sorted(sites, key=len, reverse=True)]
    for file in module_files:
        for prefix, site in prefixes:
            if file.startswith(prefix):
                relative = file[len(prefix) :].replace(os.sep, "/")
                found[site].add(os.fsencode(relative))
                break
    return found


def _likely_owners_first(
    distributions: tuple[Distribution, ...], unclaimed: dict[str, set[bytes]]
) -> Iterator[Distribution]:
    """Yield those named like a loaded top-level package first; stop when nothing is unclaimed.

    Most RECORDs then need not be read at all.
    """
    tops = {
        normal_name(os.fsdecode(relative.split(b"/", 1)[0].removesuffix(b".py")))
        for files in unclaimed.values()
        for relative in files
    }
    for each in sorted(distributions, key=lambda each: normal_name(each.package.name) not in tops):
        if each.package.origin != "editable" and unclaimed[each.site]:
            yield each


def _claim(each: Distribution, files: set[bytes]) -> tuple[int, list[_Row]]:
    """Take the files that this RECORD lists out of `files`; return its time and their rows."""
    path = os.path.join(each.metadata, "RECORD")
    try:
        with open(path, "rb", buffering=0) as file:
            record = file.readall()
            recorded_ns = os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return 0, []
    rows = []
    for line in record.splitlines():
        relative, _, rest = line.partition(b",")
        if relative in files:
            files.discard(relative)
            checksum, _, size = rest.partition(b",")
            if checksum.startswith(b"sha256=") and size.isdigit():
                rows.append(
                    _Row(
                        path=os.path.join(each.site, os.fsdecode(relative)),
                        sha256=checksum.removeprefix(b"sha256="),
                        size_bytes=int(size),
                    )
                )
    return recorded_ns, rows


def _wheel_hash(path: str) -> bytes:
    with open(path, "rb") as file:
        return urlsafe_b64encode(hashlib.file_digest(file, "sha256").digest()).rstrip(b"=")
