r"""The charter: who a ledger is, signed once by its log key when the ledger is made.

A C2SP signed note whose text is six lines: `provgraph-ledger/v1`, origin, namespace, time of
creation, the log's Ed25519 key as Multikey, and its ML-DSA-44 key as C2SP verifier key (a ledger
without one has five lines). The first line keeps it from ever being read as a checkpoint, whose
first line is an origin. It signs itself, with the Ed25519 key: it makes origin, namespace and the
second key tamper-evident, and whose keys they are must be known from elsewhere.

A charter that names an ML-DSA-44 key makes its signature necessary on every checkpoint that leaves
the ledger (`Charter.log_keys`).
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Final

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.frozen import dataclass
from provgraph.seal.keys import Signer
from provgraph.seal.multikey import ED25519, PublicKey, decode_multikey, encode_multikey
from provgraph.seal.note import (
    NoteKey,
    NoteSigner,
    SignatureType,
    open_note,
    parse_vkey,
    sign_note,
)
from provgraph.terms import format_time

_HEADER: Final = "provgraph-ledger/v1"
_BODY = re.compile(rf"{_HEADER}\n([^\n ]+)\n([^\n]+)\n([^\n]+)\n([^\n]+)\n(?:([^\n]+)\n)?")
_NAMESPACE = re.compile(r"[^\x00-\x1f\x7f]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """Identity of a ledger, verified under the key that it names."""

    origin: str
    namespace: str
    created: str
    log_key: bytes
    mldsa_key: bytes | None
    note: bytes  # the signed text itself, as it travels in an export

    @property
    def note_key(self) -> NoteKey:
        """The Ed25519 key that signs the ledger's checkpoints, and manifests of exports."""
        return NoteKey(name=self.origin, public_key=self.log_key)

    @property
    def log_keys(self) -> tuple[NoteKey, ...]:
        """All keys that must have signed a checkpoint of this ledger, the Ed25519 key first."""
        if self.mldsa_key is None:
            return (self.note_key,)
        return self.note_key, mldsa_note_key(self.origin, self.mldsa_key)


def mldsa_note_key(origin: str, public_key: bytes) -> NoteKey:
    """Return a log's ML-DSA-44 key under the log's name."""
    return NoteKey(name=origin, public_key=public_key, type=SignatureType.MLDSA44_COSIGNATURE)


def new_charter(
    *, log_signer: Signer, mldsa_key: bytes | None = None, created: datetime, namespace: str | None
) -> bytes:
    """Choose a random origin, and a namespace from it unless one is given; sign them with the keys.

    Raises:
        UsageError: a namespace that is empty, over 253 characters, or holds control characters.
    """
    random_part = secrets.token_hex(8)
    origin = f"provgraph.local/{random_part}"
    namespace = namespace or f"ledger-{random_part[:8]}"
    if not _NAMESPACE.fullmatch(namespace):
        raise UsageError(
            "expected a namespace of 1 to 253 characters without control characters,"
            f" such as example.org, found {namespace[:300]!r}"
        )
    key = encode_multikey(PublicKey(algorithm=ED25519, raw=log_signer.public_key))
    body = f"{_HEADER}\n{origin}\n{namespace}\n{format_time(created)}\n{key}\n"
    if mldsa_key is not None:
        body += f"{mldsa_note_key(origin, mldsa_key).vkey}\n"
    return sign_note(body.encode(), [NoteSigner(name=origin, signer=log_signer)])


def open_charter(data: bytes) -> Charter:
    """Check that a charter is signed by the key that it names.

    Raises:
        FormatError: not five or six lines, another version, or a malformed key.
        UntrustedError: not signed by its own key.
    """
    # The key stands in the text that it signs, so the text is read before it is believed, and
    # nothing of it is used before open_note has checked it.
    text = data.partition(b"\n\n")[0].decode("utf-8", "replace") + "\n"
    match = _BODY.fullmatch(text)
    if match is None:
        raise FormatError(f"expected the charter of a ledger ({_HEADER}), found {text[:200]!r}")
    key = decode_multikey(match[4])
    if key.algorithm != ED25519:
        raise UntrustedError(f"expected an Ed25519 log key in a charter, found {key.algorithm}")
    charter = Charter(
        origin=match[1],
        namespace=match[2],
        created=match[3],
        log_key=key.raw,
        mldsa_key=None if match[5] is None else _mldsa_key(match[5], origin=match[1]),
        note=data,
    )
    if open_note(data, [charter.note_key]).body != text.encode():
        raise UntrustedError("charter: its signed text is not the text that was read")
    return charter


def _mldsa_key(text: str, *, origin: str) -> bytes:
    key = parse_vkey(text)
    if key.type != SignatureType.MLDSA44_COSIGNATURE or key.name != origin:
        raise UntrustedError(
            f"expected an ML-DSA-44 verifier key of {origin} in its charter,"
            f" found type {key.type:#04x} of {key.name}"
        )
    return key.public_key
