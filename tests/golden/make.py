"""Makes the golden ledger and bundle of the release in hand: `python tests/golden/make.py`.

Run once, when a release is cut; what it wrote is then never changed. Later versions must go on
reading it (tests/test_golden.py). No key is kept: nobody can add to a golden ledger.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import provgraph
from provgraph.seal.multikey import ED25519, PublicKey, did_key
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle, save_bundle
from provgraph.service.home import close_ledger
from provgraph.settings import load


def record(folder: Path) -> None:
    """Record one of each kind, with text of several scripts."""
    (folder / "customers.csv").write_text("age,churned\n41,0\n37,1\n")
    (folder / "model.bin").write_bytes(bytes(range(256)))
    with provgraph.run(
        'train "größe" 😀', project="golden", experiment="e", owner="ada@example.org", plan="P-7"
    ) as run:
        data = run.use(
            folder / "customers.csv",
            role="train",
            source="https://example.org/exports/42",
            licence="CC-BY-4.0",
            consent="contract",
        )
        run.use("s3://example/base.bin", role="base-model", vendor="Example", name="base")
        run.log_params({"learning rate": 0.1, "depth": 6, "größe": "x"})
        with run.step("clean", drop=True) as step:
            step.use(data)
            step.rows(rows_in=3, rows_out=2)
            step.filter("age < 18", reason="minors", rows_removed=1)
        for number in range(20):
            run.log_metrics(loss=1 / (number + 1), step=number)
        run.log_metrics(tiny=1e-30, none=float("nan"))
        model = run.generate(folder / "model.bin", role="model", name="churn", version="1")
        run.evaluate(
            model,
            data,
            metric="roc_auc",
            value=0.91,
            interval=(0.89, 0.93, 0.95),
            n=1000,
            slice="country = DE",
            threshold=0.9,
        )
    approval = provgraph.approve("churn:1", by="grace@example.org", meaning="fit")
    live = provgraph.deploy(
        "churn:1", stage="production", by="ada@example.org", on_approval=approval
    )
    provgraph.observe("churn:1", metric="roc_auc", value=0.8, threshold=0.9, deployment=live)
    provgraph.retract("customers.csv", reason="no consent", by="ada@example.org")


def main() -> None:
    """Write tests/golden/<version>/."""
    target = Path(__file__).parent / provgraph.__version__
    if target.exists():
        raise SystemExit(f"{target} exists: a golden release is never made twice")
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        os.environ |= {"PROVGRAPH_HOME": str(home), "PROVGRAPH_NAMESPACE": "golden.example.org"}
        os.environ["PROVGRAPH_STRICT"] = "on"
        record(Path(temporary))
        with open_reader(load()) as reader:
            members = export_bundle(reader, "churn:1")
            ledger = reader.ledger
            expected = {
                "origin": ledger.origin,
                "logKey": did_key(PublicKey(algorithm=ED25519, raw=ledger.log_key)),
                "size": ledger.size(),
                "root": ledger.root().hex(),
                "graphs": [record.iri for record in ledger.records()],
                "bundled": sum(name.endswith("/graph.nq") for name in members),
            }
        close_ledger()
        target.mkdir()
        save_bundle(members, target / "bundle.zip")
        shutil.copyfile(home / "ledger.db", target / "ledger.db")
        text = json.dumps(expected, indent=2, ensure_ascii=False)
        (target / "expected.json").write_text(text + "\n")
    print(f"wrote {target}: {expected['size']} entries")


if __name__ == "__main__":
    main()
