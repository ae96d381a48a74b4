"""Time-stamps of a home's ledger: asked for, kept beside it, and handed on with what leaves.

<home>/timestamps/<size>-<SHA-256 of the checkpoint's text>.tsr

A token belongs to one checkpoint. It is taken along by every export of the ledger at that size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph.errors import StorageError, UnreachableError
from provgraph.outgoing import send
from provgraph.seal.note import Checkpoint, unverified_checkpoint
from provgraph.seal.publish import replace_durably
from provgraph.seal.timestamp import (
    MAX_TOKEN_BYTES,
    QUERY_TYPE,
    REPLY_TYPE,
    Roots,
    Timestamp,
    new_query,
    read_timestamp,
)
from provgraph.service.home import cosigned_checkpoint
from provgraph.settings import Settings

DEFAULT_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """A checkpoint of this ledger with its time-stamp."""

    checkpoint: Checkpoint
    timestamp: Timestamp
    path: Path


def stamp(
    settings: Settings,
    address: str,
    *,
    roots: Roots | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Stamped:
    """Have the latest checkpoint time-stamped by the authority at an address, and keep the token.

    A token that is over something else, answers another query, or is not signed under `roots` is not
    kept.

    Raises:
        UsageError: the extra is not installed, or the address may not be asked.
        UnreachableError: the authority did not answer in time, or not with a token.
        FormatError, UntrustedError: the token is not what was asked for.
        StorageError: it cannot be kept.
    """
    checkpoint = unverified_checkpoint(cosigned_checkpoint(settings))
    text = checkpoint.encode()
    query = new_query(text)
    reply = send(
        "POST",
        address,
        body=query.data,
        headers={"Content-Type": QUERY_TYPE, "Accept": REPLY_TYPE},
        timeout_s=timeout_s,
        max_bytes=MAX_TOKEN_BYTES,
    )
    if reply.status != 200 or reply.content_type != REPLY_TYPE:
        raise UnreachableError(
            f"{address}: expected a time-stamp ({REPLY_TYPE}), found status {reply.status} and"
            f" {reply.content_type[:80]}"
        )
    found = read_timestamp(reply.body, text, roots=roots, nonce=query.nonce)
    path = _path(settings, checkpoint)
    replace_durably(path, reply.body)
    return Stamped(checkpoint=checkpoint, timestamp=found, path=path)


def kept_token(settings: Settings, checkpoint: Checkpoint) -> bytes | None:
    """Return the token that is kept for a checkpoint, None where it was never time-stamped.

    Raises:
        StorageError: the file cannot be read.
    """
    path = _path(settings, checkpoint)
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOKEN_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


def _path(settings: Settings, checkpoint: Checkpoint) -> Path:
    digest = hashlib.sha256(checkpoint.encode()).hexdigest()
    return settings.home / "timestamps" / f"{checkpoint.size}-{digest}.tsr"
