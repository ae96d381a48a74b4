r"""The trust file: whose keys they are, signed by a threshold of root keys that are kept offline.

A C2SP signed note, as checkpoints and charters are, so that openssl checks it like those and every
root key can sign on a machine of its own by adding a line. Its text is two lines: the header
`provgraph-trust/v1` (so that it can never be read as another note) and RFC 8785 JSON:

    keys       verification methods, each with role, owner, validFrom, validUntil; `countsBefore` is
               the ledger index from which a key's seals count no more (a revocation that no steward
               needs to make), `name` the name under which a witness cosigns
    origin     the ledger it speaks of: indices and roles of one ledger mean nothing in another
    roots      the root keys as C2SP verifier keys; `threshold` of them must have signed
    version    rises with every change

A successor must be signed by the threshold of its own roots *and* of its predecessor's (as root
metadata in The Update Framework, section 5.3), so roots can change and no single one changes them.

What it does not do: it cannot say that it is the newest; whoever holds a newer one knows. No I/O.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.seal import jcs
from provgraph.seal.keyevent import ROLES, WITNESS, parse_time, require_validity
from provgraph.seal.keys import Signer, require_usable_key
from provgraph.seal.multikey import ED25519, PublicKey, parse_verification_method
from provgraph.seal.note import (
    NoteKey,
    NoteSigner,
    SignatureType,
    add_signature,
    open_note,
    parse_vkey,
    sign_note,
)
from provgraph.terms import format_time

HEADER: Final = "provgraph-trust/v1"
MAX_KEYS: Final = 10_000
MAX_ROOTS: Final = 32
MAX_TEXT: Final = 253  # of an owner or a name
MAX_TRUST_BYTES: Final = 1024 * 1024  # the limit of a note

_MEMBERS: Final = {"keys", "origin", "roots", "threshold", "version"}
_KEY_MEMBERS: Final = {
    "countsBefore": int,
    "method": str,
    "name": str,
    "owner": str,
    "role": str,
    "validFrom": str,
    "validUntil": str,
}
_REQUIRED: Final = {"method", "role", "owner"}
_TEXT = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_TEXT}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """One verification method in its role."""

    method: str
    role: str
    owner: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    counts_before: int | None = None  # ledger index
    name: str | None = None  # under which a witness cosigns

    def __post_init__(self) -> None:
        require_usable_key(parse_verification_method(self.method))
        if self.role not in ROLES:
            raise FormatError(
                f"expected the role of a key as {', '.join(ROLES)}, found {self.role!r:.80}"
            )
        if not _TEXT.fullmatch(self.owner):
            raise FormatError(f"expected an owner of 1 to {MAX_TEXT} characters for {self.method}")
        require_validity(self.valid_from, self.valid_until)
        if self.counts_before is not None and self.counts_before < 0:
            raise FormatError(f"expected a ledger index from 0, found {self.counts_before}")
        if (self.name is None) == (self.role == WITNESS):
            raise FormatError(f"expected a name for a witness and for no other key: {self.method}")
        if self.role == WITNESS:
            self.witness_key  # noqa: B018 - refuses what no witness can sign with

    @property
    def witness_key(self) -> NoteKey:
        """The key of a witness, for its cosignatures."""
        key = parse_verification_method(self.method)
        if key.algorithm != ED25519:
            raise FormatError(f"expected an Ed25519 key of a witness, found {key.algorithm}")
        return NoteKey(
            name=self.name or "", public_key=key.raw, type=SignatureType.ED25519_COSIGNATURE
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustList:
    """What a trust file says, signed or not yet."""

    origin: str
    version: int
    threshold: int
    roots: tuple[NoteKey, ...]
    keys: tuple[ListedKey, ...]

    def __post_init__(self) -> None:
        if not _TEXT.fullmatch(self.origin) or not 0 < self.version <= jcs.MAX_INTEGER:
            raise FormatError(
                f"expected the origin of a ledger and a version from 1, found"
                f" {self.origin[:300]!r}, {self.version}"
            )
        if not 0 < len(self.roots) <= MAX_ROOTS or len(self.keys) > MAX_KEYS:
            raise FormatError(
                f"expected 1 to {MAX_ROOTS} roots and at most {MAX_KEYS} keys,"
                f" found {len(self.roots)} and {len(self.keys)}"
            )
        for root in self.roots:
            if root.type != SignatureType.ED25519:
                raise FormatError(f"expected an Ed25519 verifier key (0x01) as root: {root.vkey}")
            require_usable_key(PublicKey(algorithm=ED25519, raw=root.public_key))
        # One key under two names would count twice towards the threshold.
        if len({root.public_key for root in self.roots}) != len(self.roots):
            raise UntrustedError("trust file: one root key stands in it twice")
        if not 0 < self.threshold <= len(self.roots):
            raise FormatError(
                f"expected a threshold of 1 to {len(self.roots)}, the number of roots,"
                f" found {self.threshold}"
            )
        if len({(key.method, key.role) for key in self.keys}) != len(self.keys):
            raise FormatError("expected each key once in a role; one stands in it twice")

    def encode(self) -> bytes:
        """Return the text that the roots sign."""
        members: dict[str, jcs.Json] = {
            "keys": [_row(key) for key in self.keys],
            "origin": self.origin,
            "roots": [root.vkey for root in self.roots],
            "threshold": self.threshold,
            "version": self.version,
        }
        return f"{HEADER}\n".encode() + jcs.encode(members) + b"\n"

    def find(self, method: str, role: str) -> ListedKey | None:
        """Return a key in a role, or None."""
        for key in self.keys:
            if (key.method, key.role) == (method, role):
                return key
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFile:
    """A trust file that the threshold of its own roots has signed; whose roots, it cannot say."""

    says: TrustList
    note: bytes
    signed_by: tuple[NoteKey, ...]

    @property
    def version(self) -> int:
        """Its version."""
        return self.says.version

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its text in hex: two files of one version with two texts are two opinions."""
        return hashlib.sha256(self.says.encode()).hexdigest()


def parse_trust_list(text: bytes) -> TrustList:
    """Read the text of a trust file; it says nothing about who signed it.

    Raises:
        FormatError: not the header and one line of canonical JSON, or a member that is missing,
            unknown or malformed.
        UntrustedError: a weak key, or a root that stands in it twice.
    """
    if len(text) > MAX_TRUST_BYTES:
        raise FormatError(f"expected a trust file of at most {MAX_TRUST_BYTES} bytes")
    header, _, rest = text.partition(b"\n")
    if header != HEADER.encode() or not rest.endswith(b"\n"):
        raise FormatError(
            f"expected a trust file ({HEADER}, then one line of JSON), found {text[:80]!r}"
        )
    value = jcs.parse_canonical(rest[:-1])
    if not isinstance(value, Mapping) or set(value) != _MEMBERS:
        raise FormatError(
            f"expected a trust file with the members {', '.join(sorted(_MEMBERS))},"
            f" found {rest[:120]!r}"
        )
    return TrustList(
        origin=_typed(value, "origin", str),
        version=_typed(value, "version", int),
        threshold=_typed(value, "threshold", int),
        roots=tuple(parse_vkey(_is(str, each, "a root")) for each in _list(value, "roots")),
        keys=tuple(map(_listed, _list(value, "keys"))),
    )


def open_trust(data: bytes) -> TrustFile:
    """Check that a trust file is signed by the threshold of the roots that it names.

    1. It is a signed note whose text is a trust list.
    2. Every signature by one of its roots verifies, and stands once.
    3. There are at least `threshold` of them.

    Raises:
        FormatError: step 1.
        UntrustedError: steps 2 and 3, or a weak key.
    """
    # 1. The roots stand in the text that they sign: nothing of it is used before step 3.
    text = split_trust(data)[0]
    says = parse_trust_list(text)
    # 2.
    note = open_note(data, says.roots)
    if note.body != text:
        raise UntrustedError("trust file: its signed text is not the text that was read")
    # 3.
    _require_threshold(note.signed_by, says.threshold, whose="its own roots")
    return TrustFile(says=says, note=data, signed_by=note.signed_by)


def require_successor(new: TrustFile, *, of: TrustFile) -> TrustFile:
    """Check that a trust file may take the place of one that is trusted; return it.

    1. It is of the same ledger.
    2. Its version is higher (an old one put back would revive keys that were taken out).
    3. The threshold of the *predecessor's* roots has signed it.

    Raises:
        UntrustedError: one of these.
    """
    # 1.
    if new.says.origin != of.says.origin:
        raise UntrustedError(
            f"trust file: expected one of {of.says.origin}, found one of {new.says.origin}"
        )
    # 2.
    if new.version <= of.version:
        raise UntrustedError(
            f"trust file: expected a version above {of.version}, found {new.version};"
            " versions only rise"
        )
    # 3.
    note = open_note(new.note, of.says.roots)
    whose = f"the roots of version {of.version}"
    _require_threshold(note.signed_by, of.says.threshold, whose=whose)
    return new


def require_roots(trust: TrustFile, roots: Sequence[NoteKey]) -> TrustFile:
    """Check that each of these root keys, known from elsewhere, has signed a trust file.

    A file can state any threshold and any further roots, so only signatures by keys that the reader
    brings say anything; all of them are asked for.

    Raises:
        UntrustedError: one is not among its roots, or has not signed it.
    """
    for root in roots:
        if root not in trust.signed_by:
            names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in trust.signed_by)
            raise UntrustedError(
                f"trust file version {trust.version}: expected a signature by the root"
                f" {root.name}+{root.key_id.hex()}, found signatures by {names}"
            )
    return trust


def sign_trust(data: bytes, signer: Signer, *, name: str | None = None) -> bytes:
    """Add the signature of one root key to a trust file, or to the text of one that has none yet.

    `name` is needed only where one key would fit two names.

    Raises:
        FormatError: not a trust file.
        UsageError: the key is none of its roots, or has signed already.
    """
    text, is_signed = split_trust(data)
    says = parse_trust_list(text)
    for root in says.roots:
        if root.public_key == signer.public_key and name in {None, root.name}:
            if is_signed and root.key_id in _key_ids(data):
                raise UsageError(f"the root {root.name} has signed this trust file already")
            note_signer = NoteSigner(name=root.name, signer=signer)
            if is_signed:
                return add_signature(data, note_signer)
            return sign_note(text, [note_signer])
    names = ", ".join(root.vkey for root in says.roots)
    raise UsageError(
        f"expected the key of one of the roots ({names}), found {signer.verification_method};"
        " name it as a root when you make the trust file"
    )


def split_trust(data: bytes) -> tuple[bytes, bool]:
    """Return the text of a trust file, and whether anybody has signed it yet.

    Raises:
        FormatError: neither two lines nor two lines and signatures.
    """
    text, blank, rest = data.partition(b"\n\n")
    if not blank:
        return data, False
    if not rest:
        raise FormatError("expected signatures after the blank line of a trust file, found none")
    return text + b"\n", True


def _key_ids(data: bytes) -> set[bytes]:
    from provgraph.seal.note import decode_base64

    lines = data.partition(b"\n\n")[2].decode("utf-8", "replace").splitlines()
    return {decode_base64(line.rpartition(" ")[2])[:4] for line in lines}


def _require_threshold(signed_by: Sequence[NoteKey], threshold: int, *, whose: str) -> None:
    # Distinct keys: TrustList refuses roots that stand in it twice.
    if len(signed_by) < threshold:
        names = ", ".join(key.name for key in signed_by)
        raise UntrustedError(
            f"trust file: expected signatures by {threshold} of {whose}, found {len(signed_by)}"
            f" ({names}); let the others sign it with `provgraph keys trust sign`"
        )


def _row(key: ListedKey) -> dict[str, jcs.Json]:
    row: dict[str, jcs.Json] = {"method": key.method, "owner": key.owner, "role": key.role}
    if key.valid_from is not None:
        row["validFrom"] = format_time(key.valid_from)
    if key.valid_until is not None:
        row["validUntil"] = format_time(key.valid_until)
    if key.counts_before is not None:
        row["countsBefore"] = key.counts_before
    if key.name is not None:
        row["name"] = key.name
    return row


def _listed(value: object) -> ListedKey:
    if not isinstance(value, Mapping) or not _REQUIRED <= set(value) <= set(_KEY_MEMBERS):
        raise FormatError(
            f"expected a key with the members {', '.join(sorted(_REQUIRED))} and none but"
            f" {', '.join(_KEY_MEMBERS)}, found {value!r:.200}"
        )
    fields = {name: _typed(value, name, _KEY_MEMBERS[name]) for name in value}
    times = [None if (text := fields.get(name)) is None else parse_time(text) for name in _TIMES]
    return ListedKey(
        method=fields["method"],
        role=fields["role"],
        owner=fields["owner"],
        valid_from=times[0],
        valid_until=times[1],
        counts_before=fields.get("countsBefore"),
        name=fields.get("name"),
    )


_TIMES: Final = ("validFrom", "validUntil")


def _typed(value: Mapping[str, object], name: str, wanted: type) -> Any:
    return _is(wanted, value[name], f"{name} of a trust file")


def _is(wanted: type, value: object, what: str) -> Any:
    # A boolean is an int to Python, and neither to JSON.
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise FormatError(f"expected {what} as {wanted.__name__}, found {value!r:.120}")
    return value


def _list(value: Mapping[str, object], name: str) -> list[object]:
    found: list[object] = _typed(value, name, list)
    return found
