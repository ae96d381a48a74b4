"""A planted secret reaches no byte of the home: not the journal, not the ledger, not an attachment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from readback import all_bytes, python, records, runs

import provgraph

SECRET = "hunter2-Correct-Horse-99"
TOKEN = "ghp_" + "Ab1" * 12

LATER = ("Deployment", "Observation", "Approval", "Retraction")

# One place after the other where a secret can be put.
PLACES = """
import os, sys
import provgraph

SECRET, TOKEN = sys.argv[1].partition("=")[2], sys.argv[2]

class Leaky:
    def __repr__(self):
        return f"Leaky(password={SECRET!r})"

def everything():
    with provgraph.run(
        f"train password={SECRET}",
        project=f"churn {TOKEN}",
        experiment=f"api_key={SECRET}",
        owner=f"ada {TOKEN}",
        plan=f"https://ada:{SECRET}@example.org/plan",
        tags={"db_password": SECRET, "note": f"token {TOKEN}"},
        surprise=f"password={SECRET}",
    ) as run:
        run.log_params(
            password=SECRET,
            nested={"database": {"password": SECRET, "url": f"postgres://ada:{SECRET}@db/x"}},
            argv=["--password", "x", f"--api-key={SECRET}"],
            leaky=Leaky(),
            long="x" * 9990 + f" password={SECRET} " + "y" * 5000,
            auth=TOKEN,
        )
        run.log_params({f"password={SECRET}": 1})
        run.log_metrics({f"api_key={SECRET}": 1.0})
        run.log_metrics(loss=f"password={SECRET}")
        run.log_tags({f"secret={SECRET}": "x"})
        run.note(f"connect with password={SECRET} or {TOKEN}")
        run.missing(f"password={SECRET}", f"Authorization: Bearer {TOKEN}")
        run.use(f"https://ada:{SECRET}@example.org/data.csv", name=f"x {TOKEN}", licence=TOKEN,
                source=f"https://ada:{SECRET}@example.org", description=f"password={SECRET}",
                surprise=f"password={SECRET}", password=SECRET)
        run.use(f"/no/such/password={SECRET}/file.csv")
        run.use(Leaky(), name="leaky")
        run.generate(f"s3://bucket/m?X-Amz-Signature={SECRET}", role=f"{TOKEN}", name="m")
        run.evaluate(None, None, metric=f"m {TOKEN}", value=1, slice=f"password={SECRET}",
                     implementation=f"{TOKEN}", test=TOKEN, interval_method=TOKEN)
        run.evaluate(None, None, metric="m", value=f"password={SECRET}", threshold=f"password={SECRET}")
        with run.step(f"clean {TOKEN}", password=SECRET) as step:
            step.filter(f"password == {TOKEN}", reason=f"password={SECRET}")
            step.note(TOKEN)
            step.rows(rows_in=f"password={SECRET}")
        if os.environ.get("KILL"):
            os.kill(os.getpid(), 9)
        raise RuntimeError(f"cannot connect: password={SECRET}, token {TOKEN}")

try:
    everything()
except RuntimeError:
    pass
provgraph.deploy("m", stage=f"password={SECRET}", target=f"https://ada:{SECRET}@host", by=TOKEN,
                 note=f"password={SECRET}")
provgraph.observe("m", metric=TOKEN, value=1, by=TOKEN, note=f"password={SECRET}",
                  data=f"https://ada:{SECRET}@example.org/x")
provgraph.approve(f"m {TOKEN}", by=TOKEN, meaning=f"password={SECRET}", stage=TOKEN, note=TOKEN)
provgraph.retract("m", reason=f"password={SECRET}", by=TOKEN)
print("done")
"""


def leaks(home: Path) -> dict[str, bool]:
    data = all_bytes(home)
    return {"secret": SECRET.encode() in data, "token": TOKEN.encode() in data}


def started(*, env: dict[str, str], tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(PLACES, "utf-8")
    return subprocess.run(
        [sys.executable, script, f"--password={SECRET}", TOKEN],
        env={
            **{k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
            "SLURM_JOB_COMMENT": f"password={SECRET}",
            "TORCH_SECRET_KEY": SECRET,
            "WANDB_API_KEY": SECRET,
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_no_secret_reaches_the_ledger(home, tmp_path):
    done = started(env={}, tmp_path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert leaks(home) == {"secret": False, "token": False}
    assert (SECRET in done.stderr, TOKEN in done.stderr) == (False, False)
    # In the ledger the graphs are compressed.
    text = "".join(each.canonical.decode() for each in records())
    assert (SECRET in text, TOKEN in text) == (False, False)
    assert text.count("[redacted]") >= 60
    assert [len(records(f"{kind}Record")) for kind in LATER] == [1, 1, 1, 1]
    (facts,) = runs()
    assert facts.parameters()["password"] == "[redacted]"


def test_no_secret_reaches_the_journal_of_a_killed_run(home, tmp_path):
    done = started(env={"KILL": "1"}, tmp_path=tmp_path)
    assert done.returncode == -9
    (journal,) = (home / "journal").iterdir()
    assert journal.read_bytes().count(b"\n") > 20
    assert leaks(home) == {"secret": False, "token": False}
    python("from provgraph.cli.main import main; main(['recover'])").communicate(timeout=60)
    assert leaks(home) == {"secret": False, "token": False}
    (facts,) = runs()
    assert SECRET not in facts.canonical.decode()


def test_the_search_would_find_a_secret_that_was_not_redacted(home):
    plain = SECRET.replace("2", "two")
    with provgraph.run("train", owner="ada") as run:
        run.note(f"the horse is called {plain}")
        (journal,) = (home / "journal").iterdir()
        assert plain.encode() in journal.read_bytes()
    (facts,) = runs()
    assert plain in facts.canonical.decode()


@pytest.mark.usefixtures("home")
def test_an_exception_is_redacted_in_the_record_and_untouched_for_the_caller():
    with pytest.raises(ConnectionError) as caught, provgraph.run("train", owner="ada"):
        raise ConnectionError(f"postgres://ada:{SECRET}@db refused")
    assert str(caught.value) == f"postgres://ada:{SECRET}@db refused"
    (facts,) = runs()
    reason = str(facts.one(facts.run, "reason"))
    assert reason.startswith("ConnectionError: postgres://ada:[redacted]@db refused (in ")
