"""`provgraph drift`: where a drop began, and how sure we are."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from provgraph.cli.asking import reader
from provgraph.cli.output import console, print_json
from provgraph.drift.verdict import INSUFFICIENT, NO_DRIFT, Verdict
from provgraph.errors import UsageError
from provgraph.service.drifting import (
    Ends,
    Found,
    find_origin,
    record_verdict,
    verdict_json,
)
from provgraph.service.replays import Options, load_function, replay
from provgraph.settings import load

_COLOURS = {"NO_DRIFT": "green", "ORIGIN": "red", INSUFFICIENT: "yellow"}


def add_drift(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph drift`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "drift",
        help=text,
        description="Say where a drop of a model's quality began: in the data, the preparation, the"
        " features, the training, the code, the environment or the evaluation itself; with the"
        " evidence, what was cleared, and what would settle what is open (docs/drift.md). The verdict"
        " is sealed into the ledger.",
        epilog="Example: provgraph drift churn:4 --baseline churn:3; provgraph drift <observation>"
        " --metric roc_auc --json",
    )
    parser.add_argument("subject", help="what got worse: a model, a run or an observation")
    parser.add_argument("--baseline", help="what to compare with (default: the one before it)")
    parser.add_argument("--metric", help="the metric in question (default: the main one)")
    parser.add_argument("--json", action="store_true", help="the whole verdict as JSON")
    parser.add_argument("--by", metavar="NAME", help="who asks, for the record")
    parser.add_argument("--dry", action="store_true", help="decide, and record nothing")
    parser.add_argument("--all", action="store_true", help="every candidate and all evidence")
    replay = parser.add_argument_group(
        "replay", "run the pipeline again with factors swapped, until it is clear which did it"
    )
    replay.add_argument(
        "--replay",
        metavar="MODULE:FUNCTION",
        help="a function of (mix, seed) that runs the pipeline and returns the metric; mix maps the"
        " path of each changed factor to `before` or `after`",
    )
    replay.add_argument("--budget", type=int, default=20, help="at most so many runs (20)")
    replay.add_argument("--seeds", type=int, default=1, help="common seeds for every mix (1)")
    replay.add_argument("--timeout", type=float, default=600.0, help="seconds for one run (600)")
    replay.add_argument(
        "--state",
        metavar="FILE",
        help="keep each run's result here; go on from it when it is there",
    )
    parser.set_defaults(run=run_drift)
    return parser


def run_drift(arguments: argparse.Namespace) -> int:
    """Decide, record, show."""
    settings = load()
    with reader() as opened:
        found = find_origin(
            Ends(select=opened.index.select, ledger=opened.ledger, resolve=opened.resolve),
            arguments.subject,
            baseline=arguments.baseline,
            metric=arguments.metric,
            ledger_size=opened.ledger_size,
        )
        receipt = None
        replays: list[str] = []
        if arguments.replay:
            found, replays = _replay(found, arguments)
        if not arguments.dry:
            receipt = record_verdict(
                settings,
                opened.ledger,
                found,
                by=arguments.by or getpass.getuser(),
                replays=replays,
            )
    if arguments.json:
        plain = verdict_json(found.verdict)
        plain["record"] = None if receipt is None else receipt.record
        plain["ledger_size"] = found.ledger_size
        print_json(plain)
        return 0
    show_verdict(found.verdict, is_whole=arguments.all)
    if receipt is not None:
        console().print(f"\n[dim]sealed as {escape(receipt.record)}[/dim]")
    return 0


def _replay(found: Found, arguments: argparse.Namespace) -> tuple[Found, list[str]]:
    if arguments.budget < 2 or arguments.seeds < 1:
        raise UsageError("expected --budget of at least 2 and --seeds of at least 1")
    function = load_function(arguments.replay)

    def watch(
        done: int, budget: int, mix: Mapping[str, str], seed: int, value: float | None
    ) -> None:
        changed = [name for name, side in mix.items() if side == "after"]
        shown = "all of them" if len(changed) == len(mix) else ", ".join(changed) or "none"
        told = "failed" if value is None else f"{value:.4g}"
        print(
            f"replay {done}/{budget}, seed {seed}: as after are {shown}: {told}",
            file=sys.stderr,
            flush=True,
        )

    return replay(
        found,
        function,
        Options(
            budget=arguments.budget,
            seeds=tuple(range(arguments.seeds)),
            timeout_s=arguments.timeout,
            state=Path(arguments.state) if arguments.state else None,
        ),
        watch=watch,
        by=arguments.by,
    )


def show_verdict(verdict: Verdict, *, is_whole: bool = False) -> None:
    """Print a verdict for people."""
    out = console()
    colour = _COLOURS.get(verdict.outcome, "magenta")
    out.print(f"[bold {colour}]{verdict.outcome}[/bold {colour}]  {escape(verdict.summary)}")
    if verdict.outcome != NO_DRIFT and verdict.candidates:
        shown = verdict.candidates if is_whole else verdict.candidates[:4]
        for place, each in enumerate(shown, start=1):
            where = ", ".join(each.factors[:2]) + (" …" if len(each.factors) > 2 else "")
            out.print(
                f"  {place}. [bold]{escape(each.category):20}[/bold] {each.confidence:4.0%} sure"
                f"   [dim](ranker {each.ranker_share:.0%}, rules {each.rule_share:.0%})[/dim]"
                f"   {escape(where)}"
            )
        for each in shown if is_whole else shown[:1]:
            out.print(f"\n[bold]{escape(each.category)}[/bold]: evidence")
            for line in each.evidence:
                out.print(f"  · {escape(line)}")
    for cap in verdict.caps:
        out.print(f"  [yellow]confidence is capped[/yellow]: {escape(cap)}")
    if verdict.cleared:
        out.print("\n[bold]cleared[/bold]")
        for cleared in verdict.cleared:
            out.print(f"  · {escape(cleared.factor)}: {escape(cleared.reason)}")
    for note in verdict.notes if is_whole else verdict.notes[:5]:
        out.print(f"  [dim]note: {escape(note)}[/dim]")
    if verdict.advice:
        out.print("\n[bold]what would settle it[/bold]")
        for advice in verdict.advice if is_whole else verdict.advice[:4]:
            out.print(
                f"  · {escape(advice.action)} ({advice.settles:.2f} bits): {escape(advice.why)}"
            )
