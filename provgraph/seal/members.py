"""The members of an export bundle: a zip or a folder with fixed names, read as a stranger's bytes.

What is refused, each with its own message: a name that no bundle has, a name twice, a link, a
device, a path that climbs out, an encrypted member, a member or a total over its limit (counted
while inflating, since a header can lie), a file that is no zip at all, and bytes in a zip that its
directory does not account for: another tool could read those and show something else.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from provgraph.errors import FormatError, NotFoundError, ProvgraphError, UntrustedError

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
    r"MANIFEST|HOWTO-VERIFY\.txt|charter|checkpoint|trust\.json|context\.jsonld|bundle\.json"
    r"|lineage\.jsonld|lineage\.trig|ro-crate-metadata\.json"
    r"|attestation\.dsse\.json|attestation\.sigstore\.json"
    r"|keys/[a-z]+-z[1-9A-HJ-NP-Za-km-z]{1,127}\.pem"
    r"|attachments/sha256-[0-9a-f]{64}"
    r"|records/[0-9]{6,12}/(?:" + "|".join(map(re.escape, RECORD_FILES)) + ")"
)
_ENCRYPTED: Final = 0x1
_SIZES_FOLLOW: Final = 0x8
_LOCAL_HEADER: Final = struct.Struct("<4s3HL3L2H")
_END_RECORD: Final = struct.Struct("<4s4H2LH")
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
        """Take a member in; `read` returns at most as many bytes as it is asked for."""
        if not _NAME.fullmatch(name):
            raise UntrustedError(
                f"{self._path}: unexpected member {name[:200]!r}; a bundle has none such"
            )
        if name in self.members:
            raise UntrustedError(f"{self._path}: member {name} stands in it twice")
        if len(self.members) == MAX_MEMBERS:
            raise UntrustedError(f"{self._path}: more than {MAX_MEMBERS} members")
        room = min(MAX_MEMBER_BYTES, MAX_TOTAL_BYTES - self._total_bytes)
        data = read(room + 1)
        if len(data) > MAX_MEMBER_BYTES:
            raise UntrustedError(f"{self._path}: member {name!r} is over {MAX_MEMBER_BYTES} bytes")
        if len(data) > room:
            raise UntrustedError(f"{self._path}: more than {MAX_TOTAL_BYTES} bytes when unpacked")
        self._total_bytes += len(data)
        self.members[name] = data


def _read_zip(path: Path, taken: _Taken) -> None:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            for info in infos:
                if not _is_plain_folder(info):
                    _require_plain_file(info, path)
                    with archive.open(info) as member:
                        taken.take(info.orig_filename, member.read)
            _require_all_accounted_for(file, infos, archive.start_dir, path)
    except ProvgraphError:
        raise
    except Exception as error:
        # zipfile raises half a dozen kinds of error for bytes that are no zip.
        raise FormatError(f"{path} is no readable zip: {_reason(error)}") from None


def _is_plain_folder(info: zipfile.ZipInfo) -> bool:
    """Whether it is a folder's own entry: zip tools list them, their names come with their files."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return info.is_dir() and kind in {0, stat.S_IFDIR} and info.file_size == info.compress_size == 0


def _require_plain_file(info: zipfile.ZipInfo, path: Path) -> None:
    name = info.orig_filename
    if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
        raise UntrustedError(f"{path}: member {name!r} is not a regular file")
    if info.flag_bits & _ENCRYPTED:
        raise UntrustedError(f"{path}: member {name!r} is encrypted")
    # The others ask for memory as the member's own header says.
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UntrustedError(
            f"{path}: member {name!r} is compressed by another method than deflate"
        )


def _require_all_accounted_for(
    file: BinaryIO, infos: Sequence[zipfile.ZipInfo], start_of_directory: int, path: Path
) -> None:
    """Check that members, directory and end record follow each other from the first byte to the last."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_RECORD.size))
    end = _END_RECORD.unpack(file.read(_END_RECORD.size))
    if end[0] != b"PK\x05\x06" or end[-1] != 0:
        raise UntrustedError(f"{path}: bytes follow the end of the zip, or it holds a comment")
    place = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset != place:
            raise UntrustedError(
                f"{path}: {info.header_offset - place} bytes before member"
                f" {info.orig_filename[:200]!r} belong to no member"
            )
        file.seek(place)
        header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        _, _, flags, method, _, crc, packed, plain, name_bytes, extra_bytes = header
        place += _LOCAL_HEADER.size + name_bytes + extra_bytes + info.compress_size
        if flags & _SIZES_FOLLOW:
            place += _descriptor_bytes(file, place)
        elif (method, crc, packed, plain) != (
            info.compress_type,
            info.CRC,
            info.compress_size,
            info.file_size,
        ):
            raise UntrustedError(
                f"{path}: member {info.orig_filename[:200]!r} has another header than the zip's"
                " directory says"
            )
    if place != start_of_directory:
        raise UntrustedError(
            f"{path}: {start_of_directory - place} bytes before the zip's directory belong to no"
            " member"
        )


def _descriptor_bytes(file: BinaryIO, place: int) -> int:
    """Return the length of a data descriptor (APPNOTE 4.3.9), whose signature is optional."""
    file.seek(place)
    return 16 if file.read(4) == b"PK\x07\x08" else 12


def _read_folder(path: Path, taken: _Taken) -> None:
    def refuse(error: OSError) -> None:
        raise error

    try:
        for folder, folders, names in os.walk(path, onerror=refuse):
            for name in folders:
                full = os.path.join(folder, name)
                if not stat.S_ISDIR(os.lstat(full).st_mode):
                    raise UntrustedError(f"{path}: member {name!r} is not a regular file")
            for name in names:
                full = os.path.join(folder, name)
                relative = Path(full).relative_to(path).as_posix()
                if not stat.S_ISREG(os.lstat(full).st_mode):
                    raise UntrustedError(f"{path}: member {relative!r} is not a regular file")
                # Not followed, should it have become a link meanwhile.
                with open(os.open(full, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    taken.take(relative, file.read)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
