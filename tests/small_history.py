"""A small recorded history for tests of asking, exporting and the command line."""

import provgraph

DATA = "sha256:" + "ab" * 32
RAW = "sha256:" + "cc" * 32
MODEL = "sha256:" + "cd" * 32
OLD = "sha256:" + "dd" * 32


def record_history() -> None:
    """Two attempts at one model (one fails), an approval, a deployment and a drop."""
    facts = {"project": "churn", "experiment": "weekly", "owner": "ada@example.org"}
    with provgraph.run("prepare", **facts) as run:
        raw = run.use(
            "s3://bucket/raw.csv",
            role="raw",
            name="raw",
            digest=RAW,
            licence="CC-BY-4.0",
            source="https://example.org/raw",
        )
        with run.step("clean", drop=True) as step:
            step.use(raw)
            step.filter("age < 18", reason="minors", rows_removed=2)
            step.rows(rows_in=10, rows_out=8)
            step.generate("s3://bucket/clean.csv", name="clean", digest=DATA, kind="dataset")
    try:
        with provgraph.run("train", **facts) as run:
            run.log_params(depth=99)
            raise ValueError("too deep")
    except ValueError:
        pass
    for version, digest, depth in (("1", OLD, 3), ("2", MODEL, 6)):
        with provgraph.run("train", **facts) as run:
            data = run.use("s3://bucket/clean.csv", name="clean", role="train", digest=DATA)
            run.log_params({"depth": depth, "learning rate": 0.1})
            for number in range(5):
                run.log_metrics(loss=1 / (number + 1), step=number)
            model = run.generate(
                f"s3://bucket/{version}.bin",
                role="model",
                name="churn",
                version=version,
                digest=digest,
            )
            run.evaluate(
                model,
                data,
                metric="roc_auc",
                value=0.91,
                interval=(0.89, 0.93, 0.95),
                n=1000,
                threshold=0.9,
            )
            run.note("chosen" if version == "2" else "too weak")
    approval = provgraph.approve("churn:2", by="grace@example.org", meaning="fit")
    live = provgraph.deploy(
        "churn:2", stage="production", by="ada@example.org", on_approval=approval
    )
    provgraph.observe("churn:2", metric="roc_auc", value=0.8, threshold=0.9, deployment=live)
