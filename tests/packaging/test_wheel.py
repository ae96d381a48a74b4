"""What is in the wheel and in the source archive."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from packaging_builds import CHECKOUT, pip, run

import provgraph


def tracked(*folders: str) -> set[str]:
    """List the files of the checkout that are no build products."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    done = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if (CHECKOUT / line).is_file()}


def test_wheel_holds_package_and_resources_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    resources = {f"provgraph/_resources/{name}" for name in tracked("ontology", "queries")}
    about = {
        f"provgraph-{provgraph.__version__}.dist-info/{name}"
        for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }
    assert names == tracked("provgraph") | resources | about
    assert {"provgraph/py.typed", "provgraph/_resources/ontology/context.jsonld"} <= names
    assert wheel.name == f"provgraph-{provgraph.__version__}-py3-none-any.whl"


def test_metadata_says_what_the_project_says(wheel: Path) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    about = f"provgraph-{provgraph.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"{about}/METADATA"))
        commands = archive.read(f"{about}/entry_points.txt").decode()
        licence = archive.read(f"{about}/licenses/LICENSE")
    assert metadata["Version"] == project["version"] == provgraph.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    base = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(re.split("[<>]", line)[0] for line in base) == [
        "cryptography",
        "lark",
        "packaging",
        "pyoxigraph",
        "rich",
    ]
    assert commands == (
        "[console_scripts]\nprovgraph = provgraph.cli.main:main\n"
        "\n[mlflow.run_context_provider]\n"
        "provgraph = provgraph.frameworks.mlflow_context:RunContext\n"
    )
    assert licence == (CHECKOUT / "LICENSE").read_bytes()


def test_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build = f"import hatchling.build; hatchling.build.build_sdist({str(tmp_path)!r})"
    run([sys.executable, "-c", build], cwd=CHECKOUT)
    (source,) = tmp_path.iterdir()
    with tarfile.open(source) as archive:
        root = source.name.removesuffix(".tar.gz")
        names = {name.removeprefix(f"{root}/") for name in archive.getnames()}
    assert tracked("provgraph", "ontology", "queries", "docs") <= names
    assert {"Makefile", "CHANGELOG.md", "LICENSE", "README.md", ".ci/install"} <= names
    assert f"tests/packaging/{Path(__file__).name}" in names
    built = tmp_path / "built"
    pip("wheel", "--no-build-isolation", "--wheel-dir", built, source, cwd=tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(built / wheel.name) as second:
        digests = [
            {item.filename: item.CRC for item in each.infolist()} for each in (first, second)
        ]
    assert digests[0] == digests[1]
