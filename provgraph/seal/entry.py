"""The entry: the small leaf of the ledger that stands for one sealed record.

Format: RFC 8785 JSON, at most 65,535 bytes (C2SP tlog-tiles), hashes only, so that content can be
erased and the tree still verifies. Its leaf hash is SHA-256(0x00 || bytes). The salt keeps somebody
who sees entries from testing guesses of their content.

What it does not do: it holds no content and checks no signature.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final

from provgraph.errors import FormatError
from provgraph.frozen import dataclass
from provgraph.patterns import pattern
from provgraph.seal import jcs
from provgraph.terms import IRI_TERM, iri

# The kinds of entries. All stand for a sealed graph; those that are no record speak about keys,
# records or checkpoints of this very ledger, and their place in it decides from when they count.
RECORD: Final = "record"  # what a pipeline or a person recorded
KEY_ADD: Final = "key-add"  # a key may seal from here on
KEY_REVOKE: Final = "key-revoke"  # what a key seals from here on counts no more
TOMBSTONE: Final = "tombstone"  # the content of an earlier entry was erased
WITNESS: Final = "witness"  # who cosigns checkpoints from here on

KEY_EVENTS: Final = frozenset({KEY_ADD, KEY_REVOKE})

# The role of the key that seals an entry of each kind: what pipelines record is theirs, what decides
# about the ledger itself is its steward's.
PRODUCER: Final = "producer"
STEWARD: Final = "steward"
LOG: Final = "log"  # signs checkpoints, and seals no entry
SEALED_BY: Final = {
    RECORD: PRODUCER,
    KEY_ADD: STEWARD,
    KEY_REVOKE: STEWARD,
    TOMBSTONE: STEWARD,
    WITNESS: STEWARD,
}

ENTRY_VERSION: Final = 1
MAX_ENTRY_BYTES: Final = 65_535
SALT_BYTES: Final = 16

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SALT = re.compile(r"[0-9a-f]{32}")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PROOF_VALUE = re.compile(r"z[1-9A-HJ-NP-Za-km-z]{1,127}")

# JSON key of each field; the version is the only key without one.
_KEYS: Final = {
    "graph": "graph",
    "graphSha256": "graph_sha256",
    "kind": "kind",
    "proofSha256": "proof_sha256",
    "proofValue": "proof_value",
    "salt": "salt",
    "verificationMethod": "verification_method",
}

# An entry in its one spelling: no member can hold a character that JSON would escape, so what this
# matches is what `Entry.encode` writes, and everything else is malformed.
_IRI_CHARACTERS: Final = IRI_TERM[1:-1]
_ENTRY = pattern(
    rf'\{{"graph":"(?P<graph>{_IRI_CHARACTERS})","graphSha256":"(?P<graph_sha256>[0-9a-f]{{64}})",'
    rf'"kind":"(?P<kind>{_KIND.pattern})","proofSha256":"(?P<proof_sha256>[0-9a-f]{{64}})",'
    rf'"proofValue":"(?P<proof_value>{_PROOF_VALUE.pattern})","salt":"(?P<salt>[0-9a-f]{{32}})",'
    rf'"verificationMethod":"(?P<verification_method>{_IRI_CHARACTERS})","version":1\}}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One leaf. Digests and salt are lower-case hex; `graph` is the record's IRI."""

    kind: str  # record, key-add, key-revoke, tombstone, witness, …
    graph: str
    graph_sha256: str
    proof_sha256: str
    proof_value: str
    verification_method: str
    salt: str

    def __post_init__(self) -> None:
        iri(self.graph)
        iri(self.verification_method)
        for name, form in (
            ("kind", _KIND),
            ("graph_sha256", _SHA256),
            ("proof_sha256", _SHA256),
            ("proof_value", _PROOF_VALUE),
            ("salt", _SALT),
        ):
            value: str = getattr(self, name)
            if not form.fullmatch(value):
                raise FormatError(
                    f"entry of {self.graph}: expected {name} as {form.pattern},"
                    f" found {value[:200]!r}"
                )

    def encode(self) -> bytes:
        """Return the entry's bytes, the leaf of the tree.

        Raises:
            FormatError: longer than MAX_ENTRY_BYTES.
        """
        data = self._canonical().encode("ascii")
        if len(data) > MAX_ENTRY_BYTES:
            raise FormatError(
                f"entry of {self.graph[:200]}: expected at most {MAX_ENTRY_BYTES} bytes,"
                f" found {len(data)}; shorten the record's id"
            )
        return data

    def _canonical(self) -> str:
        # RFC 8785: the keys in their order. No value holds a character that JSON escapes; the
        # patterns above and those of IRIs see to that.
        members = ",".join([f'"{key}":"{getattr(self, name)}"' for key, name in _KEYS.items()])
        return f'{{{members},"version":{ENTRY_VERSION}}}'


_FIELDS: Final = tuple(_KEYS.values())
_SETTERS: Final = [getattr(Entry, name).__set__ for name in _FIELDS]


def new_salt() -> str:
    """Return 16 random bytes in hex."""
    return secrets.token_hex(SALT_BYTES)


def parse_entry(data: bytes) -> Entry:
    """Read an entry's bytes.

    Raises:
        FormatError: too long, not canonical JSON, another version, a member missing or unknown.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise FormatError(
            f"expected an entry of at most {MAX_ENTRY_BYTES} bytes, found {len(data)}"
        )
    match = _ENTRY.fullmatch(data.decode("latin-1"))
    if match is not None:
        # The pattern has checked each member as `Entry` would.
        entry = object.__new__(Entry)
        for set_member, member in zip(_SETTERS, match.group(*_FIELDS), strict=True):
            set_member(entry, member)
        return entry
    # Something is wrong with it; the slow way says what.
    value = jcs.parse_canonical(data)
    if not isinstance(value, Mapping) or set(value) != {*_KEYS, "version"}:
        raise FormatError(
            f"expected an entry with the members {', '.join(sorted(_KEYS))} and version,"
            f" found {data[:200]!r}"
        )
    if value["version"] != ENTRY_VERSION or isinstance(value["version"], bool):
        raise FormatError(
            f"expected an entry of version {ENTRY_VERSION}, found {value['version']!r};"
            " a newer provgraph wrote it"
        )
    fields: dict[str, str] = {}
    for key, name in _KEYS.items():
        member = value[key]
        if not isinstance(member, str):
            raise FormatError(f"expected a string as {key} of an entry, found {member!r}")
        fields[name] = member
    return Entry(**fields)
