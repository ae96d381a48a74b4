"""The MLflow store of mlflow_3_17_2.sql, made anew for a test."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SQL = Path(__file__).with_name("mlflow_3_17_2.sql")


def made(folder: Path) -> Path:
    """Return the path of a store."""
    path = folder / "mlflow.db"
    database = sqlite3.connect(path)
    database.executescript(SQL.read_text("utf-8"))
    database.close()
    return path


def edit(path: Path, statement: str, values: Sequence[Any] = ()) -> None:
    """Change a store, as somebody with a database client would."""
    database = sqlite3.connect(path)
    with database:
        database.execute(statement, values)
    database.close()


def one(path: Path, statement: str) -> Any:
    """Return the one value that a statement gives."""
    database = sqlite3.connect(path)
    (row,) = database.execute(statement).fetchall()
    database.close()
    return row[0]
