"""An MLflow store behind its REST API: pages of runs, and the history of each metric.

Specification: the REST API of MLflow 2 and 3 (`api/2.0/mlflow/…`), JSON. The server is a stranger: answers
are bounded, and what is not in their form is a fault with its place. Credentials come from the environment,
by MLflow's own names, go to that address alone and are kept nowhere.

What it cannot see: when a run was deleted, versions that were deleted, and assessments of traces. The logged models of an experiment are held in memory while its
runs are read.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from provgraph.converters.mlflow.stored import (
    Fault,
    Row,
    Stored,
    StoredDataset,
    StoredExperiment,
    StoredModel,
    StoredModelMetric,
    StoredRegistered,
    StoredRun,
    StoredVersion,
)
from provgraph.converters.sources import without_credentials
from provgraph.errors import FormatError, UnreachableError, UsageError
from provgraph.outgoing import Reply, require_address, send

_TIMEOUT_S: Final = 30.0
_MAX_BYTES: Final = 256 * 1024 * 1024
_TRIES: Final = 4
_PAGE: Final = 100
_HISTORY_PAGE: Final = 25_000
_BUSY: Final = frozenset({429, 502, 503, 504})
_OVERLAP_MS: Final = 3_600_000
_API: Final = "/api/2.0/mlflow/"
# What proto3 writes where a number is none.
_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class RestStore:
    """A store behind a server (see `Store`)."""

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        """Take the address, and the credentials of the environment.

        Raises:
            UsageError: no address that may be asked.
        """
        if "@" in address:
            raise UsageError(
                f"{without_credentials(address)}: expected an address without credentials; set"
                " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        self._address = require_address(address)
        self._headers = {"Content-Type": "application/json", **_authorization(environ)}
        self._last = 0
        self._waiting: list[str] = []

    def close(self) -> None:
        """Nothing is kept open."""

    def cursor(self) -> dict[str, Any] | None:
        """Return how far the runs were read."""
        return {"ended": self._last, "waiting": self._waiting[:10_000]}

    def is_mlflow(self) -> bool:
        """Whether the API of MLflow answers at the address.

        Raises:
            UnreachableError: nobody answers.
            UsageError: it asks for credentials.
        """
        reply = self._send("POST", "experiments/search", {"max_results": 1})
        if reply.status in {401, 403}:
            raise UsageError(
                f"{self._address} answers {reply.status}: set MLFLOW_TRACKING_TOKEN, or"
                " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return reply.status == 200 and reply.body.lstrip()[:1] == b"{"

    def read(self, cursor: Mapping[str, Any] | None) -> Iterator[Stored | Fault]:
        """Yield experiments with their runs and logged models, then the registry."""
        made: dict[str, str] = {}
        for experiment in self._experiments():
            yield experiment
            models = list(self._models(experiment.experiment_id))
            made |= {model.model_id: model.source_run or "" for model, _ in models}
            yield from self._runs(experiment, models, cursor)
            yield from (model for model, _ in models)
        yield from self._registry(made)

    # ---- parts ------------------------------------------------------------------------------------
    def _experiments(self) -> Iterator[StoredExperiment]:
        for each in self._pages("experiments/search", "experiments", {"view_type": "ALL"}):
            yield StoredExperiment(
                experiment_id=_text(each, "experiment_id"),
                name=_text(each, "name"),
                artifact_location=each.get("artifact_location"),
                lifecycle=each.get("lifecycle_stage") or "active",
                created_ms=_int(each.get("creation_time")),
                updated_ms=_int(each.get("last_update_time")),
                tags=_pairs(each.get("tags")),
            )

    def _runs(
        self,
        experiment: StoredExperiment,
        models: list[tuple[StoredModel, list[tuple[str, StoredModelMetric]]]],
        cursor: Mapping[str, Any] | None,
    ) -> Iterator[Stored | Fault]:
        by_run: dict[str, list[StoredModel]] = defaultdict(list)
        metrics: dict[str, list[StoredModelMetric]] = defaultdict(list)
        for model, its in models:
            if model.source_run:
                by_run[model.source_run].append(model)
            for run_id, metric in its:
                metrics[run_id].append(metric)
        asked = {
            "experiment_ids": [experiment.experiment_id],
            "run_view_type": "ALL",
            "order_by": ["attributes.start_time ASC"],
        }
        since = None if cursor is None else int(cursor.get("ended", 0)) - _OVERLAP_MS
        waiting = set() if cursor is None else set(cursor.get("waiting", ()))
        for each in self._pages("runs/search", "runs", asked):
            try:
                if models:  # a search leaves out which models went in
                    asked_id = _text(each.get("info") or {}, "run_id")
                    each = self._get("runs/get", {"run_id": asked_id}).get("run") or {}  # noqa: PLW2901
                run = _run(each, experiment)
                ended = run.end_ms or 0
                self._last = max(self._last, ended)
                if run.status in {"RUNNING", "SCHEDULED"}:
                    self._waiting.append(run.run_id)
                is_old = since is not None and max(ended, run.start_ms or 0) < since
                if is_old and run.lifecycle != "deleted" and run.run_id not in waiting:
                    continue
                for name in [*(run.latest or {})]:
                    run.metrics[name] = self._history(run.run_id, name)
                run.models = by_run.get(run.run_id, [])
                run.model_metrics = metrics.get(run.run_id, [])
            except FormatError as error:
                where = (
                    str(each.get("info", {}))[:100] if isinstance(each, dict) else str(each)[:100]
                )
                yield Fault(what="run", where=where, reason=str(error))
                continue
            yield run

    def _history(self, run_id: str, name: str) -> list[Row]:
        rows: list[Row] = []
        token = ""
        while True:
            asked = {"run_id": run_id, "metric_key": name, "max_results": str(_HISTORY_PAGE)}
            if token:
                asked["page_token"] = token
            answer = self._get("metrics/get-history", asked)
            rows += [_row(each) for each in _list(answer, "metrics")]
            token = answer.get("next_page_token") or ""
            if not token:
                return sorted(rows, key=_order)

    def _models(
        self, experiment_id: str
    ) -> Iterator[tuple[StoredModel, list[tuple[str, StoredModelMetric]]]]:
        asked = {"experiment_ids": [experiment_id]}
        for each in self._pages("logged-models/search", "models", asked, may_lack=True):
            info, data = each.get("info") or {}, each.get("data") or {}
            model = StoredModel(
                model_id=_text(info, "model_id"),
                experiment_id=experiment_id,
                name=str(info.get("name") or ""),
                model_type=info.get("model_type") or None,
                artifact_location=info.get("artifact_uri"),
                source_run=info.get("source_run_id") or None,
                status=str(info.get("status", "")).removeprefix("LOGGED_MODEL_"),
                status_message=info.get("status_message") or None,
                created_ms=_int(info.get("creation_timestamp_ms")),
                updated_ms=_int(info.get("last_updated_timestamp_ms")),
                params=_pairs(data.get("params")),
                tags=_pairs(info.get("tags")),
            )
            metrics = [
                (
                    str(metric.get("run_id", "")),
                    StoredModelMetric(
                        model_id=model.model_id,
                        name=str(metric.get("key", "")),
                        at_ms=_int(metric.get("timestamp")) or 0,
                        step=_int(metric.get("step")) or 0,
                        value=_number(metric.get("value", 0)),
                        dataset_name=metric.get("dataset_name") or None,
                        dataset_digest=metric.get("dataset_digest") or None,
                    ),
                )
                for metric in data.get("metrics") or ()
            ]
            metrics.sort(key=lambda pair: (pair[1].name, pair[1].step, pair[1].at_ms))
            yield model, metrics

    def _registry(self, models: Mapping[str, str]) -> Iterator[Stored | Fault]:
        for each in self._pages("registered-models/search", "registered_models", {}, is_get=True):
            name = _text(each, "name")
            aliases = {
                str(alias.get("alias")): str(alias.get("version"))
                for alias in each.get("aliases") or ()
            }
            yield StoredRegistered(
                name=name,
                created_ms=_int(each.get("creation_timestamp")),
                updated_ms=_int(each.get("last_updated_timestamp")),
                description=each.get("description") or None,
                aliases=aliases,
                tags=_pairs(each.get("tags")),
            )
            quoted = name.replace("'", "\\'")
            asked = {"filter": f"name = '{quoted}'"}
            for found in self._pages("model-versions/search", "model_versions", asked, is_get=True):
                version = str(found.get("version"))
                source = found.get("source")
                model_id = found.get("model_id") or (
                    str(source).removeprefix("models:/")
                    if str(source).startswith("models:/m-")
                    else None
                )
                yield StoredVersion(
                    name=name,
                    version=version,
                    created_ms=_int(found.get("creation_timestamp")),
                    updated_ms=_int(found.get("last_updated_timestamp")),
                    description=found.get("description") or None,
                    user=found.get("user_id") or None,
                    stage=found.get("current_stage"),
                    source=source,
                    run_id=found.get("run_id") or None,
                    model_id=model_id,
                    model_run=models.get(str(model_id)) or None,
                    status=found.get("status"),
                    status_message=found.get("status_message") or None,
                    run_link=found.get("run_link") or None,
                    aliases=sorted(alias for alias, of in aliases.items() if of == version),
                    tags=_pairs(found.get("tags")),
                )

    # ---- requests ---------------------------------------------------------------------------------
    def _pages(
        self,
        path: str,
        member: str,
        asked: Mapping[str, Any],
        *,
        is_get: bool = False,
        may_lack: bool = False,
    ) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            more = {**asked, "max_results": _PAGE} | ({"page_token": token} if token else {})
            if is_get:
                answer = self._get(path, {name: str(value) for name, value in more.items()})
            else:
                answer = self._answer("POST", path, more, may_lack=may_lack)
            for each in _list(answer, member):
                if not isinstance(each, dict):
                    raise FormatError(f"{path}: expected objects in {member}, found {each!r:.100}")
                yield each
            token = answer.get("next_page_token") or ""
            if not token:
                return

    def _get(self, path: str, asked: Mapping[str, str]) -> dict[str, Any]:
        return self._answer("GET", f"{path}?{urlencode(asked, quote_via=quote)}", None)

    def _answer(
        self, method: str, path: str, asked: Mapping[str, Any] | None, *, may_lack: bool = False
    ) -> dict[str, Any]:
        reply = self._send(method, path, asked)
        what = f"{self._address}{_API}{path.partition('?')[0]}"
        if reply.status == 404 and may_lack:
            return {}  # MLflow 2 has no logged models
        if reply.status != 200:
            text = reply.body[:300].decode("utf-8", "replace")
            raise UnreachableError(f"{what} answers {reply.status}: {text}")
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise FormatError(
                f"{what}: expected JSON, found {reply.body[:80]!r}: {error}"
            ) from None
        if not isinstance(answer, dict):
            raise FormatError(f"{what}: expected a JSON object, found {reply.body[:80]!r}")
        return answer

    def _send(self, method: str, path: str, asked: Mapping[str, Any] | None) -> Reply:
        body = None if asked is None else json.dumps(asked).encode()
        attempt = 0
        while True:
            attempt += 1
            try:
                reply = send(
                    method,
                    f"{self._address}{_API}{path.partition('?')[0]}",
                    query=path.partition("?")[2],
                    body=body,
                    headers=self._headers,
                    timeout_s=_TIMEOUT_S,
                    max_bytes=_MAX_BYTES,
                )
            except UnreachableError:
                if attempt == _TRIES:
                    raise
            else:
                if reply.status not in _BUSY or attempt == _TRIES:
                    return reply
            time.sleep(0.2 * 2**attempt)


def _run(each: Mapping[str, Any], experiment: StoredExperiment) -> StoredRun:
    info, data = each.get("info") or {}, each.get("data") or {}
    inputs, outputs = each.get("inputs") or {}, each.get("outputs") or {}
    run = StoredRun(
        run_id=_text(info, "run_id"),
        name=info.get("run_name") or None,
        experiment_id=experiment.experiment_id,
        experiment=experiment.name,
        user=info.get("user_id") or None,
        status=info.get("status"),
        start_ms=_int(info.get("start_time")),
        end_ms=_int(info.get("end_time")),
        lifecycle=info.get("lifecycle_stage") or "active",
        artifact_uri=info.get("artifact_uri"),
        params=_pairs(data.get("params")),
        tags=_pairs(data.get("tags")),
    )
    latest = {_text(metric, "key"): _row(metric) for metric in data.get("metrics") or ()}
    run.latest = latest or None
    for item in inputs.get("dataset_inputs") or ():
        found = item.get("dataset") or {}
        run.inputs.append(
            StoredDataset(
                name=_text(found, "name"),
                digest=str(found.get("digest", "")),
                source_type=found.get("source_type"),
                source=found.get("source"),
                schema=found.get("schema"),
                profile=found.get("profile"),
                tags=_pairs(item.get("tags")),
            )
        )
    run.inputs.sort(key=lambda dataset: (dataset.name, dataset.digest))
    run.model_inputs = sorted(_text(item, "model_id") for item in inputs.get("model_inputs") or ())
    run.outputs = [
        (_text(item, "model_id"), _int(item.get("step")) or 0)
        for item in outputs.get("model_outputs") or ()
    ]
    return run


def _authorization(environ: Mapping[str, str]) -> dict[str, str]:
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user, password = (
        environ.get("MLFLOW_TRACKING_USERNAME"),
        environ.get("MLFLOW_TRACKING_PASSWORD"),
    )
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {pair}"}
    return {}


def _pairs(items: Any) -> dict[str, str]:
    return {
        str(item.get("key")): str(item.get("value", ""))
        for item in items or ()
        if isinstance(item, dict)
    }


def _row(metric: Mapping[str, Any]) -> Row:
    return (
        _int(metric.get("step")) or 0,
        _int(metric.get("timestamp")) or 0,
        _number(metric.get("value", 0)),  # type: ignore[return-value]  # checked by `mapping`
    )


def _order(row: Row) -> tuple[int, int, bool, float]:
    is_nan = row[2] != row[2]
    return row[0], row[1], is_nan, 0.0 if is_nan else row[2]


def _number(value: Any) -> float | None:
    if type(value) is str:
        return _NUMBERS.get(value)
    return float(value) if type(value) in {int, float} else None


def _int(value: Any) -> int | None:
    """Read a 64-bit number: proto3 may write it as text."""
    if type(value) is int:
        return value
    if type(value) is str and len(value) < 21 and value.lstrip("-").isdecimal():
        return int(value)
    return None


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name) if isinstance(found, dict) else None
    if type(value) is not str or not value:
        raise FormatError(f"expected a text as {name}, found {value!r:.100}")
    return value


def _list(answer: Mapping[str, Any], member: str) -> list[Any]:
    value = answer.get(member, [])
    if not isinstance(value, list):
        raise FormatError(f"expected a list as {member}, found {value!r:.100}")
    return value
