"""Recording to a server: handed over in a moment, spooled while it is away, delivered once."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from serving_process import serving

from provgraph.access.store import AccessStore
from provgraph.service.home import readable_ledger
from provgraph.settings import load

SCRIPT = """
import json, sys, time
import provgraph
times = []
for number in range(int(sys.argv[1])):
    with provgraph.run("train", project="churn", owner="ada@example.org") as run:
        run.log_params(number=number)
        model = run.generate("s3://b/m", role="model", name="churn", version=str(number),
                             digest="sha256:" + "ab" * 32)
        began = time.perf_counter()
    times.append(time.perf_counter() - began)
began = time.perf_counter()
deployed = provgraph.deploy("churn:0", stage="production", by="ada@example.org")
times.append(time.perf_counter() - began)
print(json.dumps({"receipt": run.receipt and run.receipt.position, "longest": max(times[1:])}))
"""


@pytest.fixture
def homes(tmp_path):
    """The server's home with a token to append, and the pipeline's own."""
    store = AccessStore(tmp_path / "server" / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="ci", roles=["ingest"])
    store.close()
    return tmp_path / "server", tmp_path / "pipeline", secret


def environ(home, address, secret):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROVGRAPH_")}
    return {
        **kept,
        "PROVGRAPH_HOME": str(home),
        "PROVGRAPH_SERVER": address,
        "PROVGRAPH_TOKEN": secret,
        "PROVGRAPH_STRICT": "off",
    }


def record(count, home, address, secret):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(count)],
        check=False,
        env=environ(home, address, secret),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def provgraph_command(home, address, secret, *words):
    main = "import sys; from provgraph.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", main, *words],
        check=False,
        env=environ(home, address, secret),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def runs_in(home):
    with readable_ledger(load({"PROVGRAPH_HOME": str(home)})) as ledger:
        return len(ledger.names("run", "train")), ledger.size()


def waiting(home):
    return sorted(path.name for path in (home / "journal").glob("*.jsonl"))


def test_runs_and_later_facts_reach_the_server(homes):
    server_home, home, secret = homes
    with serving(server_home) as server:
        said, _ = record(5, home, f"http://127.0.0.1:{server.port}", secret)
    assert (runs_in(server_home)[0], waiting(home)) == (5, [])
    assert (home / "ledger.db").exists() is False
    # No run waited for the server for longer than a moment, however slow this machine is.
    assert said["longest"] < 1.0


def test_while_the_server_is_away_nothing_is_lost_and_nobody_waits(homes):
    server_home, home, secret = homes
    began_s = time.monotonic()
    said, told = record(3, home, "http://127.0.0.1:9", secret)
    assert (said["receipt"], len(waiting(home)), "not delivered yet" in told) == (None, 4, True)
    assert time.monotonic() - began_s < 30
    code, shown = provgraph_command(home, "http://127.0.0.1:9", secret, "spool")
    assert (code, shown.count("run train"), "deployment" in shown) == (0, 3, True)
    with serving(server_home) as server:
        address = f"http://127.0.0.1:{server.port}"
        code, shown = provgraph_command(home, address, secret, "spool", "--flush")
        assert (code, shown.count("delivered "), "nothing is left" in shown) == (0, 4, True)
        assert provgraph_command(home, address, secret, "spool", "--flush")[0] == 0
    assert (runs_in(server_home)[0], waiting(home)) == (3, [])


def test_what_the_server_refuses_is_kept_with_the_reason(homes):
    server_home, home, _ = homes
    with serving(server_home) as server:
        address = f"http://127.0.0.1:{server.port}"
        _, told = record(1, home, address, "pgt_" + "A" * 43)
        code, shown = provgraph_command(home, address, "pgt_" + "A" * 43, "spool", "--flush")
    assert (code, "answered 401: this token is not known here" in shown) == (1, True)
    assert "answered 401" in told
    assert len(waiting(home)) == 2


def test_no_token_is_written_to_the_disk(homes):
    _, home, secret = homes
    record(1, home, "http://127.0.0.1:9", secret)
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert secret.encode() not in kept


def test_a_killed_pipeline_is_delivered_as_abandoned(homes):
    server_home, home, secret = homes
    script = (
        "import os, provgraph\n"
        "with provgraph.run('train') as run:\n"
        "    run.log_params(a=1)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], env=environ(home, "http://127.0.0.1:9", secret), check=False
    )
    assert len(waiting(home)) == 1
    with serving(server_home) as server:
        address = f"http://127.0.0.1:{server.port}"
        code, _ = provgraph_command(home, address, secret, "spool", "--flush")
    with readable_ledger(load({"PROVGRAPH_HOME": str(server_home)})) as ledger:
        graph = ledger.graph(ledger.size() - 1)
    assert (code, b'#status> "abandoned"' in graph) == (0, True)
