"""Cosignatures of witnesses on a checkpoint: taken from an answer, put on a note, read with their times.

Specifications: C2SP tlog-cosignature, tlog-witness (add-checkpoint's response), signed-note. A witness
is a name with one key or two: Ed25519 (0x04), ML-DSA-44 (0x06). It has cosigned a checkpoint when all
the keys that the reader knows of it have: who can forge one kind of signature leaves the other out.

What it does not do: say who a witness is, or judge how old a cosignature may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.note import (
    NoteKey,
    NoteSignature,
    SignatureType,
    open_note,
    parse_vkey,
    signature_lines,
)

COSIGNATURE_TYPES: Final = (SignatureType.ED25519_COSIGNATURE, SignatureType.MLDSA44_COSIGNATURE)
# How far a witness's clock may be ahead of the reader's.
MAX_CLOCK_AHEAD: Final = timedelta(minutes=5)
_MAX_KEYS: Final = len(COSIGNATURE_TYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """That a witness saw a checkpoint, as the newest of its log that it knew at that time."""

    name: str
    at: datetime  # the earliest time that its keys state


def parse_witness_keys(texts: Sequence[str]) -> tuple[NoteKey, ...]:
    """Read a witness's verifier keys: of one name, one of each kind at most, the Ed25519 key first.

    Raises:
        FormatError: no key, another form, or keys that are not one witness's.
    """
    keys = tuple(sorted((parse_vkey(text) for text in texts), key=lambda key: key.type))
    types = [key.type for key in keys]
    if not keys or len({key.name for key in keys}) > 1 or len(set(types)) != len(types):
        raise FormatError(
            f"expected 1 to {_MAX_KEYS} verifier keys of one witness, one of each type; found"
            f" {', '.join(f'{key.name} ({key.type:#04x})' for key in keys) or 'none'}"
        )
    for key in keys:
        if key.type not in COSIGNATURE_TYPES:
            raise FormatError(
                f"expected a verifier key of a witness (type 0x04 or 0x06), found type"
                f" {key.type:#04x} of {key.name}; a log's own key cannot stand for a witness"
            )
    return keys


def add_cosignatures(note: bytes, lines: bytes, keys: Sequence[NoteKey]) -> bytes:
    """Return a checkpoint with a witness's signature lines, before those that are on it.

    1. The answer is signature lines, and those of unknown keys are ignored (tlog-witness).
    2. Each of the keys has signed this very checkpoint, and states a time.
    3. Lines that the same keys put on the checkpoint before give way to these.

    Raises:
        FormatError: step 1.
        UntrustedError: step 2.
    """
    # 1. and 2. Opened as a note of its own, so that nothing on the old one can stand in for it.
    body = note[: note.index(b"\n\n") + 1]
    answer = body + b"\n" + lines
    require_cosigned(answer, keys)
    ours = {(key.name, key.key_id) for key in keys}
    fresh = [line for name, key_id, line in signature_lines(answer) if (name, key_id) in ours]
    # 3.
    kept = [line for name, key_id, line in signature_lines(note) if (name, key_id) not in ours]
    return body + b"\n" + b"".join([*fresh, *kept])


def require_cosigned(note: bytes, keys: Sequence[NoteKey]) -> Cosigned:
    """Check that a witness has cosigned a checkpoint with all its keys; return when.

    Raises:
        FormatError: not a signed note over a checkpoint.
        UntrustedError: a key did not sign it, its signature does not verify, or it states no time.
    """
    by_key = {signature.key: signature for signature in open_note(note, keys).signatures}
    for key in keys:
        if not (by_key.get(key) and by_key[key].time_s):
            raise UntrustedError(
                f"checkpoint: expected a cosignature with a time by the witness {key.name}, key id"
                f" {key.key_id.hex()}, found {'one without' if key in by_key else 'none'}"
            )
    return Cosigned(name=keys[0].name, at=_earliest(list(by_key.values())))


def require_witnesses(
    note: bytes, keys: Sequence[NoteKey], *, now: datetime
) -> tuple[Cosigned, ...]:
    """Check that all the witnesses whose keys these are have cosigned a checkpoint.

    Raises:
        FormatError: not a signed note, or keys that are no witness's.
        UntrustedError: one has not, or states a time that is still to come.
    """
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(key.name, []).append(key.vkey)
    found = []
    for texts in by_name.values():
        cosigned = require_cosigned(note, parse_witness_keys(list(dict.fromkeys(texts))))
        if cosigned.at - now > MAX_CLOCK_AHEAD:
            raise UntrustedError(
                f"checkpoint: the witness {cosigned.name} states {cosigned.at:%Y-%m-%d %H:%M:%S}Z,"
                f" which is after now by this machine's clock, {now:%Y-%m-%d %H:%M:%S}Z"
            )
        found.append(cosigned)
    return tuple(found)


def cosigner_names(note: bytes, *, but: Sequence[NoteKey]) -> tuple[str, ...]:
    """Return the names on a checkpoint's signature lines, other than those keys'; none is verified.

    Raises:
        FormatError: not a signed note.
    """
    ours = {(key.name, key.key_id) for key in but}
    found = [name for name, key_id, _ in signature_lines(note) if (name, key_id) not in ours]
    return tuple(dict.fromkeys(found))


def _earliest(signatures: Sequence[NoteSignature]) -> datetime:
    seconds = min(signature.time_s or 0 for signature in signatures)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UntrustedError(
            f"checkpoint: the cosignature of {signatures[0].key.name} states the time {seconds} s,"
            " which no calendar has"
        ) from None
