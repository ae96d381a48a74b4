"""`/drift` over a real server: GET decides, POST seals, and neither says what it should not."""

import functools
import json
import shutil
from datetime import UTC, datetime

import pytest
from serving_process import serving

import provgraph
from provgraph.access.store import AccessStore
from provgraph.service.home import close_ledger


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(folder / "home"))
        patch.chdir(folder)
        for version, value in enumerate((0.9, 0.91, 0.9, 0.89, 0.9, 0.6), start=1):
            with provgraph.run("train", project="churn", owner="ada") as run:
                run.log_params(alpha=1.0 if version < 6 else 900.0)
                (folder / "model").write_text(str(version))
                model = run.generate(
                    folder / "model", role="model", name="churn", version=str(version)
                )
                run.evaluate(model, None, metric="accuracy", value=value, n=900)
        close_ledger()
    store = AccessStore(folder / "home" / "access.db", clock=lambda: datetime.now(UTC))
    secret = store.create_token(owner="grace@example.org", roles=["auditor"])[1]
    store.close()
    with serving(folder / "home") as running:
        yield functools.partial(running.ask, headers={"Authorization": f"Bearer {secret}"})
    shutil.rmtree(folder)


def test_get_decides_and_records_nothing(drifting):
    before = drifting("GET", "/drift?subject=churn:6").json
    again = drifting("GET", "/drift?subject=churn:6").json
    assert before == again
    assert before["drop"]["value"] == 0.6
    assert before["candidates"][0]["category"] == "hyperparameters"


def test_post_seals_the_verdict(drifting):
    body = json.dumps({"subject": "churn:6", "baseline": "churn:4"}).encode()
    answer = drifting("POST", "/drift", body=body)
    assert answer.status == 201
    assert answer.json["position"] >= answer.json["ledger_size"]
    assert answer.json["before"] != answer.json["after"]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 400, "expected subject"),
        ("subject=churn:6&baseline=churn:6", 400, "are the same run"),
        ("subject=nobody:1", 404, "nobody:1"),
        ("subject=" + "x" * 3000, 400, "expected text of 1 to 2000 characters"),
        ("subject=%20", 400, "expected text"),
    ],
)
def test_what_cannot_be_decided_says_why(drifting, query, status, said):
    answer = drifting("GET", f"/drift?{query}")
    assert (answer.status, said in answer.json["detail"]) == (status, True)


@pytest.mark.parametrize("body", [b"[]", b'{"subject": 3}', b'{"subjekt": "x"}', b"{", b"\xff"])
def test_a_body_that_is_none_is_refused(drifting, body):
    answer = drifting("POST", "/drift", body=body)
    assert answer.status == 400
