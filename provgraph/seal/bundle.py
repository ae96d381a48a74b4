"""Verifies an export bundle offline: no configuration, no identity, no network, no RDF library.

A bundle proves that its records were sealed by the keys that it names and stand in the ledger whose
checkpoint it carries. It cannot prove whose keys those are: that is for the reader, who compares
the fingerprints printed here with ones that came another way (`--log-key`, `--producer-key`).

Not here: that the readable views (JSON-LD, Turtle, TriG) say the same as the signed graphs, which
needs an RDF parser; see `provgraph.export.views`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from provgraph.errors import FormatError, ProvgraphError, UntrustedError
from provgraph.frozen import dataclass
from provgraph.seal import absent, jcs
from provgraph.seal.absent import VerifiedAbsent, version_of
from provgraph.seal.attestation import Attested, check_attestation
from provgraph.seal.bundle_keys import Anchors, Judged, judge_keys
from provgraph.seal.charter import Charter, open_charter
from provgraph.seal.entry import PRODUCER, RECORD, SEALED_BY, TOMBSTONE, Entry, parse_entry
from provgraph.seal.keys import SIGNATURE_BYTES
from provgraph.seal.members import MANIFEST, read_members
from provgraph.seal.multikey import (
    ED25519,
    PublicKey,
    decode_multikey,
    did_key,
    encode_multikey,
    multibase_decode,
    public_pem,
)
from provgraph.seal.note import (
    Checkpoint,
    NoteKey,
    NoteSigner,
    open_checkpoint,
    open_note,
    sign_note,
)
from provgraph.seal.proof import verify_seal
from provgraph.seal.tlogproof import parse_tlog_proof, verify_tlog_proof
from provgraph.terms import parse_lines

MANIFEST_HEADER: Final = "provgraph-bundle/v1"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")
_RECORD = re.compile(r"records/([0-9]+)/")
_SHA256 = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_ATTACHED = re.compile(rb"#attachment> <[^>]*/content/sha256/([0-9a-f]{64})> ")

Report = Callable[[int, str], None]
"""Called with (step number, what was checked) as each step passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRecord:
    """A record whose seal, entry and place in the ledger were checked."""

    position: int
    iri: str
    graph_nq: bytes
    entry: Entry
    signer: str  # did:key


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """What a bundle is worth after verification: only this is handed on, never its raw members."""

    root: str
    charter: Charter
    checkpoint: Checkpoint
    records: tuple[VerifiedRecord, ...]
    absent: tuple[VerifiedAbsent, ...]
    attachments: Mapping[str, bytes]
    members: Mapping[str, bytes]
    signers: tuple[str, ...]
    judged: Judged  # why each key counts, and what stays open
    is_pinned: bool  # whether the reader brought keys of their own to compare with


def write_manifest(members: Mapping[str, bytes], *, origin: str, signer: NoteSigner) -> bytes:
    """Return the signed list of all members, in the format of `sha256sum` below one header line."""
    lines = [
        f"{MANIFEST_HEADER} {origin}\n",
        *(f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in sorted(members)),
    ]
    return sign_note("".join(lines).encode(), [signer])


def verify_bundle(
    path: Path,
    *,
    report: Report,
    log_key: str | None = None,
    charter: bytes | None = None,
    producer_keys: frozenset[str] | None = None,
    anchors: Anchors | None = None,
) -> VerifiedBundle:
    """Verify a bundle, step by step.

    1. Its members are regular files with the names that a bundle has, each once (zip tricks,
       path traversal, links, bombs).
    2. The charter is signed by the log key that it names; with `log_key`, by that very key; with
       `charter`, it is that very charter (one without the second key, made by who can forge Ed25519).
    3. MANIFEST is signed by the log key, and lists every member with its SHA-256 (changed, added or
       removed files); nothing else is signed there.
    4. The checkpoint is signed by all log keys of the charter, for this origin (a checkpoint of
       another log, or one forged by who could break one kind of signature); bundle.json speaks of
       that ledger at that size.
    5. Every record: all its files are there, and the seal verifies over its graph (EdDSA Cryptosuites
       1.0, 3.2.2). One whose graph is withheld or erased is listed as such in bundle.json, has the
       files that are left of it and no other, and its seal verifies over the digest (a graph that was
       taken out; one that is here although it is said not to be).
    6. Every record: the entry is of a kind that we know, names this graph, these hashes and this proof,
       and every line is a canonical statement in the graph of that name (a proof of another graph,
       a swapped signature, an entry that means something else).
    7. Every record: the entry stands in the tree of the checkpoint (RFC 9162 inclusion), no two
       records claim one place or name, and bundle.json lists exactly these (a record that was never
       in the ledger) and explains something that one of them speaks of; each erased one has its
       tombstone here, and each tombstone its erased entry; the attestation, which bundles of 0.1.0
       have not, says the same of exactly these.
    8. Every key that sealed is listed in trust.json in the role that the entry's kind asks for;
       with `producer_keys`, those of producers are among those. Every file
       under keys/ holds the key of its name (a key for openssl that is not the one named). Each
       counts at its place in the ledger, by the key events and trust files in the bundle and by the
       reader's own (`provgraph.seal.bundle_keys`: a revoked key, one that nobody named).
    9. Every attachment has the SHA-256 that its name says and a signed graph mentions it, and none
       that a signed graph names as attached is left out.

    Args:
        path: zip or folder.
        report: told of each step that passed.
        log_key: did:key or multikey that the log must have, from another source than the bundle.
        charter: the charter that the ledger must have, kept from an earlier bundle.
        producer_keys: the same for producers.
        anchors: a trust file or root keys, from another source than the bundle.

    Raises:
        NotFoundError: there is no such file.
        UntrustedError: the first thing that is wrong, with the step's number.
    """
    step = 0

    def passed(text: str) -> None:
        report(step, text)

    try:
        step = 1
        members = read_members(path)
        passed(f"opened {len(members)} files, all with names and sizes that a bundle may have")

        step = 2
        opened = open_charter(_member(members, "charter"))
        note_key = opened.note_key
        log = PublicKey(algorithm=ED25519, raw=opened.log_key)
        log_did = did_key(log)
        if log_key is not None and _multikey(log_key) != encode_multikey(log):
            raise UntrustedError(f"expected the log key {log_key}, found {log_did}")
        if charter is not None and charter != opened.note:
            raise UntrustedError(
                "expected the charter that was kept, found another one"
                f" {_told_apart(open_charter(charter), opened)}"
            )
        passed(f"ledger {opened.origin}, log key {log_did}")

        step = 3
        _check_manifest(members, opened.origin, note_key)
        passed(f"MANIFEST is signed by the log key and matches all {len(members) - 1} other files")

        step = 4
        checkpoint = open_checkpoint(_member(members, "checkpoint"), *opened.log_keys)
        about = _check_about(members, checkpoint)
        passed(f"checkpoint over {checkpoint.size} entries is signed by the log key")

        step = 5
        listed = absent.listed_in(about)
        folders, bare = absent.split_folders(members, _folders(members), listed)
        if not folders:
            raise UntrustedError("the bundle holds no graph, so it proves nothing")
        seals = {}
        for folder in folders:
            with _context(f"records/{folder}"):
                seals[folder] = _check_seal(members, folder)
        for folder in bare:
            with _context(f"records/{folder}"):
                absent.check_absent_seal(members, folder)
        apart = absent.summary(listed.values())
        passed(
            f"{len(folders)} seals verify over their graphs (W3C Data Integrity)"
            + (f"; {apart}: those verify over the digests of theirs" if apart else "")
        )

        step = 6
        for folder in folders:
            with _context(f"records/{folder}"):
                _check_entry(members, folder, seals[folder])
        missing = []
        for folder in bare:
            with _context(f"records/{folder}"):
                row = listed[int(folder)]
                missing.append(absent.check_absent_entry(members, folder, row))
        passed(
            f"{len(folders)} ledger entries name exactly these graphs and proofs"
            + (f"; {apart}: bundle.json says which" if apart else "")
        )

        step = 7
        records = []
        for folder in folders:
            with _context(f"records/{folder}"):
                records.append(_check_place(members, folder, opened.log_keys, checkpoint))
        for folder in bare:
            with _context(f"records/{folder}"):
                _check_inclusion(members, folder, opened.log_keys, checkpoint)
        everything: list[VerifiedRecord | VerifiedAbsent] = [*records, *missing]
        positions = {record.position for record in everything}
        if len(positions) != len(everything):
            raise UntrustedError("two records claim the same place in the ledger")
        _check_list(about, records, missing)
        _check_erasures(records, missing)
        attested = [
            Attested(position=each.position, graph=each.iri, sha256=each.entry.graph_sha256)
            for each in records
        ]
        is_attested = check_attestation(members, checkpoint, attested, log_key=opened.log_key)
        passed(
            f"{len(everything)} entries are in the tree of {checkpoint.size} (RFC 9162)"
            + (", as the attestation says (DSSE)" if is_attested else "")
        )

        step = 8
        signers = _check_producers(members, everything, log, producer_keys)
        judged = judge_keys(
            members,
            everything,
            charter=opened,
            checkpoint_note=_member(members, "checkpoint"),
            anchors=anchors or Anchors(),
        )
        passed(f"sealed by {', '.join(signers)}; judged by {judged.source}")

        step = 9
        attachments = _check_attachments(members, records)
        plural = "attachment has" if len(attachments) == 1 else "attachments have"
        passed(f"{len(attachments)} {plural} the digests that signed graphs name")
    except (UntrustedError, FormatError) as error:
        raise UntrustedError(f"step {step}: {error}") from None
    return VerifiedBundle(
        root=about["root"],
        charter=opened,
        checkpoint=checkpoint,
        records=tuple(records),
        absent=tuple(missing),
        attachments=attachments,
        members=members,
        signers=signers,
        judged=judged,
        is_pinned=((log_key or charter) is not None and producer_keys is not None)
        or (anchors is not None and anchors != Anchors()),
    )


def _told_apart(kept: Charter, found: Charter) -> str:
    """Say what differs first between two charters."""
    for what in ("origin", "log_key", "mldsa_key", "namespace"):
        one, other = getattr(kept, what), getattr(found, what)
        if one != other:
            return f"(another {what}{': none' if other is None else ''})"
    return "(of another time)"


def _folders(members: Mapping[str, bytes]) -> list[str]:
    """Return the folders of records. Which files each must have is for `absent.split_folders`."""
    found = {match[1] for name in members if (match := _RECORD.match(name))}
    if not found:
        raise UntrustedError("the bundle holds no record, so it proves nothing")
    return sorted(found, key=int)


def _check_manifest(members: Mapping[str, bytes], origin: str, key: NoteKey) -> None:
    note = members[MANIFEST]
    signed = open_note(note, [key]).body
    # Nothing else covers it: a line with another name on it would read like an approval.
    if note[len(signed) + 1 :].count(b"\n") != 1:
        raise UntrustedError("MANIFEST: expected the signature of the log key and no other line")
    body = signed.decode()
    header, _, rest = body.partition("\n")
    if header != f"{MANIFEST_HEADER} {origin}":
        raise FormatError(
            f"expected a manifest of {MANIFEST_HEADER} {origin}, found {header[:200]!r}"
        )
    listed: dict[str, str] = {}
    for line in rest.split("\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed or match[2] == MANIFEST:
            raise FormatError(f"expected '<sha256>  <name>' once per file, found {line[:200]!r}")
        listed[match[2]] = match[1]
    for name, data in members.items():
        if name == MANIFEST:
            continue
        if name not in listed:
            raise UntrustedError(f"{name} is not in the manifest: it was added afterwards")
        if hashlib.sha256(data).hexdigest() != listed[name]:
            raise UntrustedError(f"{name} was changed after the bundle was made")
    for name in listed:
        if name not in members:
            raise UntrustedError(f"{name} is in the manifest and not in the bundle: it was removed")


def _check_about(members: Mapping[str, bytes], checkpoint: Checkpoint) -> dict[str, Any]:
    """Read bundle.json, which says what the bundle explains, and hold it against the checkpoint."""
    about = _json(members, "bundle.json")
    for name, expected in (
        ("version", version_of(about)),
        ("origin", checkpoint.origin),
        ("ledgerSize", checkpoint.size),
    ):
        if about.get(name) != expected or type(about[name]) is not type(expected):
            raise UntrustedError(
                f"bundle.json: expected {name} {expected!r}, found {about.get(name)!r:.200}"
            )
    for name in ("root", "title"):
        if not isinstance(about.get(name), str):
            raise FormatError(
                f"bundle.json: expected a text as {name}, found {about.get(name)!r:.200}"
            )
    return about


def _check_erasures(records: Sequence[VerifiedRecord], missing: Sequence[VerifiedAbsent]) -> None:
    absent.check_erasures(
        missing,
        [
            (each.position, each.entry, each.graph_nq)
            for each in records
            if each.entry.kind == TOMBSTONE
        ],
        here={each.position for each in records},
        producers={
            entry.verification_method
            for entry in [*(each.entry for each in records), *(each.entry for each in missing)]
            if SEALED_BY[entry.kind] == PRODUCER
        },
    )


def _check_list(
    about: Mapping[str, Any],
    records: Sequence[VerifiedRecord],
    missing: Sequence[VerifiedAbsent],
) -> None:
    found = [listing(record.position, record.iri, record.entry.kind) for record in records]
    # As bytes: 1 is not true there.
    if jcs.encode(about.get("records", "")) != jcs.encode(found):
        raise UntrustedError("bundle.json lists other records than the bundle holds")
    iris = {each.iri for each in records} | {each.iri for each in missing}
    if len(iris) != len(records) + len(missing):
        raise UntrustedError("two records claim the same name")
    if not any(_speaks_of(record.graph_nq, about["root"]) for record in records):
        raise UntrustedError(
            f"bundle.json: it explains {about['root']!r:.200}, of which no signed graph says anything"
        )


def listing(position: int, iri: str, kind: str) -> dict[str, int | str]:
    """Return how bundle.json lists a record; the kind is said where it is not the usual one."""
    row: dict[str, int | str] = {"position": position, "graph": iri}
    return row if kind == RECORD else {**row, "kind": kind}


def _check_seal(members: Mapping[str, bytes], folder: str) -> str:
    """Verify the seal of a record; return the proof value that verified."""
    entry = parse_entry(_member(members, f"records/{folder}/entry.json"))
    graph_nq = _member(members, f"records/{folder}/graph.nq")
    proof_nq = _member(members, f"records/{folder}/proof.nq")
    verify_seal(graph_nq, proof_nq, entry.proof_value)
    # signature.bin is the same signature in raw form, for openssl.
    raw = multibase_decode(entry.proof_value, length=SIGNATURE_BYTES, what="a proofValue")
    if raw != _member(members, f"records/{folder}/signature.bin"):
        raise UntrustedError("signature.bin is not the signature of entry.json")
    return entry.proof_value


def _check_entry(members: Mapping[str, bytes], folder: str, proof_value: str) -> None:
    entry = parse_entry(_member(members, f"records/{folder}/entry.json"))
    graph_nq = _member(members, f"records/{folder}/graph.nq")
    proof_nq = _member(members, f"records/{folder}/proof.nq")
    if entry.graph_sha256 != hashlib.sha256(graph_nq).hexdigest():
        raise UntrustedError("the entry's hash is not that of graph.nq")
    if entry.proof_sha256 != hashlib.sha256(proof_nq).hexdigest():
        raise UntrustedError("the entry's hash is not that of proof.nq")
    if entry.proof_value != proof_value:
        raise UntrustedError("the entry names another proof")
    if f"<{entry.verification_method}>".encode() not in proof_nq:
        raise UntrustedError("the entry names another verification method than its proof")
    if entry.kind not in SEALED_BY:
        raise UntrustedError(f"the entry is one of kind {entry.kind}, which means nothing here")
    names = {graph for _, _, _, graph in parse_lines(graph_nq)}
    if names != {f"<{entry.graph}>"}:
        raise UntrustedError(f"a statement of graph.nq lies outside the graph {entry.graph}")


def _speaks_of(graph_nq: bytes, iri: str) -> bool:
    term = f"<{iri}>"
    return any(
        term in statement
        for line in graph_nq.splitlines(keepends=True)
        if term.encode() in line
        for statement in parse_lines(line)
    )


def _check_place(
    members: Mapping[str, bytes], folder: str, keys: Sequence[NoteKey], checkpoint: Checkpoint
) -> VerifiedRecord:
    position, entry = _check_inclusion(members, folder, keys, checkpoint)
    return VerifiedRecord(
        position=position,
        iri=entry.graph,
        graph_nq=_member(members, f"records/{folder}/graph.nq"),
        entry=entry,
        signer=entry.verification_method.partition("#")[0],
    )


def _check_inclusion(
    members: Mapping[str, bytes], folder: str, keys: Sequence[NoteKey], checkpoint: Checkpoint
) -> tuple[int, Entry]:
    data = _member(members, f"records/{folder}/entry.json")
    proof = parse_tlog_proof(_member(members, f"records/{folder}/record.tlog-proof"))
    if folder != f"{proof.index:06d}":
        raise UntrustedError(f"the folder says position {folder}, its proof {proof.index:06d}")
    if proof.extra is not None:
        raise UntrustedError("its proof carries extra data, which nothing authenticates")
    proved = verify_tlog_proof(proof, entry=data, keys=keys)
    if proved != checkpoint:
        raise UntrustedError("its proof leads to another checkpoint than the bundle's")
    return proof.index, parse_entry(data)


def _check_producers(
    members: Mapping[str, bytes],
    records: Sequence[VerifiedRecord | VerifiedAbsent],
    log: PublicKey,
    pinned: frozenset[str] | None,
) -> tuple[str, ...]:
    listed = _listed_keys(members)
    logs = {did for role, did in listed if role == "log"}
    if logs != {did_key(log)}:
        raise UntrustedError(f"trust.json: expected the log key {did_key(log)}, found {logs}")
    sealed = sorted({(record.signer, SEALED_BY[record.entry.kind]) for record in records})
    signers = tuple(dict.fromkeys(signer for signer, _ in sealed))
    allowed = None if pinned is None else {_multikey(key) for key in pinned}
    for signer, role in sealed:
        if (role, signer) not in listed:
            raise UntrustedError(f"{signer} sealed a record and is no {role} in trust.json")
        if role == PRODUCER and allowed is not None and _multikey(signer) not in allowed:
            raise UntrustedError(f"{signer} sealed a record and is not among the expected keys")
    files = {name for name in members if name.startswith("keys/")}
    expected = {f"keys/{role}-{_multikey(did)}.pem": did for role, did in listed}
    for name in sorted(files ^ set(expected)):
        raise UntrustedError(f"{name} is a key of trust.json or a file, and not both")
    for name, did in expected.items():
        if members[name] != public_pem(decode_multikey(_multikey(did))):
            raise UntrustedError(f"{name} holds another key than its name says")
    return signers


def _listed_keys(members: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Return (role, did:key) of every key in trust.json."""
    rows = _json(members, "trust.json").get("keys")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FormatError("trust.json: expected a list of keys")
    listed = set()
    for row in rows:
        role, multikey = str(row.get("role")), str(row.get("multikey"))
        did = did_key(decode_multikey(multikey))
        if row.get("id") != did:
            raise UntrustedError(f"trust.json: expected the id {did}, found {row.get('id')!r:.200}")
        listed.add((role, did))
    return listed


def _check_attachments(
    members: Mapping[str, bytes], records: Sequence[VerifiedRecord]
) -> dict[str, bytes]:
    mentioned = {hit for record in records for hit in _SHA256.findall(record.graph_nq)}
    attached = {hit for record in records for hit in _ATTACHED.findall(record.graph_nq)}
    found: dict[str, bytes] = {}
    for name, data in members.items():
        if not name.startswith("attachments/sha256-"):
            continue
        hex_value = name.removeprefix("attachments/sha256-")
        if hashlib.sha256(data).hexdigest() != hex_value:
            raise UntrustedError(f"{name} has other bytes than its name says")
        if hex_value.encode() not in mentioned:
            raise UntrustedError(f"{name} is mentioned in no signed graph")
        found[f"sha256:{hex_value}"] = data
    for digest in sorted(hit.decode() for hit in attached):
        if f"sha256:{digest}" not in found:
            raise UntrustedError(
                f"attachments/sha256-{digest} is left out; a signed graph names it"
            )
    return found


def _member(members: Mapping[str, bytes], name: str) -> bytes:
    try:
        return members[name]
    except KeyError:
        raise FormatError(f"expected a member {name}, found none") from None


def _json(members: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        value = jcs.parse_plain(_member(members, name))
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{name}: expected a JSON object")
    return value


def _multikey(text: str) -> str:
    """Return the multikey in a did:key, a verification method or a bare multikey."""
    return text.removeprefix("did:key:").partition("#")[0]


class _context:  # noqa: N801 - used as a statement: with _context("records/7"):
    """Say which record an error is about."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ProvgraphError):
            raise UntrustedError(f"{self._where}: {error}") from None
