"""What a run is while it is going, and what its journal gives back, are the same record."""

from __future__ import annotations

import math
from pathlib import Path

import provgraph.capture.journal as journals
from provgraph.capture.run import Run
from provgraph.capture.sinks import Receipt
from provgraph.capture.state import RunState, replay
from provgraph.records import Run as RunRecord


class Comparing:
    """A sink that reads the journal of the run it is handed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live: RunRecord | None = None
        self.replayed: RunRecord | None = None

    def journal_folder(self) -> Path:
        return self.folder

    def seal(self, state: RunState) -> Receipt:
        (path,) = journals.paths(self.folder)
        self.live, attached = state.run()
        self.replayed, attached_again = replay(journals.read(path)).run()
        assert attached == attached_again
        return Receipt(record="urn:uuid:1", position=0, ledger_size=1)

    def last_run(self, *, name: str, project: str | None) -> str | None:
        return None


def record_everything(sink: Comparing, folder: Path) -> Run:
    table, model_file = folder / "table.csv", folder / "model.bin"
    table.write_text("id,age\n1,40\n", "utf-8")
    model_file.write_bytes(b"model")
    with Run(
        sink,
        name="train \ud800 \N{GREEK SMALL LETTER ALPHA}",
        project="churn",
        owner="ada@example.org",
        plan="by hand",
        tags={"team": "risk", "try": 2},
        rank=0,
        world_size=2,
    ) as run:
        data = run.use(table, role="train", licence="CC-BY-4.0", rows=1)
        run.use("s3://bucket/nothing", role="test")
        run.log_params({"depth": 6, "rate": 0.5, "warm": True, "name": "a", "many": [1, 2]})
        run.log_params(depth=7, whole=2.0)
        run.log_metrics(auc=1, loss=math.inf, nothing=math.nan)
        for step in range(3):
            run.log_metrics(step=step, curve=1 / (1 + step))
        run.log_metrics(other=1)
        run.log_metrics(other=2)
        with run.step("clean", drop=True) as step:
            step.use(data)
            step.rows(rows_in=3, rows_out=2)
            step.filter("age > 0", reason="impossible", rows_removed=1)
            step.log_metrics(kept=2)
            step.missing("origin", "nobody knows")
            with step.step("inner") as inner:
                inner.note("nothing")
        model = run.generate(
            model_file, role="model", name="churn", version="3", derived_from=[data]
        )
        run.evaluate(model, data, metric="auc", value=1, interval=(0, 1, 0.95), threshold=0.5, n=10)
        run.note("done")
    return run


def test_a_run_and_its_journal_say_the_same(tmp_path: Path) -> None:
    sink = Comparing(tmp_path / "journal")
    record_everything(sink, tmp_path)
    assert repr(sink.live) == repr(sink.replayed)
    assert sink.live is not None
    assert (sink.live.status, len(sink.live.steps), len(sink.live.series)) == ("completed", 2, 2)


def test_a_second_run_of_the_process_and_its_journal_say_the_same(tmp_path: Path) -> None:
    """Its automatic facts come from what the process knows already."""
    first, second = Comparing(tmp_path / "journal"), Comparing(tmp_path / "journal")
    record_everything(first, tmp_path)
    record_everything(second, tmp_path)
    assert repr(second.live) == repr(second.replayed)
    assert first.live is not None
    assert second.live is not None
    assert second.live.environment is first.live.environment
    assert second.live.source_code == first.live.source_code
    assert second.live.invocation == first.live.invocation
