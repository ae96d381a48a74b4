"""Two homes with the same open history; one also holds a private project. For attacks on it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from serving_process import RunningServer

from provgraph.access.store import AccessStore

# Every text of the private project that could give it away has this word in it.
WORD = "zanzibar"
PRIVATE_MODEL = "sha256:" + "5e" * 32
PRIVATE_DATA = "sha256:" + "5d" * 32
SHARED_DATA = "sha256:" + "ab" * 32
OPEN_MODEL = "sha256:" + "cd" * 32
NOWHERE = "sha256:" + "77" * 32

# Ids and times are given, so that what both homes hold in common is the same to the byte, but for the
# time of recording.
_RECORD = """
import sys
from datetime import UTC, datetime
from provgraph.digests import Digest
from provgraph.records import *
from provgraph.service.ingesting import IncomingFacts, Ingest
from provgraph.settings import load

WORD, PRIVATE_MODEL, PRIVATE_DATA, SHARED_DATA, OPEN_MODEL = sys.argv[2:]
AT = datetime(2026, 3, 1, tzinfo=UTC)
def entity(digest, name, version=None, kind="dataset"):
    return Entity(kind=kind, digest=Digest.parse(digest), name=name, version=version)
def run(name, project, used, made, **facts):
    return Run(id=name, name=facts.pop("label", "train"), project=project, status="completed",
        started_at=AT, owner=Agent(name=facts.pop("owner", "ada@example.org")),
        used=tuple(Usage(entity=each, role="train") for each in used),
        generated=tuple(Generation(entity=each, role="model") for each in made), **facts)
env = Environment(python="3.11", implementation="CPython", operating_system="Linux", kernel="6",
    architecture="x86_64")
secret_env = Environment(python="3.11", implementation="CPython", operating_system="Linux",
    kernel="6", architecture="x86_64", packages=(Package(name=WORD + "-lib", version="1"),))
shared, churn = entity(SHARED_DATA, "clean"), entity(OPEN_MODEL, "churn", "1", "model")
hidden = entity(PRIVATE_MODEL, WORD + "-model", "1", "model")
private = [
    run("priv-1", WORD, [shared, entity(PRIVATE_DATA, WORD + "-data", "3")], [hidden], environment=secret_env,
        label=WORD + "-train", owner=WORD + "@example.org", parameters={WORD + "_depth": 3},
        evaluations=(Evaluation(model=hidden, data=shared, metric=WORD + "_auc", value=0.9),)),
    Approval(id="priv-2", model=hidden, by=Agent(name=WORD + "-boss@example.org"), meaning=WORD, at=AT),
    Deployment(id="priv-3", model=hidden, stage=WORD, at=AT),
    run("priv-4", "churn", [hidden], [entity("sha256:" + "5c" * 32, "derived-" + WORD, kind="model")]),
]
opened = [
    run("open-1", "churn", [shared], [churn], environment=env, parent="priv-1-parent"),
    Approval(id="open-2", model=churn, by=Agent(name="grace@example.org"), meaning="fit", at=AT),
]
after = [run("open-3", "other", [churn, shared], [], environment=env)]
with Ingest(load()) as ingest:
    groups = (opened, private, after) if sys.argv[1] == "private" else (opened, after)
    for record in (each for group in groups for each in group):
        ingest.take([IncomingFacts(record_id=record.id, record=record)])
"""


def record_home(home: Path, *, kind: str) -> None:
    """Record the open history, and with kind `private` the private project in the middle of it."""
    words = (WORD, PRIVATE_MODEL, PRIVATE_DATA, SHARED_DATA, OPEN_MODEL)
    subprocess.run(
        [sys.executable, "-c", _RECORD, kind, *words],
        check=True,
        env={**os.environ, "PROVGRAPH_HOME": str(home), "PROVGRAPH_NAMESPACE": "acme"},
    )


def give_access(home: Path) -> dict[str, str]:
    """Make the project private and give tokens; return their secrets."""
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    store.set_private(WORD, is_private=True)
    store.set_member(WORD, "mia@example.org", belongs=True)
    people = {
        "stranger": (["reader", "ingest"], None),
        "mia": (["reader", "ingest"], None),
        "auditor": (["auditor"], None),
        "limited": (["reader", "ingest"], ["churn"]),
        "operator": (["admin"], None),
    }
    secrets = {
        name: store.create_token(owner=f"{name}@example.org", roles=roles, projects=projects)[1]
        for name, (roles, projects) in people.items()
    }
    store.close()
    return secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A server, and the tokens of those who ask it."""

    server: RunningServer
    secrets: dict[str, str]

    def ask(self, who, method, path, **options):
        headers = {"Authorization": f"Bearer {self.secrets[who]}", **options.pop("headers", {})}
        return self.server.ask(method, path, headers=headers, **options)
