"""`.ci/install` says what is missing where it cannot install it, and is not fooled by a shim."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

SHIM = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
TOO_OLD = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'Python 3.9.2'; else exit 1; fi\n"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs with neither a Python nor apt-get."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "id"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def install(programs: Path, tmp_path: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [programs / "sh", CHECKOUT / ".ci" / "install", tmp_path / "environment", "demo"],
        cwd=tmp_path,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def add(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text, "utf-8")
    (programs / name).chmod(0o755)


def test_no_python_at_all(programs: Path, tmp_path: Path) -> None:
    code, out, err = install(programs, tmp_path)
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == (
        "provgraph needs Python 3.11 or later, with its modules venv, ensurepip, sqlite3 and ssl."
    )
    assert err.splitlines()[1].endswith("at no python3.")
    assert err.splitlines()[2] == (
        "On Debian or Ubuntu, as root: apt-get install python3 python3-venv"
    )
    assert not (tmp_path / "environment").exists()


def test_a_python_that_is_too_old(programs: Path, tmp_path: Path) -> None:
    add(programs, "python3", TOO_OLD)
    add(programs, "python3.12", SHIM)
    code, out, err = install(programs, tmp_path)
    assert (code, out) == (1, "")
    assert err.splitlines()[1] == f"Found: Python 3.9.2 at {programs / 'python3'}."


def test_apt_get_is_asked_for_the_missing_module(programs: Path, tmp_path: Path) -> None:
    # A recent Python without ensurepip, as Debian has it, and root.
    add(
        programs,
        "python3",
        '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *print*) echo python3.11-venv;; esac\n',
    )
    (programs / "id").unlink()
    add(programs, "id", "#!/bin/sh\necho 0\n")
    add(programs, "apt-get", f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    code, out, err = install(programs, tmp_path)
    assert (code, out) == (1, "Installing python3.11-venv with apt-get\n")
    assert (tmp_path / "asked").read_text("utf-8") == (
        "update -qq\ninstall -qq -y --no-install-recommends python3.11-venv\n"
    )
    assert err.splitlines()[0].startswith("provgraph needs Python 3.11 or later")
