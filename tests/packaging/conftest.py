"""The wheel, built once, and fresh environments to put it in."""

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging_builds import CHECKOUT, pip, run, site_packages


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, CHECKOUT, cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture
def fresh_environment(tmp_path: Path) -> Callable[..., Path]:
    """Make an environment, put into it what pip is told to, and return its folder of programs."""

    def make(*what: str | Path) -> Path:
        folder = tmp_path / "environment"
        run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=tmp_path)
        python = folder / "bin" / "python"
        packages = Path(site_packages(python, cwd=tmp_path))
        lines = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        (packages / "test_environment.pth").write_text("\n".join(lines) + "\n", "utf-8")
        if what:
            pip(
                *("--python", python, "install", "--ignore-installed", "--no-build-isolation"),
                *what,
                cwd=tmp_path,
            )
        return python.parent

    return make
