"""A small pipeline recorded with the public functions, and the bundles that are checked.

The names and texts hold what breaks careless tools: emoji, quotes, backslashes, tabs, control
characters, text from right to left. All numbers of the first model are decimals; the second model
has a p-value of 1e-30, which only a double holds.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import provgraph
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle
from provgraph.settings import load

MODEL = 'churn "β" 😀:1'
MODEL_WITH_DOUBLE = "churn-significance:1"

TEXTS = {
    "quotes": 'say "ü" \\ it\'s',
    "white": "tab\tnew line\nreturn\rend",
    "control": "\x01\x07\x08\x0b\x0c\x1b\x7f\x80\x9f",
    "astral": "😀 \U0001d518\U0001d52b 👩\u200d👧 \U0010fffd",
    "directions": "العربية עברית",
    "marks": "e\u0301 vs \u00e9, \u200b, \ufeff, \u2028, \ufffd",
    "looks like RDF": '<urn:a> <urn:b> "c"@en .',
}


def record(folder: Path) -> None:
    """Run the pipeline in an empty folder; where it records is up to PROVGRAPH_HOME."""
    customers, calls = folder / "customers 😀.csv", folder / "calls.csv"
    customers.write_text("id,plan\n1,a\n2,b\n3,b\n", "utf-8")
    calls.write_text("id,minutes\n1,10\n2,20\n", "utf-8")
    with provgraph.run("prepare", project="churn", owner="ada@example.org", plan="P-7") as run:
        run.use(customers, role="raw", licence="CC-BY-4.0", source="https://data.example/customers")
        run.use(calls, role="raw", licence="internal use only", collected="2025-01/2025-06")
        with run.step("clean", drop_missing=True) as step:
            step.filter("no calls", reason="nothing to learn from", rows_removed=1)
            train = folder / "train.csv"
            train.write_text("id,plan,minutes\n1,a,10\n2,b,20\n", "utf-8")
            step.generate(train, role="train", kind="dataset")
    with (
        contextlib.suppress(ValueError),
        provgraph.run("train", project="churn", owner="ada@example.org") as run,
    ):
        run.use(train, role="train")
        run.log_params(depth=int("six 😀"))
    name, version = MODEL.rsplit(":", 1)
    with provgraph.run("train", project="churn", owner="ada@example.org", tags=TEXTS) as run:
        data = run.use(train, role="train")
        run.log_params(TEXTS)
        run.log_params(learning_rate=1e-5, depth=6, momentum=0.1 + 0.2, nested=True)
        for step_number in range(20):
            run.log_metrics(loss=1 / (step_number + 1), step=step_number)
        weights = folder / "churn.bin"
        weights.write_bytes(b"weights \xff\x00")
        model = run.generate(weights, role="model", name=name, version=version)
        run.evaluate(
            model, data, metric="roc_auc", value=0.9123456789012345, interval=(0.9, 0.93, 0.95),
            n=760, slice="plan = b", threshold=0.9,
        )  # fmt: skip
    approval = provgraph.approve(MODEL, by="grace@example.org", meaning="for the pilot")
    provgraph.deploy(MODEL, stage="pilot", by="ada@example.org", on_approval=approval)
    provgraph.observe(MODEL, metric="roc_auc", value=0.71, n=100, threshold=0.9)
    name, version = MODEL_WITH_DOUBLE.rsplit(":", 1)
    with provgraph.run("test significance", project="churn", owner="ada@example.org") as run:
        data = run.use(train, role="train")
        weights.write_bytes(b"other weights")
        model = run.generate(weights, role="model", name=name, version=version)
        run.evaluate(model, data, metric="p_value", value=1e-30)


def export(model: str) -> dict[str, bytes]:
    """Return the members of a model's bundle."""
    with open_reader(load()) as reader:
        return export_bundle(reader, model)
