"""GPUs through ctypes, called for real into a shared library that speaks NVML's C interface."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provgraph.capture.nvml import Gpus, cuda_text, probe_gpus
from provgraph.records import Accelerator, Missing

SOURCE = Path(__file__).with_name("fake_nvml.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")

H200 = Accelerator(name="NVIDIA H200", memory_bytes=150754820096, uuid="GPU-0a")
T4 = Accelerator(name="NVIDIA T4", memory_bytes=None, uuid="GPU-1b")
NO_MEMORY = Missing(
    field="accelerator memory",
    reason="nvmlDeviceGetMemoryInfo failed: Not Supported (NVML error 3)",
)


def build(folder: Path, *options: str) -> str:
    target = folder / "libnvidia-ml.so.1"
    command = [str(COMPILER), "-shared", "-fPIC", "-Wall", "-Werror", *options]
    subprocess.run([*command, "-o", str(target), str(SOURCE)], check=True)
    return str(target)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Lay out a machine on which NVIDIA's kernel driver is loaded."""
    mark = tmp_path / "proc/driver/nvidia/version"
    mark.parent.mkdir(parents=True)
    mark.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15\n")
    return tmp_path


@needs_compiler
def test_two_gpus_and_what_one_of_them_does_not_tell(root: Path, library: str) -> None:
    assert probe_gpus(root, library=library) == Gpus(
        accelerators=(H200, T4),
        driver_version="550.54.15",
        cuda_version="12.4",
        missing=(NO_MEMORY,),
    )


@needs_compiler
def test_a_lost_gpu_does_not_hide_the_other(
    root: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NVML_LOST", "1")
    found = probe_gpus(root, library=library)
    assert found.accelerators == (H200,)
    assert found.missing == (
        Missing(
            field="accelerators",
            reason="GPU 1: nvmlDeviceGetHandleByIndex_v2 failed: GPU is lost (NVML error 15)",
        ),
    )


@needs_compiler
def test_a_driver_that_fails_is_missing(
    root: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NVML_INIT", "18")
    reason = "nvmlInit_v2 failed: Driver/library version mismatch (NVML error 18)"
    assert probe_gpus(root, library=library) == Gpus(
        missing=(Missing(field="accelerators", reason=reason),)
    )


@needs_compiler
def test_a_driver_that_hangs_costs_only_the_time_limit(root: Path, library: str) -> None:
    # In a process of its own: the thread that hangs stays until it ends.
    script = (
        "import sys, pathlib, time; from provgraph.capture.nvml import probe_gpus;"
        f"found = probe_gpus(pathlib.Path({str(root)!r}), library={library!r}, timeout_s=0.2);"
        "print(found.missing[0].reason)"
    )
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"FAKE_NVML_SLEEP": "30", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the NVIDIA driver is loaded, but NVML did not answer within 0.2 s\n"
    assert time.monotonic() - started_s < 10


@needs_compiler
def test_an_old_driver_lacks_a_function(root: Path, tmp_path: Path) -> None:
    old = build(tmp_path, "-DFAKE_NVML_OLD")
    found = probe_gpus(root, library=old)
    assert [each.uuid for each in found.accelerators] == [None, None]
    assert found.missing[0] == Missing(
        field="accelerator uuid", reason="NVML has no nvmlDeviceGetUUID: the driver is too old"
    )


def test_a_driver_without_its_library_is_missing(root: Path) -> None:
    assert probe_gpus(root, library="libprovgraph-none.so.1") == Gpus(
        missing=(
            Missing(
                field="accelerators",
                reason="the NVIDIA driver is loaded, but libprovgraph-none.so.1 cannot be;"
                " a container needs the driver capability `utility`",
            ),
        )
    )


def test_no_driver_is_a_fact(tmp_path: Path) -> None:
    assert probe_gpus(tmp_path) == Gpus()


def test_another_makers_device_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    reason = "an AMD GPU driver is loaded (/dev/kfd), which is not read"
    assert probe_gpus(tmp_path) == Gpus(missing=(Missing(field="accelerators", reason=reason),))


def test_cuda_versions() -> None:
    assert [cuda_text(number) for number in (11080, 12040, 13000)] == ["11.8", "12.4", "13.0"]
