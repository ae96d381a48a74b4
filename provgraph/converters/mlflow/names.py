"""How things of MLflow are named in our graphs, and MLflow's words for what we have words for.

A run, a logged model and a registry entry keep the identity that MLflow gives them, below names of their
own, so that no id in a store can pass for something that this ledger recorded itself.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from provgraph import terms, vocab
from provgraph.digests import Digest
from provgraph.records import Entity, Missing

WEAK_ALGORITHM: Final = "weak-mlflow"
"""Eight hexadecimal digits of MD5 over at most the first 10,000 rows of a table."""

STATUSES: Final = {"FINISHED": "completed", "FAILED": "failed", "KILLED": "abandoned"}
UNFINISHED: Final = frozenset({"RUNNING", "SCHEDULED"})
ROLES: Final = {
    "training": "train",
    "testing": "test",
    "eval": "evaluation",
    "val": "validation",
}
MODEL_STATUSES: Final = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}

# The years 1 to 9999.
FIRST_MS: Final = -62_135_596_800_000
LAST_MS: Final = 253_402_300_799_999

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WEAK: Final = re.compile(r"[0-9a-f]{8,36}")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_OWN: Final = "https://w3id.org/provgraph/"


def run_id(mlflow_id: str) -> str:
    """Return the id that a run of MLflow has here."""
    return f"mlflow-{mlflow_id}"


def model_iri(model_id: str) -> str:
    """Name a logged model as MLflow's own URIs do: `models:/m-…`."""
    return f"models:/{terms.segment(model_id)}"


def model_entity(
    model_id: str,
    *,
    name: str | None = None,
    version: str | None = None,
    location: str | None = None,
    description: str | None = None,
) -> Entity:
    """Describe a logged model. MLflow keeps no digest of its files."""
    return Entity(
        kind="model",
        uri=model_iri(model_id),
        name=name,
        version=version,
        description=description,
        source=location,
        missing=(Missing(field="digest", reason="MLflow keeps no digest of the files of a model"),),
    )


def source_entity(
    source: str | None, *, name: str, version: str, description: str | None
) -> Entity:
    """Describe the model of a version that names no logged model: by the address of its files."""
    if source and _ADDRESS.match(source) and not source.startswith(_OWN):
        uri = terms.to_iri(source)
    else:
        uri = _minted("model", source or "", name, version)
    return Entity(
        kind="model",
        uri=uri,
        name=name,
        version=version,
        description=description,
        source=source or None,
        missing=(Missing(field="digest", reason="MLflow keeps no digest of the files of a model"),),
    )


def dataset_entity(
    name: str, digest: str, *, source: str | None, rows: int | None, where: str | None
) -> Entity:
    """Describe a dataset by name, digest and source together: the digest alone does not tell data apart."""
    weak = Digest(WEAK_ALGORITHM, digest) if _WEAK.fullmatch(digest) else None
    return Entity(
        kind="dataset",
        uri=_minted("dataset", name, digest, source or ""),
        name=name,
        weak_digest=weak,
        source=where,
        rows=rows,
        missing=(
            Missing(
                field="digest",
                reason=f"MLflow's digest {digest[:40]} does not identify the data: at most the first"
                " 10,000 rows are in it, and 32 bits of them",
            ),
        ),
    )


def time_of(milliseconds: Any) -> datetime | None:
    """Return a time of MLflow, None where it is none."""
    if type(milliseconds) is not int or not FIRST_MS <= milliseconds <= LAST_MS:
        return None
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _minted(kind: str, *parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"{vocab.ID}foreign/mlflow/{kind}/{hashlib.sha256(text).hexdigest()[:32]}"
