"""The layers and the doors of pyproject.toml are really held: an import planted wrong is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

KEPT = "Contracts: 2 kept, 0 broken."


def lint_imports(folder: Path) -> tuple[int, str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-logo", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "provgraph", tmp_path / "provgraph", ignore=ignored)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "planted", "said"),
    [
        ("records", "import provgraph.query.catalogue", "provgraph.records -> provgraph.query"),
        ("capture/run", "import provgraph.index.store", "provgraph.capture.run -> provgraph.index"),
        ("seal/proof", "import cryptography", "provgraph.seal.proof -> cryptography"),
        ("service/api", "import pyoxigraph", "provgraph.service.api -> pyoxigraph"),
        ("convert/prov", "import rdflib", "provgraph.convert.prov -> rdflib"),
        ("export/jsonld", "import rich", "provgraph.export.jsonld -> rich"),
    ],
)
def test_an_import_planted_wrong_is_found(copy: Path, module: str, planted: str, said: str) -> None:
    path = copy / "provgraph" / f"{module}.py"
    lines = path.read_text("utf-8").replace("\nimport ", f"\n{planted}\nimport ", 1)
    path.write_text(lines if planted in lines else lines + f"\n{planted}\n", "utf-8")
    code, output = lint_imports(copy)
    assert code == 1
    assert "Contracts: 1 kept, 1 broken." in output
    assert said in " ".join(output.split())


def test_the_copy_without_a_plant_is_clean(copy: Path) -> None:
    code, output = lint_imports(copy)
    assert (code, KEPT in output) == (0, True), output
