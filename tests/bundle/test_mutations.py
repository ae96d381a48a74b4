"""The mutation corpus: every way to falsify a bundle that we know of, each named after its flaw.

Unless a case says otherwise the list of files is signed again with the *real* log key, so that the
step which is meant to catch it has to.
"""

import hashlib
import io
import json
import os
import stat
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provgraph.errors import FormatError, NotFoundError, ProvgraphError, UntrustedError
from provgraph.export.views import check_views
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.keys import generate_signer
from provgraph.seal.members import MANIFEST, read_members, write_folder, write_zip
from provgraph.seal.note import NoteSigner, sign_checkpoint


def verify(path, **keys):
    bundle = verify_bundle(path, report=lambda *_: None, **keys)
    check_views(bundle)
    return bundle


def replaced(members, name, old, new, count=1):
    assert old in members[name], f"{old!r} is not in {name}"
    return {**members, name: members[name].replace(old, new, count)}


def run_folder(forge):
    """The folder of the record with the evaluation of churn:2."""
    return next(
        f for f in reversed(forge.folders) if b"#evaluation-1" in forge.members[f"{f}/graph.nq"]
    )


def changed_literal(forge, members):
    return replaced(members, f"{run_folder(forge)}/graph.nq", b'"0.91"', b'"0.99"')


def dropped_quad(forge, members):
    name = f"{run_folder(forge)}/graph.nq"
    return {**members, name: b"".join(members[name].splitlines(keepends=True)[1:])}


def added_quad(forge, members):
    name = f"{run_folder(forge)}/graph.nq"
    lines = members[name].splitlines(keepends=True)
    return {**members, name: b"".join(sorted([*lines, lines[0].replace(b"id/", b"id/x", 1)]))}


def reordered_lines(forge, members):
    name = f"{run_folder(forge)}/graph.nq"
    return {**members, name: b"".join(reversed(members[name].splitlines(keepends=True)))}


def swapped_seals(forge, members):
    one, two = forge.folders[-1], forge.folders[-2]
    swapped = dict(members)
    for part in ("proof.nq", "signature.bin", "entry.json"):
        swapped[f"{one}/{part}"] = members[f"{two}/{part}"]
        swapped[f"{two}/{part}"] = members[f"{one}/{part}"]
    return swapped


def replayed_proof_on_another_graph(forge, members):
    one, two = forge.folders[-1], forge.folders[-2]
    return {
        **members,
        **{f"{one}/{part}": members[f"{two}/{part}"] for part in ("proof.nq", "signature.bin")},
    }


def changed_created(forge, members):
    return replaced(members, f"{run_folder(forge)}/proof.nq", b'created> "20', b'created> "19')


def changed_verification_method(forge, members):
    name = f"{run_folder(forge)}/proof.nq"
    method = generate_signer().verification_method.encode()
    old = members[name].split(b"verificationMethod> <")[1].split(b">")[0]
    return replaced(members, name, old, method)


def changed_raw_signature(forge, members):
    name = f"{run_folder(forge)}/signature.bin"
    return {**members, name: bytes([members[name][0] ^ 1]) + members[name][1:]}


def changed_entry_salt(forge, members):
    name = f"{run_folder(forge)}/entry.json"
    salt = json.loads(members[name])["salt"].encode()
    return replaced(members, name, salt, b"0" * 32)


def entry_of_another_kind(forge, members):
    name = f"{run_folder(forge)}/entry.json"
    return replaced(members, name, b'"kind":"record"', b'"kind":"tombstone"')


def entry_of_an_unknown_kind(forge, members):
    name = f"{run_folder(forge)}/entry.json"
    return replaced(members, name, b'"kind":"record"', b'"kind":"blessing"')


def entry_names_another_graph(forge, members):
    name = f"{run_folder(forge)}/entry.json"
    graph = json.loads(members[name])["graph"].encode()
    return replaced(members, name, graph, graph + b"0")


def truncated_inclusion_proof(forge, members):
    name = f"{run_folder(forge)}/record.tlog-proof"
    head, rest = members[name].split(b"\n\n", 1)
    return {**members, name: b"\n".join(head.split(b"\n")[:-1]) + b"\n\n" + rest}


def wrong_index_in_proof(forge, members):
    name = f"{run_folder(forge)}/record.tlog-proof"
    return replaced(members, name, b"\nindex ", b"\nindex 1")


def two_records_on_one_position(forge, members):
    folder = run_folder(forge)
    copies = {
        name.replace(folder, f"records/{int(folder[8:]):07d}"): data
        for name, data in members.items()
        if name.startswith(f"{folder}/")
    }
    return {**members, **copies}


def renamed_position(forge, members):
    folder = run_folder(forge)
    return {name.replace(folder, "records/000099"): data for name, data in members.items()}


def checkpoint_of_a_forked_log(forge, members):
    from provgraph.seal.note import parse_checkpoint
    from provgraph.service.home import log_signer

    body = members["checkpoint"].split(b"\n\n")[0] + b"\n"
    fork = parse_checkpoint(body)
    forged = type(fork)(origin=fork.origin, size=fork.size + 1, root=hashlib.sha256().digest())
    return {**members, "checkpoint": sign_checkpoint(forged, log_signer(forge.settings))}


def checkpoint_signed_by_another_key(forge, members):
    from provgraph.seal.note import parse_checkpoint

    body = members["checkpoint"].split(b"\n\n")[0] + b"\n"
    return {**members, "checkpoint": sign_checkpoint(parse_checkpoint(body), generate_signer())}


def producer_not_in_the_trust_file(forge, members):
    trust = json.loads(members["trust.json"])
    trust["keys"] = [row for row in trust["keys"] if row["role"] != "producer"]
    return {**members, "trust.json": json.dumps(trust).encode()}


def trust_file_is_no_json(forge, members):
    return {**members, "trust.json": b"{"}


def changed_attachment(forge, members):
    name = next(name for name in members if name.startswith("attachments/"))
    return {**members, name: members[name] + b"x"}


def attachment_that_no_graph_mentions(forge, members):
    name = f"attachments/sha256-{hashlib.sha256(b'x').hexdigest()}"
    return {**members, name: b"x"}


def missing_graph(forge, members):
    return {name: data for name, data in members.items() if not name.endswith("graph.nq")}


def missing_proof(forge, members):
    name = f"{run_folder(forge)}/proof.nq"
    return {each: data for each, data in members.items() if each != name}


def missing_charter(forge, members):
    return {name: data for name, data in members.items() if name != "charter"}


def invalid_utf8_graph(forge, members):
    return replaced(members, f"{run_folder(forge)}/graph.nq", b"chosen", b"chos\xff\xfe")


def view_turtle_says_more(forge, members):
    name = f"{run_folder(forge)}/record.ttl"
    return {**members, name: members[name] + b"<https://e.org/a> <https://e.org/b> 1 .\n"}


def view_turtle_says_less(forge, members):
    name = f"{run_folder(forge)}/record.ttl"
    lines = [line for line in members[name].splitlines(keepends=True) if b"roc_auc" not in line]
    return {**members, name: b"".join(lines)}


def view_turtle_changed(forge, members):
    return replaced(members, f"{run_folder(forge)}/record.ttl", b"0.91", b"0.99")


def view_trig_changed(forge, members):
    return replaced(members, "lineage.trig", b"0.91", b"0.99", -1)


def view_jsonld_changed(forge, members):
    return replaced(members, f"{run_folder(forge)}/record.jsonld", b'"0.91"', b'"0.99"', -1)


def view_lineage_jsonld_changed(forge, members):
    return replaced(members, "lineage.jsonld", b'"0.91"', b'"0.99"', -1)


def undefined_term_in_jsonld(forge, members):
    name = f"{run_folder(forge)}/record.jsonld"
    return replaced(members, name, b'"@graph": [', b'"verdict": "excellent",\n  "@graph": [')


def remote_context(forge, members):
    name = f"{run_folder(forge)}/record.jsonld"
    return replaced(members, name, b"https://w3id.org/provgraph/context/v1", b"https://evil.org/c")


def inline_context_redefines_a_term(forge, members):
    name = f"{run_folder(forge)}/record.jsonld"
    context = b'"https://w3id.org/security/data-integrity/v2"'
    return replaced(members, name, context, context + b', {"value": "https://evil.org/value"}')


def duplicate_json_key(forge, members):
    name = f"{run_folder(forge)}/record.jsonld"
    return replaced(members, name, b'"@graph": [', b'"@id": "https://e.org/",\n  "@graph": [')


def proof_of_another_record_in_jsonld(forge, members):
    one, two = forge.folders[-1], forge.folders[-2]
    document = json.loads(members[f"{one}/record.jsonld"])
    document["proof"] = json.loads(members[f"{two}/record.jsonld"])["proof"]
    return {**members, f"{one}/record.jsonld": json.dumps(document).encode()}


def packaged_context_replaced(forge, members):
    return replaced(members, "context.jsonld", b"ns#", b"evil#")


CASES = [
    (changed_literal, 5),
    (dropped_quad, 5),
    (added_quad, 5),
    (reordered_lines, 5),
    (swapped_seals, 5),
    (replayed_proof_on_another_graph, 5),
    (changed_created, 5),
    (changed_verification_method, 5),
    (changed_raw_signature, 5),
    (changed_entry_salt, 7),
    (entry_of_another_kind, 7),
    (entry_of_an_unknown_kind, 6),
    (entry_names_another_graph, 6),
    (truncated_inclusion_proof, 7),
    (wrong_index_in_proof, 7),
    (two_records_on_one_position, 7),
    (renamed_position, 7),
    (checkpoint_of_a_forked_log, None),
    (checkpoint_signed_by_another_key, 4),
    (producer_not_in_the_trust_file, 8),
    (trust_file_is_no_json, 8),
    (changed_attachment, 9),
    (attachment_that_no_graph_mentions, 9),
    (missing_graph, None),
    (missing_proof, 5),
    (missing_charter, 2),
    (invalid_utf8_graph, 5),
    (view_turtle_says_more, None),
    (view_turtle_says_less, None),
    (view_turtle_changed, None),
    (view_trig_changed, None),
    (view_jsonld_changed, None),
    (view_lineage_jsonld_changed, None),
    (undefined_term_in_jsonld, None),
    (remote_context, None),
    (inline_context_redefines_a_term, None),
    (duplicate_json_key, None),
    (proof_of_another_record_in_jsonld, None),
    (packaged_context_replaced, None),
]


@pytest.mark.parametrize(("mutate", "step"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_a_falsified_bundle_is_refused(forge, tmp_path, mutate, step):
    write_zip(tmp_path / "b.zip", forge.signed(mutate(forge, forge.members)))
    with pytest.raises((UntrustedError, FormatError)) as caught:
        verify(tmp_path / "b.zip")
    if step is not None:
        assert str(caught.value).startswith(f"step {step}: ")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_the_true_bundle_verifies(forge, tmp_path, kind):
    path = tmp_path / ("b.zip" if kind == "zip" else "b")
    (write_zip if kind == "zip" else write_folder)(path, forge.members)
    bundle = verify(path)
    assert len(bundle.records) == len(forge.folders)
    assert bundle.root.endswith("cd" * 32)


def test_without_a_new_list_any_change_is_caught_by_the_list(forge, tmp_path):
    write_zip(tmp_path / "b.zip", changed_literal(forge, forge.members))
    with pytest.raises(UntrustedError, match=r"^step 3: .*graph\.nq was changed"):
        verify(tmp_path / "b.zip")


def test_an_extra_file_and_a_removed_file_are_caught_by_the_list(forge, tmp_path):
    name = f"attachments/sha256-{hashlib.sha256(b'x').hexdigest()}"
    extra = {**forge.members, name: b"x"}
    write_zip(tmp_path / "b.zip", extra)
    with pytest.raises(UntrustedError, match=rf"^step 3: {name} is not in the manifest"):
        verify(tmp_path / "b.zip")
    fewer = {name: data for name, data in forge.members.items() if name != "HOWTO-VERIFY.txt"}
    write_zip(tmp_path / "b.zip", fewer)
    with pytest.raises(UntrustedError, match=r"^step 3: HOWTO-VERIFY\.txt is in the manifest and"):
        verify(tmp_path / "b.zip")


def test_a_list_signed_by_another_key_is_refused(forge, tmp_path):
    members = forge.signed(changed_literal(forge, forge.members), generate_signer())
    write_zip(tmp_path / "b.zip", members)
    with pytest.raises(UntrustedError, match=r"^step 3: "):
        verify(tmp_path / "b.zip")


def test_pinned_keys_are_held_against_the_bundle(forge, tmp_path):
    write_zip(tmp_path / "b.zip", forge.members)
    rows = json.loads(forge.members["trust.json"])["keys"]
    log = next(row["id"] for row in rows if row["role"] == "log")
    producer = next(row["id"] for row in rows if row["role"] == "producer")
    right = verify(tmp_path / "b.zip", log_key=log, producer_keys=frozenset({producer}))
    assert right.is_pinned is True
    other = generate_signer().verification_method.partition("#")[0]
    with pytest.raises(UntrustedError, match=r"^step 2: expected the log key"):
        verify(tmp_path / "b.zip", log_key=other)
    with pytest.raises(UntrustedError, match=r"^step 8: .* is not among the expected keys"):
        verify(tmp_path / "b.zip", log_key=log, producer_keys=frozenset({other}))


def raw_zip(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in entries:
            archive.writestr(info, data)
    return buffer.getvalue()


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("MANIFEST", b"a"), ("MANIFEST", b"b")], "stands in it twice"),
        ([("../../etc/passwd", b"x")], "unexpected member"),
        ([("/etc/passwd", b"x")], "unexpected member"),
        ([("records/000001/../../x", b"x")], "unexpected member"),
        ([(link("charter"), b"/etc/passwd")], "is not a regular file"),
        ([("setup.py", b"x")], "unexpected member"),
        ([("charter", b"x")], "expected a member MANIFEST"),
        ([], "expected a member MANIFEST"),
    ],
    ids=[
        "duplicate_member",
        "path_traversal",
        "absolute_path",
        "traversal_inside",
        "symlink",
        "extra_program",
        "no_manifest",
        "empty_zip",
    ],
)
def test_a_hostile_zip_is_refused(tmp_path, entries, says):
    (tmp_path / "b.zip").write_bytes(raw_zip(entries))
    with pytest.raises(UntrustedError, match=says):
        verify(tmp_path / "b.zip")


def test_a_zip_bomb_is_refused_while_inflating(tmp_path):
    # 300 MB of zeros inflate from 300 kB.
    zeros = b"\0" * (300 * 1024 * 1024)
    (tmp_path / "b.zip").write_bytes(raw_zip([("charter", zeros)]))
    assert (tmp_path / "b.zip").stat().st_size < 1024 * 1024
    with pytest.raises(UntrustedError, match="is over 268435456 bytes"):
        verify(tmp_path / "b.zip")


def test_an_encrypted_member_is_refused(forge, tmp_path):
    write_zip(tmp_path / "b.zip", forge.members)
    data = bytearray((tmp_path / "b.zip").read_bytes())
    central = data.rindex(b"PK\x01\x02")
    (flags,) = struct.unpack_from("<H", data, central + 8)
    struct.pack_into("<H", data, central + 8, flags | 1)
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(UntrustedError, match="is encrypted"):
        verify(tmp_path / "b.zip")


def test_a_link_in_a_folder_is_refused(forge, tmp_path):
    write_folder(tmp_path / "b", forge.members)
    (tmp_path / "b" / "charter").unlink()
    os.symlink("/etc/passwd", tmp_path / "b" / "charter")
    with pytest.raises(UntrustedError, match="'charter' is not a regular file"):
        verify(tmp_path / "b")


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 64])
def test_what_is_no_zip_is_said_to_be_none(tmp_path, data):
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(UntrustedError, match="is no readable zip"):
        verify(tmp_path / "b.zip")


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="no bundle at"):
        verify(tmp_path / "absent.zip")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_flipped_bit_anywhere_verifies_or_escapes_as_another_error(forge, tmp_path, data):
    name = data.draw(st.sampled_from(sorted(forge.members)))
    content = forge.members[name]
    place = data.draw(st.integers(0, len(content) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    changed = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    write_zip(tmp_path / "b.zip", {**forge.members, name: changed})
    with pytest.raises((UntrustedError, FormatError)):
        verify(tmp_path / "b.zip")
    # The same with a list that the operator signed: never an unforeseen exception.
    if name != MANIFEST:
        write_zip(tmp_path / "b.zip", forge.signed({**forge.members, name: changed}))
        try:
            verify(tmp_path / "b.zip")
        except ProvgraphError as error:
            assert isinstance(error, UntrustedError | FormatError)


def test_members_read_back_as_written(forge, tmp_path):
    write_zip(tmp_path / "a.zip", forge.members)
    write_zip(tmp_path / "b.zip", dict(reversed(forge.members.items())))
    assert read_members(tmp_path / "a.zip") == forge.members
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_note_signer_of_another_name_is_refused(forge, tmp_path):
    from provgraph.seal.bundle import write_manifest
    from provgraph.service.home import log_signer

    plain = {name: data for name, data in forge.members.items() if name != MANIFEST}
    signer = NoteSigner(name="provgraph.local/other", signer=log_signer(forge.settings))
    manifest = write_manifest(plain, origin=forge.origin, signer=signer)
    write_zip(tmp_path / "b.zip", {**plain, MANIFEST: manifest})
    with pytest.raises(UntrustedError, match=r"^step 3: "):
        verify(tmp_path / "b.zip")


def test_a_bundle_packed_again_by_another_tool_still_verifies(forge, tmp_path):
    write_folder(tmp_path / "b", forge.members)
    import shutil

    packed = shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path / "b")
    assert len(verify(tmp_path / "again.zip").records) == len(forge.folders)
    with zipfile.ZipFile(packed) as archive:
        assert "records/" in archive.namelist()
