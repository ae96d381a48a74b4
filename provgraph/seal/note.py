r"""Signed notes and checkpoints: how a log says what it holds.

Specifications: C2SP signed-note v1.0.0, tlog-checkpoint and tlog-cosignature. A note is text, a
blank line, and signature lines `— <name> base64(key id || signature)`; a checkpoint is a note whose
text is `origin\nsize\nbase64(root)\n`. Signature types 0x01 (Ed25519), and for checkpoints 0x04 and
0x06 (cosignatures with a time, by Ed25519 and ML-DSA-44). Lines of other keys are ignored, as the
specification asks, so that witnesses can add theirs.

A log signs with Ed25519 and ML-DSA-44: the first is what every tool can check, the second still
holds when somebody can forge the first. Times are POSIX seconds.

What it does not do: extension lines in a checkpoint, or judge times.
"""

from __future__ import annotations

import base64
import binascii
import enum
import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.frozen import dataclass
from provgraph.seal import cosignature
from provgraph.seal.keys import Signer, verify_ed25519
from provgraph.seal.merkle import HASH_BYTES, MAX_SIZE
from provgraph.seal.mldsa import PUBLIC_KEY_BYTES as MLDSA_PUBLIC_KEY_BYTES
from provgraph.seal.mldsa import MldsaSigner, verify_mldsa44
from provgraph.seal.multikey import ED25519

# Room for 16 post-quantum signatures of 5 kB and more, as the specification's limits ask.
MAX_NOTE_BYTES: Final = 1024 * 1024
MAX_SIGNATURES: Final = 100

_KEY_ID_BYTES: Final = 4
_SIGNATURE = re.compile("— ([^ ]+) ([A-Za-z0-9+/]+={0,2})")
# ASCII control characters other than newline must not stand anywhere in a note.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
# str patterns: \s is every Unicode space. Lone surrogates are what no UTF-8 can hold.
_NAME = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+")
# Lone surrogates are what no UTF-8 can hold.
_ORIGIN = re.compile(r"[^\x00-\x1f\ud800-\udfff]+")
_CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{4,4096}={0,2})")


class SignatureType(enum.IntEnum):
    """The signature type identifier bytes in use (signed-note, Signature types)."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    MLDSA44_COSIGNATURE = 0x06


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A public key under a name, as a note's reader trusts it: for one type of signature."""

    name: str
    public_key: bytes
    type: SignatureType = SignatureType.ED25519

    def __post_init__(self) -> None:
        _require_name(self.name)
        if len(self.public_key) != _PUBLIC_KEY_BYTES[self.type]:
            raise FormatError(
                f"expected {_PUBLIC_KEY_BYTES[self.type]} bytes of public key for a signature of"
                f" type {self.type:#04x}, found {len(self.public_key)} under the name {self.name}"
            )

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || LF || type || public key)[:4]."""
        return _key_id(self.name, self.type, self.public_key)

    @property
    def vkey(self) -> str:
        """The key as C2SP tools take it: `<name>+<key id in hex>+base64(type || public key)`."""
        material = base64.b64encode(bytes([self.type]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSigner:
    """An Ed25519 signer under the name that its signature line carries."""

    name: str
    signer: Signer

    def __post_init__(self) -> None:
        _require_ed25519(self.signer, self.name)

    @property
    def key(self) -> NoteKey:
        """The public side, for a reader."""
        return NoteKey(name=self.name, public_key=self.signer.public_key)

    def signature(self, body: bytes) -> bytes:
        """Sign a note's text."""
        return self.signer.sign(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigner:
    """A signer of checkpoints that states the time: a witness, or a log's second key."""

    name: str
    signer: Signer | MldsaSigner
    clock: Callable[[], datetime]

    def __post_init__(self) -> None:
        if not isinstance(self.signer, MldsaSigner):
            _require_ed25519(self.signer, self.name)

    @property
    def key(self) -> NoteKey:
        """The public side, for a reader."""
        is_mldsa = isinstance(self.signer, MldsaSigner)
        return NoteKey(
            name=self.name,
            public_key=self.signer.public_key,
            type=SignatureType.MLDSA44_COSIGNATURE
            if is_mldsa
            else SignatureType.ED25519_COSIGNATURE,
        )

    def signature(self, body: bytes) -> bytes:
        """Sign a checkpoint's text.

        Raises:
            FormatError: the text is no checkpoint, or its origin or this name is too long.
        """
        time_s = int(self.clock().timestamp())
        message = _cosigned_message(self.key, body, time_s=time_s)
        return cosignature.join_time(time_s, self.signer.sign(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """A signature that was verified. `time_s` is what a cosigner stated; 0 and None state none."""

    key: NoteKey
    time_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note's text, and the signatures of the reader's keys on it (at least one)."""

    body: bytes
    signatures: tuple[NoteSignature, ...]

    @property
    def signed_by(self) -> tuple[NoteKey, ...]:
        """The keys whose signatures were verified, in the order of their lines."""
        return tuple(signature.key for signature in self.signatures)


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
        # Exactly the checkpoints that `parse_checkpoint` reads back as themselves.
        if (
            not 0 <= self.size <= MAX_SIZE
            or len(self.root) != HASH_BYTES
            or not _ORIGIN.fullmatch(self.origin)
        ):
            raise FormatError(f"expected a checkpoint that reads back as itself, found {self}")
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


def sign_note(body: bytes, signers: Sequence[NoteSigner | Cosigner]) -> bytes:
    """Return the body with one signature line per signer.

    Raises:
        FormatError: the body does not end in a newline, or holds control characters; for a
            cosigner, it is no checkpoint.
    """
    _require_body(body)
    return body + b"\n" + b"".join(map(_line, signers, [body] * len(signers)))


def add_signature(data: bytes, signer: NoteSigner | Cosigner) -> bytes:
    """Return a note with one more signature line at its end; the others are left unverified.

    Raises:
        FormatError: not a signed note, or for a cosigner, its text is no checkpoint.
    """
    return data + _line(signer, _split(data)[0])


def open_note(data: bytes, keys: Sequence[NoteKey]) -> Note:
    """Check a note against the keys that the caller trusts.

    1. The whole has the form of a signed note (signed-note, Format).
    2. Signatures of unknown keys are ignored; name and key id must both match to be known.
    3. Every signature by a known key verifies, and stands once.
    4. There is at least one.

    Raises:
        FormatError: step 1, or a cosigned text that is no checkpoint.
        UntrustedError: steps 3 and 4.
    """
    # 1.
    body, lines = _split(data)
    # 2.
    known = {(key.name, key.key_id): key for key in keys}
    signatures: list[NoteSignature] = []
    for name, blob in lines:
        key = known.get((name, blob[:_KEY_ID_BYTES]))
        if key is None:
            continue
        # 3.
        if any(signature.key == key for signature in signatures):
            raise UntrustedError(f"note: two signatures of the key {name}")
        signatures.append(_verified(key, blob[_KEY_ID_BYTES:], body))
    # 4.
    if not signatures:
        # A name is anybody's to take; the id after it, as in a verifier key, tells keys apart.
        found = ", ".join(f"{name}+{blob[:_KEY_ID_BYTES].hex()}" for name, blob in lines)
        expected = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys)
        raise UntrustedError(
            f"note: no signature by a known key; it is signed by {found},"
            f" known are {expected or 'none'}"
        )
    return Note(body=body, signatures=tuple(signatures))


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer, *cosigners: Cosigner) -> bytes:
    """Sign a tree head under the log's origin as key name.

    The lines of cosigners stand first: the last line is the one that every openssl can check.
    """
    log = NoteSigner(name=checkpoint.origin, signer=signer)
    return sign_note(checkpoint.encode(), [*cosigners, log])


def open_checkpoint(data: bytes, *required: NoteKey, known: Sequence[NoteKey] = ()) -> Checkpoint:
    """Check a signed checkpoint and that it speaks for the log of the required keys' name.

    1. It is a signed note, and every signature by a required or known key verifies.
    2. Each of the required keys has signed it (an attacker who can forge one kind of signature
       would leave the other out).
    3. It is a checkpoint of the log that the required keys name.

    Raises:
        FormatError: not a signed note, or its text is no checkpoint.
        UntrustedError: not signed by a required key, or of another origin.
    """
    # 1.
    note = open_note(data, [*required, *known])
    # 2.
    for key in required:
        if key not in note.signed_by:
            raise UntrustedError(
                f"checkpoint: expected a signature of type {key.type:#04x} by {key.name}, key id"
                f" {key.key_id.hex()}, found none; without it the checkpoint is not complete"
            )
    # 3.
    checkpoint = parse_checkpoint(note.body)
    for key in required:
        if checkpoint.origin != key.name:
            raise UntrustedError(
                f"checkpoint: expected the origin {key.name}, found {checkpoint.origin}"
            )
    return checkpoint


def unverified_checkpoint(data: bytes) -> Checkpoint:
    """Read what a signed note claims to be the checkpoint of, so that its keys can be looked up.

    Raises:
        FormatError: not a signed note, or its text is no checkpoint.
    """
    return parse_checkpoint(_split(data)[0])


def signature_lines(data: bytes) -> list[tuple[str, bytes, bytes]]:
    """Return a note's signature lines, none of them verified, as (name, key id, the line itself).

    Raises:
        FormatError: not a signed note.
    """
    _, signatures = _split(data)
    lines = data[data.rfind(b"\n\n") + 2 :].splitlines(keepends=True)
    return [
        (name, blob[:_KEY_ID_BYTES], line)
        for (name, blob), line in zip(signatures, lines, strict=True)
    ]


def parse_vkey(text: str) -> NoteKey:
    """Read a verifier key: `<name>+<key id in hex>+base64(type || public key)`.

    Raises:
        FormatError: another form, a type that is not in use, or a key id that is not the key's.
    """
    match = _VKEY.fullmatch(text)
    material = decode_base64(match[3]) if match is not None else b""
    if match is None or material[0] not in _PUBLIC_KEY_BYTES:
        types = ", ".join(f"{type_:#04x}" for type_ in _PUBLIC_KEY_BYTES)
        raise FormatError(
            f"expected a verifier key <name>+<key id>+<base64> of type {types},"
            f" found {text[:120]!r}"
        )
    key = NoteKey(name=match[1], public_key=material[1:], type=SignatureType(material[0]))
    if key.key_id.hex() != match[2]:
        raise FormatError(f"expected the key id {key.key_id.hex()} in {text[:120]!r}")
    return key


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


def encode_base64(data: bytes) -> str:
    """Write standard base64, padded."""
    return base64.b64encode(data).decode()


_PUBLIC_KEY_BYTES: Final = {
    SignatureType.ED25519: 32,
    SignatureType.ED25519_COSIGNATURE: 32,
    SignatureType.MLDSA44_COSIGNATURE: MLDSA_PUBLIC_KEY_BYTES,
}


def _cosigned_message(key: NoteKey, body: bytes, *, time_s: int) -> bytes:
    checkpoint = parse_checkpoint(body)
    if key.type == SignatureType.ED25519_COSIGNATURE:
        return cosignature.ed25519_message(body, time_s=time_s)
    return cosignature.mldsa44_message(
        cosigner=key.name,
        time_s=time_s,
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=checkpoint.root,
    )


@functools.lru_cache(64)
def _key_id(name: str, signature_type: SignatureType, public_key: bytes) -> bytes:
    data = name.encode() + b"\n" + bytes([signature_type]) + public_key
    return hashlib.sha256(data).digest()[:_KEY_ID_BYTES]


def _verified(key: NoteKey, blob: bytes, body: bytes) -> NoteSignature:
    what = f"note signed by {key.name}"
    if key.type == SignatureType.ED25519:
        verify_ed25519(key.public_key, blob, body, what=what)
        return NoteSignature(key=key, time_s=None)
    time_s, signature = cosignature.split_time(blob, what=what)
    message = _cosigned_message(key, body, time_s=time_s)
    is_mldsa = key.type == SignatureType.MLDSA44_COSIGNATURE
    verify = verify_mldsa44 if is_mldsa else verify_ed25519
    verify(key.public_key, signature, message, what=what)
    return NoteSignature(key=key, time_s=time_s)


def _line(signer: NoteSigner | Cosigner, body: bytes) -> bytes:
    blob = base64.b64encode(signer.key.key_id + signer.signature(body)).decode()
    return f"— {signer.name} {blob}\n".encode()


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


def _require_ed25519(signer: Signer, name: str) -> None:
    if signer.algorithm != ED25519:
        raise UsageError(
            f"expected an Ed25519 key to sign for {name}, found {signer.algorithm};"
            " notes know no other kind"
        )


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise FormatError(f"expected a key name without spaces and plus, found {name!r}")
