"""schemathesis with every phase that needs no links, and many examples."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "server"))

from schemathesis_run import run_schemathesis  # noqa: E402
from serving_process import serving  # noqa: E402

from provgraph.access.store import AccessStore  # noqa: E402


def test_many_generated_requests_find_no_server_error(tmp_path):
    home = tmp_path / "home"
    subprocess.run(
        [sys.executable, "-c", "from small_history import record_history; record_history()"],
        check=True,
        cwd=TESTS,
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="x@example.org", roles=["steward", "admin", "auditor"])
    store.close()
    limits = {"requests_per_s": "100000", "requests_burst": "100000", "query_timeout_s": "3"}
    with serving(home, **limits) as server:
        code, said = run_schemathesis(
            server, secret, "--phases", "examples,coverage,fuzzing", "--max-examples", "50"
        )
        assert code == 0, said
        assert "Traceback" not in server.log()
