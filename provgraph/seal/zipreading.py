"""Reads a stranger's zip so that no other tool could read it otherwise.

Specification: APPNOTE 6.3.10. A zip says most things twice (in its directory, and before each
member), lets bytes lie between them that belong to nothing, and has extra fields that rename a member
for some tools only. Two readers then see two contents in one file. So this takes only zips in which
everything that is said twice is the same, every byte from the first to the last is accounted for, and
every member ends where its compressed stream ends.

Taken are stored and deflated members, data descriptors, the directory of more than 65,535 members
(zip64), and extra fields of times and owners, which tools add. Not taken are comments, encryption,
other compressions, zip64 members (over 2 GiB), several disks, and names that are not ASCII.

Memory: one directory, and one member at a time. A member is inflated up to a limit that the caller
gives, whatever its header says.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.frozen import dataclass

STORED: Final = 0
DEFLATED: Final = 8

_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = struct.Struct("<4sLQL")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_DESCRIPTOR: Final = struct.Struct("<3L")

_ENCRYPTED: Final = 0x1
_SIZES_FOLLOW: Final = 0x8
# The level of deflate, sizes that follow, names in UTF-8 (ASCII is).
_FLAGS: Final = 0x2 | 0x4 | _SIZES_FOLLOW | 0x800
# NTFS times, extended timestamp, Info-ZIP Unix (three versions): times and owners, and no name.
_EXTRAS: Final = frozenset({0x000A, 0x5455, 0x5855, 0x7855, 0x7875})
# The longest name of a member has 170 bytes, the extra fields of zip tools 60.
_MAX_ROW_BYTES: Final = 1024
_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """One row of a zip's directory."""

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int
    plain_bytes: int
    attributes: int
    offset: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder's own row, which holds nothing."""
        return self.name.endswith("/")


def read_directory(file: BinaryIO, *, max_members: int) -> list[ZipMember]:
    """Read the directory of a zip, and check that it fills the place from its offset to the end.

    Raises:
        FormatError: no zip, or cut short.
        UntrustedError: a zip that no honest packer makes.
    """
    size = file.seek(0, os.SEEK_END)
    count, length, start, end = _end_record(file, size)
    if count > max_members:
        raise UntrustedError(f"it has {count} members, more than {max_members}")
    if length > count * _MAX_ROW_BYTES or start + length != end:
        raise UntrustedError(
            f"its directory of {count} members should fill the bytes from {start} to {end},"
            f" and has {length}; other bytes belong to no member"
        )
    data = _read(file, start, length)
    members, at = [], 0
    for _ in range(count):
        member, at = _directory_row(data, at)
        members.append(member)
    if at != length:
        raise UntrustedError(f"{length - at} bytes of its directory belong to no member")
    return members


def check_layout(file: BinaryIO, members: list[ZipMember]) -> Iterator[tuple[ZipMember, int]]:
    """Yield each member with the place where its bytes begin, in their order in the file.

    Members, and what stands before and after each, follow each other without a gap from the first
    byte to the directory. Whoever stops early has not checked the rest.

    Raises:
        FormatError: cut short.
        UntrustedError: a gap, an overlap, or a header that contradicts the directory.
    """
    place = 0
    for member in sorted(members, key=lambda each: each.offset):
        if member.offset != place:
            raise UntrustedError(
                f"{member.offset - place} bytes before member {member.name!r} belong to no member"
            )
        place += _require_same_header(file, member, place)
        yield member, place
        place += member.packed_bytes
        if member.flags & _SIZES_FOLLOW:
            place += _descriptor_bytes(file, member, place)
    file.seek(0, os.SEEK_END)
    _, _, start, _ = _end_record(file, file.tell())
    if place != start:
        raise UntrustedError(f"{start - place} bytes before its directory belong to no member")


def read_member(file: BinaryIO, member: ZipMember, place: int, *, limit: int) -> bytes:
    """Return the bytes of a member, and not more than one byte over the limit.

    Raises:
        FormatError: cut short, or not what its checksum says.
        UntrustedError: the compressed stream is shorter or longer than the member.
    """
    file.seek(place)
    if member.method == STORED:
        data = file.read(min(member.packed_bytes, limit + 1))
        left = 0
    else:
        data, left = _inflate(file, member.packed_bytes, limit=limit)
    if len(data) > limit:
        return data
    if left or len(data) != member.plain_bytes:
        raise UntrustedError(
            f"member {member.name!r} should have {member.plain_bytes} bytes, and unpacks to"
            f" {len(data)} with {left} left over: another tool could read it otherwise"
        )
    if zlib.crc32(data) != member.crc:
        raise FormatError(f"member {member.name!r} is damaged: its checksum is another one")
    return data


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    """Return count, length and start of the directory, and where it must end."""
    end = size - _END.size
    if end < 0:
        raise FormatError("it ends too early")
    mark, disk, start_disk, here, count, length, start, comment = _END.unpack(
        _read(file, end, _END.size)
    )
    if mark != b"PK\x05\x06" or comment:
        if b"PK\x05\x06" not in _read(file, max(0, end - 0xFFFF), min(end, 0xFFFF) + _END.size):
            raise FormatError("it has no directory")
        raise UntrustedError("bytes follow the end of the zip, or it holds a comment")
    at = end - _LOCATOR64.size
    locator = _read(file, at, _LOCATOR64.size) if at >= _END64.size else b""
    if locator.startswith(b"PK\x06\x07"):
        end = at - _END64.size
        _, disk64, place, disks = _LOCATOR64.unpack(locator)
        record = _END64.unpack(_read(file, end, _END64.size))
        mark64, length64, _, _, own, first, here64, count64, cd_length, cd_start = record
        short = (min(here64, 0xFFFF), min(count64, 0xFFFF))
        long = (min(cd_length, 0xFFFFFFFF), min(cd_start, 0xFFFFFFFF))
        if (
            (mark64, length64, own, first, disk64) != (b"PK\x06\x06", _END64.size - 12, 0, 0, 0)
            or (place, disks) != (end, 1)
            or (here, count, length, start) != (*short, *long)
        ):
            raise UntrustedError("its two ends (zip and zip64) contradict each other")
        here, count, length, start = here64, count64, cd_length, cd_start
    if (disk, start_disk, here) != (0, 0, count):
        raise UntrustedError("it is one of several disks")
    return count, length, start, end


def _directory_row(data: bytes, at: int) -> tuple[ZipMember, int]:
    if at + _CENTRAL.size > len(data):
        raise FormatError("its directory is cut short")
    row = _CENTRAL.unpack_from(data, at)
    mark, _, _, flags, method, _, _, crc, packed, plain, *lengths, _, external, offset = row
    name_bytes, extra_bytes, comment_bytes, disk = lengths
    at += _CENTRAL.size
    end = at + name_bytes + extra_bytes + comment_bytes
    if mark != b"PK\x01\x02" or end > len(data):
        raise FormatError("its directory is damaged")
    name = data[at : at + name_bytes].decode("ascii", "backslashreplace")
    if not data[at : at + name_bytes].isascii():
        raise UntrustedError(f"unexpected member {name[:200]!r}; a bundle has none such")
    if flags & _ENCRYPTED:
        raise UntrustedError(f"member {name[:200]!r} is encrypted")
    if method not in {STORED, DEFLATED}:
        # The others ask for memory as the member's own header says.
        raise UntrustedError(f"member {name[:200]!r} is compressed by another method than deflate")
    if flags & ~_FLAGS or comment_bytes or disk:
        raise UntrustedError(f"member {name[:200]!r} has flags or a comment that no bundle has")
    _require_known_extras(data[at + name_bytes : end], name)
    member = ZipMember(
        name=name,
        flags=flags,
        method=method,
        crc=crc,
        packed_bytes=packed,
        plain_bytes=plain,
        attributes=external,
        offset=offset,
    )
    kind = stat.S_IFMT(external >> 16)
    if kind not in {0, stat.S_IFDIR if member.is_folder else stat.S_IFREG}:
        raise UntrustedError(f"member {name[:200]!r} is not a regular file")
    if (method == STORED and packed != plain) or (member.is_folder and (packed or plain)):
        raise UntrustedError(
            f"member {name[:200]!r} is stored with {packed} bytes and should have {plain}"
        )
    return member, end


def _require_known_extras(extra: bytes, name: str) -> None:
    at = 0
    while at < len(extra):
        identifier = int.from_bytes(extra[at : at + 2], "little")
        at += 4 + int.from_bytes(extra[at + 2 : at + 4], "little")
        if identifier not in _EXTRAS or at > len(extra):
            raise UntrustedError(
                f"member {name[:200]!r} has an extra field {identifier:#06x}; some of them give it"
                " another name or size"
            )


def _require_same_header(file: BinaryIO, member: ZipMember, place: int) -> int:
    """Check the header before a member against the directory; return the header's length."""
    mark, _, flags, method, _, _, crc, packed, plain, name_bytes, extra_bytes = _LOCAL.unpack(
        _read(file, place, _LOCAL.size)
    )
    rest = _read(file, place + _LOCAL.size, name_bytes + extra_bytes)
    sizes = (crc, packed, plain)
    said = (member.crc, member.packed_bytes, member.plain_bytes)
    are_same = sizes == said or (flags & _SIZES_FOLLOW and sizes == (0, 0, 0))
    if (
        mark != b"PK\x03\x04"
        or (flags, method) != (member.flags, member.method)
        or rest[:name_bytes] != member.name.encode()
        or not are_same
    ):
        raise UntrustedError(
            f"member {member.name!r} has another header than the zip's directory says"
        )
    _require_known_extras(rest[name_bytes:], member.name)
    return _LOCAL.size + len(rest)


def _descriptor_bytes(file: BinaryIO, member: ZipMember, place: int) -> int:
    """Check a data descriptor (4.3.9), whose signature is optional; return its length."""
    said = _DESCRIPTOR.pack(member.crc, member.packed_bytes, member.plain_bytes)
    for form in (b"PK\x07\x08" + said, said):
        file.seek(place)
        if file.read(len(form)) == form:
            return len(form)
    raise UntrustedError(f"member {member.name!r} ends with other sizes than the directory says")


def _inflate(file: BinaryIO, packed_bytes: int, *, limit: int) -> tuple[bytes, int]:
    """Return what inflates from the next bytes, and how many of those were not used."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    made = 0
    waiting = b""
    while not stream.eof and made <= limit:
        if not waiting:
            waiting = file.read(min(_CHUNK_BYTES, packed_bytes))
            packed_bytes -= len(waiting)
            if not waiting:
                raise FormatError("a compressed member is cut short")
        try:
            part = stream.decompress(waiting, limit + 1 - made)
        except zlib.error as error:
            raise FormatError(f"a compressed member is damaged: {error}") from None
        waiting = stream.unconsumed_tail
        made += len(part)
        parts.append(part)
    return b"".join(parts), packed_bytes + len(stream.unused_data)


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    data = file.read(length)
    if len(data) != length:
        raise FormatError(f"expected {length} bytes at {place}, found {len(data)}")
    return data
