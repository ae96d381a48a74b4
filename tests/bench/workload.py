"""The facts of a run, the same for every system: 30 parameters, 50 metrics, 5 tags, 3 datasets, 1 model.

A search over hyperparameters: the runs share their data and most parameters, each makes a model of
its own and measures 50 numbers anew. Datasets and models are named by URI and digest and their
bytes are never read, since MLflow's client does not read them either. Everything is made from the
run's number before a clock starts.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

PROJECT = "churn"
EXPERIMENT = "baseline"
OWNER = "ada@example.org"
MODEL = "churn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A file somewhere else: what it is used as, where it is, and its SHA-256 in hex."""

    role: str
    uri: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is recorded of one run."""

    parameters: dict[str, str | int | float]
    metrics: dict[str, float]
    tags: dict[str, str]
    datasets: tuple[Data, ...]
    model: Data
    version: str


def facts(number: int) -> Facts:
    """Return the facts of run `number`."""
    rng = random.Random(number)
    parameters: dict[str, str | int | float] = {}
    for place in range(10):
        parameters[f"rate_{place}"] = round(rng.random(), 6) if place == 0 else place / 16
        parameters[f"depth_{place}"] = rng.randrange(1, 100) if place == 0 else place
        parameters[f"choice_{place}"] = rng.choice(("adam", "sgd")) if place == 0 else "default"
    return Facts(
        parameters=parameters,
        metrics={f"metric_{place}": rng.random() for place in range(50)},
        tags={f"tag_{place}": f"value {place}" for place in range(5)},
        datasets=tuple(_data(role, role) for role in ("train", "validation", "test")),
        model=_data("model", f"model {number}"),
        version=str(number),
    )


def losses(count: int) -> list[float]:
    """Return a metric over `count` steps: a falling curve with noise."""
    rng = random.Random(count)
    return [1 / (1 + step) + rng.random() / 100 for step in range(count)]


def _data(role: str, content: str) -> Data:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return Data(role=role, uri=f"s3://{PROJECT}/{role}/{sha256[:8]}", sha256=sha256)
