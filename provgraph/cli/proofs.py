"""What an answer is worth, in a few lines, or in full with `--evidence`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape

from provgraph.cli.output import counted, short
from provgraph.query.answers import Answer, Proofs
from provgraph.query.completeness import Completeness
from provgraph.query.contradictions import Contradiction
from provgraph.query.seals import ERASED, VERIFIED
from provgraph.terms import format_time

# More than these fill a screen; `--evidence` and `--json` have all of them.
_SHOWN: Final = 5


def say_proofs(
    out: Console, answer: Answer, *, in_full: bool, labels: Mapping[str, str] | None = None
) -> None:
    """Say which records an answer rests on and whether their seals hold, what lacks, what contradicts."""
    proofs = answer.proofs
    if proofs is None:
        return
    out.print(f"[dim]evidence:[/dim] {_summary(proofs)}")
    wrong = [each for each in proofs.seals if each.state not in {VERIFIED, ERASED}]
    for each in proofs.seals if in_full else wrong:
        where = "" if each.position is None else f"entry {each.position}, "
        sealed = "" if each.at is None else f", sealed {format_time(each.at)} by {each.key[:24]}…"
        reason = f": {each.reason}" if each.reason and each.state != ERASED else ""
        style = "green" if each.state == VERIFIED else "red"
        name = (labels or {}).get(each.record)
        out.print(
            f"  {where}{escape(short(each.record))}{escape(f' ({name})') if name else ''}"
            f" [{style}]{each.state}[/{style}]{sealed}{escape(reason)}"
        )
    say_completeness(out, proofs.completeness, rows=len(answer.rows), in_full=in_full)
    say_contradictions(out, proofs.contradictions, labels=answer.labels, in_full=in_full)
    if proofs.is_scope_cut:
        out.print(
            "[dim]contradictions were looked for around some of the things only: ask Q32[/dim]"
        )


def say_completeness(out: Console, found: Completeness, *, rows: int, in_full: bool) -> None:
    """Say which required facts lack, and what a record says could not be learnt."""
    for name, facts in found.required.items():
        if facts.absent + facts.missing:
            parts = [
                f"{facts.missing} missing" if facts.missing else "",
                f"{facts.absent} absent with a reason" if facts.absent else "",
            ]
            said = ", ".join(filter(None, parts))
            out.print(
                f"[yellow]incomplete[/yellow]: {name} in {facts.present} of {counted(rows, 'row')}; {said}"
            )
    shown = found.absent if in_full else found.absent[:_SHOWN]
    if shown and not in_full:
        fields = ", ".join(dict.fromkeys(each.field for each in shown))
        more = len(found.absent) - len(shown)
        rest = f" and {more} more (--evidence)" if more else " (--evidence says why)"
        out.print(f"[dim]could not be learnt:[/dim] {escape(fields)}{rest}")
    elif shown:
        for each in shown:
            reason = each.reason or "no reason is given"
            out.print(
                f"  unknown: {escape(each.field)} of {escape(short(each.thing))}: {escape(reason)}"
            )


def say_contradictions(
    out: Console,
    found: Sequence[Contradiction],
    *,
    labels: Mapping[str, str],
    in_full: bool = False,
    with_records: bool = False,
) -> None:
    """Say which statements cannot both be right, and which records make them."""
    shown = found if in_full else found[:_SHOWN]
    for each in shown:
        name = labels.get(each.thing) or short(each.thing)
        out.print(
            f"[red]contradiction[/red] {each.rule}: {escape(name)}: {escape(each.meaning)}"
            f" ({escape(each.fact)}: {escape(each.first)} and {escape(each.second)})"
        )
        for record in each.records if with_records else ():
            out.print(f"  [dim]said by[/dim] {escape(short(record))}")
    if len(found) > len(shown):
        out.print(
            f"[red]and {counted(len(found) - len(shown), 'more contradiction')}[/red] (--evidence)"
        )


def _summary(proofs: Proofs) -> str:
    count = len(proofs.evidence.records)
    states = Counter(each.state for each in proofs.seals)
    if count == 0:
        return "no record speaks of this; that there is nothing rests on the whole ledger"
    said = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    if states == {VERIFIED: count}:
        said = "its seal holds" if count == 1 else "all their seals hold"
    if proofs.unchecked:
        said += f", {proofs.unchecked} not checked (`provgraph verify` checks all)"
    enough = (
        "which alone give these rows" if proofs.evidence.kind == "sufficient" else "among others"
    )
    return f"{counted(count, 'record')}, {enough}; {said}"
