"""The members of an export bundle: a zip or a folder with fixed names, read as a stranger's bytes.

What is refused, each with its own message: a name that no bundle has, of a file or a folder; a name
twice, a link, a device, a path that climbs out, a member or a total over its limit (counted while
inflating, since a header can lie), a file that is no zip at all, and a zip that another tool could
read otherwise (`provgraph.seal.zipreading`).

What is verified later is what was read here. Whoever goes on working with the files of an unpacked
folder must trust whoever else can write there. A hard link is taken: its bytes are what counts.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from provgraph.errors import FormatError, NotFoundError, UntrustedError
from provgraph.seal import zipreading
from provgraph.seal.dsse import MAX_ENVELOPE_BYTES
from provgraph.seal.entry import MAX_ENTRY_BYTES
from provgraph.seal.keys import SIGNATURE_BYTES
from provgraph.seal.note import MAX_NOTE_BYTES
from provgraph.terms import MAX_GRAPH_BYTES

MAX_MEMBER_BYTES: Final = 256 * 1024 * 1024
MAX_TOTAL_BYTES: Final = 2 * 1024 * 1024 * 1024
MAX_MEMBERS: Final = 1_000_000

MANIFEST: Final = "MANIFEST"
RECORD_FILES: Final = (
    "graph.nq",
    "proof.nq",
    "entry.json",
    "signature.bin",
    "record.tlog-proof",
    "record.jsonld",
    "record.ttl",
)
_NAME: Final = re.compile(
    r"MANIFEST|HOWTO-VERIFY\.txt|charter|checkpoint|checkpoint\.tsr|trust\.json|context\.jsonld|bundle\.json"
    r"|lineage\.jsonld|lineage\.trig|ro-crate-metadata\.json"
    r"|attestation\.dsse\.json|attestation\.sigstore\.json"
    r"|keys/[a-z]+-z[1-9A-HJ-NP-Za-km-z]{1,127}\.pem"
    r"|trust/[0-9]{6,16}\.note"
    r"|attachments/sha256-[0-9a-f]{64}"
    r"|records/[0-9]{6,12}/(?:" + "|".join(map(re.escape, RECORD_FILES)) + ")"
)
_FOLDER: Final = re.compile(r"keys/|trust/|attachments/|records/(?:[0-9]{6,12}/)?")
# What is read into a structure as a whole has a limit of its own: JSON takes twenty times its size
# in memory. Everything else may have MAX_MEMBER_BYTES. By the last part of the name.
_MAX_BYTES: Final = {
    "charter": MAX_NOTE_BYTES,
    "checkpoint": MAX_NOTE_BYTES,
    "entry.json": MAX_ENTRY_BYTES,
    "graph.nq": MAX_GRAPH_BYTES,
    "proof.nq": 1024,
    "signature.bin": SIGNATURE_BYTES,
    "record.tlog-proof": 2 * MAX_NOTE_BYTES,
    "trust.json": 16 * MAX_NOTE_BYTES,
    "context.jsonld": MAX_NOTE_BYTES,
    "bundle.json": 64 * MAX_NOTE_BYTES,
    "attestation.dsse.json": MAX_ENVELOPE_BYTES,
    "attestation.sigstore.json": MAX_ENVELOPE_BYTES,
}
# The same instant in every bundle, so that equal content gives an equal file.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def read_members(path: Path) -> dict[str, bytes]:
    """Read all members of a bundle.

    Raises:
        NotFoundError: there is nothing at path.
        FormatError: neither a zip nor a folder, or damaged.
        UntrustedError: a member that no honest bundle has.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise NotFoundError(f"no bundle at {path}") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"{str(path)[:200]} cannot be read: {_reason(error)}") from None
    taken = _Taken(path)
    if stat.S_ISDIR(mode):
        _read_folder(path, taken)
    elif stat.S_ISREG(mode):
        _read_zip(path, taken)
    else:
        raise FormatError(f"{path} is neither a file nor a folder")
    if MANIFEST not in taken.members:
        raise FormatError(f"{path} is no provgraph bundle: expected a member {MANIFEST}")
    return taken.members


def max_bytes(name: str) -> int:
    """Return how many bytes a member of that name may have."""
    return _MAX_BYTES.get(name.rpartition("/")[2], MAX_MEMBER_BYTES)


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a bundle as a zip; equal members give equal bytes. The caller syncs and renames."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, members[name], zipfile.ZIP_DEFLATED)


def write_folder(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a bundle as a folder, which must not exist yet."""
    path.mkdir()
    for name in sorted(members):
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(members[name])


class _Taken:
    """What was taken in so far; nothing is read before its name and its room are known."""

    def __init__(self, path: Path) -> None:
        self.members: dict[str, bytes] = {}
        self._path = path
        self._total_bytes = 0

    def take(self, name: str, read: Callable[[int], bytes]) -> None:
        """Take a member in; `read` returns no more than one byte over the limit that it is given."""
        if not _NAME.fullmatch(name):
            raise UntrustedError(
                f"{self._path}: unexpected member {name[:200]!r}; a bundle has none such"
            )
        if name in self.members:
            raise UntrustedError(f"{self._path}: member {name} stands in it twice")
        if len(self.members) == MAX_MEMBERS:
            raise UntrustedError(f"{self._path}: more than {MAX_MEMBERS} members")
        limit = max_bytes(name)
        room = min(limit, MAX_TOTAL_BYTES - self._total_bytes)
        data = read(room)
        if len(data) > limit:
            raise UntrustedError(f"{self._path}: member {name!r} is over {limit} bytes")
        if len(data) > room:
            raise UntrustedError(f"{self._path}: more than {MAX_TOTAL_BYTES} bytes when unpacked")
        self._total_bytes += len(data)
        self.members[name] = data


def _read_zip(path: Path, taken: _Taken) -> None:
    try:
        with path.open("rb") as file:
            rows = zipreading.read_directory(file, max_members=MAX_MEMBERS)
            folders = [row.name for row in rows if row.is_folder]
            for name in folders:
                _require_folder(name, path)
            if len(set(folders)) != len(folders):
                raise UntrustedError("a folder stands in it twice")
            for row, place in zipreading.check_layout(file, rows):
                if not row.is_folder:
                    taken.take(row.name, functools.partial(_read_row, file, row, place))
    except UntrustedError as error:
        raise UntrustedError(_about(path, error)) from None
    except (FormatError, OSError) as error:
        raise FormatError(f"{path} is no readable zip: {_reason(error)}") from None


def _read_row(file: BinaryIO, row: zipreading.ZipMember, place: int, limit: int) -> bytes:
    return zipreading.read_member(file, row, place, limit=limit)


def _about(path: Path, error: Exception) -> str:
    text = str(error)
    return text if text.startswith(f"{path}: ") else f"{path}: {text}"


def _require_folder(name: str, path: Path) -> None:
    """Refuse a folder that no bundle has: its name is read, and may climb out when unpacked."""
    if not _FOLDER.fullmatch(name):
        raise UntrustedError(
            f"{path}: unexpected member {name[:200]!r}; a bundle has no such folder"
        )


def _read_folder(path: Path, taken: _Taken) -> None:
    def refuse(error: OSError) -> None:
        raise error

    try:
        for folder, folders, names in os.walk(path, onerror=refuse):
            for name in folders:
                full = os.path.join(folder, name)
                if not stat.S_ISDIR(os.lstat(full).st_mode):
                    raise UntrustedError(f"{path}: member {name!r} is not a regular file")
                _require_folder(f"{Path(full).relative_to(path).as_posix()}/", path)
            for name in names:
                full = os.path.join(folder, name)
                taken.take(
                    Path(full).relative_to(path).as_posix(),
                    functools.partial(_read_file, full, path),
                )
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {_reason(error)}") from None


def _read_file(full: str, path: Path, limit: int) -> bytes:
    # What is looked at is what was opened: a name can change hands between two calls. A link is not
    # followed, and a pipe without a writer does not keep us waiting.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(full, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise UntrustedError(_irregular(full, path)) from None
        raise
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UntrustedError(_irregular(full, path))
        return file.read(limit + 1)


def _irregular(full: str, path: Path) -> str:
    return f"{path}: member {Path(full).relative_to(path).as_posix()!r} is not a regular file"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
