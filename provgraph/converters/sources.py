"""What a caller names as the source of an import: a file, a folder, or an address.

Converters recognise a source by its first bytes, by names in a folder, or by the scheme of an address;
nothing is executed or decoded to find out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from provgraph.errors import NotFoundError, StorageError, UsageError

HEAD_BYTES: Final = 64 * 1024
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source: `path` where it is on this machine, else `address`."""

    text: str  # as it may be shown: without credentials
    path: Path | None = None
    address: str | None = None
    head: bytes = b""  # of a file

    @property
    def folder(self) -> Path | None:
        """The path, where it is a folder."""
        return self.path if self.path is not None and self.path.is_dir() else None

    @property
    def file(self) -> Path | None:
        """The path, where it is a file."""
        return self.path if self.path is not None and not self.path.is_dir() else None


def open_source(text: str) -> Source:
    """Look at what a caller named.

    Raises:
        NotFoundError: nothing is there.
        StorageError: it cannot be read.
        UsageError: no path can be like that.
    """
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")  # as MLflow and SQLAlchemy write it
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if _ADDRESS.match(text):
        return Source(text=without_credentials(text), address=text)
    path = Path(text)
    try:
        if path.is_dir():
            return Source(text=text, path=path)
        if not path.exists():
            raise NotFoundError(
                f"nothing to import at {text[:200]}: no such file or folder;"
                " give a path or an address such as http://127.0.0.1:5000"
            )
        if not path.is_file():
            raise UsageError(
                f"{text[:200]} is no regular file; save what it gives in one, and import that"
            )
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise StorageError(f"cannot read {text[:200]}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"expected a path or an address, found {text[:200]!r}: {error}") from None
    return Source(text=text, path=path, head=head)


def without_credentials(address: str) -> str:
    """Return an address as it may be shown and kept."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address.rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
