"""The same small table in every library."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

ROWS = 60
COLUMNS: dict[str, list[Any]] = {
    "age": [20, 30, 40] * 20,
    "income": [1.5, None, 3.25] * 20,
    "city": ["Rome", "Oslo", None, "Rome"] * 15,
    "member_since": [dt.datetime(2024, 1, 1) + dt.timedelta(hours=n) for n in range(ROWS)],
    "active": [True, False] * 30,
    "target": [0, 1, 1] * 20,
}


def in_pandas() -> pd.DataFrame:
    return pd.DataFrame(COLUMNS)


def in_polars() -> pl.DataFrame:
    return pl.DataFrame(COLUMNS)


def in_arrow() -> pa.Table:
    return pa.table(COLUMNS)


def in_lists() -> dict[str, list[Any]]:
    return dict(COLUMNS)


def in_records() -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


LIBRARIES = {
    "pandas": in_pandas,
    "polars": in_polars,
    "arrow": in_arrow,
    "lists": in_lists,
    "records": in_records,
}


def random_frame(rows: int, *, seed: int = 0) -> pd.DataFrame:
    """Numbers, classes, identifiers and a label that goes with some of them."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "signal": signal,
            "noise": rng.normal(size=rows),
            "counts": rng.integers(0, 500, rows),
            "colour": np.where(signal + rng.normal(size=rows) > 0, "red", "blue"),
            "serial": [f"S-{number:08d}" for number in rng.permutation(rows)],
            "target": (signal + 0.5 * rng.normal(size=rows) > 0).astype(int),
        }
    )
