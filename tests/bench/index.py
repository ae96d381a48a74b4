"""The index: replay and rebuild in quads per CPU second, and how long questions take."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

from provgraph.service.asking import Reader, open_reader, reindex
from provgraph.settings import Settings
from tests.bench import with_provgraph
from tests.bench.measure import Sample, Spread, cpu, measured, wall
from tests.bench.results import Scale, Section, Table
from tests.bench.stores import Stores
from tests.bench.workload import EXPERIMENT, MODEL, facts

_REBUILDS = 3


def run(stores: Stores, scale: Scale) -> Section:
    """Build the index of the runs recorded before in both ways, then ask."""
    with with_provgraph.home(stores.home) as settings:
        rounds = min(_REBUILDS, scale.repeats)
        replays, quads = [], 0
        for _ in range(rounds):
            shutil.rmtree(settings.index_folder, ignore_errors=True)
            replays.append(measured(lambda: _first_question(settings)))
        rebuilds = [measured(lambda: reindex(settings)) for _ in range(rounds)]
        with open_reader(settings) as reader:
            quads = reader.index.quad_count()
            questions = _questions(reader, scale)
        after_one = []
        for number in range(scale.repeats):
            with_provgraph.record(facts(10_000_000 + number))
            after_one.append(measured(lambda: _first_question(settings)))
        commands = _commands(scale)
    return Section(
        title="Index and questions",
        method=_METHOD.format(runs=scale.runs, quads=quads, repeats=scale.repeats),
        tables=(
            Table(
                title="Bringing the index up to the ledger",
                head=("", "CPU s", "wall s", "quads per CPU second"),
                rows=(
                    _build_row("replay in batches, from nothing", replays, quads),
                    _build_row("`provgraph reindex`", rebuilds, quads),
                ),
            ),
            Table(
                title="Questions, in a process that has the index open",
                head=("", "wall ms", "rows"),
                rows=(
                    *questions,
                    (
                        "open, take in one new run, list an experiment's attempts (Q13)",
                        wall(after_one).text(scale=1000),
                        "",
                    ),
                ),
            ),
            Table(
                title="Commands, from a shell's prompt to the answer",
                head=("", "wall ms"),
                rows=tuple(commands),
            ),
        ),
    )


def _first_question(settings: Settings) -> int:
    """Open a reader, which brings the index up to date, and ask something small."""
    with open_reader(settings) as reader:
        return len(reader.ask("Q10", {"run": f"{MODEL}:0"}).rows)


def _questions(reader: Reader, scale: Scale) -> list[tuple[str, ...]]:
    model, other, data = f"{MODEL}:0", f"{MODEL}:1", "dataset/train"
    asked: dict[str, Callable[[], int]] = {
        "lineage of a model, upwards": lambda: len(
            reader.walk(model, up=True, max_depth=None).nodes
        ),
        "lineage of a dataset that all runs used, downwards": lambda: len(
            reader.walk(data, up=False, max_depth=None).nodes
        ),
    }
    for name, values in {
        "Q01": {"model": model},
        "Q02": {"model": model},
        "Q10": {"run": model},
        "Q11": {"run": model},
        "Q12": {"run": model},
        "Q13": {"experiment": EXPERIMENT},
        "Q15": {"model": model},
        "Q19": {"dataset": data},
        "Q22": {"before": model, "after": other},
    }.items():
        asked[name] = lambda name=name, values=values: len(reader.ask(name, values).rows)
    rows = []
    for name, ask in asked.items():
        count = ask()
        samples = [measured(ask) for _ in range(scale.repeats)]
        rows.append((name, wall(samples).text(scale=1000), f"{count:,}"))
    return rows


def _commands(scale: Scale) -> list[tuple[str, str]]:
    rows = []
    for words in (
        ("lineage", f"{MODEL}:0", "--up"),
        ("show", f"{MODEL}:0"),
        ("query", "Q02", "--param", f"model={MODEL}:0"),
        ("--version",),
    ):
        command = [sys.executable, "-c", _COMMAND, *words]
        samples = [
            measured(
                lambda command=command: subprocess.run(command, check=True, capture_output=True)
            )
            for _ in range(scale.repeats)
        ]
        rows.append((f"`provgraph {' '.join(words)}`", wall(samples).text(scale=1000)))
    return rows


def _build_row(name: str, samples: list[Sample], quads: int) -> tuple[str, ...]:
    took = cpu(samples)
    speed = Spread(median=quads / took.median, low=quads / took.high, high=quads / took.low)
    return name, took.text(), wall(samples).text(), speed.text()


# What the console script `provgraph` does.
_COMMAND = "import sys; from provgraph.cli.main import main; sys.exit(main())"

_METHOD = """\
The ledger filled above: {runs:,} runs, {quads:,} quads. Each question is asked {repeats} times after
a first time that does not count. A command starts an interpreter of its own each time."""
