"""A furnished server and a real browser: Debian's Chromium, driven by Playwright.

Where Chromium or Node is missing the tests skip and say so; in continuous integration (CI=true) they fail.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hostile_names import HOSTILE
from playwright.sync_api import Browser, sync_playwright

from provgraph.access.store import AccessStore

TESTS = Path(__file__).resolve().parents[1]
NODE = Path(__file__).resolve().parent / "node"
sys.path.insert(0, str(TESTS / "server"))

from serving_process import RunningServer, serving  # noqa: E402

RUNS = 3000
_FURNISH = """
import sys
from datetime import UTC, datetime, timedelta
from small_history import record_history
record_history()
from provgraph.digests import Digest
from provgraph.records import Agent, Entity, Generation, Run, Usage
from provgraph.service.ingesting import IncomingFacts, Ingest
from provgraph.settings import load
count, names = int(sys.argv[1]), sys.argv[2:]
at = datetime(2026, 3, 1, tzinfo=UTC)
model = Entity(kind="model", digest=Digest.parse("sha256:" + "cd" * 32), name="churn", version="2")
facts = [
    Run(id=f"score-{n}", name="score", project="scoring", status="completed", started_at=at + timedelta(minutes=n),
        owner=Agent(name="batch@example.org"), used=(Usage(entity=model, role="model"),))
    for n in range(count)
] + [
    Run(id=f"named-{n}", name=name[:500], project=name[:200], status="completed", started_at=at,
        owner=Agent(name=name[:200]),
        generated=(Generation(entity=Entity(kind="model", digest=Digest.parse("sha256:" + f"{n:064x}"),
            name=name[:500], version="1"), role="model"),))
    for n, name in enumerate(names)
]
with Ingest(load()) as ingest:
    for start in range(0, len(facts), 200):
        ingest.take([IncomingFacts(record_id=each.id, record=each) for each in facts[start:start + 200]])
"""


def missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the small history, hostile names and a model that 3,000 runs used."""
    home = tmp_path_factory.mktemp("house") / "home"
    subprocess.run(
        [sys.executable, "-c", _FURNISH, str(RUNS), *HOSTILE],
        check=True,
        cwd=TESTS,
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningServer, dict[str, str]]]:
    """A server that asks for a token, and the tokens."""
    home = tmp_path_factory.mktemp("guarded") / "home"
    subprocess.run(
        [sys.executable, "-c", "from small_history import record_history; record_history()"],
        check=True,
        cwd=TESTS,
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    secrets = {
        role: store.create_token(owner=f"{role}@example.org", roles=[role])[1]
        for role in ("auditor", "ingest")
    }
    store.close()
    with serving(home) as running:
        yield running, secrets


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("needs Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        # No sandbox of Chromium's own: as root it has none, and it sees this server only.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """Return axe-core, as package-lock.json says."""
    npm = shutil.which("npm")
    if npm is None:
        missing("needs npm; on Debian: apt-get install nodejs npm")
    source = NODE / "node_modules" / "axe-core" / "axe.min.js"
    with (NODE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not source.exists():
            command = [
                str(npm),
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ]
            done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                missing(f"axe-core could not be fetched: {done.stderr[-300:]}")
    return source.read_text("utf-8")
