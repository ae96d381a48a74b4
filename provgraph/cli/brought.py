"""What a reader brings to check with: verifier keys of witnesses, roots of time-stamp authorities."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from provgraph.errors import StorageError, UsageError
from provgraph.seal.timestamp import Roots, parse_roots

_MAX_FILE_BYTES: Final = 1024 * 1024


def add_tsa_ca(parser: argparse.ArgumentParser) -> None:
    """Add `--tsa-ca`."""
    parser.add_argument(
        "--tsa-ca",
        metavar="FILE",
        help="root certificates in PEM of the time-stamp authorities that you trust",
    )


def read_keys(text: str) -> list[str]:
    """Return the verifier keys that an argument is, or that stand in the file that it names.

    Raises:
        StorageError: the file cannot be read.
        UsageError: a file that is far too long.
    """
    if not _is_file(text):
        return [text]
    return _read(text).decode("utf-8", "replace").split()


def read_roots(path: str | None) -> Roots | None:
    """Read the certificates of `--tsa-ca`; None where it was not given.

    Raises:
        StorageError: the file cannot be read.
        UsageError: it holds no certificate, or the extra is not installed.
    """
    return None if path is None else parse_roots(_read(path), what=path)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False  # longer than a path can be: a key


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"cannot read {path[:200]}: {error.strerror or error}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(
            f"{path}: expected keys or certificates, found a file that is far too long"
        )
    return data
