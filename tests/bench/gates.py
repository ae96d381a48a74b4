"""A gate on a model with 500 ancestors, and what it costs to hold a record against its shapes."""

from __future__ import annotations

from dataclasses import replace

from provgraph import terms
from provgraph.constraints.shapes import problems
from provgraph.query.requirements import load_profile
from provgraph.records import Entity, Generation, Run, Usage
from provgraph.service.asking import open_reader
from provgraph.service.gating import judged_by
from provgraph.service.home import readable_ledger
from tests.bench.measure import cpu, digits, interleaved
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores
from tests.gates.whole_model import (
    ADA,
    FIT,
    NOW,
    PREPARE,
    RAW,
    TRAIN,
    WHOLE,
    Bank,
    at,
    bank_at,
    content,
    uuid_of,
)

PROFILES = ("minimal", "eu-ai-act-high-risk")
_GATE_S = 2.0
_SHAPES_S = 0.003
_TRIPLES = 250


def run(stores: Stores, scale: Scale) -> Section:
    """Record a long preparation, judge the model that comes of it, and check its largest record."""
    steps = max(2, scale.planted[0] + scale.planted[1] // 2)  # 250 in full, two ancestors each
    bank = bank_at(stores.folder / "bank")
    _prepare(bank, steps)
    loaded = {name: load_profile(name) for name in PROFILES}
    verdicts: dict[str, str] = {}
    with open_reader(bank.settings) as reader:
        ancestors = len(reader.walk("credit:1", up=True, max_depth=None).nodes)

    def judge(name: str) -> None:
        with open_reader(bank.settings) as reader:
            verdict = judged_by(
                reader, "credit:1", profile=loaded[name], stage="production", now=NOW
            )
        verdicts[name] = verdict.verdict

    samples = interleaved(
        max(2, scale.repeats // 3), {name: lambda _, name=name: judge(name) for name in PROFILES}
    )
    with readable_ledger(bank.settings) as ledger:
        largest = max((record.graph_nq for record in ledger.records()), key=len)
    statements = list(terms.parse_lines(largest))
    checks = 200
    shapes = cpu(
        interleaved(
            max(2, scale.repeats // 3),
            {"shapes": lambda _: [problems(statements) for _ in range(checks)]},
        )["shapes"],
        per=checks,
    )
    took = {name: cpu(each) for name, each in samples.items()}
    worst = max(each.median for each in took.values())
    per_record = shapes.median * _TRIPLES / len(statements)
    return Section(
        title="Gates",
        method=_METHOD.format(steps=steps, ancestors=ancestors),
        tables=(
            Table(
                title=f"A gate on a model behind which stand {ancestors} things and runs",
                head=("profile", "requirements", "verdict", "CPU s [smallest..largest]"),
                rows=tuple(
                    (
                        name,
                        str(len(loaded[name].requirements)),
                        verdicts[name],
                        took[name].text(),
                    )
                    for name in PROFILES
                ),
            ),
            Table(
                title="A record against its shapes",
                head=("triples", "CPU µs [smallest..largest]"),
                rows=((str(len(statements)), shapes.text(scale=1e6)),),
            ),
        ),
        targets=(
            Target(
                what="A gate on a model with 500 ancestors",
                wanted="below 2 s of CPU time",
                found=f"{digits(worst)} s (the slower profile)",
                is_met=worst < _GATE_S,
            ),
            Target(
                what="Validation of a record of 250 triples as it comes in sealed",
                wanted="below 3 ms",
                found=f"{digits(per_record * 1e3)} ms by the shapes alone",
                is_met=per_record < _SHAPES_S,
            ),
        ),
    )


def _prepare(bank: Bank, steps: int) -> None:
    bank.enter_keys()
    bank.record(PREPARE)
    last = TRAIN
    for number in range(steps):
        side = replace(RAW, digest=content(f"side {number}"), name=f"side-{number}.csv")
        made = Entity(
            kind="dataset",
            digest=content(f"made {number}"),
            name=f"made-{number}",
            has_personal_data=False,
        )
        bank.record(
            Run(
                id=uuid_of(1_000 + number),
                name="prepare",
                project="credit",
                owner=ADA,
                status="completed",
                started_at=at(5 + number / 100),
                ended_at=at(5 + number / 100),
                environment=FIT.environment,
                source_code=FIT.source_code,
                parameters={"number": number},
                used=(Usage(entity=last, role="raw"), Usage(entity=side, role="raw")),
                generated=(Generation(entity=made, role="table"),),
            )
        )
        last = made
    bank.record(replace(FIT, used=(Usage(entity=last, role="train"),)), *WHOLE[2:])


_METHOD = """\
A model is made by {steps} runs in a row, each of which adds a source of its own, so that {ancestors} things
and runs stand behind it; it passes both profiles. A gate opens ledger and index, asks its questions, verifies
the seal and the place in the tree of every record behind the model, and looks for contradictions around all of
it. The profiles are judged in turns. The largest record of that ledger is held against the shapes in a loop.
CPU time, since the machine is shared."""
