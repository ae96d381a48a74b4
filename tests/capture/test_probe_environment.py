"""The environment as a whole: this machine's, and strange ones."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from provgraph.capture.environment import probe_environment, read_environment
from provgraph.capture.packages import installed
from provgraph.records import Environment, Missing

ROOT = Path(__file__).parents[2]


def test_this_machine() -> None:
    environment = probe_environment()
    assert environment.python == platform.python_version()
    assert environment.implementation == platform.python_implementation()
    assert environment.kernel == f"{platform.system()} {platform.release()}"
    assert environment.architecture == platform.machine()
    names = [each.package.name for each in installed(sys.path)]
    assert [each.name for each in environment.packages] == names


def test_read_once_per_process() -> None:
    assert probe_environment() is probe_environment()


def test_two_processes_find_the_same() -> None:
    script = "from provgraph.capture.environment import probe_environment as p; print(p())"
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert first == second
    assert first.startswith("Environment(python=") is True


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    environment = read_environment({}, tmp_path, [str(tmp_path)])
    assert environment == Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        operating_system=sys.platform,
        kernel=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu_count=environment.cpu_count,
        memory_bytes=environment.memory_bytes,
        missing=(
            Missing(
                field="operating_system",
                reason="there is no /etc/os-release, which would name the operating system",
            ),
            Missing(field="cpu", reason="cannot read /proc/cpuinfo: No such file or directory"),
        ),
    )


def test_the_probes_load_nothing_heavy() -> None:
    script = (
        "import sys; from provgraph.capture import environment, invocation, source;"
        "environment.probe_environment();"
        "print(sorted({'importlib.metadata', 'email', 'subprocess', 'asyncio', 'urllib.request',"
        " 'numpy', 'pandas', 'ctypes'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
