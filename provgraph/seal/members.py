"""The members of an export bundle: a zip or a folder with fixed names, read as a stranger's bytes.

What is refused, each with its own message: a name that no bundle has, a name twice, a link, a
device, a path that climbs out, an encrypted member, a member or a total over its limit (counted
while inflating, since a header can lie), a file that is no zip at all.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from provgraph.errors import FormatError, NotFoundError, UntrustedError

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
    r"|lineage\.jsonld|lineage\.trig|ro-crate-metadata\.json|report\.html"
    r"|keys/[a-z]+-z[1-9A-HJ-NP-Za-km-z]{1,127}\.pem"
    r"|attachments/sha256-[0-9a-f]{64}"
    r"|records/[0-9]{6,12}/(?:" + "|".join(map(re.escape, RECORD_FILES)) + ")"
)
# The same instant in every bundle, so that equal content gives an equal file.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def read_members(path: Path) -> dict[str, bytes]:
    """Read all members of a bundle.

    Raises:
        NotFoundError: there is nothing at path.
        FormatError: neither a zip nor a folder, or damaged.
        UntrustedError: a member that no honest bundle has.
    """
    if not path.exists():
        raise NotFoundError(f"no bundle at {path}")
    source = _folder(path) if path.is_dir() else _zip(path)
    members: dict[str, bytes] = {}
    total = 0
    for name, data in source:
        if not _NAME.fullmatch(name):
            raise UntrustedError(
                f"{path}: unexpected member {name[:200]!r}; a bundle has none such"
            )
        if name in members:
            raise UntrustedError(f"{path}: member {name} stands in it twice")
        total += len(data)
        if total > MAX_TOTAL_BYTES:
            raise UntrustedError(f"{path}: more than {MAX_TOTAL_BYTES} bytes when unpacked")
        members[name] = data
    if MANIFEST not in members:
        raise FormatError(f"{path} is no provgraph bundle: expected a member {MANIFEST}")
    return members


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


def _zip(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_MEMBERS:
                raise UntrustedError(f"{path}: more than {MAX_MEMBERS} members")
            for info in infos:
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir() and kind in {0, stat.S_IFDIR} and info.file_size == 0:
                    continue  # zip tools list folders too; their names come back with their files
                if kind not in {0, stat.S_IFREG}:
                    raise UntrustedError(f"{path}: member {info.filename!r} is not a regular file")
                if info.flag_bits & 0x1:
                    raise UntrustedError(f"{path}: member {info.filename!r} is encrypted")
                with archive.open(info) as file:
                    data = file.read(MAX_MEMBER_BYTES + 1)
                if len(data) > MAX_MEMBER_BYTES:
                    raise UntrustedError(
                        f"{path}: member {info.filename!r} is over {MAX_MEMBER_BYTES} bytes"
                    )
                yield info.filename, data
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise FormatError(f"{path} is no readable zip: {error}") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from None


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            full = Path(folder, name)
            relative = full.relative_to(path).as_posix()
            mode = full.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise UntrustedError(f"{path}: member {relative!r} is not a regular file")
            if full.lstat().st_size > MAX_MEMBER_BYTES:
                raise UntrustedError(
                    f"{path}: member {relative!r} is over {MAX_MEMBER_BYTES} bytes"
                )
            yield relative, full.read_bytes()
