"""The environment of a run: Python, packages, operating system, hardware, container image.

What stays the same from run to run on one machine, and so is named by its content: nothing in it
may change between two runs of the same set-up, not even the words of a `Missing`. What does change
(process, variables, container id) is in `provgraph.capture.invocation`.

Read once per process. Costs about 30 ms of CPU with 300 packages. Units: bytes.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from provgraph.capture.attempt import learn
from provgraph.capture.container import probe_container
from provgraph.capture.hardware import cpu_model, memory_bytes, operating_system
from provgraph.capture.nvml import probe_gpus
from provgraph.capture.packages import installed
from provgraph.capture.patched import mark_patched
from provgraph.records import Environment, Missing, Package

# How implementations write their own name; sys.implementation has it in lower case.
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}


@functools.cache
def probe_environment() -> Environment:
    """Return the environment of this process, read on the first call."""
    return read_environment(os.environ, Path("/"), sys.path)


def read_environment(
    environ: Mapping[str, str], root: Path, search_path: Iterable[str]
) -> Environment:
    """Read the environment of the machine below `root`: `/`, unless a test lays one out."""
    missing: list[Missing] = []
    system = os.uname() if hasattr(os, "uname") else None
    name = sys.implementation.name
    gpus = probe_gpus(root)
    container = probe_container(environ, root)
    return Environment(
        python=sys.version.split(maxsplit=1)[0],
        implementation=_IMPLEMENTATIONS.get(name, name),
        operating_system=learn("operating_system", lambda: operating_system(root), missing)
        or sys.platform,
        kernel=f"{system.sysname} {system.release}" if system else sys.platform,
        architecture=system.machine if system else environ.get("PROCESSOR_ARCHITECTURE", "unknown"),
        cpu=learn("cpu", lambda: cpu_model(root), missing),
        cpu_count=os.cpu_count(),
        memory_bytes=learn("memory_bytes", lambda: memory_bytes(root), missing),
        accelerators=gpus.accelerators,
        driver_version=gpus.driver_version,
        cuda_version=gpus.cuda_version,
        container_image=container.image,
        packages=_packages(search_path, missing),
        missing=(*missing, *gpus.missing, *container.missing),
    )


def _packages(search_path: Iterable[str], missing: list[Missing]) -> tuple[Package, ...]:
    distributions = learn("packages", lambda: installed(search_path), missing) or ()
    packages = learn(
        "patched packages", lambda: mark_patched(distributions, _module_files()), missing
    )
    return tuple(each.package for each in distributions) if packages is None else packages


def _module_files() -> list[str]:
    """Return the files of all loaded modules, without waking lazy ones through getattr."""
    files = (
        vars(module).get("__file__")
        for module in list(sys.modules.values())
        if hasattr(module, "__dict__")
    )
    return [file for file in files if isinstance(file, str)]
