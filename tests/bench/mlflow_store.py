"""An MLflow store of any size: the schema that MLflow makes, and one run's rows multiplied by SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_SQL = Path(__file__).resolve().parents[1] / "interop" / "mlflow_3_17_2.sql"

PARAMS = 30
METRICS = 50
STEPS = 20  # of one more metric
TAGS = 8
_START_MS = 1_780_000_000_000


def make_store(path: Path, *, runs: int) -> Path:
    """Write a store with so many runs, each with a dataset, a logged model and its metrics."""
    database = sqlite3.connect(path)
    database.executescript(_SQL.read_text("utf-8"))
    for (table,) in database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
    ).fetchall():
        if table not in {"alembic_version", "experiments"}:
            database.execute(f'DELETE FROM "{table}"')
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    each = numbers.format(runs - 1)
    run = "printf('%032x', n.i)"
    database.executescript(f"""
        CREATE TEMP TABLE each AS {each} SELECT i, {run} AS run, printf('m-%032x', i) AS model FROM n;
        CREATE TEMP TABLE param AS {numbers.format(PARAMS - 1)} SELECT i FROM n;
        CREATE TEMP TABLE metric AS {numbers.format(METRICS - 1)} SELECT i FROM n;
        CREATE TEMP TABLE step AS {numbers.format(STEPS - 1)} SELECT i FROM n;
        CREATE TEMP TABLE tag AS {numbers.format(TAGS - 1)} SELECT i FROM n;
        INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
            SELECT run, 'run-' || i, 'UNKNOWN', 'ada', 'FINISHED', {_START_MS} + i * 1000, {_START_MS} + i * 1000 + 500, 'active', 's3://models/' || run, 1 FROM each;
        INSERT INTO params (key, value, run_uuid) SELECT 'param_' || p.i, ((e.i * 31 + p.i) % 97) / 100.0, run FROM each AS e, param AS p;
        INSERT INTO tags (key, value, run_uuid) SELECT 'tag_' || t.i, 'value ' || ((e.i + t.i) % 11), run FROM each AS e, tag AS t;
        INSERT INTO tags (key, value, run_uuid) SELECT 'mlflow.source.git.commit', '5d41402abc4b2a76b9719d911017c592aabbccdd', run FROM each;
        INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
            SELECT 'metric_' || m.i, ((e.i * 7919 + m.i * 104729) % 1000003) / 1000003.0, {_START_MS} + e.i * 1000 + m.i, run, 0, 0 FROM each AS e, metric AS m;
        INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
            SELECT 'loss', 1.0 / (1 + s.i + e.i % 5), {_START_MS} + e.i * 1000 + s.i, run, s.i, 0 FROM each AS e, step AS s;
        INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
            SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics WHERE key != 'loss' OR step = {STEPS - 1};
        INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile)
            SELECT printf('%032x', i), 1, 'customers', printf('%08x', i), 'local', '{{"uri": "s3://data/customers.csv"}}', '{{"mlflow_colspec": []}}', '{{"num_rows": 1000}}'
            FROM each WHERE i < 100;
        INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
            SELECT printf('%032x', i), 'DATASET', printf('%032x', i % 100), 'RUN', run, 0 FROM each;
        INSERT INTO input_tags (input_uuid, name, value) SELECT printf('%032x', i), 'mlflow.data.context', 'training' FROM each;
        INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)
            SELECT model, 1, 'model', 's3://models/' || model, {_START_MS} + i, {_START_MS} + i, 2, 'active', run FROM each;
        INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
            SELECT printf('o%031x', i), 'RUN_OUTPUT', run, 'MODEL_OUTPUT', model, 0 FROM each;
        INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, experiment_id, run_id, dataset_name, dataset_digest)
            SELECT e.model, m.key, m.timestamp, m.step, m.value, 1, m.run_uuid, 'customers', printf('%08x', e.i % 100)
            FROM each AS e JOIN metrics AS m ON m.run_uuid = e.run WHERE m.key IN ('metric_0', 'metric_1');
    """)
    database.commit()
    database.close()
    return path
