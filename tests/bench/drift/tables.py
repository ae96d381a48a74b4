"""The real tables of the benchmark, as tasks: features, label, two sources, rows for a golden set.

scikit-learn ships breast cancer, digits and iris; adult and California housing are read from a
folder outside the project (`PROVGRAPH_DATA`, see docs/benchmarks.md) and skipped where absent. Wine
and diabetes are left alone on purpose: an independent check uses them.

A table gives two tasks where it can, one of classification and one of regression, so that what is
learned is not a table's habit. Held out is always the table, with both.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

GOLDEN_ROWS: Final = 150
MAX_ROWS: Final = 3000
DATA_FOLDER: Final = os.environ.get("PROVGRAPH_DATA", "")
_BESIDE: Final = Path(__file__).resolve().parents[3].parent / "shared" / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A table with one column to predict."""

    name: str
    table: str
    is_classification: bool
    pool: pd.DataFrame  # columns, `__y`, `__site`
    golden: pd.DataFrame
    rows: int  # of a training snapshot

    @property
    def columns(self) -> list[str]:
        """Return the names of the features."""
        return [name for name in self.pool.columns if not name.startswith("__")]

    @property
    def numeric(self) -> list[str]:
        """Return the names of the numeric features."""
        return [name for name in self.columns if self.pool[name].dtype.kind in "fiu"]

    @property
    def categorical(self) -> list[str]:
        """Return the names of the features that are text."""
        return [name for name in self.columns if self.pool[name].dtype.kind not in "fiu"]


TASKS: Final = (
    "cancer",
    "cancer-size",
    "digits",
    "digits-odd",
    "iris",
    "adult",
    "adult-hours",
    "housing",
    "housing-dear",
)


def table_of(task: str) -> str:
    """Return the table that a task is made of."""
    return task.split("-", maxsplit=1)[0]


def data_folder() -> Path | None:
    """Return the folder with adult and housing, or None where it is absent."""
    for folder in (Path(DATA_FOLDER) if DATA_FOLDER else _BESIDE, _BESIDE):
        if (folder / "adult.csv.gz").is_file():
            return folder
    return None


def available() -> tuple[str, ...]:
    """Return the tasks whose tables are here."""
    if data_folder() is not None:
        return TASKS
    return tuple(name for name in TASKS if table_of(name) not in {"adult", "housing"})


@functools.cache
def load(name: str) -> Task:
    """Read one task."""
    frame, is_classification = _READERS[name]()
    generator = np.random.default_rng(20)
    if "__site" not in frame:
        frame["__site"] = _sites(frame)
    frame = frame.sample(frac=1, random_state=20).reset_index(drop=True)
    golden_rows = min(GOLDEN_ROWS, len(frame) // 6)
    golden = frame.iloc[:golden_rows].reset_index(drop=True)
    pool = frame.iloc[golden_rows:].reset_index(drop=True)
    del generator
    return Task(
        name=name,
        table=table_of(name),
        is_classification=is_classification,
        pool=pool,
        golden=golden,
        rows=min(700, int(len(pool) * 0.5)),
    )


def _sites(frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Split rows in two as if two places had sent them: along the first principal axis, softly."""
    values = frame[[c for c in frame if c != "__y" and frame[c].dtype.kind in "fiu"]].to_numpy(
        float
    )
    centred = (values - values.mean(0)) / (values.std(0) + 1e-9)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    score = centred @ axis + np.random.default_rng(3).normal(0, 1.0, len(frame))
    return np.where(score > np.quantile(score, 0.65), "B", "A")


def _shipped(bunch: Any) -> pd.DataFrame:
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    frame = pd.DataFrame(np.asarray(bunch.data, float), columns=names)
    frame["__y"] = np.asarray(bunch.target)
    return frame


def _cancer() -> tuple[pd.DataFrame, bool]:
    from sklearn.datasets import load_breast_cancer

    frame = _shipped(load_breast_cancer())
    return frame[
        [*frame.columns[:10], "worst_texture", "worst_area", "worst_concavity", "__y"]
    ], True


def _cancer_size() -> tuple[pd.DataFrame, bool]:
    from sklearn.datasets import load_breast_cancer

    frame = _shipped(load_breast_cancer())
    frame["__y"] = np.log(frame.pop("worst_area"))
    gone = ["worst_radius", "worst_perimeter", "mean_area", "mean_perimeter"]
    return frame.drop(columns=[*gone, *[c for c in frame if "error" in c]]), False


def _digits() -> tuple[pd.DataFrame, bool]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    image = np.asarray(bunch.images)
    # Eight by eight pixels as sixteen blocks: fewer columns, each of some weight.
    blocks = image.reshape(len(image), 4, 2, 4, 2).mean((2, 4)).reshape(len(image), 16)
    frame = pd.DataFrame(blocks, columns=[f"block_{i:02d}" for i in range(16)])
    frame["ink"] = image.mean((1, 2))
    frame["__y"] = bunch.target
    return frame, True


def _digits_odd() -> tuple[pd.DataFrame, bool]:
    frame, _ = _digits()
    frame["__y"] = frame["__y"] % 2
    return frame, True


def _iris() -> tuple[pd.DataFrame, bool]:
    from sklearn.datasets import load_iris

    return _shipped(load_iris()), True


def _beside(name: str) -> pd.DataFrame:
    folder = data_folder()
    if folder is None:
        raise FileNotFoundError(f"{name} is not here; set PROVGRAPH_DATA to a folder that holds it")
    return pd.read_csv(folder / name, keep_default_na=True)


def _adult() -> tuple[pd.DataFrame, bool]:
    frame = _beside("adult.csv.gz").sample(MAX_ROWS + GOLDEN_ROWS, random_state=1)
    text = frame.select_dtypes(exclude="number").columns
    frame[text] = frame[text].fillna("?")
    return _as_object(frame), True


def _adult_hours() -> tuple[pd.DataFrame, bool]:
    frame, _ = _adult()
    frame["income"] = frame.pop("__y").astype(float)
    frame["__y"] = frame.pop("age").astype(float)
    return frame, False


def _housing() -> tuple[pd.DataFrame, bool]:
    frame = _beside("housing.csv.gz").sample(MAX_ROWS + GOLDEN_ROWS, random_state=1)
    return _as_object(frame), False


def _housing_dear() -> tuple[pd.DataFrame, bool]:
    frame, _ = _housing()
    frame["__y"] = (frame["__y"] > 2.2).astype(int)
    return frame, True


def _as_object(frame: pd.DataFrame) -> pd.DataFrame:
    for name in frame.columns:
        if frame[name].dtype.kind not in "fiu":
            frame[name] = frame[name].astype(object)
        elif name != "__y":
            frame[name] = frame[name].astype(float)
    return frame.reset_index(drop=True)


_READERS: Final = {
    "cancer": _cancer,
    "cancer-size": _cancer_size,
    "digits": _digits,
    "digits-odd": _digits_odd,
    "iris": _iris,
    "adult": _adult,
    "adult-hours": _adult_hours,
    "housing": _housing,
    "housing-dear": _housing_dear,
}
