"""CPU, memory and operating system, read from the kernel's own files.

`root` stands for `/`, so that a test can lay out another machine. Sources: proc(5) for cpuinfo and
meminfo, the kernel's cgroup-v2.rst (`memory.max`) and cgroup-v1/memory.rst
(`memory.limit_in_bytes`), os-release(5). Memory is what this process may use: the machine's, or
the limit of its control group where that is lower. Does not read GPUs, see `nvml`.

Units: bytes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from provgraph.errors import CaptureError

# Machines with hundreds of cores build cpuinfo slowly; the first processor is enough.
_CPUINFO_BYTES = 4096
_PRETTY_NAME = re.compile(r"""^PRETTY_NAME=(["']?)(.*)\1[ \t]*$""", re.MULTILINE)


def operating_system(root: Path) -> str:
    """Return the name that the operating system gives itself.

    Raises:
        CaptureError: it has no os-release file.
    """
    if sys.platform == "darwin":
        import platform

        return f"macOS {platform.mac_ver()[0]}"
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            match = _PRETTY_NAME.search((root / name).read_text("utf-8", "replace"))
        except OSError:
            continue
        if match is not None:
            return re.sub(r"\\(.)", r"\1", match[2])
    raise CaptureError("there is no /etc/os-release, which would name the operating system")


def cpu_model(root: Path) -> str:
    """Return the model name of the first processor.

    Raises:
        CaptureError: the kernel does not name it.
    """
    if sys.platform == "darwin":
        return _macos_cpu()
    try:
        with (root / "proc/cpuinfo").open("rb", buffering=0) as file:
            text = file.read(_CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise CaptureError(f"cannot read /proc/cpuinfo: {error.strerror}") from None
    lines = (line.partition(":") for line in text.splitlines())
    first: dict[str, str] = {}
    for key, _, value in lines:
        first.setdefault(key.strip(), value.strip())
    # x86 and s390 say "model name", POWER "cpu", RISC-V "uarch"; ARM gives two numbers.
    for key in ("model name", "cpu", "uarch"):
        if first.get(key):
            return re.sub(r"\s+", " ", first[key])
    if first.get("CPU implementer") and first.get("CPU part"):
        return f"ARM implementer {first['CPU implementer']} part {first['CPU part']}"
    raise CaptureError("/proc/cpuinfo does not name the processor")


def memory_bytes(root: Path) -> int:
    """Return how much memory this process may use.

    Raises:
        CaptureError: the kernel does not say how much memory there is.
    """
    return min([_machine_memory_bytes(root), *_limits(root)])


def _machine_memory_bytes(root: Path) -> int:
    try:
        text = (root / "proc/meminfo").read_text("ascii", "replace")
        match = re.search(r"^MemTotal:\s*(\d+) kB$", text, re.MULTILINE)
        if match is not None:
            return int(match[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        raise CaptureError("neither /proc/meminfo nor sysconf gives the memory size") from None


def _limits(root: Path) -> Iterator[int]:
    """Yield the limits of this process's control group and of those around it."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a container the path may be the host's; then only the root of the mount exists.
        parts = [part for part in group.split("/") if part not in {"", ".", ".."}]
        for depth in range(len(parts), -1, -1):
            try:
                text = mount.joinpath(*parts[:depth], name).read_text("ascii", "replace").strip()
            except OSError:
                continue
            if text.isdigit():  # cgroup v2 writes "max" for no limit
                yield int(text)


def _macos_cpu() -> str:
    import subprocess

    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CaptureError(f"sysctl does not name the processor: {error}") from None
    return done.stdout.decode("utf-8", "replace").strip()
