"""An MLflow store in a database: its tables, read in pages, each page one consistent state.

Written for the tables of MLflow 2.0 to 3.17; what an older schema lacks is not asked for, and a newer one
is read for what is known of it, and the report says so. No page holds the database's attention for long,
so that a server that works on it is not held up: a page is read whole before its runs are handed on.

Specification: the schema that MLflow makes (`mlflow/store/tracking/dbmodels`), no document describes it.
"""

# ruff: noqa: S608 - statements are put together of our own words; values enter through marks

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, Final, Protocol

from provgraph.converters.mlflow import schemas
from provgraph.converters.mlflow.names import MODEL_STATUSES
from provgraph.converters.mlflow.stored import (
    Fault,
    Stored,
    StoredAssessments,
    StoredDataset,
    StoredExperiment,
    StoredModel,
    StoredModelMetric,
    StoredRegistered,
    StoredRun,
    StoredVersion,
)
from provgraph.errors import FormatError

# Runs whose rows are read together, and runs for which the tables without an index by run are read once.
PAGE_RUNS: Final = 100
BLOCK_RUNS: Final = 5000
# A page with more metric rows is handed on while it is read.
_MAX_PAGE_ROWS: Final = 100_000
# Clocks of clients differ: what ended so long before the last import's newest end is looked at again.
_OVERLAP_MS: Final = 3_600_000
_MAX_WAITING: Final = 10_000
_REQUIRED: Final = {
    "runs": {"run_uuid", "status", "start_time", "end_time", "lifecycle_stage", "experiment_id"},
    "metrics": {"run_uuid", "key", "value", "timestamp", "step"},
    "params": {"run_uuid", "key", "value"},
    "tags": {"run_uuid", "key", "value"},
    "experiments": {"experiment_id", "name"},
}
_DEPRECATED: Final = ("source_type", "source_name", "entry_point_name", "source_version")

Values = tuple[Any, ...]


class Database(Protocol):
    """What reading takes of a database; statements are written with `?`."""

    row_order: str | None  # a column that grows with each row, where there is one

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns; none where there is no such table."""
        ...

    def page(self) -> contextlib.AbstractContextManager[None]:
        """Read what follows from one state of the database."""
        ...

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Iterator[Values]:
        """Run a statement."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class SqlStore:
    """A store in a database (see `Store`)."""

    def __init__(self, database: Database, *, what: str) -> None:
        """Look at the tables.

        Raises:
            FormatError: what makes a store of MLflow is not there.
        """
        self._db = database
        self._columns = {table: database.columns(table) for table in schemas.TABLES}
        for table, needed in _REQUIRED.items():
            lacking = needed - self._columns[table]
            if lacking:
                raise FormatError(
                    f"{what}: expected the tables of an MLflow store; {table} lacks"
                    f" {', '.join(sorted(lacking))}. `mlflow db upgrade` brings an old store up to date"
                )
        self.schema: str | None = None
        if self._columns["alembic_version"]:
            self.schema = next(
                (row[0] for row in self._rows("SELECT version_num FROM alembic_version")), None
            )
        self._waiting: list[str] = []
        self._last: dict[str, int] = {}

    def close(self) -> None:
        """Let the database go."""
        self._db.close()

    def cursor(self) -> dict[str, Any] | None:
        """Return how far the runs were read, and which had not ended."""
        if len(self._waiting) > _MAX_WAITING:
            return None
        return {**self._last, "waiting": self._waiting}

    def read(self, cursor: Mapping[str, Any] | None) -> Iterator[Stored | Fault]:
        """Yield experiments, runs, logged models, registered models and their versions."""
        with self._db.page():
            experiments = list(self._experiments())
        names = {each.experiment_id: each.name for each in experiments}
        yield from experiments
        for block in self._blocks(cursor):
            models, metrics = self._of_block(block)
            for start in range(0, len(block), PAGE_RUNS):
                page = block[start : start + PAGE_RUNS]
                yield from self._page(page, names, models, metrics)
        since = 0 if cursor is None else int(cursor.get("models", 0)) - _OVERLAP_MS
        yield from self._models(since)
        yield from self._registry()

    # ---- runs ------------------------------------------------------------------------------------
    def _blocks(self, cursor: Mapping[str, Any] | None) -> Iterator[list[str]]:
        """Yield ids of runs in the order of their start, so many that they can be held."""
        where = "1 = 1"
        values: list[Any] = []
        order = self._db.row_order
        has_deleted = "deleted_time" in self._columns["runs"]
        if cursor is not None:
            since = int(cursor.get("ended", 0)) - _OVERLAP_MS
            where, values = "end_time >= ? OR start_time >= ?", [since, since]
            if order is not None:
                where, values = f"{where} OR {order} > ?", [*values, int(cursor.get("row", 0))]
            if has_deleted:
                where, values = f"{where} OR deleted_time >= ?", [*values, since]
            waiting = [str(each) for each in cursor.get("waiting", ())]
            for start in range(0, len(waiting), 500):
                some = waiting[start : start + 500]
                where += f" OR run_uuid IN ({_marks(some)})"
                values += some
        row = "0" if order is None else order
        last: tuple[int, str] | None = None
        while True:
            after, marks = "", list(values)
            if last is not None:
                after = " AND (coalesce(start_time, 0) > ? OR (coalesce(start_time, 0) = ? AND run_uuid > ?))"
                marks += [last[0], last[0], last[1]]
            with self._db.page():
                block = list(
                    self._rows(
                        "SELECT coalesce(start_time, 0), run_uuid, status,"
                        f" coalesce(end_time, 0), {row} FROM runs WHERE ({where}){after}"
                        f" ORDER BY coalesce(start_time, 0), run_uuid LIMIT {BLOCK_RUNS}",
                        marks,
                    )
                )
            if not block:
                return
            for _, run_id, status, ended, number in block:
                self._note("ended", ended)
                self._note("row", number)
                if status in {"RUNNING", "SCHEDULED"} and len(self._waiting) <= _MAX_WAITING:
                    self._waiting.append(str(run_id))
            yield [row[1] for row in block]
            last = block[-1][0], block[-1][1]

    def _note(self, name: str, value: Any) -> None:
        if type(value) is int:
            self._last[name] = max(self._last.get(name, 0), value)

    def _of_block(
        self, block: Sequence[str]
    ) -> tuple[dict[str, list[StoredModel]], dict[str, list[StoredModelMetric]]]:
        """Read what has no index by run, once for many of them."""
        models: dict[str, list[StoredModel]] = defaultdict(list)
        metrics: dict[str, list[StoredModelMetric]] = defaultdict(list)
        if not self._columns["logged_models"]:
            return models, metrics
        with self._db.page():
            params: dict[str, dict[str, str]] = defaultdict(dict)
            for row in self._rows(f"{_MODEL} WHERE source_run_id IN ({_marks(block)})", block):
                model = _model(row)
                models[str(model.source_run)].append(model)
            own = {model.model_id: model for each in models.values() for model in each}
            for some in _slices(list(own), PAGE_RUNS):
                for model_id, key, value in self._rows(
                    "SELECT model_id, param_key, param_value FROM logged_model_params"
                    f" WHERE model_id IN ({_marks(some)})",
                    some,
                ):
                    params[model_id][key] = value
            for model_id, found in params.items():
                own[model_id].params = found
            if self._columns["logged_model_metrics"]:
                for row in self._rows(
                    "SELECT run_id, model_id, metric_name, metric_timestamp_ms, metric_step,"
                    " metric_value, dataset_name, dataset_digest FROM logged_model_metrics"
                    f" WHERE run_id IN ({_marks(block)}) ORDER BY model_id, metric_name,"
                    " metric_step, metric_timestamp_ms",
                    block,
                ):
                    metrics[row[0]].append(
                        StoredModelMetric(
                            model_id=str(row[1]),
                            name=str(row[2]),
                            at_ms=row[3],
                            step=row[4],
                            value=row[5],
                            dataset_name=row[6],
                            dataset_digest=row[7],
                        )
                    )
        return models, metrics

    def _page(
        self,
        page: Sequence[str],
        names: Mapping[str, str],
        models: Mapping[str, list[StoredModel]],
        model_metrics: Mapping[str, list[StoredModelMetric]],
    ) -> Iterator[Stored | Fault]:
        with contextlib.ExitStack() as reading:
            reading.enter_context(self._db.page())
            runs = {run.run_id: run for run in self._runs(page, names)}
            page = list(runs)  # one can be gone since its id was read
            marks = _marks(page)
            for run_id, key, value in self._rows(
                f"SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({marks})", page
            ):
                runs[run_id].params[key] = value
            for run_id, key, value in self._rows(
                f"SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({marks})", page
            ):
                runs[run_id].tags[key] = "" if value is None else value
            self._inputs(page, runs)
            for run_id, key, step, at, value, is_nan in self._rows(
                "SELECT run_uuid, key, step, timestamp, value, is_nan FROM latest_metrics"
                f" WHERE run_uuid IN ({marks})"
                if self._columns["latest_metrics"]
                else "SELECT '', '', 0, 0, 0.0, 0 WHERE 1 = 0",
                page if self._columns["latest_metrics"] else (),
            ):
                run = runs[run_id]
                if run.latest is None:
                    run.latest = {}
                run.latest[key] = (step, at, float("nan") if is_nan else value)
            nan = "is_nan" if "is_nan" in self._columns["metrics"] else "0"
            rows = self._rows(
                f"SELECT run_uuid, key, step, timestamp, value, {nan} FROM metrics"
                f" WHERE run_uuid IN ({marks}) ORDER BY run_uuid, key, step, timestamp, value",
                page,
            )
            first = list(_take(rows, _MAX_PAGE_ROWS))
            if len(first) < _MAX_PAGE_ROWS:
                reading.close()  # the whole page is here, and the database free again
            for run_id, its in groupby(chain(first, rows), key=lambda row: row[0]):
                run = runs[run_id]
                for _, key, step, at, value, is_nan in its:
                    found = run.metrics.get(key)
                    if found is None:
                        found = run.metrics[key] = []
                    found.append((step, at, float("nan") if is_nan else value))
                yield self._whole(run, models, model_metrics)
                del runs[run_id]
        for run in runs.values():
            yield self._whole(run, models, model_metrics)

    def _whole(
        self,
        run: StoredRun,
        models: Mapping[str, list[StoredModel]],
        metrics: Mapping[str, list[StoredModelMetric]],
    ) -> StoredRun:
        run.models = models.get(run.run_id, [])
        run.model_metrics = metrics.get(run.run_id, [])
        return run

    def _runs(self, page: Sequence[str], names: Mapping[str, str]) -> Iterator[StoredRun]:
        has = self._columns["runs"]
        columns = ("name", "user_id", "deleted_time", "artifact_uri", *_DEPRECATED)
        optional = ", ".join(name if name in has else "NULL" for name in columns)
        for row in self._rows(
            "SELECT run_uuid, experiment_id, status, start_time, end_time, lifecycle_stage,"
            f" {optional} FROM runs WHERE run_uuid IN ({_marks(page)})",
            page,
        ):
            others = {
                name: value
                for name, value in zip(_DEPRECATED, row[10:], strict=True)
                if value not in {None, "", "UNKNOWN"}
            }
            yield StoredRun(
                run_id=row[0],
                experiment_id=str(row[1]),
                experiment=names.get(str(row[1])),
                status=row[2],
                start_ms=row[3],
                end_ms=row[4],
                lifecycle=row[5] or "active",
                name=row[6],
                user=row[7],
                deleted_ms=row[8],
                artifact_uri=row[9],
                others=others,
            )

    def _inputs(self, page: Sequence[str], runs: Mapping[str, StoredRun]) -> None:
        if not self._columns["inputs"]:
            return
        marks = _marks(page)
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        found: dict[str, StoredDataset] = {}
        for row in self._rows(
            "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type,"
            " d.dataset_source, d.dataset_schema, d.dataset_profile"
            " FROM inputs AS i JOIN datasets AS d ON d.dataset_uuid = i.source_id"
            f" WHERE i.destination_type = 'RUN' AND i.destination_id IN ({marks})"
            " AND i.source_type = 'DATASET' ORDER BY d.name, d.digest, i.input_uuid",
            page,
        ):
            run_id, input_id, name, digest, source_type, source, schema, profile = row
            data = found[input_id] = StoredDataset(
                name=str(name),
                digest=str(digest),
                source_type=source_type,
                source=source,
                schema=schema,
                profile=profile,
                tags=tags[input_id],
            )
            runs[run_id].inputs.append(data)
        for some in _slices(list(found), 500):
            for input_id, name, value in self._rows(
                f"SELECT input_uuid, name, value FROM input_tags WHERE input_uuid IN ({_marks(some)})",
                some,
            ):
                tags[input_id][name] = value
        step = "step" if "step" in self._columns["inputs"] else "0"
        for kind, run_id, model_id, at_step in self._rows(
            f"SELECT source_type, source_id, destination_id, {step} FROM inputs"
            f" WHERE source_type IN ('RUN_OUTPUT', 'RUN_INPUT') AND source_id IN ({marks})"
            " ORDER BY destination_id",
            page,
        ):
            if kind == "RUN_OUTPUT":
                runs[run_id].outputs.append((str(model_id), at_step))
            else:
                runs[run_id].model_inputs.append(str(model_id))

    # ---- registries ------------------------------------------------------------------------------
    def _experiments(self) -> Iterator[StoredExperiment]:
        has = self._columns["experiments"]
        names = (
            "artifact_location",
            "lifecycle_stage",
            "creation_time",
            "last_update_time",
            "workspace",
        )
        optional = ", ".join(name if name in has else "NULL" for name in names)
        tags = self._tags("experiment_tags", ("experiment_id",))
        for row in self._rows(
            f"SELECT experiment_id, name, {optional} FROM experiments ORDER BY 1"
        ):
            yield StoredExperiment(
                experiment_id=str(row[0]),
                name=str(row[1]),
                artifact_location=row[2],
                lifecycle=row[3] or "active",
                created_ms=row[4],
                updated_ms=row[5],
                workspace=row[6] or "default",
                tags=tags.get((row[0],), {}),
            )

    def _models(self, since_ms: int) -> Iterator[StoredModel]:
        if not self._columns["logged_models"]:
            return
        last = ""
        assessments = self._assessments()
        while True:
            with self._db.page():
                page = [
                    _model(row)
                    for row in self._rows(
                        f"{_MODEL} WHERE model_id > ? AND last_updated_timestamp_ms >= ?"
                        f" ORDER BY model_id LIMIT {PAGE_RUNS}",
                        (last, since_ms),
                    )
                ]
                ids = [model.model_id for model in page]
                for table, kind in (("logged_model_params", "param"), ("logged_model_tags", "tag")):
                    found: dict[str, dict[str, str]] = defaultdict(dict)
                    for model_id, key, value in self._rows(
                        f"SELECT model_id, {kind}_key, {kind}_value FROM {table}"
                        f" WHERE model_id IN ({_marks(ids)})",
                        ids,
                    ):
                        found[model_id][key] = value
                    for model in page:
                        values = found.get(model.model_id, {})
                        if kind == "param":
                            model.params = values
                        else:
                            model.tags = values
            if not page:
                return
            for model in page:
                model.assessments = assessments.get(model.model_id, [])
                self._note("models", model.updated_ms)
                yield model
            last = page[-1].model_id

    def _assessments(self) -> dict[str, list[StoredAssessments]]:
        """Return what assessors said of the traces of each model."""
        found: dict[str, list[StoredAssessments]] = defaultdict(list)
        if "aggregate_value" in self._columns["assessments"]:
            with self._db.page():
                for model_id, name, source, count, mean, last in self._rows(
                    "SELECT m.value, a.name, a.source_type, count(*), avg(a.aggregate_value),"
                    " max(a.last_updated_timestamp) FROM trace_request_metadata AS m"
                    " JOIN assessments AS a ON a.trace_id = m.request_id"
                    " WHERE m.key = 'mlflow.modelId' AND a.valid AND a.aggregate_value IS NOT NULL"
                    " GROUP BY m.value, a.name, a.source_type"
                    " ORDER BY m.value, a.name, a.source_type"
                ):
                    found[model_id].append(
                        StoredAssessments(
                            name=str(name),
                            source_type=str(source),
                            count=count,
                            mean=float(mean),
                            last_ms=last,
                        )
                    )
        return found

    def not_read(self) -> dict[str, int]:
        """Return tables that have rows which are not read, with how many."""
        with self._db.page():
            return {
                table: count
                for table in schemas.NOT_READ
                if self._db.columns(table)
                for (count,) in self._rows(f"SELECT count(*) FROM {table}")
                if count
            }

    def _registry(self) -> Iterator[Stored]:
        if not self._columns["registered_models"]:
            return
        with self._db.page():
            aliases: dict[Values, dict[str, str]] = defaultdict(dict)
            space = self._space("registered_model_aliases")
            if self._columns["registered_model_aliases"]:
                for workspace, name, alias, version in self._rows(
                    f"SELECT {space}, name, alias, version FROM registered_model_aliases"
                ):
                    aliases[workspace, name][alias] = str(version)
            tags = self._tags(
                "registered_model_tags", (self._space("registered_model_tags"), "name")
            )
            registered = list(
                self._rows(
                    f"SELECT {self._space('registered_models')}, name, creation_time,"
                    " last_updated_time, description FROM registered_models ORDER BY name"
                )
            )
        for workspace, name, created, updated, description in registered:
            yield StoredRegistered(
                name=str(name),
                workspace=workspace,
                created_ms=created,
                updated_ms=updated,
                description=description,
                aliases=aliases.get((workspace, name), {}),
                tags=tags.get((workspace, name), {}),
            )
            yield from self._versions(workspace, name, aliases.get((workspace, name), {}))

    def _versions(
        self, workspace: str, name: str, aliases: Mapping[str, str]
    ) -> Iterator[StoredVersion]:
        space = self._space("model_versions")
        tag_space = self._space("model_version_tags")
        models = "LEFT JOIN logged_models AS m ON m.model_id = substr(v.source, 9)"
        source_run, model_id = "m.source_run_id", "m.model_id"
        if not self._columns["logged_models"]:
            models, source_run, model_id = "", "NULL", "NULL"
        with self._db.page():
            tags: dict[Any, dict[str, str]] = defaultdict(dict)
            if self._columns["model_version_tags"]:
                for version, key, value in self._rows(
                    f"SELECT version, key, value FROM model_version_tags WHERE {tag_space} = ? AND name = ?",
                    (workspace, name),
                ):
                    tags[version][key] = "" if value is None else value
            rows = list(
                self._rows(
                    "SELECT v.version, v.creation_time, v.last_updated_time, v.description,"
                    " v.user_id, v.current_stage, v.source, v.run_id, v.status, v.status_message,"
                    f" v.run_link, {source_run}, {model_id} FROM model_versions AS v {models}"
                    f" WHERE {'v.' if space == 'workspace' else ''}{space} = ? AND v.name = ?"
                    " ORDER BY v.version",
                    (workspace, name),
                )
            )
        for row in rows:
            version = str(row[0])
            yield StoredVersion(
                name=name,
                workspace=workspace,
                version=version,
                created_ms=row[1],
                updated_ms=row[2],
                description=row[3],
                user=row[4],
                stage=row[5],
                source=row[6],
                run_id=row[7],
                status=row[8],
                status_message=row[9],
                run_link=row[10],
                model_run=row[11],
                model_id=row[12] if str(row[6]).startswith("models:/m-") else None,
                aliases=sorted(alias for alias, of in aliases.items() if of == version),
                tags=tags.get(row[0], {}),
            )

    def _tags(self, table: str, of: Sequence[str]) -> dict[Values, dict[str, str]]:
        found: dict[Values, dict[str, str]] = defaultdict(dict)
        if self._columns[table]:
            for *thing, key, value in self._rows(
                f"SELECT {', '.join(of)}, key, value FROM {table}"
            ):
                found[tuple(thing)][key] = "" if value is None else value
        return found

    def _space(self, table: str) -> str:
        """Return what says the workspace of a row: a column of MLflow 3.10 and later."""
        return "workspace" if "workspace" in self._columns[table] else "'default'"

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> Iterator[Values]:
        return self._db.rows(statement, values)


_MODEL: Final = (
    "SELECT model_id, experiment_id, name, artifact_location, creation_timestamp_ms,"
    " last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id, status_message"
    " FROM logged_models"
)


def _model(row: Values) -> StoredModel:
    return StoredModel(
        model_id=row[0],
        experiment_id=str(row[1]),
        name=str(row[2]),
        artifact_location=row[3],
        created_ms=row[4],
        updated_ms=row[5],
        status=MODEL_STATUSES.get(row[6], str(row[6])),
        lifecycle=row[7] or "active",
        model_type=row[8],
        source_run=row[9] or None,
        status_message=row[10],
    )


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _slices(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _take(rows: Iterable[Values], count: int) -> Iterator[Values]:
    for number, row in enumerate(rows, 1):
        yield row
        if number == count:
            return
