"""The index: replay and rebuild in quads per CPU second, and how long questions take."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from provgraph.service.asking import open_reader
from provgraph.service.indexing import reindex
from provgraph.settings import Settings
from tests.bench import asking, with_provgraph
from tests.bench.measure import Sample, Spread, cpu, measured, spread, wall
from tests.bench.results import Scale, Section, Table
from tests.bench.stores import Stores
from tests.bench.workload import MODEL, facts

_REBUILDS = 3
_REPOSITORY = Path(__file__).resolve().parents[2]


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
        questions = _questions(scale)
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
                        "open the index, take in one new run, ask for its parameters",
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


def _questions(scale: Scale) -> list[tuple[str, ...]]:
    """Ask each question in a process of its own: one that never ends takes no other with it."""
    rows = []
    for name in asking.QUESTIONS:
        command = [sys.executable, "-m", "tests.bench.asking", name, str(scale.repeats)]
        try:
            done = subprocess.run(
                command, check=True, capture_output=True, timeout=asking.TIMEOUT_S, cwd=_REPOSITORY
            )
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            limits = f"{asking.TIMEOUT_S} s and {asking.MEMORY_BYTES >> 30} GiB"
            rows.append((name, f"**no answer** within {limits}", ""))
            continue
        answer = json.loads(done.stdout)
        rows.append((name, spread(answer["wall_s"]).text(scale=1000), f"{answer['rows']:,}"))
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
