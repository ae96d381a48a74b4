"""Recording the workload with provgraph: its public API, embedded, durable (SQLite with FULL)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import provgraph
from provgraph.settings import Settings, load
from tests.bench.workload import EXPERIMENT, MODEL, OWNER, PROJECT, Facts


@contextlib.contextmanager
def home(folder: Path) -> Iterator[Settings]:
    """Let all that is recorded meanwhile go to this home."""
    before = os.environ.get("PROVGRAPH_HOME")
    os.environ["PROVGRAPH_HOME"] = str(folder)
    try:
        yield load()
    finally:
        if before is None:
            del os.environ["PROVGRAPH_HOME"]
        else:
            os.environ["PROVGRAPH_HOME"] = before


def record(facts: Facts, *, losses: list[float] | None = None) -> None:
    """Record one run; it is durable when this returns.

    `losses` are logged one call each, as a training loop does.
    """
    with provgraph.run(
        "train", project=PROJECT, experiment=EXPERIMENT, owner=OWNER, tags=facts.tags
    ) as run:
        for data in facts.datasets:
            run.use(data.uri, role=data.role, name=data.role, digest=f"sha256:{data.sha256}")
        run.log_params(facts.parameters)
        for step, loss in enumerate(losses or ()):
            run.log_metrics(step=step, loss=loss)
        run.log_metrics(facts.metrics)
        run.generate(
            facts.model.uri,
            role="model",
            name=MODEL,
            version=facts.version,
            digest=f"sha256:{facts.model.sha256}",
        )
    if run.receipt is None:
        raise RuntimeError("a run was not sealed; the log says why")


def record_chain(length: int) -> str:
    """Record runs that each start from the model before; return the last model's name."""
    for number in range(length):
        made = f"link:{number}"
        with provgraph.run("tune", project=PROJECT, experiment="chain", owner=OWNER) as run:
            if number:
                run.use(f"s3://{PROJECT}/link/{number - 1}", role="base-model", digest=_hex(number))
            run.log_params(step=number, rate=1 / (number + 1))
            run.log_metrics(auc=1 - 1 / (number + 2))
            run.generate(
                f"s3://{PROJECT}/link/{number}",
                role="model",
                name="link",
                version=str(number),
                digest=_hex(number + 1),
            )
        if run.receipt is None:
            raise RuntimeError("a run was not sealed; the log says why")
    return made


def _hex(number: int) -> str:
    return f"sha256:{number:064x}"
