from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_samples import START, converted_run, pending_run, small

from provgraph import vocab
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import (
    ConflictError,
    FormatError,
    LedgerError,
    NotFoundError,
    UntrustedError,
    UsageError,
)
from provgraph.ledger.rows import NameRow, Pending, Position
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import parse_entry
from provgraph.seal.keys import Signer, generate_signer
from provgraph.seal.merkle import EMPTY_ROOT, leaf_hash, tree_root, verify_consistency
from provgraph.seal.mldsa import MldsaSigner
from provgraph.seal.note import Checkpoint, open_checkpoint
from provgraph.seal.proof import seal, verify_seal
from provgraph.seal.tlogproof import TlogProof, parse_tlog_proof, verify_tlog_proof
from provgraph.terms import Canonical, Graph, Term, iri, string


def test_new_ledger_is_empty_private_and_signed(
    open_ledger: Callable[[], Ledger], log_signer: Signer
) -> None:
    with open_ledger() as ledger:
        assert ledger.size() == 0
        assert ledger.root() == EMPTY_ROOT
        assert ledger.namespace == "example.org"
        assert ledger.origin.startswith("provgraph.local/") is True
        assert len(bytes.fromhex(ledger.origin.removeprefix("provgraph.local/"))) == 8
        assert ledger.log_key == log_signer.public_key
        assert ledger.charter.created == "2026-01-02T00:00:00Z"
        assert open_checkpoint(ledger.checkpoint(), ledger.charter.note_key) == Checkpoint(
            origin=ledger.origin, size=0, root=EMPTY_ROOT
        )
        path = ledger.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["ledger.db"]


def test_namespace_is_chosen_from_the_origin_unless_given(
    tmp_path: Path, log_signer: Signer
) -> None:
    with Ledger.open(tmp_path / "l.db", log_signer=log_signer, clock=lambda: START) as ledger:
        part = ledger.origin.removeprefix("provgraph.local/")
        assert ledger.namespace == f"ledger-{part[:8]}"


@pytest.mark.parametrize("namespace", ["a\nb", "x" * 254, "\x7f"])
def test_bad_namespace_is_refused(tmp_path: Path, log_signer: Signer, namespace: str) -> None:
    with pytest.raises(UsageError, match="namespace of 1 to 253"):
        Ledger.open(
            tmp_path / "l.db", log_signer=log_signer, clock=lambda: START, namespace=namespace
        )
    assert os.listdir(tmp_path) == []


def test_identity_stays_when_opened_again(open_ledger: Callable[[], Ledger]) -> None:
    with open_ledger() as ledger:
        charter = ledger.charter
    with open_ledger() as ledger:
        assert ledger.charter == charter


def test_append_and_read_back(ledger: Ledger, producer: Signer) -> None:
    items = [pending_run(number, signer=producer) for number in range(3)]
    assert ledger.append(items) == [
        Position(iri=item.iri, index=index, is_new=True) for index, item in enumerate(items)
    ]
    assert ledger.size() == 3
    for index, item in enumerate(items):
        record = ledger.read(index)
        entry = parse_entry(ledger.entry(index))
        assert (record.index, record.iri, record.kind) == (index, item.iri, "record")
        assert record.entry == ledger.entry(index) == entry.encode()
        assert record.graph_nq == ledger.graph(index) == item.graph_nq
        assert record.proof_nq == item.seal.proof_nq
        assert record.proof_value == entry.proof_value == item.seal.proof_value
        assert record.verification_method == producer.verification_method
        assert entry.graph == item.iri
        assert entry.graph_sha256 == item.seal.graph_sha256.hex()
        verified = verify_seal(record.graph_nq, record.proof_nq, record.proof_value)
        assert verified.public_key == producer.public_key
        assert ledger.find(item.iri) == index
    assert ledger.find("https://w3id.org/provgraph/id/record/other") is None
    assert [record.index for record in ledger.records()] == [0, 1, 2]
    assert [record.index for record in ledger.records(1, 2)] == [1]
    assert [record.index for record in ledger.records(2)] == [2]
    assert list(ledger.records(3)) == []


def test_records_stream_over_chunks(ledger: Ledger, producer: Signer) -> None:
    ledger.append([small(number, signer=producer) for number in range(450)])
    assert [record.index for record in ledger.records()] == list(range(450))
    assert [record.index for record in ledger.records(150, 401)] == list(range(150, 401))


def test_tree_checkpoint_and_proofs(
    ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner
) -> None:
    roots = {0: EMPTY_ROOT}
    leaves: list[bytes] = []
    for number in range(21):
        ledger.append([small(number, signer=producer)])
        leaves.append(leaf_hash(ledger.entry(number)))
        roots[number + 1] = tree_root(leaves)
        assert ledger.root() == roots[number + 1]
    checkpoint = open_checkpoint(ledger.checkpoint(), ledger.charter.note_key)
    assert checkpoint == Checkpoint(origin=ledger.origin, size=21, root=roots[21])
    assert {size: ledger.root(size) for size in range(22)} == roots
    note = ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=lambda: START)
    for index in range(21):
        proof = TlogProof(
            index=index,
            hashes=tuple(ledger.inclusion_proof(index, 21)),
            checkpoint=note,
        )
        again = parse_tlog_proof(proof.encode())
        assert verify_tlog_proof(
            again, entry=ledger.entry(index), keys=ledger.charter.log_keys
        ) == (checkpoint)
    for old in range(1, 22):
        verify_consistency(
            old_size=old,
            new_size=21,
            old_root=roots[old],
            new_root=roots[21],
            proof=ledger.consistency_proof(old, 21),
        )


def test_questions_outside_the_ledger_are_not_found(ledger: Ledger, producer: Signer) -> None:
    ledger.append([small(0, signer=producer)])
    for question in (
        lambda: ledger.entry(1),
        lambda: ledger.read(-1),
        lambda: ledger.graph(2**70),
        lambda: ledger.root(2),
        lambda: ledger.inclusion_proof(0, 2),
        lambda: ledger.inclusion_proof(1, 1),
        lambda: ledger.consistency_proof(0, 1),
        lambda: ledger.consistency_proof(1, 2),
        lambda: ledger.attachment(Digest("sha256", "ab" * 32)),
        lambda: ledger.attachment(Digest("folder-v1", "ab" * 32)),
    ):
        with pytest.raises(NotFoundError):
            question()
    assert ledger.attachments("https://example.org/none") == ()


def test_appending_again_changes_nothing(ledger: Ledger, producer: Signer) -> None:
    item = pending_run(0, signer=producer)
    ledger.append([item])
    before = (ledger.checkpoint(), ledger.size(), ledger.names("model", "churn"))
    later = replace(item, seal=seal(item.graph_nq, signer=generate_signer(), created=START))
    assert ledger.append([item, later]) == [Position(iri=item.iri, index=0, is_new=False)] * 2
    assert (ledger.checkpoint(), ledger.size(), ledger.names("model", "churn")) == before


def test_same_record_twice_in_one_call_is_one_entry(ledger: Ledger, producer: Signer) -> None:
    item = small(0, signer=producer)
    assert ledger.append([item, item]) == [
        Position(iri=item.iri, index=0, is_new=True),
        Position(iri=item.iri, index=0, is_new=False),
    ]
    assert ledger.size() == 1


def test_conflict_takes_in_nothing(ledger: Ledger, producer: Signer) -> None:
    first = small(1, signer=producer)
    ledger.append([first])
    other = small(1, signer=producer, text="b")
    before = ledger.checkpoint()
    with pytest.raises(ConflictError, match=f"{first.iri} is entry 0 .* under a new id"):
        ledger.append([small(2, signer=producer), other])
    assert (ledger.size(), ledger.checkpoint()) == (1, before)
    assert ledger.find(small(2, signer=producer).iri) is None
    assert ledger.append([small(2, signer=producer)])[0].index == 1


def test_empty_append_changes_nothing(ledger: Ledger) -> None:
    before = ledger.checkpoint()
    assert ledger.append([]) == []
    assert ledger.checkpoint() == before


def test_seal_of_another_graph_is_refused(ledger: Ledger, producer: Signer) -> None:
    item = small(0, signer=producer)
    with pytest.raises(LedgerError, match="seal is over another graph"):
        ledger.append([replace(item, graph_nq=item.graph_nq.replace(b'"a"', b'"b"'))])
    assert ledger.size() == 0


def test_relative_record_iri_is_refused(ledger: Ledger, producer: Signer) -> None:
    with pytest.raises(FormatError, match="absolute IRI"):
        ledger.append([replace(small(0, signer=producer), iri="record/0")])


# ---- names and attachments -----------------------------------------------------------------------
def test_names_come_back_in_order(ledger: Ledger, producer: Signer) -> None:
    items = [pending_run(number, signer=producer) for number in range(3)]
    ledger.append(items)
    models = [row for item in items for row in item.names if row.kind == "model"]
    found = ledger.names("model", "churn")
    assert [(name.index, name.version, name.iri) for name in found] == [
        (index, str(index), row.iri) for index, row in enumerate(models)
    ]
    assert {(name.kind, name.name) for name in found} == {("model", "churn")}
    assert [name.index for name in ledger.names("dataset", "train")] == [0, 1, 2]
    assert ledger.names("model", "other") == []


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "dataset"},
        {"name": "chur"},
        {"name": "other"},
        {"version": "4"},
        {"version": "33"},
        {"iri": "https://w3id.org/provgraph/id/content/sha256/" + "0" * 64},
    ],
)
@pytest.mark.parametrize("form", [lambda graph_nq: graph_nq, bytes])
def test_name_that_the_graph_does_not_give_is_refused(
    ledger: Ledger, producer: Signer, change: dict[str, str], form: Callable[[bytes], bytes]
) -> None:
    """Whether the statements are at hand, as they are where the graph was made, or only its bytes."""
    item = pending_run(3, signer=producer)
    assert type(item.graph_nq) is Canonical
    item = replace(item, graph_nq=form(item.graph_nq))
    row = next(row for row in item.names if row.kind == "model")
    assert (row.name, row.version) == ("churn", "3")
    with pytest.raises(LedgerError, match="so no seal covers that name"):
        ledger.append([replace(item, names=[replace(row, **change)])])
    assert ledger.size() == 0


def test_literal_that_looks_like_a_statement_gives_no_name(
    ledger: Ledger, producer: Signer
) -> None:
    iri = "https://w3id.org/provgraph/id/record/7"
    claim = f"<urn:x> {'<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>'} <https://w3id.org/provgraph/ns#Model> "
    graph = (
        f'<urn:s> <urn:p> "{claim}" <{iri}> .\n'
        f'<urn:x> <http://www.w3.org/2000/01/rdf-schema#label> "churn" <{iri}> .\n'
    ).encode()
    item = Pending(
        iri=iri,
        graph_nq=graph,
        seal=seal(graph, signer=producer, created=START),
        names=[NameRow(kind="model", name="churn", version="", iri="urn:x")],
    )
    with pytest.raises(LedgerError, match="so no seal covers that name"):
        ledger.append([item])


def test_label_that_only_begins_with_a_name_gives_it_to_nothing(
    ledger: Ledger, producer: Signer
) -> None:
    graph = Graph("https://w3id.org/provgraph/id/record/8")
    model = iri("urn:x")
    graph.add(model, vocab.A, iri("https://w3id.org/provgraph/ns#Model"))
    graph.add(model, vocab.LABEL, Term('"churn"@en'))
    canonical = graph.canonical()
    row = NameRow(kind="model", name="churn", version="", iri="urn:x")
    for graph_nq in (canonical, bytes(canonical)):
        item = Pending(
            iri=graph.name,
            graph_nq=graph_nq,
            seal=seal(graph_nq, signer=producer, created=START),
            names=[row],
        )
        with pytest.raises(LedgerError, match="so no seal covers that name"):
            ledger.append([item])
        graph.add(model, vocab.LABEL, string("churn"))  # after its bytes were made
    assert ledger.size() == 0


def with_attachment(number: int, data: bytes, *, signer: Signer) -> Pending:
    digest = sha256_bytes(data)
    item = small(number, signer=signer, text=str(digest))
    return replace(item, attachments={digest: data})


def test_attachments_are_kept_once(ledger: Ledger, producer: Signer) -> None:
    data = os.urandom(5000) + b"x" * 5000
    one = with_attachment(1, data, signer=producer)
    two = with_attachment(2, data, signer=producer)
    ledger.append([one])
    ledger.append([two])
    digest = sha256_bytes(data)
    assert ledger.attachment(digest) == data
    assert ledger.attachments(one.iri) == ledger.attachments(two.iri) == (digest,)
    assert ledger._db.execute("SELECT count(*) FROM attachment").fetchone() == (1,)


def test_attachment_that_the_graph_does_not_mention_is_refused(
    ledger: Ledger, producer: Signer
) -> None:
    item = replace(small(1, signer=producer), attachments={sha256_bytes(b"x"): b"x"})
    with pytest.raises(LedgerError, match="does not mention the attachment"):
        ledger.append([item])


def test_attachment_under_a_false_digest_is_refused(ledger: Ledger, producer: Signer) -> None:
    digest = sha256_bytes(b"x")
    item = replace(small(1, signer=producer, text=str(digest)), attachments={digest: b"y"})
    with pytest.raises(LedgerError, match=f"digest {digest}, found {sha256_bytes(b'y')}"):
        ledger.append([item])


# ---- opening -------------------------------------------------------------------------------------
def test_reader_sees_and_cannot_write(open_ledger: Callable[[], Ledger], producer: Signer) -> None:
    with open_ledger() as ledger:
        ledger.append([small(0, signer=producer)])
        with Ledger.open(
            ledger.path, log_signer=None, clock=lambda: START, read_only=True
        ) as reader:
            assert reader.graph(0) == small(0, signer=producer).graph_nq
            with pytest.raises(LedgerError, match="open for reading"):
                reader.append([small(1, signer=producer)])
            ledger.append([small(1, signer=producer)])
            assert reader.size() == 2


def test_reading_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no ledger at"):
        Ledger.open(tmp_path / "l.db", log_signer=None, clock=lambda: START, read_only=True)
    with pytest.raises(LedgerError, match="no log key to make one with"):
        Ledger.open(tmp_path / "l.db", log_signer=None, clock=lambda: START)
    assert os.listdir(tmp_path) == []


def test_another_log_key_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UntrustedError, match="put back the log key"):
        Ledger.open(ledger.path, log_signer=generate_signer(), clock=lambda: START)


def test_future_schema_is_refused(ledger: Ledger, log_signer: Signer) -> None:
    ledger._db.execute("PRAGMA user_version = 2")
    with pytest.raises(LedgerError, match="has schema 2, this provgraph knows schema 1"):
        Ledger.open(ledger.path, log_signer=log_signer, clock=lambda: START)


def test_other_files_are_refused(tmp_path: Path, log_signer: Signer) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(LedgerError, match="is not a provgraph ledger"):
        Ledger.open(other, log_signer=log_signer, clock=lambda: START)
    text = tmp_path / "text.db"
    text.write_bytes(b"x" * 5000)
    with pytest.raises(LedgerError, match=r"file is not a database.*restore a backup"):
        Ledger.open(text, log_signer=log_signer, clock=lambda: START)


def test_size_on_disk_stays_within_the_budget(
    open_ledger: Callable[[], Ledger], producer: Signer
) -> None:
    """Runs of some 200 quads with their names cost at most 5 kB each, all included."""
    with open_ledger() as ledger:
        path = ledger.path
    start = path.stat().st_size
    with open_ledger() as ledger:
        ledger.append([pending_run(number, signer=producer) for number in range(300)])
    assert converted_run(0).canonical.count(b"\n") >= 150
    assert (path.stat().st_size - start) / 300 < 5000
