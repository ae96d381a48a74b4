"""Entries in a bundle whose graphs it does not hold: withheld by whoever exported it, or erased.

Of each there are four files: the entry, its place in the tree, the proof configuration and the
signature. So it can still be checked that a record was sealed, by which key, over which digest, and
that it stands in the ledger; what it says is not there. `bundle.json`, which the log key signs through
MANIFEST, names every such entry: a withheld one with the reason, an erased one with its tombstone,
which is in the bundle. A folder without a graph that is not named there is a graph that somebody took
out.

Only records are withheld: without a key's revocation or a tombstone the rest would read otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.frozen import dataclass
from provgraph.seal.entry import RECORD, TOMBSTONE, Entry, parse_entry
from provgraph.seal.keys import SIGNATURE_BYTES
from provgraph.seal.members import RECORD_FILES
from provgraph.seal.multikey import multibase_decode
from provgraph.seal.proof import verify_sealed_hash
from provgraph.seal.tombstone import judge, read_claim

ABSENT_FILES: Final = ("entry.json", "proof.nq", "record.tlog-proof", "signature.bin")
_MAX_REASON: Final = 1000

WITHHELD: Final = "withheld"
ERASED: Final = "erased"

Row = dict[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What bundle.json says of an entry whose graph is not there; one of the last two is None."""

    position: int
    graph: str
    reason: str | None
    tombstone: int | None

    def row(self) -> Row:
        """Return how bundle.json says it."""
        row: Row = {"position": self.position, "graph": self.graph}
        if self.reason is not None:
            return {**row, "reason": self.reason}
        return {**row, "tombstone": self.tombstone if self.tombstone is not None else -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAbsent:
    """An entry whose place and seal were checked, and whose graph is withheld or erased."""

    position: int
    iri: str
    entry: Entry
    signer: str  # did:key
    reason: str | None
    tombstone: int | None


def version_of(about: Mapping[str, Any]) -> int:
    """Return the version that a bundle of this content has: 1 knew of no absent graphs.

    So a verifier of that version refuses what it would not have looked at.
    """
    return 2 if WITHHELD in about or ERASED in about else 1


def listed_in(about: Mapping[str, Any]) -> dict[int, Listed]:
    """Read what bundle.json says of absent graphs, by position.

    Raises:
        FormatError: not of that form, empty, out of order, or an entry twice.
    """
    found: dict[int, Listed] = {}
    for kind, key, type_ in ((WITHHELD, "reason", str), (ERASED, "tombstone", int)):
        if kind not in about:
            continue
        rows = about[kind]
        if not isinstance(rows, list) or not rows:
            raise FormatError(
                f"bundle.json: expected a list of {kind} entries, found {rows!r:.200}"
            )
        last = -1
        for row in rows:
            if (
                not isinstance(row, dict)
                or set(row) != {"position", "graph", key}
                or type(row["position"]) is not int
                or not isinstance(row["graph"], str)
                or type(row[key]) is not type_
                or row["position"] <= last
                or row["position"] in found
                or (type_ is str and not 0 < len(row[key].strip()) <= _MAX_REASON)
            ):
                raise FormatError(
                    f"bundle.json: expected {kind} entries in order, each with position, graph and"
                    f" {key}, found {row!r:.200}"
                )
            last = row["position"]
            found[last] = Listed(
                position=last,
                graph=row["graph"],
                reason=row["reason"] if key == "reason" else None,
                tombstone=row["tombstone"] if key == "tombstone" else None,
            )
    return found


def split_folders(
    members: Mapping[str, bytes], folders: Collection[str], listed: Mapping[int, Listed]
) -> tuple[list[str], list[str]]:
    """Return the folders with all files of a record, and those of the listed absent ones.

    Raises:
        FormatError: a folder lacks a file (a graph that was taken out among them).
        UntrustedError: a folder has a file too many, or what is listed is not there.
    """
    whole: list[str] = []
    absent: list[str] = []
    for folder in sorted(folders, key=int):
        is_absent = int(folder) in listed
        for file in ABSENT_FILES if is_absent else RECORD_FILES:
            if f"records/{folder}/{file}" not in members:
                raise FormatError(f"expected a member records/{folder}/{file}, found none")
        for file in RECORD_FILES:
            name = f"records/{folder}/{file}"
            if is_absent and file not in ABSENT_FILES and name in members:
                raise UntrustedError(f"bundle.json says that {name} is absent, and it is here")
        (absent if is_absent else whole).append(folder)
    missing = sorted(set(listed) - {int(folder) for folder in absent})
    if missing:
        raise UntrustedError(
            f"bundle.json lists entry {missing[0]} as absent, and has no file of it"
        )
    return whole, absent


def check_absent_seal(members: Mapping[str, bytes], folder: str) -> None:
    """Check that a key signed a graph of the digest that the entry states.

    Raises:
        FormatError, UntrustedError: it did not, or signature.bin is another one.
    """
    entry = parse_entry(members[f"records/{folder}/entry.json"])
    digest = bytes.fromhex(entry.graph_sha256)
    seal = verify_sealed_hash(digest, members[f"records/{folder}/proof.nq"], entry.proof_value)
    if seal.verification_method != entry.verification_method:
        raise UntrustedError("the entry names another verification method than its proof")
    raw = multibase_decode(entry.proof_value, length=SIGNATURE_BYTES, what="a proofValue")
    if raw != members[f"records/{folder}/signature.bin"]:
        raise UntrustedError("signature.bin is not the signature of entry.json")


def check_absent_entry(members: Mapping[str, bytes], folder: str, listed: Listed) -> VerifiedAbsent:
    """Check that an entry is the record that is listed, and names the proof beside it.

    Raises:
        UntrustedError: it is not, or is of a kind that is never absent.
    """
    entry = parse_entry(members[f"records/{folder}/entry.json"])
    if entry.proof_sha256 != hashlib.sha256(members[f"records/{folder}/proof.nq"]).hexdigest():
        raise UntrustedError("the entry's hash is not that of proof.nq")
    if entry.kind != RECORD:
        raise UntrustedError(f"an entry of kind {entry.kind} is neither withheld nor erased")
    if entry.graph != listed.graph:
        raise UntrustedError(f"bundle.json lists it as {listed.graph}, its entry as {entry.graph}")
    return VerifiedAbsent(
        position=listed.position,
        iri=entry.graph,
        entry=entry,
        signer=entry.verification_method.partition("#")[0],
        reason=listed.reason,
        tombstone=listed.tombstone,
    )


def check_erasures(
    absent: Sequence[VerifiedAbsent],
    tombstones: Sequence[tuple[int, Entry, bytes]],
    *,
    here: Collection[int],
    producers: Collection[str],
) -> None:
    """Check that each erased entry has its tombstone in the bundle, and each tombstone its entry.

    Args:
        absent: all absent entries.
        tombstones: position, entry and graph of every tombstone in the bundle, its seal verified.
        here: positions of the records whose graphs are in the bundle.
        producers: verification methods that sealed records.

    Raises:
        UntrustedError: a tombstone that fits no erased entry, or the other way round.
    """
    claims = [
        read_claim(graph_nq, position=position, entry=entry)
        for position, entry, graph_nq in tombstones
        if entry.kind == TOMBSTONE
    ]
    erased = {each.position: each for each in absent if each.tombstone is not None}
    for claim in claims:
        if claim.erased_index in here:
            raise UntrustedError(
                f"entry {claim.position} says that entry {claim.erased_index} was erased, and its"
                " graph is in the bundle"
            )
        if claim.erased_index not in erased:
            raise UntrustedError(
                f"entry {claim.position} erased entry {claim.erased_index}, which is left out"
            )
    entries = {position: each.entry.encode() for position, each in erased.items()}
    found = judge(erased=entries, claims=claims, producers=producers)
    for position, each in erased.items():
        fitting = {claim.position for claim in claims if claim.erased_index == position} | {
            found[position].position
        }
        if each.tombstone not in fitting:
            raise UntrustedError(
                f"bundle.json names entry {each.tombstone} as the tombstone of entry {position},"
                f" expected {found[position].position}"
            )


def summary(listed: Collection[Listed | VerifiedAbsent]) -> str:
    """Say how many graphs are absent: `2 withheld, 1 erased`; empty where none is."""
    withheld = sum(each.reason is not None for each in listed)
    erased = len(listed) - withheld
    counts = [f"{withheld} {WITHHELD}"] * bool(withheld) + [f"{erased} {ERASED}"] * bool(erased)
    return ", ".join(counts)
