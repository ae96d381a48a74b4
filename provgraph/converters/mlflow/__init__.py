"""MLflow, read without MLflow: a store in SQLite, in PostgreSQL, in files, or behind a server.

`stored` is the one shape that all ways to read a store give; `mapping` and `registry` make units of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from provgraph.converters.contract import Converter, Reading, Unit
from provgraph.converters.mlflow import mapping, registry, schemas, sqlite
from provgraph.converters.mlflow.rest import RestStore
from provgraph.converters.mlflow.sql import SqlStore
from provgraph.converters.mlflow.stored import (
    Fault,
    Store,
    Stored,
    StoredExperiment,
    StoredModel,
    StoredRegistered,
    StoredRun,
)
from provgraph.converters.sources import Source
from provgraph.errors import FormatError, UsageError


def _recognises(source: Source) -> str | None:
    if source.address is not None:
        is_web = source.address.startswith(("http://", "https://"))
        is_mlflow = is_web and RestStore(source.address, os.environ).is_mlflow()
        return "an MLflow server" if is_mlflow else None
    return sqlite.recognises(source)


def _read(source: Source, reading: Reading) -> Iterator[Unit]:
    store = _opened(source, reading)
    try:
        for stored in store.read(reading.cursor):
            yield from _units(stored, reading)
        reading.next_cursor = store.cursor()
    finally:
        store.close()


def _opened(source: Source, reading: Reading) -> Store:
    if source.file is not None:
        database = sqlite.SqliteDatabase(source.file)
        try:
            store = SqlStore(database, what=source.text)
        except BaseException:
            database.close()
            raise
        _say_schema(store, reading)
        return store
    if source.address is not None and source.address.startswith(("http://", "https://")):
        return RestStore(source.address, os.environ)
    raise UsageError(f"expected an MLflow store, found {source.text[:200]}")


def _say_schema(store: SqlStore, reading: Reading) -> None:
    if store.schema is not None and store.schema not in schemas.KNOWN:
        reading.report.note(
            f"the schema {store.schema[:40]} is of a newer MLflow than 3.17.2, or of a fork: tables and"
            " columns that are not known are not read"
        )
    left_out = ", ".join(f"{count} in {table}" for table, count in store.not_read().items())
    if left_out:
        reading.report.note(f"rows that are not imported: {left_out}")


def _units(stored: Stored | Fault, reading: Reading) -> Iterator[Unit]:
    if isinstance(stored, Fault):
        reading.report.refused(stored.what, where=stored.where, reason=stored.reason)
        return
    try:
        if isinstance(stored, StoredRun):
            yield from mapping.run_units(stored, reading)
        elif isinstance(stored, StoredModel):
            yield from registry.model_units(stored, reading)
        elif isinstance(stored, StoredRegistered):
            yield from registry.registered_units(stored, reading)
        elif isinstance(stored, StoredExperiment):
            yield from registry.experiment_units(stored, reading)
        else:
            yield from registry.version_units(stored, reading)
    except FormatError as error:
        what, where = _called(stored)
        reading.report.refused(what, where=where, reason=str(error))


def _called(stored: Stored) -> tuple[str, str]:
    if isinstance(stored, StoredRun):
        return "run", stored.run_id
    if isinstance(stored, StoredModel):
        return "logged model", stored.model_id
    if isinstance(stored, StoredExperiment):
        return "experiment", stored.experiment_id
    if isinstance(stored, StoredRegistered):
        return "registered model", stored.name
    return "model version", f"{stored.name}:{stored.version}"


CONVERTER = Converter(
    name="mlflow", version="1", recognises=_recognises, read=_read, can_follow=True
)
