"""What the OpenAPI document says can be sent is sent, and much else: no 5xx. More in tests/soak."""

import shutil
from datetime import UTC, datetime

from schemathesis_run import run_schemathesis
from serving_process import serving

from provgraph.access.store import AccessStore


def test_generated_requests_find_no_server_error(served_home, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "access.db"))
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="x@example.org", roles=["steward", "admin", "auditor"])
    store.close()
    limits = {"requests_per_s": "100000", "requests_burst": "100000", "query_timeout_s": "3"}
    with serving(home, **limits) as server:
        code, said = run_schemathesis(
            server, secret, "--phases", "fuzzing", "--max-examples", "2", "--seed", "7"
        )
        assert (code, "Tested: " in said) == (0, True), said
        assert "Traceback" not in server.log()
