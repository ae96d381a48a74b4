"""Records as a pipeline makes them, for tests of the ledger and for measuring it."""

from __future__ import annotations

import hashlib
import random
import uuid
from datetime import UTC, datetime, timedelta

from provgraph.convert.entities import Context
from provgraph.convert.prov import Converted, convert
from provgraph.digests import Digest
from provgraph.ledger.rows import NameRow, Pending
from provgraph.records import Agent, Entity, Evaluation, Generation, Invocation, Run, Usage
from provgraph.seal.keys import Signer
from provgraph.seal.proof import seal

START = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
NAMESPACE = "example.org"

LOG_SEED = b"\x01" * 32
PRODUCER_SEED = b"\x02" * 32
MLDSA_SEED = b"\x03" * 32


def clock() -> datetime:
    """Say when ledgers are made and checkpoints leave them."""
    return datetime(2026, 1, 2, tzinfo=UTC)


def run_record(number: int, *, seed: int = 0) -> Run:
    """Return run `number`: 30 parameters, 50 metrics, 5 tags, 3 datasets, 1 model, evaluations."""
    rng = random.Random(f"{seed}/{number}")
    at = START + timedelta(seconds=37.123457 * number)
    model = Entity(
        kind="model",
        digest=_digest(rng),
        name="churn",
        version=str(number),
        location=f"/home/ada/churn/models/{number}/model.pkl",
        size_bytes=rng.randrange(10**6, 10**8),
        file_count=1,
    )
    data = [
        Entity(
            kind="dataset",
            digest=_digest(rng),
            name=name,
            location=f"/data/churn/{name}.parquet",
            size_bytes=rng.randrange(10**5, 10**9),
            rows=rng.randrange(1000, 10**6),
            columns=31,
            licence="CC-BY-4.0",
        )
        for name in ("train", "validation", "test")
    ]
    return Run(
        id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        name="train-churn",
        project="churn",
        experiment="baseline",
        owner=Agent(name="ada@example.org"),
        status="completed",
        started_at=at,
        ended_at=at + timedelta(seconds=rng.random() * 100),
        duration_s=rng.random() * 100,
        exit_code=0,
        invocation=Invocation(
            command=("python", "train.py", "--depth", str(rng.randrange(20))),
            entry_script="train.py",
            entry_script_digest=_digest(rng),
            working_folder="/home/ada/churn",
            host="gpu-7",
            user="ada",
            process=rng.randrange(1, 2**22),
            variables={"CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "8"},
            seeds={"random": str(rng.randrange(2**32)), "numpy": str(rng.randrange(2**32))},
        ),
        parameters={f"parameter_{i}": rng.choice([rng.random(), rng.randrange(100), "adam"]) for i in range(30)},
        metrics={f"metric_{i}": rng.random() for i in range(50)},
        tags={f"tag_{i}": f"value {rng.randrange(1000)}" for i in range(5)},
        used=tuple(
            Usage(entity=entity, role=entity.name, at=at + timedelta(seconds=i))
            for i, entity in enumerate(data)
        ),
        generated=(Generation(entity=model, role="model", at=at + timedelta(seconds=90)),),
        evaluations=(
            Evaluation(
                model=model,
                data=data[2],
                metric="accuracy",
                value=rng.random(),
                interval=(rng.random(), rng.random()),
                interval_level=0.95,
                interval_method="bootstrap",
                n=2000,
                threshold=">= 0.9",
                threshold_met=True,
                at=at + timedelta(seconds=95),
            ),
        ),
    )  # fmt: skip


def converted_run(number: int, *, seed: int = 0) -> Converted:
    """Return run `number` as canonical bytes."""
    run = run_record(number, seed=seed)
    context = Context(
        namespace=NAMESPACE,
        software_version="0.1.0",
        recorded_at=run.started_at + timedelta(seconds=100),
        previous={},
    )
    return convert(run, record_id=run.id, context=context)


def pending_run(number: int, *, signer: Signer, seed: int = 0) -> Pending:
    """Return run `number`, sealed."""
    converted = converted_run(number, seed=seed)
    return Pending(
        iri=converted.iri,
        graph_nq=converted.canonical,
        seal=seal(converted.canonical, signer=signer, created=START),
        names=[
            NameRow(kind=row.kind, name=row.name, version=row.version, iri=row.iri)
            for row in converted.names
        ],
    )


def small(number: int, *, signer: Signer, text: str = "a") -> Pending:
    """Return a record of one statement."""
    iri = f"https://w3id.org/provgraph/id/record/{number}"
    graph = f'<urn:s> <urn:p> "{text}" <{iri}> .\n'.encode()
    return Pending(iri=iri, graph_nq=graph, seal=seal(graph, signer=signer, created=START))


def _digest(rng: random.Random) -> Digest:
    return Digest("sha256", hashlib.sha256(rng.randbytes(8)).hexdigest())
