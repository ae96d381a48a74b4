"""The demo's pipeline: what a careful ML engineer's script looks like with provgraph in it.

Data: the Breast Cancer Wisconsin (Diagnostic) table that scikit-learn ships (569 rows; UCI Machine
Learning Repository, CC BY 4.0). It is split in two, as if two clinics had sent it, and the second
file gets a few flaws (repeated rows, empty cells) so that cleaning has something to do. Nothing
else is made up: models, scores and intervals come from real runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import provgraph
from provgraph.capture.run import Run
from provgraph.capture.sinks import Receipt
from provgraph.capture.things import Handle
from provgraph.cli.demo_governance import judge_before_release, withdraw_consent

SEED: Final = 7
SOURCE: Final = "https://archive.ics.uci.edu/dataset/17/breast+cancer+wisconsin+diagnostic"


class _RunFacts(TypedDict):
    project: str
    experiment: str
    owner: str


RUN: Final[_RunFacts] = {
    "project": "tumour-screening",
    "experiment": "first-model",
    "owner": "ada@example.org",
}
MODEL: Final = "tumour-screening:1.0"
RESAMPLES: Final = 300
AT_LEAST: Final = 0.95
EPOCHS: Final = 60
WEEKS: Final = 7
CHANGED_WEEK: Final = 5  # from 0
PATIENTS: Final = 130  # a week
FEW: Final = 18

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the demo made, for the narrator."""

    before: float  # ROC AUC on the test rows
    after: float  # ROC AUC that monitoring saw
    observed: list[str]  # records of the last two weeks


def run_pipeline(folder: Path, say: Say) -> Outcome:
    """Run everything in a folder, recording as it goes; `say` is told each step in words."""
    receive(folder)
    say("two clinics send their data: north.csv and south.csv, both CC-BY-4.0")
    rows = prepare(folder)
    say(f"prepared: merged, cleaned, two features added; {rows} rows left, exclusions with reasons")
    try:
        train_on_raw_data(folder)
    except ValueError:
        say("attempt 1, logistic regression on the raw file: failed, and is kept with its reason")
    score = train_boosting(folder)
    say(f"attempt 2, gradient boosting: ROC AUC {score:.3f}")
    before = train_linear(folder)
    say(f"attempt 3, a linear model that radiologists can read: ROC AUC {before:.3f}, published")
    judge_before_release(MODEL, say)
    approval = provgraph.approve(
        MODEL,
        by="grace@example.org",
        meaning="validated for a supervised pilot; a radiologist decides",
        stage="pilot",
    )
    deployment = provgraph.deploy(
        MODEL,
        stage="pilot",
        target="https://screening.example.org",
        by="ada@example.org",
        on_approval=approval,
    )
    say("approved by grace@example.org, deployed to the pilot by ada@example.org")
    after, observed = monitor(folder, deployment)
    verdict = "below" if after < AT_LEAST else "above"
    say(
        f"six weeks later monitoring sees ROC AUC {after:.3f}, {verdict} the threshold of {AT_LEAST}"
    )
    withdraw_consent(folder, MODEL, say)
    return Outcome(before=before, after=after, observed=observed)


def receive(folder: Path) -> None:
    """Write what the two clinics sent."""
    bunch = load_breast_cancer(as_frame=True)
    table = bunch.frame.rename(columns=lambda name: name.replace(" ", "_"))
    table = table[[name for name in table if name.startswith("mean_")] + ["target"]]
    north = table.sample(frac=0.6, random_state=SEED)
    south = table.drop(north.index)
    generator = np.random.default_rng(SEED)
    south = pd.concat([south, south.sample(9, random_state=SEED)])
    south.iloc[generator.choice(len(south), 14, replace=False), 4] = np.nan
    north.to_csv(folder / "north.csv", index=False)
    south.to_csv(folder / "south.csv", index=False)


def prepare(folder: Path) -> int:
    """Merge, clean, add features, split; return the number of rows left."""
    with provgraph.run("prepare", **RUN, plan="Preparation procedure P-7, version 2") as run:
        facts: dict[str, Any] = {
            "source": SOURCE,
            "licence": "CC-BY-4.0",
            "collected": "1989/1995",
            "collector": "University of Wisconsin",
            "collection_method": "images of fine-needle aspirates, measured by software",
            "personal_data": False,
            "consent": "de-identified before publication; research use",
        }
        tables = {name: pd.read_csv(folder / f"{name}.csv") for name in ("north", "south")}
        sources = [
            run.use(folder / f"{name}.csv", role="raw", rows=len(table), **facts)
            for name, table in tables.items()
        ]
        for source, each in zip(sources, tables.values(), strict=True):
            run.labels(source, by="pathologists of the university's hospitals", count=len(each))
            complete = float(each.notna().to_numpy().mean())
            run.quality(source, metric="completeness", value=complete, threshold=0.999)
            repeated = float(each.duplicated().mean())
            run.quality(source, metric="repeated rows", value=repeated, threshold="<= 0")
        with run.step("merge") as step:
            for source in sources:
                step.use(source, role="raw")
            table = pd.concat([each.assign(clinic=name) for name, each in tables.items()])
            merged = step.generate(table, name="merged table")
        with run.step("clean", drop_duplicates=True, drop_missing=True) as step:
            step.use(merged, role="merged")
            unique = table.drop_duplicates()
            removed = len(table) - len(unique)
            step.filter(
                "repeated rows",
                reason="sent twice by the clinic",
                rows_removed=removed,
                by="ada@example.org",
            )
            whole = unique.dropna()
            removed = len(unique) - len(whole)
            step.filter("an empty cell", reason="too few to impute", rows_removed=removed)
            clean = step.generate(whole, name="clean table")
        with run.step("features") as step:
            step.use(clean, role="clean")
            featured = whole.assign(
                compactness_ratio=whole.mean_perimeter**2 / whole.mean_area,
                concavity_ratio=whole.mean_concave_points / whole.mean_radius,
            )
            features = step.generate(featured, name="features", kind="feature-set")
            step.feature(
                "compactness_ratio",
                definition="mean_perimeter squared over mean_area",
                version="1",
                reason="chosen by the radiologists: robust to the zoom level",
                columns=["mean_perimeter", "mean_area"],
                source=clean,
                made=features,
                by="ada@example.org",
            )
            step.feature(
                "concavity_ratio",
                definition="mean_concave_points over mean_radius",
                version="1",
                columns=["mean_concave_points", "mean_radius"],
                source=clean,
                made=features,
                by="ada@example.org",
            )
        with run.step("split", test_size=0.3, seed=SEED) as step:
            step.use(features, role="features")
            train, test = train_test_split(
                featured, test_size=0.3, random_state=SEED, stratify=featured.target
            )
            train.to_csv(folder / "train.csv", index=False)
            test.to_csv(folder / "test.csv", index=False)
            step.generate(folder / "train.csv", role="train", kind="dataset", rows=len(train))
            step.generate(folder / "test.csv", role="test", kind="dataset", rows=len(test))
    return len(featured)


def train_on_raw_data(folder: Path) -> None:
    """Try to skip the cleaning. It fails, as it should."""
    with provgraph.run("train logistic regression on raw data", **RUN) as run:
        run.use(folder / "south.csv", role="train")
        raw = pd.read_csv(folder / "south.csv")
        LogisticRegression().fit(raw.drop(columns="target"), raw.target)


def train_boosting(folder: Path) -> float:
    """Train a strong model, to know what is possible."""
    with provgraph.run("train gradient boosting", **RUN) as run:
        data = run.use(folder / "train.csv", role="train")
        test = run.use(folder / "test.csv", role="test")
        settings: dict[str, Any] = {"n_estimators": 120, "learning_rate": 0.1, "max_depth": 3}
        run.log_params(model="gradient boosting", seed=SEED, **settings)
        estimator = GradientBoostingClassifier(random_state=SEED, **settings)
        estimator.fit(*_features(folder / "train.csv"))
        model = _save(run, estimator, folder / "boosting.pkl", data, version="0.1")
        return _evaluate(run, estimator, model, test, folder / "test.csv")


def train_linear(folder: Path) -> float:
    """Train the model that is published, with its learning curve."""
    with provgraph.run("train linear model", **RUN) as run:
        data = run.use(folder / "train.csv", role="train")
        test = run.use(folder / "test.csv", role="test")
        settings: dict[str, Any] = {"loss": "log_loss", "alpha": 0.01, "eta0": 0.01}
        run.log_params(model="linear, stochastic gradient descent", seed=SEED, **settings)
        run.log_params(epochs=EPOCHS)
        features, target = _features(folder / "train.csv")
        scaler = StandardScaler().fit(features)
        linear = SGDClassifier(learning_rate="adaptive", random_state=SEED, **settings)
        for epoch in range(EPOCHS):
            linear.partial_fit(scaler.transform(features), target, classes=[0, 1])
            probabilities = linear.predict_proba(scaler.transform(features))
            run.log_metrics(train_log_loss=log_loss(target, probabilities), step=epoch)
        estimator = make_pipeline(scaler, linear)
        model = _save(run, estimator, folder / "linear.pkl", data, version="1.0")
        run.note("chosen although 0.1 scores higher: radiologists can read its weights")
        return _evaluate(run, estimator, model, test, folder / "test.csv")


def monitor(folder: Path, deployment: Receipt | None) -> tuple[float, list[str]]:
    """Watch the pilot: five weeks as ever, a sixth after a change, a seventh with few results yet.

    From the sixth on the south clinic's new device reports lengths in another unit. Return its ROC AUC, and
    the records of the last two weeks.
    """
    rows = pd.read_csv(folder / "test.csv")
    with (folder / "linear.pkl").open("rb") as file:
        estimator = pickle.load(file)  # noqa: S301 - written by this process a moment ago
    first = datetime.now(UTC) - timedelta(weeks=WEEKS)
    generator = np.random.default_rng(SEED)
    values, receipts = [], []
    for week in range(WEEKS):
        seen = rows.iloc[generator.permutation(len(rows))[:PATIENTS]].copy()
        note = None
        if week >= CHANGED_WEEK:
            lengths, is_south = ["mean_radius", "mean_perimeter"], seen.clinic == "south"
            seen.loc[is_south, lengths] *= 2.54  # inches, not centimetres
            note = "the south clinic replaced its scanner this week"
        if week > CHANGED_WEEK:
            seen = seen.iloc[:FEW]
            note = "the laboratory's results are in for a few patients only"
        inputs = seen.drop(columns=["target", "clinic"])
        scores = estimator.predict_proba(inputs)[:, 1]
        values.append(float(roc_auc_score(seen.target, scores)))
        receipts.append(
            provgraph.observe(
                MODEL,
                metric="roc_auc",
                value=values[-1],
                n=len(seen),
                threshold=AT_LEAST,
                window=(first + timedelta(weeks=week), first + timedelta(weeks=week + 1)),
                inputs=seen.drop(columns="clinic"),
                deployment=deployment,
                by="monitoring@example.org",
                note=note,
            )
        )
    return values[CHANGED_WEEK], [each.record for each in receipts[CHANGED_WEEK:] if each]


def _features(path: Path) -> tuple[Any, Any]:
    table = pd.read_csv(path)
    return table.drop(columns=["target", "clinic"]), table.target


def _save(run: Run, estimator: Any, path: Path, data: Handle, *, version: str) -> Handle:
    path.write_bytes(pickle.dumps(estimator))
    return run.generate(
        path,
        role="model",
        name="tumour-screening",
        version=version,
        derived_from=[data],
        intended_use=provgraph.IntendedUse(
            purpose="a second reading in a supervised pilot; a radiologist decides",
            commercial=False,
            distributed=False,
            out_of_scope="screening without a radiologist",
        ),
    )


def _evaluate(run: Run, estimator: Any, model: Handle, test: Handle, path: Path) -> float:
    """Record ROC AUC with a bootstrap interval, accuracy, and both clinics apart."""
    table = pd.read_csv(path)
    features, target = _features(path)
    scores = estimator.predict_proba(features)[:, 1]
    overall = float(roc_auc_score(target, scores))
    generator = np.random.default_rng(SEED)
    slices: dict[str | None, Any] = {None: np.ones(len(table), dtype=bool)}
    slices |= {f"clinic = {name}": (table.clinic == name).to_numpy() for name in ("north", "south")}
    for name, chosen in slices.items():
        truth, guess = target.to_numpy()[chosen], scores[chosen]
        low, high = _bootstrap(truth, guess, generator)
        run.evaluate(
            model,
            test,
            metric="roc_auc",
            value=roc_auc_score(truth, guess),
            interval=(low, high, 0.95),
            interval_method=f"bootstrap, {RESAMPLES} resamples, percentiles",
            n=len(truth),
            slice=name,
            threshold=AT_LEAST,
            implementation="sklearn.metrics.roc_auc_score",
        )
    run.evaluate(
        model,
        test,
        metric="accuracy",
        value=accuracy_score(target, scores >= 0.5),
        n=len(table),
        implementation="sklearn.metrics.accuracy_score",
    )
    run.log_metrics(roc_auc=overall)
    return overall


def _bootstrap(truth: Any, guess: Any, generator: np.random.Generator) -> tuple[float, float]:
    values: list[float] = []
    while len(values) < RESAMPLES:
        rows = generator.integers(0, len(truth), len(truth))
        if truth[rows].min() != truth[rows].max():
            values.append(roc_auc_score(truth[rows], guess[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
