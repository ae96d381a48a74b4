"""Pipelines that record to a server and are killed at any moment: no run that ended is lost."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from serving_process import serving
from test_delivery import environ, provgraph_command, waiting

from provgraph.access.store import AccessStore
from provgraph.service.home import readable_ledger
from provgraph.settings import load

ROUNDS = 40
SCRIPT = """
import os, sys, threading, time
import provgraph

def die():
    time.sleep(float(sys.argv[1]))
    os._exit(1)

threading.Thread(target=die, daemon=True).start()
while True:
    with provgraph.run("train") as run:
        run.log_params(a=1)
    print(run.id, flush=True)
"""


def test_no_run_that_ended_is_lost(tmp_path):
    store = AccessStore(tmp_path / "server" / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="ci", roles=["ingest"])
    store.close()
    home = tmp_path / "pipeline"
    ended: set[str] = set()
    with serving(tmp_path / "server") as server:
        address = f"http://127.0.0.1:{server.port}"
        for _ in range(ROUNDS):
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, str(0.3 + random.random())],
                check=False,
                env=environ(home, address, secret),
                capture_output=True,
                text=True,
            )
            ended |= set(done.stdout.split())
        code, _ = provgraph_command(home, address, secret, "spool", "--flush")
    with readable_ledger(load({"PROVGRAPH_HOME": str(tmp_path / "server")})) as ledger:
        found = {row.iri.rsplit("/", 1)[-1] for row in ledger.names("run", "train")}
    print(f"{len(ended)} runs ended in {ROUNDS} killed processes, {len(found)} are in the ledger")
    assert (code, ended - found, waiting(home)) == (0, set(), [])
