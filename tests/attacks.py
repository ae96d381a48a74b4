"""The attack corpus: every way to falsify a bundle that we know of, each named after its flaw.

`MEMBERS` change the members of a true bundle. The list of files is signed again afterwards with the
*real* log key, which is the strongest position of a forger, so that the step which is meant to catch a
flaw has to. `ZIPS` and `FOLDERS` hide something from one reader in the container, and leave the members
as they are.

Who must refuse which is told, and held, in tests/independent/test_attacks.py.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forge import Forge

from provgraph.seal import jcs
from provgraph.seal.attestation import DSSE, PAYLOAD_TYPE, SIGSTORE
from provgraph.seal.dsse import pae, sign_envelope
from provgraph.seal.keys import generate_signer, signer_from_seed
from provgraph.seal.members import MANIFEST
from provgraph.seal.merkle import leaf_hash, tree_root
from provgraph.seal.mldsa import load_mldsa_signer
from provgraph.seal.note import (
    Checkpoint,
    Cosigner,
    NoteSigner,
    parse_checkpoint,
    sign_checkpoint,
    sign_note,
)
from provgraph.service.asking import open_reader
from provgraph.service.home import log_signer

Members = dict[str, bytes]


def replaced(members: Members, name: str, old: bytes, new: bytes, count: int = 1) -> Members:
    assert old in members[name], f"{old!r} is not in {name}"
    return {**members, name: members[name].replace(old, new, count)}


def run_folder(forge: Forge) -> str:
    """The folder of the record with the evaluation of churn:2."""
    return next(
        f for f in reversed(forge.folders) if b"#evaluation-1" in forge.members[f"{f}/graph.nq"]
    )


def changed_literal(forge: Forge, members: Members) -> Members:
    return replaced(members, f"{run_folder(forge)}/graph.nq", b'"0.91"', b'"0.99"')


def dropped_quad(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/graph.nq"
    return {**members, name: b"".join(members[name].splitlines(keepends=True)[1:])}


def added_quad(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/graph.nq"
    lines = members[name].splitlines(keepends=True)
    return {**members, name: b"".join(sorted([*lines, lines[0].replace(b"id/", b"id/x", 1)]))}


def reordered_lines(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/graph.nq"
    return {**members, name: b"".join(reversed(members[name].splitlines(keepends=True)))}


def swapped_seals(forge: Forge, members: Members) -> Members:
    one, two = forge.folders[-1], forge.folders[-2]
    swapped = dict(members)
    for part in ("proof.nq", "signature.bin", "entry.json"):
        swapped[f"{one}/{part}"] = members[f"{two}/{part}"]
        swapped[f"{two}/{part}"] = members[f"{one}/{part}"]
    return swapped


def replayed_proof_on_another_graph(forge: Forge, members: Members) -> Members:
    one, two = forge.folders[-1], forge.folders[-2]
    return {
        **members,
        **{f"{one}/{part}": members[f"{two}/{part}"] for part in ("proof.nq", "signature.bin")},
    }


def changed_created(forge: Forge, members: Members) -> Members:
    return replaced(members, f"{run_folder(forge)}/proof.nq", b'created> "20', b'created> "19')


def changed_verification_method(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/proof.nq"
    method = generate_signer().verification_method.encode()
    old = members[name].split(b"verificationMethod> <")[1].split(b">")[0]
    return replaced(members, name, old, method)


def changed_raw_signature(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/signature.bin"
    return {**members, name: bytes([members[name][0] ^ 1]) + members[name][1:]}


def changed_entry_salt(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/entry.json"
    salt = json.loads(members[name])["salt"].encode()
    return replaced(members, name, salt, b"0" * 32)


def entry_of_another_kind(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/entry.json"
    return replaced(members, name, b'"kind":"record"', b'"kind":"tombstone"')


def entry_of_an_unknown_kind(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/entry.json"
    return replaced(members, name, b'"kind":"record"', b'"kind":"blessing"')


def entry_names_another_graph(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/entry.json"
    graph = json.loads(members[name])["graph"].encode()
    return replaced(members, name, graph, graph + b"0")


def truncated_inclusion_proof(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.tlog-proof"
    head, rest = members[name].split(b"\n\n", 1)
    return {**members, name: b"\n".join(head.split(b"\n")[:-1]) + b"\n\n" + rest}


def wrong_index_in_proof(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.tlog-proof"
    return replaced(members, name, b"\nindex ", b"\nindex 1")


def two_records_on_one_position(forge: Forge, members: Members) -> Members:
    folder = run_folder(forge)
    copies = {
        name.replace(folder, f"records/{int(folder[8:]):07d}"): data
        for name, data in members.items()
        if name.startswith(f"{folder}/")
    }
    return {**members, **copies}


def renamed_position(forge: Forge, members: Members) -> Members:
    folder = run_folder(forge)
    return {name.replace(folder, "records/000099"): data for name, data in members.items()}


def checkpoint_of_a_forked_log(forge: Forge, members: Members) -> Members:
    body = members["checkpoint"].split(b"\n\n")[0] + b"\n"
    fork = parse_checkpoint(body)
    forged = type(fork)(origin=fork.origin, size=fork.size + 1, root=hashlib.sha256().digest())
    return {**members, "checkpoint": sign_checkpoint(forged, log_signer(forge.settings))}


def checkpoint_signed_by_another_key(forge: Forge, members: Members) -> Members:
    body = members["checkpoint"].split(b"\n\n")[0] + b"\n"
    return {**members, "checkpoint": sign_checkpoint(parse_checkpoint(body), generate_signer())}


def producer_not_in_the_trust_file(forge: Forge, members: Members) -> Members:
    trust = json.loads(members["trust.json"])
    trust["keys"] = [row for row in trust["keys"] if row["role"] != "producer"]
    return {**members, "trust.json": json.dumps(trust).encode()}


def trust_file_is_no_json(forge: Forge, members: Members) -> Members:
    return {**members, "trust.json": b"{"}


def changed_attachment(forge: Forge, members: Members) -> Members:
    name = next(name for name in members if name.startswith("attachments/"))
    return {**members, name: members[name] + b"x"}


def attachment_that_no_graph_mentions(forge: Forge, members: Members) -> Members:
    name = f"attachments/sha256-{hashlib.sha256(b'x').hexdigest()}"
    return {**members, name: b"x"}


def missing_graph(forge: Forge, members: Members) -> Members:
    return {name: data for name, data in members.items() if not name.endswith("graph.nq")}


def missing_proof(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/proof.nq"
    return {each: data for each, data in members.items() if each != name}


def missing_charter(forge: Forge, members: Members) -> Members:
    return {name: data for name, data in members.items() if name != "charter"}


def invalid_utf8_graph(forge: Forge, members: Members) -> Members:
    return replaced(members, f"{run_folder(forge)}/graph.nq", b"chosen", b"chos\xff\xfe")


def view_turtle_says_more(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.ttl"
    return {**members, name: members[name] + b"<https://e.org/a> <https://e.org/b> 1 .\n"}


def view_turtle_says_less(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.ttl"
    lines = [line for line in members[name].splitlines(keepends=True) if b"roc_auc" not in line]
    return {**members, name: b"".join(lines)}


def view_turtle_changed(forge: Forge, members: Members) -> Members:
    return replaced(members, f"{run_folder(forge)}/record.ttl", b"0.91", b"0.99")


def view_trig_changed(forge: Forge, members: Members) -> Members:
    return replaced(members, "lineage.trig", b"0.91", b"0.99", -1)


def view_jsonld_changed(forge: Forge, members: Members) -> Members:
    return replaced(members, f"{run_folder(forge)}/record.jsonld", b'"0.91"', b'"0.99"', -1)


def view_lineage_jsonld_changed(forge: Forge, members: Members) -> Members:
    return replaced(members, "lineage.jsonld", b'"0.91"', b'"0.99"', -1)


def undefined_term_in_jsonld(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    return replaced(members, name, b'"@graph": [', b'"verdict": "excellent",\n  "@graph": [')


def remote_context(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    return replaced(members, name, b"https://w3id.org/provgraph/context/v1", b"https://evil.org/c")


def inline_context_redefines_a_term(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    context = b'"https://w3id.org/security/data-integrity/v2"'
    return replaced(members, name, context, context + b', {"value": "https://evil.org/value"}')


def duplicate_json_key(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    return replaced(members, name, b'"@graph": [', b'"@id": "https://e.org/",\n  "@graph": [')


def proof_of_another_record_in_jsonld(forge: Forge, members: Members) -> Members:
    one, two = forge.folders[-1], forge.folders[-2]
    document = json.loads(members[f"{one}/record.jsonld"])
    document["proof"] = json.loads(members[f"{two}/record.jsonld"])["proof"]
    return {**members, f"{one}/record.jsonld": json.dumps(document).encode()}


def changed_created_in_jsonld(forge: Forge, members: Members) -> Members:
    return replaced(
        members, f"{run_folder(forge)}/record.jsonld", b'"created": "20', b'"created": "19'
    )


def changed_verification_method_in_jsonld(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    document = json.loads(members[name])
    document["proof"]["verificationMethod"] = generate_signer().verification_method
    return {**members, name: json.dumps(document).encode()}


def dropped_statement_in_jsonld(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    document = json.loads(members[name])
    document["@graph"].pop()
    return {**members, name: json.dumps(document).encode()}


def packaged_context_replaced(forge: Forge, members: Members) -> Members:
    return replaced(members, "context.jsonld", b"ns#", b"evil#")


# ---- checkpoints of another history ----------------------------------------------------------------
def with_checkpoint(forge: Forge, members: Members, *, size: int, root: bytes) -> Members:
    """Another checkpoint, signed by both log keys, there and at the end of every proof."""
    true = members["checkpoint"]
    old = parse_checkpoint(true.partition(b"\n\n")[0] + b"\n")
    other = Checkpoint(origin=old.origin, size=size, root=root)
    second = Cosigner(
        name=forge.origin,
        signer=load_mldsa_signer(forge.settings.keys_folder / "log-mldsa.pem"),
        clock=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )
    note = sign_checkpoint(other, log_signer(forge.settings), second)
    about = members["bundle.json"].replace(
        b'"ledgerSize": %d' % old.size, b'"ledgerSize": %d' % size
    )
    return {name: data.replace(true, note) for name, data in members.items()} | {
        "bundle.json": about
    }


def leaves(forge: Forge) -> list[bytes]:
    with open_reader(forge.settings) as reader:
        return [leaf_hash(entry) for entry in reader.ledger.entries(0, reader.ledger.size())]


def forked_log(forge: Forge, members: Members) -> Members:
    hashes = leaves(forge)
    root = tree_root([leaf_hash(b"another first entry"), *hashes[1:]])
    return with_checkpoint(forge, members, size=len(hashes), root=root)


def rolled_back_checkpoint(forge: Forge, members: Members) -> Members:
    hashes = leaves(forge)[:-1]
    return with_checkpoint(forge, members, size=len(hashes), root=tree_root(hashes))


def truncated_log(forge: Forge, members: Members) -> Members:
    """A smaller tree than the place of its last record."""
    hashes = leaves(forge)[:1]
    return with_checkpoint(forge, members, size=1, root=tree_root(hashes))


def reordered_leaves(forge: Forge, members: Members) -> Members:
    hashes = leaves(forge)
    hashes[1], hashes[2] = hashes[2], hashes[1]
    return with_checkpoint(forge, members, size=len(hashes), root=tree_root(hashes))


# ---- what stands beside the records ----------------------------------------------------------------
def folder_of_views_without_a_graph(forge: Forge, members: Members) -> Members:
    """Readable files beside no graph, which nothing would be compared with."""
    folder = run_folder(forge)
    views = {
        f"records/000999/{name}": members[f"{folder}/{name}"].replace(b"0.91", b"0.99")
        for name in ("record.ttl", "record.jsonld")
    }
    return {**members, **views}


def explains_what_no_graph_names(forge: Forge, members: Members) -> Members:
    """`verified: 6 records behind <another model>`."""
    root = json.loads(members["bundle.json"])["root"].encode()
    other = b"https://w3id.org/provgraph/id/model/example.org/best/9"
    changed = replaced(members, "bundle.json", root, other, -1)
    document = json.loads(members["lineage.jsonld"])
    node = {key: value for key, value in document.items() if key not in {"@context", "@included"}}
    document = {
        "@context": document["@context"],
        "id": other.decode(),
        "@included": [node, *document.get("@included", [])],
    }
    return {**changed, "lineage.jsonld": json.dumps(document).encode()}


def key_twice_in_bundle_json(forge: Forge, members: Members) -> Members:
    return replaced(members, "bundle.json", b'"title":', b'"title": "approved",\n  "title":')


def size_as_a_float(forge: Forge, members: Members) -> Members:
    size = json.loads(members["bundle.json"])["ledgerSize"]
    old = b'"ledgerSize": %d' % size
    return replaced(members, "bundle.json", old, old + b".0")


def position_true_for_one(forge: Forge, members: Members) -> Members:
    about = json.loads(members["bundle.json"])
    row = next(row for row in about["records"] if row["position"] in {0, 1})
    row["position"] = bool(row["position"])
    return {**members, "bundle.json": json.dumps(about).encode()}


def trust_file_in_utf16(forge: Forge, members: Members) -> Members:
    return {**members, "trust.json": members["trust.json"].decode().encode("utf-16")}


def trust_file_nested_too_deeply(forge: Forge, members: Members) -> Members:
    return {**members, "trust.json": b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"}


def trust_file_with_a_huge_number(forge: Forge, members: Members) -> Members:
    return replaced(members, "trust.json", b'"version": 1', b'"version": ' + b"9" * 10_000)


def position_in_seven_digits(forge: Forge, members: Members) -> Members:
    folder = run_folder(forge)
    longer = f"records/{int(folder[8:]):07d}"
    return {name.replace(folder, longer): data for name, data in members.items()}


def extra_data_in_a_proof(forge: Forge, members: Members) -> Members:
    """The specification lets a proof file carry data that nothing authenticates."""
    name = f"{run_folder(forge)}/record.tlog-proof"
    words = base64.b64encode(b"approved")
    return replaced(members, name, b"\nindex ", b"\nextra %b\nindex " % words)


def log_key_as_producer_key_file(forge: Forge, members: Members) -> Members:
    (log,) = (name for name in members if name.startswith("keys/log-"))
    (name,) = (name for name in members if name.startswith("keys/producer-"))
    return {**members, name: members[log]}


def key_file_of_nobody(forge: Forge, members: Members) -> Members:
    (name,) = (name for name in members if name.startswith("keys/producer-"))
    return {
        **members,
        "keys/auditor-z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH.pem": members[name],
    }


# ---- the attestation -------------------------------------------------------------------------------
def attested(members: Members, envelope: dict[str, Any]) -> Members:
    """An envelope, in both members."""
    told = json.loads(members[SIGSTORE])
    return {
        **members,
        DSSE: jcs.encode(envelope),
        SIGSTORE: jcs.encode({**told, "dsseEnvelope": envelope}),
    }


def signed_again(
    forge: Forge, members: Members, change: Callable[[dict[str, Any]], None]
) -> Members:
    """A changed statement, by the real log key."""
    statement = json.loads(base64.b64decode(json.loads(members[DSSE])["payload"]))
    change(statement)
    envelope = sign_envelope(
        jcs.encode(statement), payload_type=PAYLOAD_TYPE, signer=log_signer(forge.settings)
    )
    return attested(members, json.loads(envelope))


def attestation_payload_swapped(forge: Forge, members: Members) -> Members:
    envelope = json.loads(members[DSSE])
    payload = base64.b64decode(envelope["payload"]).replace(b'"position":1,', b'"position":9,')
    assert payload != base64.b64decode(envelope["payload"])
    return attested(members, {**envelope, "payload": base64.b64encode(payload).decode()})


def attestation_type_changed(forge: Forge, members: Members) -> Members:
    return attested(members, {**json.loads(members[DSSE]), "payloadType": "application/json"})


def attestation_type_runs_into_payload(forge: Forge, members: Members) -> Members:
    """Signed bytes that are the same unless PAE counts their lengths."""
    envelope = json.loads(members[DSSE])
    payload = base64.b64decode(envelope["payload"])
    return attested(
        members,
        {
            **envelope,
            "payloadType": f"{PAYLOAD_TYPE} {payload[:1].decode()}",
            "payload": base64.b64encode(payload[1:]).decode(),
        },
    )


def attestation_by_another_key(forge: Forge, members: Members) -> Members:
    envelope = json.loads(members[DSSE])
    payload = base64.b64decode(envelope["payload"])
    signature = signer_from_seed(b"\x06" * 32).sign(pae(PAYLOAD_TYPE, payload))
    row = {**envelope["signatures"][0], "sig": base64.b64encode(signature).decode()}
    return attested(members, {**envelope, "signatures": [row]})


def attestation_with_an_extra_signature(forge: Forge, members: Members) -> Members:
    envelope = json.loads(members[DSSE])
    return attested(members, {**envelope, "signatures": envelope["signatures"] * 2})


def attestation_lacks_a_subject(forge: Forge, members: Members) -> Members:
    return signed_again(forge, members, lambda told: told["subject"].pop())


def attestation_names_another_digest(forge: Forge, members: Members) -> Members:
    return signed_again(
        forge, members, lambda told: told["subject"][-1]["digest"].update(sha256="0" * 64)
    )


def attestation_of_another_root(forge: Forge, members: Members) -> Members:
    return signed_again(forge, members, lambda told: told["predicate"].update(ledgerRoot="0" * 64))


def attestation_in_one_form_only(forge: Forge, members: Members) -> Members:
    return {name: data for name, data in members.items() if name != DSSE}


def attestation_differs_in_its_two_forms(forge: Forge, members: Members) -> Members:
    other = attestation_lacks_a_subject(forge, members)
    return {**members, SIGSTORE: other[SIGSTORE]}


# ---- views with words that nobody signed -----------------------------------------------------------
def after_the_prefixes(members: Members, name: str, words: bytes) -> Members:
    return replaced(members, name, b" .\n\n", b" .\n" + words + b"\n", 1)


def comment_in_turtle(forge: Forge, members: Members) -> Members:
    return after_the_prefixes(members, f"{run_folder(forge)}/record.ttl", b"# approved\n")


def version_directive_with_words(forge: Forge, members: Members) -> Members:
    return after_the_prefixes(members, f"{run_folder(forge)}/record.ttl", b'VERSION "approved"\n')


def prefix_after_a_full_stop(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.ttl"
    return {**members, name: members[name].rstrip() + b"PREFIX approved: <urn:by:the:board>\n"}


def empty_graph_with_a_name(forge: Forge, members: Members) -> Members:
    return {
        **members,
        "lineage.trig": members["lineage.trig"] + b"<https://example.org/approved> { }\n",
    }


def view_in_utf16(forge: Forge, members: Members) -> Members:
    name = f"{run_folder(forge)}/record.jsonld"
    return {**members, name: members[name].decode().encode("utf-16")}


# The step of `provgraph verify` that must object; None for those after step 9.
MEMBERS: dict[Callable[[Forge, Members], Members], int | None] = {
    changed_literal: 5,
    dropped_quad: 5,
    added_quad: 5,
    reordered_lines: 5,
    swapped_seals: 5,
    replayed_proof_on_another_graph: 5,
    changed_created: 5,
    changed_verification_method: 5,
    changed_raw_signature: 5,
    changed_entry_salt: 7,
    entry_of_another_kind: 7,
    entry_of_an_unknown_kind: 6,
    entry_names_another_graph: 6,
    truncated_inclusion_proof: 7,
    wrong_index_in_proof: 7,
    two_records_on_one_position: 7,
    renamed_position: 7,
    position_in_seven_digits: 7,
    extra_data_in_a_proof: 7,
    checkpoint_of_a_forked_log: 4,
    checkpoint_signed_by_another_key: 4,
    forked_log: 7,
    rolled_back_checkpoint: 7,
    truncated_log: 7,
    reordered_leaves: 7,
    producer_not_in_the_trust_file: 8,
    trust_file_is_no_json: 8,
    trust_file_in_utf16: 8,
    trust_file_nested_too_deeply: 8,
    trust_file_with_a_huge_number: 8,
    log_key_as_producer_key_file: 8,
    key_file_of_nobody: 8,
    key_twice_in_bundle_json: 4,
    size_as_a_float: 4,
    position_true_for_one: 7,
    explains_what_no_graph_names: 7,
    changed_attachment: 9,
    attachment_that_no_graph_mentions: 9,
    missing_graph: 5,
    missing_proof: 5,
    missing_charter: 2,
    folder_of_views_without_a_graph: 5,
    invalid_utf8_graph: 5,
    attestation_payload_swapped: 7,
    attestation_type_changed: 7,
    attestation_type_runs_into_payload: 7,
    attestation_by_another_key: 7,
    attestation_with_an_extra_signature: 7,
    attestation_lacks_a_subject: 7,
    attestation_names_another_digest: 7,
    attestation_of_another_root: 7,
    attestation_in_one_form_only: 7,
    attestation_differs_in_its_two_forms: 7,
    view_turtle_says_more: None,
    view_turtle_says_less: None,
    view_turtle_changed: None,
    view_trig_changed: None,
    view_jsonld_changed: None,
    view_lineage_jsonld_changed: None,
    view_in_utf16: None,
    comment_in_turtle: None,
    version_directive_with_words: None,
    prefix_after_a_full_stop: None,
    empty_graph_with_a_name: None,
    undefined_term_in_jsonld: None,
    remote_context: None,
    inline_context_redefines_a_term: None,
    duplicate_json_key: None,
    proof_of_another_record_in_jsonld: None,
    changed_created_in_jsonld: None,
    changed_verification_method_in_jsonld: None,
    dropped_statement_in_jsonld: None,
    packaged_context_replaced: None,
}


# ---- the list of files -----------------------------------------------------------------------------
def list_by_another_key(forge: Forge, members: Members) -> Members:
    return forge.signed(members, generate_signer())


def list_under_another_name(forge: Forge, members: Members) -> Members:
    body = members[MANIFEST].partition(b"\n\n")[0] + b"\n"
    signer = NoteSigner(name="provgraph.local/other", signer=log_signer(forge.settings))
    return {**members, MANIFEST: sign_note(body, [signer])}


def list_with_a_second_name_under_it(forge: Forge, members: Members) -> Members:
    """Readers of notes pass over signatures of keys that they do not know; people read the name."""
    board = NoteSigner(name="board.example.org/approved", signer=signer_from_seed(b"\x07" * 32))
    body, _, true = members[MANIFEST].partition(b"\n\n")
    line = sign_note(body + b"\n", [board]).partition(b"\n\n")[2]
    return {**members, MANIFEST: body + b"\n\n" + line + true}


def list_that_lists_itself(forge: Forge, members: Members) -> Members:
    body = members[MANIFEST].partition(b"\n\n")[0] + b"\n" + b"0" * 64 + b"  MANIFEST\n"
    signer = NoteSigner(name=forge.origin, signer=log_signer(forge.settings))
    return {**members, MANIFEST: sign_note(body, [signer])}


def extra_file(forge: Forge, members: Members) -> Members:
    return {**members, f"attachments/sha256-{hashlib.sha256(b'x').hexdigest()}": b"x"}


def removed_file(forge: Forge, members: Members) -> Members:
    return {name: data for name, data in members.items() if name != "HOWTO-VERIFY.txt"}


def changed_instructions(forge: Forge, members: Members) -> Members:
    return {**members, "HOWTO-VERIFY.txt": b"It is all right.\n"}


# These change the list, or do not sign it again. Step 3 objects to all.
LISTS: tuple[Callable[[Forge, Members], Members], ...] = (
    list_by_another_key,
    list_under_another_name,
    list_with_a_second_name_under_it,
    list_that_lists_itself,
    extra_file,
    removed_file,
    changed_instructions,
)


# ---- zips ------------------------------------------------------------------------------------------
def packed(*rows: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", method) as archive:
        for info, data in rows:
            archive.writestr(info, data)
    return buffer.getvalue()


def true_zip(forge: Forge) -> bytes:
    return packed(*sorted(forge.members.items()))


def of_kind(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def patched(data: bytes, mark: bytes, at: int, form: str, value: int) -> bytes:
    """Write a number into the last header of a kind."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.rindex(mark) + at, value)
    return bytes(changed)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def moved_directory(data: bytes, by: int) -> bytes:
    (start,) = struct.unpack_from("<L", data, data.rindex(END) + 16)
    return patched(data, END, 16, "<L", start + by)


def duplicate_member(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("charter", b"another"))


def path_traversal(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("../../etc/passwd", b"x"))


def path_traversal_inside_a_folder(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("records/000001/../../x", b"x"))


def path_traversal_by_a_folder(forge: Forge) -> bytes:
    return packed(*forge.members.items(), (of_kind("../../approved/", stat.S_IFDIR), b""))


def absolute_path(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("/etc/passwd", b"x"))


def windows_separators(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("records\\000001\\graph.nq", b"x"))


def nul_in_a_name(forge: Forge) -> bytes:
    """A reader that ends names at NUL sees `charter`; its checks saw another name."""
    return packed(*forge.members.items(), ("charterXx", b"x")).replace(b"charterXx", b"charter\0x")


def name_in_another_case(forge: Forge) -> bytes:
    """One file on Windows and macOS, two elsewhere."""
    return packed(*forge.members.items(), ("Charter", b"x"))


def name_that_looks_the_same(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("сharter", b"x"))  # noqa: RUF001 - that is the attack


def right_to_left_name(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("charter\u202etxt", b"x"))


def extra_program(forge: Forge) -> bytes:
    return packed(*forge.members.items(), ("setup.py", b"x"))


def symlink(forge: Forge) -> bytes:
    rest = {name: data for name, data in forge.members.items() if name != "charter"}
    return packed(*rest.items(), (of_kind("charter", stat.S_IFLNK), b"/etc/passwd"))


def device(forge: Forge) -> bytes:
    return packed(*forge.members.items(), (of_kind("charter", stat.S_IFCHR), b""))


def zip_bomb(forge: Forge) -> bytes:
    """300 MB of zeros inflate from 300 kB."""
    rest = {name: data for name, data in forge.members.items() if name != "lineage.trig"}
    return packed(*rest.items(), ("lineage.trig", bytes(300 * 1024 * 1024)))


def zip_bomb_whose_header_lies(forge: Forge) -> bytes:
    """The same, said to be 7 bytes long wherever sizes are said."""
    data = packed(("lineage.trig", bytes(300 * 1024 * 1024)))
    data = patched(data, CENTRAL, 24, "<L", 7)
    return patched(data, LOCAL, 22, "<L", 7)


def charter_bomb(forge: Forge) -> bytes:
    """Under the limit of large members, and over that of a note."""
    rest = {name: data for name, data in forge.members.items() if name != "charter"}
    return packed(*rest.items(), ("charter", bytes(2 * 1024 * 1024)))


def encrypted_member(forge: Forge) -> bytes:
    data = patched(true_zip(forge), CENTRAL, 8, "<H", 1)
    return patched(data, LOCAL, 6, "<H", 1)


def encrypted_in_one_place(forge: Forge) -> bytes:
    return patched(true_zip(forge), LOCAL, 6, "<H", 1)


def compressed_by_lzma(forge: Forge) -> bytes:
    return packed(*forge.members.items(), method=zipfile.ZIP_LZMA)


def bytes_before_the_zip(forge: Forge) -> bytes:
    return b"#!/bin/sh\necho approved\n" + true_zip(forge)


def bytes_before_the_directory(forge: Forge) -> bytes:
    data = true_zip(forge)
    (start,) = struct.unpack_from("<L", data, data.rindex(END) + 16)
    hidden = b"approved"
    return moved_directory(data[:start] + hidden + data[start:], len(hidden))


def bytes_after_the_directory(forge: Forge) -> bytes:
    data = true_zip(forge)
    end = data.rindex(END)
    return data[:end] + b"approved" + data[end:]


def bytes_after_the_zip(forge: Forge) -> bytes:
    return true_zip(forge) + b"approved"


def second_zip_behind(forge: Forge) -> bytes:
    """Some readers take the first directory, others the last."""
    return true_zip(forge) + packed(("charter", b"another"))


def comment_on_the_zip(forge: Forge) -> bytes:
    words = b"approved"
    return patched(true_zip(forge), END, 20, "<H", len(words)) + words


def comment_on_a_member(forge: Forge) -> bytes:
    info = zipfile.ZipInfo("charter")
    info.comment = b"approved by the board"
    rest = {name: data for name, data in forge.members.items() if name != "charter"}
    return packed(*rest.items(), (info, forge.members["charter"]))


def other_name_in_an_extra_field(forge: Forge) -> bytes:
    """Info-ZIP's Unicode Path: `unzip` would write the member as charter."""
    path = b"charter"
    field = b"\x01" + struct.pack("<L", zlib.crc32(b"lineage.trig")) + path
    info = zipfile.ZipInfo("lineage.trig")
    info.extra = struct.pack("<HH", 0x7075, len(field)) + field
    rest = {name: data for name, data in forge.members.items() if name != "lineage.trig"}
    return packed(*rest.items(), (info, forge.members["lineage.trig"]))


def other_name_in_the_local_header(forge: Forge) -> bytes:
    data = true_zip(forge)
    at = data.index(b"lineage.trig")
    return data[:at] + b"lineage.Trig" + data[at + 12 :]


def size_in_the_local_header_lies(forge: Forge) -> bytes:
    return patched(true_zip(forge), LOCAL, 22, "<L", 1)


def descriptor_lies(forge: Forge) -> bytes:
    """A reader that streams believes the sizes behind a member, one that seeks the directory."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(forge.members.items()):
            archive.writestr(name, content)
    data = pipe.getvalue()
    assert b"PK\x07\x08" in data
    return patched(data, b"PK\x07\x08", 12, "<L", 1)


def stream_longer_than_its_member(forge: Forge) -> bytes:
    """A deflate stream that goes on after the size that the headers say, with a checksum that fits
    both lengths: one reader cuts it there, another unpacks all of it.
    """
    true = forge.members["lineage.trig"]
    more = true + b"<urn:x:model> <urn:x:is> <urn:x:approved> ."
    more += crc_tail(more, wanted=zlib.crc32(true))
    assert zlib.crc32(more) == zlib.crc32(true)
    rest = {name: data for name, data in forge.members.items() if name != "lineage.trig"}
    data = packed(*rest.items(), ("lineage.trig", more))
    data = patched(data, CENTRAL, 24, "<L", len(true))
    return patched(data, LOCAL, 22, "<L", len(true))


def crc_tail(data: bytes, *, wanted: int) -> bytes:
    """Four bytes that give the data a CRC-32."""
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    by_top = {value >> 24: index for index, value in enumerate(table)}
    state, indices = wanted ^ 0xFFFFFFFF, []
    for _ in range(4):
        index = by_top[state >> 24]
        indices.append(index)
        state = ((state ^ table[index]) << 8) & 0xFFFFFFFF
    now, tail = zlib.crc32(data) ^ 0xFFFFFFFF, bytearray()
    for index in reversed(indices):
        tail.append((now ^ index) & 0xFF)
        now = (now >> 8) ^ table[index]
    return bytes(tail)


def bytes_behind_a_compressed_stream(forge: Forge) -> bytes:
    """Inside a member's room, after its stream has ended."""
    rest = {name: data for name, data in forge.members.items() if name != "lineage.trig"}
    data = packed(*rest.items(), ("lineage.trig", forge.members["lineage.trig"]))
    (start,) = struct.unpack_from("<L", data, data.rindex(END) + 16)
    (size,) = struct.unpack_from("<L", data, data.rindex(CENTRAL) + 20)
    hidden = b"approved"
    data = patched(data, LOCAL, 18, "<L", size + len(hidden))
    data = patched(data, CENTRAL, 20, "<L", size + len(hidden))
    return moved_directory(data[:start] + hidden + data[start:], len(hidden))


def two_rows_for_one_place(forge: Forge) -> bytes:
    """Overlapping members, as in the bombs that do not nest."""
    data = packed(("charter", forge.members["charter"]), ("lineage.trig", b"x"))
    return patched(data, CENTRAL, 42, "<L", 0)


def ends_that_contradict(forge: Forge) -> bytes:
    """An end of zip64 that says another count than the end that old readers know."""
    data = true_zip(forge)
    end = data.rindex(END)
    count, size, start = struct.unpack_from("<HLL", data, end + 10)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    return patched(data[:end] + end64 + locator + data[end:], END, 10, "<H", count - 1)


ZIPS: dict[Callable[[Forge], bytes], str] = {
    duplicate_member: "stands in it twice",
    path_traversal: "unexpected member",
    path_traversal_inside_a_folder: "unexpected member",
    path_traversal_by_a_folder: "unexpected member",
    absolute_path: "unexpected member",
    windows_separators: "unexpected member",
    nul_in_a_name: "unexpected member",
    name_in_another_case: "unexpected member",
    name_that_looks_the_same: "unexpected member",
    right_to_left_name: "unexpected member",
    extra_program: "unexpected member",
    symlink: "is not a regular file",
    device: "is not a regular file",
    zip_bomb: "is over 268435456 bytes",
    zip_bomb_whose_header_lies: "is over 268435456 bytes",
    charter_bomb: "is over 1048576 bytes",
    encrypted_member: "is encrypted",
    encrypted_in_one_place: "has another header than the zip's directory says",
    compressed_by_lzma: "by another method than deflate",
    bytes_before_the_zip: "belong to no member",
    bytes_before_the_directory: "belong to no member",
    bytes_after_the_directory: "belong to no member",
    bytes_after_the_zip: "bytes follow the end of the zip",
    second_zip_behind: "belong to no member",
    comment_on_the_zip: "or it holds a comment",
    comment_on_a_member: "a comment that no bundle has",
    other_name_in_an_extra_field: "has an extra field 0x7075",
    other_name_in_the_local_header: "has another header than the zip's directory says",
    size_in_the_local_header_lies: "has another header than the zip's directory says",
    descriptor_lies: "ends with other sizes than the directory says",
    stream_longer_than_its_member: "another tool could read it otherwise",
    bytes_behind_a_compressed_stream: "another tool could read it otherwise",
    two_rows_for_one_place: "belong to no member",
    ends_that_contradict: "contradict each other",
}


# ---- folders ---------------------------------------------------------------------------------------
def link_to_a_file(folder: Path) -> None:
    (folder / "charter").rename(folder.with_name("elsewhere"))
    (folder / "charter").symlink_to(folder.with_name("elsewhere"))


def link_to_a_folder(folder: Path) -> None:
    (folder / "keys").rename(folder.with_name("elsewhere"))
    (folder / "keys").symlink_to(folder.with_name("elsewhere"))


def pipe_that_never_ends(folder: Path) -> None:
    (folder / "charter").unlink()
    os.mkfifo(folder / "charter")


def file_that_no_bundle_has(folder: Path) -> None:
    (folder / "report.html").write_text("all is well")


def folder_that_no_bundle_has(folder: Path) -> None:
    (folder / "records" / "approved by the board").mkdir()


def name_that_is_no_text(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/charter\xff")).write_bytes(b"x")


FOLDERS: dict[Callable[[Path], None], str] = {
    link_to_a_file: "'charter' is not a regular file",
    link_to_a_folder: "'keys' is not a regular file",
    pipe_that_never_ends: "'charter' is not a regular file",
    file_that_no_bundle_has: "unexpected member 'report.html'",
    folder_that_no_bundle_has: "unexpected member 'records/approved by the board/'",
    name_that_is_no_text: "unexpected member",
}
