"""`provgraph approve`, `validate`, `waive`, `withdraw`, `remediate`, `register`, …: what people decide.

Each command is one function of `provgraph.service.governing` (or of `import provgraph`), with its
arguments as options. One that names nobody with --by asks for it: a decision is somebody's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from rich.markup import escape

from provgraph.capture.sinks import Receipt
from provgraph.cli.output import console, counted
from provgraph.errors import CaptureError, UsageError
from provgraph.governance import (
    REMEDIATION_STATES,
    RESPONSE_STATUSES,
    VERDICTS,
)
from provgraph.service import governing

_KINDS: Final = {
    "approve": "approval",
    "assess": "modification",
    "assign": "assignment",
    "deploy": "deployment",
    "register": "registration",
    "remediate": "remediation",
    "respond": "response",
    "retract": "retraction",
    "undeploy": "deployment-end",
    "validate": "validation",
    "waive": "waiver",
    "withdraw": "withdrawal",
}
"""What each command records, as other commands refer to it: `withdrawal/<id>`."""

Decide = Callable[[argparse.Namespace], Receipt | None]


def add_approve(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph approve`."""
    parser = _parser(
        commands,
        "approve",
        text,
        description="Take responsibility for a model, with a stated meaning.",
        example='provgraph approve churn:3 --by grace@example.org --meaning "fit for production"'
        " --stage production",
        decide=lambda given: governing.approve(
            given.model, by=given.by, meaning=given.meaning, stage=given.stage, note=given.note
        ),
    )
    _model(parser)
    parser.add_argument("--meaning", metavar="TEXT", required=True, help="what approving it says")
    parser.add_argument("--stage", metavar="STAGE", help="the stage that it is approved for")
    return parser


def add_deploy(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph deploy`."""
    parser = _parser(
        commands,
        "deploy",
        text,
        description="Record that a model was put to work.",
        example="provgraph deploy churn:3 --stage production --target https://api.example.org/churn"
        " --by ada@example.org --on-approval approval/0198c5de-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
        decide=lambda given: governing.deploy(
            given.model,
            stage=given.stage,
            target=given.target,
            by=given.by,
            on_approval=given.on_approval,
            replaces=given.replaces,
            at=given.since,
            note=given.note,
        ),
    )
    _model(parser)
    parser.add_argument("--stage", metavar="STAGE", required=True, help="such as production")
    parser.add_argument("--target", metavar="WHERE", help="where it runs: an address, a cluster")
    parser.add_argument("--on-approval", metavar="ID", help="the approval that this rests on")
    parser.add_argument("--replaces", metavar="ID", help="the deployment that ends with this one")
    parser.add_argument("--since", metavar="TIME", help="since when it works; default: now")
    return parser


def add_retract(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph retract`."""
    parser = _parser(
        commands,
        "retract",
        text,
        description="Record that a thing, run or record is not to be relied on. It stays.",
        example='provgraph retract churn:3 --by ada@example.org --reason "trained on test rows"',
        decide=lambda given: governing.retract(given.thing, reason=given.reason, by=given.by),
    )
    parser.add_argument("thing", help="name, digest, path, run id or IRI")
    _reason(parser)
    return parser


def add_validate(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph validate`."""
    parser = _parser(
        commands,
        "validate",
        text,
        description="Record that somebody validated a model, and what signing that means.",
        example="provgraph validate churn:3 --by grace@example.org --verdict passed"
        ' --meaning "sound; tested on unseen data" --independent --report validation.pdf',
        decide=lambda given: governing.validate(
            given.model,
            by=given.by,
            verdict=given.verdict,
            meaning=given.meaning,
            independent=given.independent,
            conditions=given.conditions,
            report=given.report,
            valid_until=given.valid_until,
            note=given.note,
        ),
    )
    _model(parser)
    parser.add_argument("--verdict", choices=VERDICTS, required=True, help="what was found")
    parser.add_argument("--meaning", metavar="TEXT", required=True, help="what signing it says")
    parser.add_argument(
        "--independent",
        action=argparse.BooleanOptionalAction,
        help="the validator declares to be independent of the developers, or not",
    )
    parser.add_argument(
        "--conditions", metavar="TEXT", help="what must hold for the verdict to hold"
    )
    parser.add_argument("--report", metavar="FILE", help="the report: path or address")
    parser.add_argument("--valid-until", metavar="TIME", help="when it is out of date")
    return parser


def add_waive(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph waive`."""
    parser = _parser(
        commands,
        "waive",
        text,
        description="Let a model pass although one requirement is not met, until a time.",
        example="provgraph waive churn:3 drift-monitor --by grace@example.org"
        ' --reason "the monitor comes with release 5" --expires 2099-06-30',
        decide=lambda given: governing.waive(
            given.model,
            given.requirement,
            by=given.by,
            reason=given.reason,
            expires=given.expires,
            profile=given.profile,
            stage=given.stage,
            note=given.note,
        ),
    )
    _model(parser)
    parser.add_argument("requirement", help="its id in the profile, as the gate names it")
    _reason(parser)
    parser.add_argument("--expires", metavar="TIME", required=True, help="when the waiver ends")
    parser.add_argument("--profile", metavar="NAME", help="for this profile only")
    parser.add_argument("--stage", metavar="STAGE", help="for this stage only")
    return parser


def add_withdraw(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph withdraw`."""
    parser = _parser(
        commands,
        "withdraw",
        text,
        description="Record that a dataset, or the consent behind it, is withdrawn. What was made"
        " from it is listed with who answers for it, and stays open until `provgraph remediate`"
        " says what becomes of it.",
        example="provgraph withdraw calls.csv --by dpo@example.org"
        ' --reason "the callers were not told" --consent --ground "GDPR Art. 7(3)"',
        decide=_withdraw,
    )
    parser.add_argument("dataset", help="name, digest, path or IRI")
    _reason(parser)
    parser.add_argument(
        "--consent", action="store_true", help="it is the consent that is withdrawn, not the data"
    )
    parser.add_argument("--scope", metavar="TEXT", help="which part, or whose consent")
    parser.add_argument("--ground", metavar="TEXT", help="the legal ground")
    return parser


def _withdraw(given: argparse.Namespace) -> Receipt | None:
    receipt = governing.withdraw(
        given.dataset,
        reason=given.reason,
        by=given.by,
        consent=given.consent,
        scope=given.scope,
        ground=given.ground,
        note=given.note,
    )
    from provgraph.cli.asking import reader
    from provgraph.cli.output import print_table
    from provgraph.settings import load

    if load().server:
        return receipt
    with reader() as opened:
        answer = opened.ask("Q19", {"dataset": given.dataset})
    console().print(
        f"[bold]{counted(len(answer.rows), 'row')} affected[/bold], each open until it is remedied"
        if answer.rows
        else f"[bold]nothing is known to be affected[/bold]: {escape(answer.empty)}"
    )
    print_table(answer.columns, answer.rows, labels=answer.labels, say_empty=False)
    return receipt


def add_remediate(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph remediate`."""
    parser = _parser(
        commands,
        "remediate",
        text,
        description="Decide what becomes of a thing that a withdrawal affects. The latest counts.",
        example="provgraph remediate churn:3"
        " --withdrawal withdrawal/0198c5de-1a2b-7c3d-8e4f-5a6b7c8d9e0f --state retrain"
        ' --by ada@example.org --reason "without the calls, in May" --due 2099-05-31',
        decide=lambda given: governing.remediate(
            given.thing,
            withdrawal=given.withdrawal,
            state=given.state,
            by=given.by,
            reason=given.reason,
            due=given.due,
            note=given.note,
        ),
    )
    parser.add_argument("thing", help="the affected model, dataset or deployment")
    parser.add_argument("--withdrawal", metavar="ID", required=True, help="its IRI or id")
    parser.add_argument(
        "--state", choices=REMEDIATION_STATES, required=True, help="none opens it again"
    )
    _reason(parser)
    parser.add_argument("--due", metavar="TIME", help="until when it is to be carried out")
    return parser


def add_register(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph register`."""
    parser = _parser(
        commands,
        "register",
        text,
        description="Enter a model into the inventory, or change its entry. A name alone stands for"
        " all versions.",
        example="provgraph register churn --owner ada@example.org --tier 1 --risk high-risk"
        " --review-by 2099-09-01 --by grace@example.org",
        decide=lambda given: governing.register(
            given.model,
            owner=given.owner,
            project=given.project,
            tier=given.tier,
            risk=given.risk,
            review_by=given.review_by,
            by=given.by,
            note=given.note,
        ),
    )
    _model(parser)
    parser.add_argument("--owner", metavar="WHO", help="who answers for it")
    parser.add_argument("--project", metavar="NAME", help="the project it belongs to")
    parser.add_argument("--tier", metavar="TIER", help="how much depends on it, on your own scale")
    parser.add_argument("--risk", metavar="CLASS", help="its class of risk")
    parser.add_argument("--review-by", metavar="TIME", help="when it is to be validated again")
    return parser


def add_assign(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph assign`."""
    parser = _parser(
        commands,
        "assign",
        text,
        description="Say who answers for a model, dataset or report, as what, and until when.",
        example="provgraph assign customers.csv --to ada@example.org --role steward"
        " --delegated-by head-of-data@example.org --by grace@example.org",
        decide=lambda given: governing.assign(
            given.thing,
            to=given.to,
            role=given.role,
            delegated_by=given.delegated_by,
            since=given.since,
            until=given.until,
            by=given.by,
            note=given.note,
        ),
    )
    parser.add_argument("thing", help="a model (a name alone: all versions), dataset or report")
    parser.add_argument("--to", metavar="WHO", required=True, help="who answers for it")
    parser.add_argument("--role", metavar="ROLE", default="owner", help="default: owner")
    parser.add_argument("--delegated-by", metavar="WHO", help="in whose place")
    parser.add_argument("--since", metavar="TIME", help="from when; default: now")
    parser.add_argument("--until", metavar="TIME", help="to when; default: until further notice")
    return parser


def add_assess(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph assess`."""
    parser = _parser(
        commands,
        "assess",
        text,
        description="Say how far a model differs from the one it follows: whether that is a"
        " substantial modification, and whether it was laid down beforehand. What is not said is"
        " unknown, and shown so.",
        example="provgraph assess churn:3 --substantial --no-predetermined"
        ' --reason "a new source of data" --by grace@example.org',
        decide=lambda given: governing.assess_change(
            given.model,
            reason=given.reason,
            substantial=given.substantial,
            predetermined=given.predetermined,
            previous=given.previous,
            plan=given.plan,
            by=given.by,
            note=given.note,
        ),
    )
    _model(parser)
    _reason(parser)
    parser.add_argument("--substantial", action=argparse.BooleanOptionalAction)
    parser.add_argument("--predetermined", action=argparse.BooleanOptionalAction)
    parser.add_argument("--previous", metavar="MODEL", help="the model that it follows")
    parser.add_argument("--plan", metavar="TEXT", help="where a predetermined change is laid down")
    return parser


def add_respond(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph respond`."""
    parser = _parser(
        commands,
        "respond",
        text,
        description="Take note of an observation or drift verdict, and say what is done about it.",
        example="provgraph respond observation/0198c5de-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
        ' --by ada@example.org --status mitigated --action "rolled back to version 2"',
        decide=lambda given: governing.respond(
            given.to, by=given.by, action=given.action, status=given.status, note=given.note
        ),
    )
    parser.add_argument("to", help="IRI or id of the observation or verdict, as Q24 shows it")
    parser.add_argument("--action", metavar="TEXT", help="what is done about it")
    parser.add_argument(
        "--status", choices=RESPONSE_STATUSES, default=RESPONSE_STATUSES[0], help="how it stands"
    )
    return parser


def add_undeploy(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph undeploy`."""
    parser = _parser(
        commands,
        "undeploy",
        text,
        description="Record that a deployment is over.",
        example="provgraph undeploy deployment/0198c5de-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
        ' --by ada@example.org --reason "replaced by version 4"',
        decide=lambda given: governing.undeploy(
            given.deployment, reason=given.reason, until=given.until, by=given.by, note=given.note
        ),
    )
    parser.add_argument("deployment", help="its IRI or id, as Q25 shows it")
    parser.add_argument("--reason", metavar="TEXT", help="why it ends")
    parser.add_argument("--until", metavar="TIME", help="when it ended; default: now")
    return parser


def run_decision(arguments: argparse.Namespace) -> int:
    """Record what somebody decided, and say where it stands."""
    decide: Decide = arguments.decide
    try:
        receipt = decide(arguments)
    except CaptureError as error:
        raise UsageError(str(error)) from error
    if receipt is None:
        console(stderr=True).print("it is kept, and not in the ledger yet: `provgraph recover`")
        return 1
    act = f"{_KINDS[arguments.command]}/{receipt.record.rsplit('/', 1)[-1]}"
    console().print(f"recorded as [bold]{escape(act)}[/bold] at position {receipt.position}")
    return 0


def _parser(
    commands: Any, name: str, text: str, *, description: str, example: str, decide: Decide
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=description, epilog=f"Example: {example}"
    )
    parser.add_argument("--by", metavar="WHO", required=True, help="who decides this")
    parser.add_argument("--note", metavar="TEXT", help="a remark")
    parser.set_defaults(run=run_decision, decide=decide, command=name)
    return parser


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name:version, name, digest, path or IRI")


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why")
