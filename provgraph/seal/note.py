r"""Signed notes and checkpoints: how a log says what it holds.

Specifications: C2SP signed-note v1.0.0 and tlog-checkpoint. A note is text, a blank line, and
signature lines `— <name> base64(key id || signature)`; a checkpoint is a note whose text is
`origin\nsize\nbase64(root)\n`. Signature type 0x01 (Ed25519) only; lines of other keys are kept
and ignored, as the specification asks, so that witnesses can add theirs.

What it does not do: cosignatures (types 0x04 and 0x06), and extension lines in a checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.keys import Signer, verify_ed25519
from provgraph.seal.merkle import MAX_SIZE

# Room for 16 post-quantum signatures of 5 kB and more, as the specification's limits ask.
MAX_NOTE_BYTES: Final = 1024 * 1024
MAX_SIGNATURES: Final = 100

_ED25519_TYPE: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_SIGNATURE = re.compile("— ([^ ]+) ([A-Za-z0-9+/]+={0,2})")
# ASCII control characters other than newline must not stand anywhere in a note.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
# str patterns: \s is every Unicode space.
_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """An Ed25519 public key under a name, as a note's reader trusts it."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _require_name(self.name)

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || LF || type || public key)[:4]."""
        data = self.name.encode() + b"\n" + _ED25519_TYPE + self.public_key
        return hashlib.sha256(data).digest()[:_KEY_ID_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSigner:
    """A signer under the name that its signature line carries."""

    name: str
    signer: Signer

    @property
    def key(self) -> NoteKey:
        """The public side, for a reader."""
        return NoteKey(name=self.name, public_key=self.signer.public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note's text, and which of the reader's keys signed it (at least one)."""

    body: bytes
    signed_by: tuple[NoteKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head: the log's origin, its size in entries, and its root hash."""

    origin: str
    size: int
    root: bytes

    def encode(self) -> bytes:
        """Return the note text: three lines.

        Raises:
            FormatError: a field that the three lines cannot hold.
        """
        body = f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()
        if parse_checkpoint(body) != self:
            raise FormatError(f"expected a checkpoint that reads back as itself, found {self}")
        return body


def sign_note(body: bytes, signers: Sequence[NoteSigner]) -> bytes:
    """Return the body with one signature line per signer.

    Raises:
        FormatError: the body does not end in a newline, or holds control characters.
    """
    _require_body(body)
    lines = []
    for signer in signers:
        blob = base64.b64encode(signer.key.key_id + signer.signer.sign(body)).decode()
        lines.append(f"— {signer.name} {blob}\n")
    return body + b"\n" + "".join(lines).encode()


def open_note(data: bytes, keys: Sequence[NoteKey]) -> Note:
    """Check a note against the keys that the caller trusts.

    1. The whole has the form of a signed note (signed-note, Format).
    2. Signatures of unknown keys are ignored; name and key id must both match to be known.
    3. Every signature by a known key verifies, and stands once.
    4. There is at least one.

    Raises:
        FormatError: step 1.
        UntrustedError: steps 3 and 4.
    """
    # 1.
    body, signatures = _split(data)
    # 2.
    known = {(key.name, key.key_id): key for key in keys}
    signed_by: list[NoteKey] = []
    for name, blob in signatures:
        key = known.get((name, blob[:_KEY_ID_BYTES]))
        if key is None:
            continue
        # 3.
        if key in signed_by:
            raise UntrustedError(f"note: two signatures of the key {name}")
        verify_ed25519(key.public_key, blob[_KEY_ID_BYTES:], body, what=f"note signed by {name}")
        signed_by.append(key)
    # 4.
    if not signed_by:
        raise UntrustedError(
            f"note: no signature by a known key; it is signed by"
            f" {', '.join(name for name, _ in signatures)},"
            f" known are {', '.join(key.name for key in keys) or 'none'}"
        )
    return Note(body=body, signed_by=tuple(signed_by))


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Sign a tree head under the log's origin as key name."""
    return sign_note(checkpoint.encode(), [NoteSigner(name=checkpoint.origin, signer=signer)])


def open_checkpoint(data: bytes, key: NoteKey) -> Checkpoint:
    """Check a signed checkpoint and that it speaks for the log of that key's name.

    Raises:
        FormatError: not a signed note, or its text is no checkpoint.
        UntrustedError: not signed by the key, or of another origin.
    """
    checkpoint = parse_checkpoint(open_note(data, [key]).body)
    if checkpoint.origin != key.name:
        raise UntrustedError(
            f"checkpoint: expected the origin {key.name}, found {checkpoint.origin}"
        )
    return checkpoint


def parse_checkpoint(body: bytes) -> Checkpoint:
    """Read the text of a checkpoint; it says nothing about who signed it.

    Raises:
        FormatError: not exactly three lines of origin, size and root.
    """
    _require_body(body)
    match = _CHECKPOINT.fullmatch(body.decode("utf-8"))
    if match is None or int(match[2]) > MAX_SIZE:
        raise FormatError(
            "expected a checkpoint of three lines: origin, size below 2^63, base64 SHA-256 root;"
            f" found {body[:200]!r}"
        )
    # 43 characters and one "=" always decode to 32 bytes.
    return Checkpoint(origin=match[1], size=int(match[2]), root=decode_base64(match[3]))


def decode_base64(text: str) -> bytes:
    """Read standard base64 in its only spelling: padded, no stray bits, no other characters.

    Raises:
        FormatError: anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"expected base64: {error}; found {text[:80]!r}") from None
    if base64.b64encode(data).decode() != text:
        raise FormatError(f"expected base64 without stray bits, found {text[:80]!r}")
    return data


def _split(data: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Part a note into its text and its signatures (name, key id || signature)."""
    if len(data) > MAX_NOTE_BYTES:
        raise FormatError(f"expected a note of at most {MAX_NOTE_BYTES} bytes, found {len(data)}")
    # The text may hold empty lines: the last one parts it from the signatures.
    cut = data.rfind(b"\n\n")
    if cut < 0 or not data.endswith(b"\n"):
        raise FormatError("expected a signed note: text, a blank line, signature lines, each ended")
    body, rest = data[: cut + 1], data[cut + 2 :]
    _require_body(body)
    try:
        lines = rest.decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise FormatError(f"expected a note in UTF-8: {error}") from None
    if not 0 < len(lines) <= MAX_SIGNATURES:
        raise FormatError(
            f"expected 1 to {MAX_SIGNATURES} signature lines in a note, found {len(lines)}"
        )
    signatures: list[tuple[str, bytes]] = []
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise FormatError(f"expected '— <name> <base64>' in a note, found {line[:120]!r}")
        _require_name(match[1])
        blob = decode_base64(match[2])
        if len(blob) <= _KEY_ID_BYTES:
            raise FormatError(f"expected a key id and a signature in a note, found {line[:120]!r}")
        signatures.append((match[1], blob))
    return body, signatures


def _require_body(body: bytes) -> None:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected a note in UTF-8: {error}") from None
    if not text.endswith("\n") or _CONTROL.search(text):
        raise FormatError(
            "expected a note's text to end in a newline and to hold no other control character"
        )


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise FormatError(f"expected a key name without spaces and plus, found {name!r}")
