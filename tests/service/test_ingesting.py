"""Taking records in: what the ledger refuses at the moment of the commit is tried again where that helps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.digests import Digest
from provgraph.errors import FormatError, KeyRefusedError
from provgraph.governance import Waiver
from provgraph.records import Agent, Entity, Run
from provgraph.seal.entry import PRODUCER
from provgraph.seal.proof import seal
from provgraph.service.home import producer_signer, readable_ledger
from provgraph.service.ingesting import Incoming, IncomingFacts, IncomingSealed, Ingest
from provgraph.service.recording import prepare_record
from provgraph.service.rotating import Why, rotate_key
from provgraph.settings import Settings, load

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load({"PROVGRAPH_HOME": str(tmp_path / "home")})


def facts(number: int) -> IncomingFacts:
    run = Run(id=f"run-{number}", name="train", status="completed", started_at=START)
    return IncomingFacts(record_id=run.id, record=run)


def rotate(settings: Settings) -> None:
    rotate_key(
        settings,
        PRODUCER,
        reason="compromised",
        counts_before=None,
        owner=None,
        valid_until=None,
        why=Why(),
    )


@pytest.fixture
def rotated_before_commit(settings):
    """Start taking a batch in, and rotate the key between its sealing and its commit."""

    def take(ingest: Ingest, batch: list[Incoming]):
        submit = ingest._committer.submit

        def after_rotation(pending):
            ingest._committer.submit = submit
            rotate(settings)
            return submit(pending)

        ingest._committer.submit = after_rotation
        return ingest.take(batch)

    return take


def methods(settings: Settings, *iris: str) -> list[str]:
    with readable_ledger(settings) as ledger:
        return [ledger.read(ledger.find(iri)).verification_method for iri in iris]


def test_records_sealed_by_a_key_that_was_rotated_meanwhile_are_sealed_again(
    settings, rotated_before_commit
) -> None:
    with Ingest(settings) as ingest:
        (first,) = ingest.take([facts(0)])
        old = producer_signer(settings).verification_method
        second, third = rotated_before_commit(ingest, [facts(1), facts(2)])
    new = producer_signer(settings).verification_method
    assert new != old
    found = methods(settings, *(each.receipt.record for each in (first, second, third)))
    assert found == [old, new, new]
    assert (second.is_new, third.is_new) == (True, True)


def test_what_its_producer_sealed_with_a_key_that_is_revoked_stays_refused(
    settings, rotated_before_commit
) -> None:
    with Ingest(settings) as ingest:
        ingest.take([facts(0)])
        (pending,) = prepare_record(
            ingest._reader,
            facts(1).record,
            record_id="run-1",
            signer=producer_signer(settings),
            is_recorded=lambda _: True,
        )
        sealed = IncomingSealed(
            graph_nq=pending.graph_nq,
            proof_nq=pending.seal.proof_nq,
            proof_value=pending.seal.proof_value,
        )
        # All or none: the facts beside it, which could be sealed again, stay out as well.
        with pytest.raises(KeyRefusedError, match="revoked"):
            rotated_before_commit(ingest, [facts(2), sealed])
        assert ingest._reader.find(pending.iri) is None
        assert [each.is_new for each in ingest.take([facts(2)])] == [True]


def test_a_sealed_graph_that_is_not_of_its_shape_is_refused(settings) -> None:
    """A producer seals a waiver that never ends."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    waiver = Waiver(
        id="w1",
        model=Entity(kind="model", digest=Digest("sha256", "ab" * 32)),
        requirement="owner",
        reason="later",
        by=Agent(name="grace"),
        expires=at + timedelta(days=1),
        at=at,
    )
    context = Context(namespace="acme", software_version="0", recorded_at=at, previous={})
    whole = convert(waiver, record_id="w1", context=context).canonical
    lines = whole.splitlines(keepends=True)
    endless = b"".join(line for line in lines if b"#expiresAt>" not in line)
    with Ingest(settings) as ingest:
        signer = producer_signer(settings)

        def incoming(graph_nq: bytes) -> IncomingSealed:
            made = seal(graph_nq, signer=signer, created=at)
            return IncomingSealed(
                graph_nq=graph_nq, proof_nq=made.proof_nq, proof_value=made.proof_value
            )

        with pytest.raises(FormatError, match=r"not of its shape: .*at least 1 of .*expiresAt"):
            ingest.take([incoming(endless)])
        assert [each.is_new for each in ingest.take([incoming(whole)])] == [True]
