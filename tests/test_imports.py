"""`import provgraph` is light, and recording a run loads nothing that only asking needs.

What it costs in CPU time is measured in tests/bench/import_cost.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

NEVER = {"fastapi", "mlflow", "numpy", "pandas", "polars", "pyarrow", "pydantic", "pyld", "rdflib"}
ONLY_ASKING = {"lark", "packaging", "pyoxigraph", "rich"}
ONLY_SEALING = {"cryptography", "sqlite3"}
# Each costs milliseconds, and none is needed before a run begins.
SLOW_STANDARD = {
    "asyncio", "dataclasses", "decimal", "email", "hashlib", "http", "importlib.metadata", "inspect",
    "logging", "platform", "random", "shutil", "socket", "ssl", "subprocess", "tempfile", "tomllib",
    "traceback", "urllib.request", "uuid", "zipfile",
}  # fmt: skip
# Together they cost about fifteen milliseconds; a module more wants a reason.
STANDARD = {
    "__future__", "abc", "array", "codecs", "collections", "contextlib", "contextvars", "copyreg",
    "datetime", "encodings", "enum", "errno", "fcntl", "fnmatch", "functools", "genericpath", "glob", "importlib", "io",
    "ipaddress", "itertools", "json", "keyword", "math", "ntpath", "operator", "os", "pathlib",
    "posixpath", "re", "reprlib", "site", "stat", "struct", "sys", "threading", "time", "types",
    "typing", "urllib", "warnings", "weakref", "zlib",
}  # fmt: skip
# What judges keys, and keys that are no files: loaded where a ledger has such, and nowhere else.
ONLY_KEYS = {
    "http",
    "pkcs11",
    "provgraph.seal.trust",
    "provgraph.seal.vault",
    "provgraph.seal.pkcs11",
}

A_RUN = """
import provgraph
with provgraph.run("train", project="churn", owner="ada@example.org") as run:
    data = run.use("customers.csv", role="train", licence="CC-BY-4.0")
    run.log_params(depth=6)
    for step in range(10):
        run.log_metrics(step=step, loss=1 / (1 + step))
    with run.step("clean") as step:
        step.note("nothing to clean")
    model = run.generate("model.bin", role="model", name="churn", version="3")
    run.evaluate(model, data, metric="roc_auc", value=0.91, n=1000)
assert run.receipt is not None
"""


def loaded_by(code: str, folder: Path) -> set[str]:
    """Run code in a fresh interpreter and return the names of all modules it has loaded."""
    set_here = {
        "PYTHONPATH": str(CHECKOUT),
        "PROVGRAPH_HOME": str(folder / "home"),
        "PROVGRAPH_STRICT": "on",
    }
    done = subprocess.run(
        [sys.executable, "-c", code + "\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        cwd=folder,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | set_here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(json.loads(done.stdout))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "customers.csv").write_text("id,age\n1,40\n", "utf-8")
    (tmp_path / "model.bin").write_bytes(b"model")
    return tmp_path


def test_import_alone_loads_none_of_the_package(folder: Path) -> None:
    loaded = loaded_by("import provgraph", folder)
    assert {name for name in loaded if name.startswith("provgraph")} == {"provgraph"}


def test_import_and_first_use_are_light(folder: Path) -> None:
    loaded = loaded_by("import provgraph; provgraph.run, provgraph.deploy", folder)
    assert "provgraph.capture.run" in loaded
    heavy = NEVER | ONLY_ASKING | ONLY_SEALING | SLOW_STANDARD
    assert loaded & heavy == set()


def test_reaching_a_run_loads_few_modules_of_the_standard_library(folder: Path) -> None:
    ours = loaded_by("import provgraph; provgraph.run", folder) - loaded_by("pass", folder)
    tops = {name.partition(".")[0] for name in ours if not name.startswith(("_", "provgraph"))}
    assert tops - STANDARD == set()


def test_a_whole_run_loads_nothing_that_only_asking_needs(folder: Path) -> None:
    loaded = loaded_by(A_RUN, folder)
    assert loaded & (NEVER | ONLY_ASKING | ONLY_KEYS) == set()
    # The run was really sealed: this is what sealing needs.
    assert loaded & ONLY_SEALING == ONLY_SEALING


def test_a_heavy_import_would_be_seen(folder: Path) -> None:
    assert "rdflib" in loaded_by("import provgraph, rdflib", folder)


def test_public_names_are_all_there(folder: Path) -> None:
    code = "import provgraph\nfor name in provgraph.__all__: getattr(provgraph, name)"
    assert "provgraph.service.api" in loaded_by(code, folder)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import provgraph

    with pytest.raises(AttributeError, match=r"module 'provgraph' has no attribute 'log_model'"):
        provgraph.log_model
