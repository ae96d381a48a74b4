"""`ontology/` and `queries/` are found from a wheel, an editable install and a checkout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging_builds import CHECKOUT, run, site_packages

import provgraph

LOOK = """
import json, provgraph
from provgraph.resources import FOLDERS, folder
found = {name: str(folder(name)) for name in FOLDERS}
print(json.dumps({"package": provgraph.__file__, **found}))
"""


def look(python: Path, *, cwd: Path, **variables: str) -> dict[str, str]:
    return json.loads(run([python, "-c", LOOK], cwd=cwd, **variables))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_from_a_wheel(wheel: Path, fresh_environment: Callable[..., Path], tmp_path: Path) -> None:
    programs = fresh_environment(wheel)
    package = Path(site_packages(programs / "python", cwd=tmp_path)) / "provgraph"
    assert look(programs / "python", cwd=tmp_path) == {
        "package": str(package / "__init__.py"),
        "ontology": str(package / "_resources" / "ontology"),
        "queries": str(package / "_resources" / "queries"),
    }
    for name in ("ontology", "queries"):
        assert files(package / "_resources" / name) == files(CHECKOUT / name)


def test_from_an_editable_install(fresh_environment: Callable[..., Path], tmp_path: Path) -> None:
    programs = fresh_environment("--editable", CHECKOUT)
    assert look(programs / "python", cwd=tmp_path) == in_the_checkout()


def test_from_a_checkout(fresh_environment: Callable[..., Path], tmp_path: Path) -> None:
    programs = fresh_environment()
    found = look(programs / "python", cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    assert found == in_the_checkout()


def in_the_checkout() -> dict[str, str]:
    return {
        "package": str(CHECKOUT / "provgraph" / "__init__.py"),
        "ontology": str(CHECKOUT / "ontology"),
        "queries": str(CHECKOUT / "queries"),
    }


@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_the_command_runs(
    how: str, wheel: Path, fresh_environment: Callable[..., Path], tmp_path: Path
) -> None:
    programs = fresh_environment(*([wheel] if how == "wheel" else ["--editable", CHECKOUT]))
    said = run([programs / "provgraph", "--version"], cwd=tmp_path)
    assert said == f"provgraph {provgraph.__version__}\n"


def test_a_run_is_recorded_and_asked_for_from_a_wheel(
    wheel: Path, fresh_environment: Callable[..., Path], tmp_path: Path
) -> None:
    programs = fresh_environment(wheel)
    home = str(tmp_path / "home")
    code = "import provgraph\nwith provgraph.run('train', experiment='first'): pass"
    run([programs / "python", "-c", code], cwd=tmp_path, PROVGRAPH_HOME=home)
    ask = [programs / "provgraph", "query", "Q13", "--param", "experiment=first"]
    answer = json.loads(run([*ask, "--format", "json"], cwd=tmp_path, PROVGRAPH_HOME=home))
    assert [(row["label"], row["status"]) for row in answer["rows"]] == [("train", "completed")]
