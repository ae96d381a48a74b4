"""Recording durably: runs per second, and what metric steps cost, beside MLflow on SQLite."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench import with_provgraph
from tests.bench.measure import Sample, cpu, digits, interleaved, wall
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores
from tests.bench.workload import facts, losses

WANTED_RATIO = 20
WANTED_STEPS_S = 0.2
STEPS = (1_000, 10_000)
_STEP_BLOCKS = 5
# What happens once per process (imports, keys, tables) is not a part of a run's cost; the section
# "Start and install" has provgraph's.
WARM_UP_RUNS = 1

OURS = "provgraph"
THEIRS = "MLflow"


def run(stores: Stores, scale: Scale) -> Section:
    """Fill the stores with runs in turns, then record runs with many metric steps."""
    with with_provgraph.home(stores.home):
        runs = _runs(stores, scale)
    # Into other stores, so that these hold equal runs only when their size is taken.
    others = stores.others("steps")
    with with_provgraph.home(others.home):
        steps = {count: _steps(others, scale, count) for count in STEPS}
    rows = [_row(name, samples, per=scale.block_runs) for name, samples in runs.items()]
    targets = [_steps_target(steps[STEPS[-1]][OURS])]
    notes = [_drift_note(runs[OURS], scale)]
    if THEIRS in runs:
        ratio = wall(runs[THEIRS]).median / wall(runs[OURS]).median
        cpu_ratio = cpu(runs[THEIRS]).median / cpu(runs[OURS]).median
        rows.append(("MLflow / provgraph", digits(ratio), digits(cpu_ratio), ""))
        targets.insert(0, _ratio_target(ratio))
    return Section(
        title="Recording",
        method=_METHOD.format(blocks=scale.blocks, block_runs=scale.block_runs),
        tables=(
            Table(
                title="One run of 30 parameters, 50 metrics, 5 tags, 3 datasets and 1 model",
                head=("", "wall ms per run", "CPU ms per run", "runs per second"),
                rows=tuple(rows),
            ),
            Table(
                title="The same run with a metric over many steps",
                head=("steps", "", "wall ms in all", "CPU ms in all"),
                rows=tuple(_step_rows(steps)),
            ),
        ),
        targets=tuple(targets),
        notes=tuple(notes),
    )


def _runs(stores: Stores, scale: Scale) -> dict[str, list[Sample]]:
    prepared = [facts(number) for number in range(scale.runs)]

    def block_of(record: Callable[..., None]) -> Callable[[int], None]:
        for number in range(WARM_UP_RUNS):
            record(facts(scale.runs + number))

        def block(number: int) -> None:
            start = number * scale.block_runs
            for each in prepared[start : start + scale.block_runs]:
                record(each)

        return block

    works = {OURS: block_of(with_provgraph.record)}
    if stores.mlflow is not None:
        works[THEIRS] = block_of(stores.mlflow.record)
    return interleaved(scale.blocks, works)


def _steps(stores: Stores, scale: Scale, count: int) -> dict[str, list[Sample]]:
    """Record one run with `count` steps per block."""
    curve = losses(count)

    def block_of(record: Callable[..., None]) -> Callable[[int], None]:
        record(facts(count))
        return lambda block: record(facts(count + 1 + block), losses=curve)

    works = {OURS: block_of(with_provgraph.record)}
    if stores.mlflow is not None:
        works[THEIRS] = block_of(stores.mlflow.record)
    return interleaved(min(_STEP_BLOCKS, scale.blocks), works)


def _row(name: str, samples: list[Sample], *, per: int) -> tuple[str, ...]:
    took = wall(samples, per=per)
    return (
        name,
        took.text(scale=1000),
        cpu(samples, per=per).text(scale=1000),
        digits(1 / took.median),
    )


def _step_rows(steps: dict[int, dict[str, list[Sample]]]) -> list[tuple[str, ...]]:
    rows = []
    for count, sides in steps.items():
        for name, samples in sides.items():
            rows.append(
                (f"{count:,}", name, wall(samples).text(scale=1000), cpu(samples).text(scale=1000))
            )
        if THEIRS in sides:
            ratio = wall(sides[THEIRS]).median / wall(sides[OURS]).median
            cpu_ratio = cpu(sides[THEIRS]).median / cpu(sides[OURS]).median
            rows.append((f"{count:,}", "MLflow / provgraph", digits(ratio), digits(cpu_ratio)))
    return rows


def _ratio_target(ratio: float) -> Target:
    return Target(
        what="Runs recorded durably per second, against MLflow's client on SQLite",
        wanted=f"at least {WANTED_RATIO} times as many",
        found=f"{digits(ratio)} times",
        is_met=ratio >= WANTED_RATIO,
    )


def _steps_target(samples: list[Sample]) -> Target:
    took_s = wall(samples).high
    return Target(
        what="A run with 10,000 metric steps, from entering it to the durable seal",
        wanted=f"less than {WANTED_STEPS_S:g} s in all",
        found=f"{digits(took_s)} s (the slowest)",
        is_met=took_s < WANTED_STEPS_S,
    )


def _drift_note(samples: list[Sample], scale: Scale) -> str:
    """Say whether a run costs more as the ledger grows: first against last blocks."""
    few = max(1, len(samples) // 5)
    first, last = (
        cpu(samples[:few], per=scale.block_runs),
        cpu(samples[-few:], per=scale.block_runs),
    )
    return (
        f"All runs name a version of one model. provgraph's first {few * scale.block_runs} runs took"
        f" {first.text(scale=1000)} CPU ms each, the last {few * scale.block_runs}"
        f" {last.text(scale=1000)}."
    )


_METHOD = """\
Both record the same facts in one process, in turns: {blocks} blocks of {block_runs} runs each.
provgraph is used through `provgraph.run` with the embedded ledger (SQLite, synchronous=FULL, every
run sealed and committed on its own) and records besides what it finds by itself: command,
environment, source code. MLflow is used through `MlflowClient` on SQLite at its defaults, as
cheaply as its API allows: one `log_batch` for parameters and metrics, a logged model, no artifact
files, no registered version. Datasets and model are named by URI and digest on both sides; neither
reads their bytes. Steps: provgraph gets one call per step, MLflow batches of 1,000."""
