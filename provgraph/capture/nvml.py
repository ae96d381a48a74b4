"""NVIDIA GPUs, their driver and its CUDA version, through NVML's C interface.

NVIDIA, "NVML API Reference Guide": Initialization and Cleanup, System Queries, Device Queries. The
library comes with the driver, so no package is needed; it is called through ctypes, in a thread of
its own, since a driver that is stuck does not return.

`cuda_version` is the newest CUDA that the driver can run; the CUDA that a framework was built
against stands among its packages. All GPUs of the machine are listed, whether or not this process
may use them: `CUDA_VISIBLE_DEVICES` is among the variables. No other maker's devices are read;
where the kernel shows one, that is said.

Units: bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from provgraph.capture.attempt import learn
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass, replace
from provgraph.records import Accelerator, Missing

LIBRARY: Final = "libnvidia-ml.so.1"
TIMEOUT_S: Final = 5.0

# Present while NVIDIA's kernel driver is loaded: bare metal, a container, the Windows subsystem.
_DRIVER_MARKS: Final = (
    "proc/driver/nvidia/version",
    "dev/nvidiactl",
    "usr/lib/wsl/lib/libnvidia-ml.so.1",
)
# Device nodes of other makers' drivers.
_OTHER_MARKS: Final = {
    "dev/kfd": "an AMD GPU driver",
    "dev/accel0": "an accelerator driver",
    "dev/accel/accel0": "an accelerator driver",
    "dev/neuron0": "the AWS Neuron driver",
    "dev/davinci0": "the Ascend driver",
}

# nvml.h: NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE are 96,
# NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE is 80.
_TEXT_BYTES: Final = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """The accelerators of a machine, and what could not be learned about them."""

    accelerators: tuple[Accelerator, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    missing: tuple[Missing, ...] = ()


def probe_gpus(root: Path, *, library: str = LIBRARY, timeout_s: float = TIMEOUT_S) -> Gpus:
    """Return the GPUs. No driver of any maker is a fact: none, and nothing missing.

    `root` stands for `/`; `library` is what the dynamic linker is asked for.
    """
    missing = [
        Missing(field="accelerators", reason=f"{what} is loaded (/{mark}), which is not read")
        for mark, what in _OTHER_MARKS.items()
        if os.path.exists(root / mark)
    ]
    found: Gpus | None = Gpus()
    if any(os.path.exists(root / mark) for mark in _DRIVER_MARKS):
        found = learn("accelerators", lambda: _within(timeout_s, lambda: _read(library)), missing)
    found = found or Gpus()
    return replace(found, missing=(*missing, *found.missing))


def cuda_text(number: int) -> str:
    """Return the version that NVML writes as 1000 * major + 10 * minor.

    >>> cuda_text(12040)
    '12.4'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def _within(timeout_s: float, work: Callable[[], Gpus]) -> Gpus:
    """Run the work in a thread; give up on it, not on the run, when it does not end."""
    import threading

    results: list[Gpus | Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    # A daemon: a call that hangs in the driver must not keep the process from ending.
    thread = threading.Thread(target=run, name="provgraph-nvml", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not results:
        raise CaptureError(
            f"the NVIDIA driver is loaded, but NVML did not answer within {timeout_s:g} s"
        )
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def _read(library: str) -> Gpus:
    """Ask NVML for everything. Once the library has started, each value fails alone."""
    import ctypes

    try:
        nvml = _Nvml(ctypes.CDLL(library))
    except OSError:
        raise CaptureError(
            f"the NVIDIA driver is loaded, but {library} cannot be;"
            " a container needs the driver capability `utility`"
        ) from None
    nvml.call("nvmlInit_v2")
    try:
        missing: list[Missing] = []
        return Gpus(
            accelerators=tuple(
                Accelerator(
                    name=learn("accelerator name", device.name, missing) or "unknown NVIDIA device",
                    memory_bytes=learn("accelerator memory", device.memory_bytes, missing),
                    uuid=learn("accelerator uuid", device.uuid, missing),
                )
                for device in nvml.devices(missing)
            ),
            driver_version=learn("driver_version", nvml.driver_version, missing),
            cuda_version=learn("cuda_version", nvml.cuda_version, missing),
            missing=tuple(missing),
        )
    finally:
        # What it returns changes nothing that was learned.
        nvml.library.nvmlShutdown()


class _Nvml:
    """NVML as methods: out-parameters become results, error codes become `CaptureError`."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns nvmlReturn_t."""
        import ctypes

        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise CaptureError(f"NVML has no {name}: the driver is too old") from None
        if (code := function(*arguments)) != 0:
            describe = self.library.nvmlErrorString
            describe.restype = ctypes.c_char_p
            text = (describe(code) or b"no description").decode("utf-8", "replace")
            raise CaptureError(f"{name} failed: {text} (NVML error {code})")

    def text(self, name: str, *device: Any) -> str:
        """Call a function that fills a buffer: (…, char*, unsigned int length)."""
        import ctypes

        buffer = ctypes.create_string_buffer(_TEXT_BYTES)
        self.call(name, *device, buffer, ctypes.c_uint(_TEXT_BYTES))
        return buffer.value.decode("utf-8", "replace")

    def driver_version(self) -> str:
        return self.text("nvmlSystemGetDriverVersion")

    def cuda_version(self) -> str:
        import ctypes

        number = ctypes.c_int()
        self.call("nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(number))
        return cuda_text(number.value)

    def devices(self, missing: list[Missing]) -> list[_Device]:
        """Return the devices that can be opened; those that cannot go into `missing`."""
        import ctypes

        count = ctypes.c_uint()
        self.call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        opened = []
        for index in range(count.value):
            # nvmlDevice_t is an opaque pointer.
            handle = ctypes.c_void_p()
            try:
                self.call(
                    "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle)
                )
            except CaptureError as error:
                missing.append(Missing(field="accelerators", reason=f"GPU {index}: {error}"))
            else:
                opened.append(_Device(self, handle))
        return opened


class _Device:
    """One GPU that NVML has opened."""

    def __init__(self, nvml: _Nvml, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def name(self) -> str:
        return self._nvml.text("nvmlDeviceGetName", self._handle)

    def uuid(self) -> str:
        return self._nvml.text("nvmlDeviceGetUUID", self._handle)

    def memory_bytes(self) -> int:
        import ctypes

        # nvmlMemory_t: unsigned long long total, free, used.
        memory = (ctypes.c_ulonglong * 3)()
        self._nvml.call("nvmlDeviceGetMemoryInfo", self._handle, ctypes.byref(memory))
        return int(memory[0])
