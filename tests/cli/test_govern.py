"""What people decide, typed: each command records its fact, and says what to type next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from readback import records

import provgraph
from provgraph.cli.govern import _KINDS
from provgraph.cli.main import COMMANDS, main


@pytest.fixture
def churn(home: Path) -> Path:
    with provgraph.run("train", project="churn", owner="ada") as run:
        calls = run.use(b"caller\nann\n", role="train", kind="dataset", name="calls.csv")
        run.generate(b"weights", role="model", name="churn", version="3", derived_from=[calls])
    return home


def typed(line: str) -> int:
    return main(line.split("|") if "|" in line else line.split())


def last(kind: str) -> str:
    (found,) = records()[-1].all(kind)
    return found


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("register churn --owner ada --tier 1 --risk high-risk --by grace", "Registration"),
        ("assign calls.csv --to ada --role steward --by grace", "Assignment"),
        (
            "validate churn:3 --by grace --verdict passed --meaning sound --independent",
            "Validation",
        ),
        ("approve churn:3 --by grace --meaning fit --stage production", "Approval"),
        ("waive churn:3 monitor --by grace --reason later --expires 2099-01-01", "Waiver"),
        ("deploy churn:3 --stage production --by ada --since 2026-03-01", "Deployment"),
        ("undeploy deployment/0198c5de-1a2b --by ada --until 2026-04-01", "DeploymentEnd"),
        ("respond observation/0198c5de-1a2b --by ada --status accepted", "Response"),
        ("assess churn:3 --substantial --reason source --by grace", "Modification"),
        ("retract churn:3 --by ada --reason wrong", "Retraction"),
        ("withdraw calls.csv --by dpo --reason asked --consent", "Withdrawal"),
        (
            "remediate churn:3 --withdrawal withdrawal/1a2b --state retire --by ada --reason old",
            "Remediation",
        ),
    ],
)
def test_a_decision_is_recorded_and_can_be_referred_to(churn, capsys, line, kind):
    assert typed(line) == 0
    act = last(kind)
    said = re.search(r"recorded as (\S+) at position", capsys.readouterr().out)
    assert said is not None
    assert act == f"https://w3id.org/provgraph/id/{said[1]}"


def test_every_deciding_command_is_tried_here_and_has_an_example(capsys):
    names = {command.name for command in COMMANDS if command.module == "govern"}
    assert names == set(_KINDS)
    for name in sorted(names):
        with pytest.raises(SystemExit) as stopped:
            main([name, "-h"])
        assert stopped.value.code == 0
        assert capsys.readouterr().out.count(f"Example: provgraph {name} ") == 1


def test_a_withdrawal_shows_what_is_affected_and_who_answers_for_it(churn, capsys):
    assert typed("withdraw calls.csv --by dpo --reason asked") == 0
    out = capsys.readouterr().out
    assert out.startswith("1 row affected, each open until it is remedied\n")
    assert [line.split() for line in out.splitlines() if "churn:3" in line] == [
        ["Model", "churn:3", "churn", "derived", "ada"]
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("waive churn:3 m --by grace --reason r --expires 2020-01-01", "expected a time to come"),
        ("waive churn:3 m --by grace --reason r --expires soon", "expected datetimes or ISO 8601"),
        ("withdraw calls-9.csv --by dpo --reason asked", "nothing here is called 'calls-9.csv'"),
        ("register churn --by grace", "a registration says something"),
        ("validate|churn:3|--by| |--verdict|passed|--meaning|m", "expected who validates"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(churn, capsys, line, message):
    before = len(records())
    assert typed(line) == 2
    assert capsys.readouterr().err.count(message) == 1
    assert len(records()) == before
