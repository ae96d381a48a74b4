"""CPU, memory and operating system of machines laid out in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provgraph.capture.hardware import cpu_model, memory_bytes, operating_system
from provgraph.errors import CaptureError

MIB = 1024 * 1024


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME='Alpine Linux v3.20'\n", "Alpine Linux v3.20"),
        ("PRETTY_NAME=Void\n", "Void"),
        ('PRETTY_NAME="A \\"quoted\\" name"\n', 'A "quoted" name'),
    ],
)  # fmt: skip
def test_operating_system(tmp_path: Path, text: str, name: str) -> None:
    assert operating_system(lay_out(tmp_path, {"etc/os-release": text})) == name


def test_operating_system_in_the_second_place(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"usr/lib/os-release": 'PRETTY_NAME="Fedora Linux 41"\n'})
    assert operating_system(root) == "Fedora Linux 41"


def test_operating_system_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no /etc/os-release"):
        operating_system(lay_out(tmp_path, {"etc/os-release": "NAME=x\n"}))


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R)  Xeon(R) CPU @ 2.00GHz\n",
         "Intel(R) Xeon(R) CPU @ 2.00GHz"),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
         "ARM implementer 0x41 part 0xd0c"),
    ],
)  # fmt: skip
def test_cpu_model(tmp_path: Path, text: str, model: str) -> None:
    assert cpu_model(lay_out(tmp_path, {"proc/cpuinfo": text})) == model


def test_cpu_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="does not name the processor"):
        cpu_model(lay_out(tmp_path, {"proc/cpuinfo": "processor : 0\n"}))
    with pytest.raises(CaptureError, match="cannot read /proc/cpuinfo: No such file"):
        cpu_model(tmp_path / "nowhere")


MEMINFO = "MemTotal:       16384 kB\nMemFree:            1 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16 * MIB),
        # cgroup v2: the lowest limit on the way up counts, "max" is none.
        ({"proc/self/cgroup": "0::/slice/job\n", "sys/fs/cgroup/slice/job/memory.max": "max\n",
          "sys/fs/cgroup/slice/memory.max": f"{4 * MIB}\n"}, 4 * MIB),
        # cgroup v2 inside a container: the path is the host's, the mount shows only the root.
        ({"proc/self/cgroup": "0::/../host\n", "sys/fs/cgroup/memory.max": f"{2 * MIB}\n"}, 2 * MIB),
        # cgroup v1; its "no limit" is a number near 2**63.
        ({"proc/self/cgroup": "9:cpu:/x\n4:memory:/a\n",
          "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{3 * MIB}\n",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 3 * MIB),
        # A limit above what there is.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{64 * MIB}\n"}, 16 * MIB),
    ],
)  # fmt: skip
def test_memory(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert memory_bytes(lay_out(tmp_path, {"proc/meminfo": MEMINFO} | files)) == expected


def test_memory_of_a_machine_without_meminfo(tmp_path: Path) -> None:
    expected = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory_bytes(tmp_path) == expected
