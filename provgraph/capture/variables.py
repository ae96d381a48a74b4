"""The environment variables that a record keeps: an allow-list, never the whole environment.

Listed is what changes results or speed: devices, threads, determinism, search paths of code, and
the settings of the scheduler. `PROVGRAPH_ENV_ALLOW` adds names, separated by commas, `*` at the end
of one for all that begin so. A value is redacted wherever its name or content looks like a secret,
listed or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from provgraph.capture.redact import redact_value

ALLOW_VARIABLE: Final = "PROVGRAPH_ENV_ALLOW"
MAX_CHARACTERS: Final = 2048

ALLOWED: Final = (
    # devices
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "NEURON_RT_VISIBLE_CORES",
    # determinism
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
    "TF_DETERMINISTIC_OPS",
    "TF_CUDNN_DETERMINISTIC",
    "SOURCE_DATE_EPOCH",
    # threads
    "OMP_*",
    "GOMP_*",
    "KMP_*",
    "MKL_*",
    "OPENBLAS_*",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_*",
    "NUMBA_*",
    "RAYON_NUM_THREADS",
    "POLARS_*",
    "ARROW_*",
    "TOKENIZERS_PARALLELISM",
    "LOKY_MAX_CPU_COUNT",
    # frameworks and what connects them
    "NCCL_*",
    "GLOO_SOCKET_IFNAME",
    "UCX_*",
    "TORCH_*",
    "PYTORCH_*",
    # Not TF_*: Terraform's variables begin so too, and hold what its users like.
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_USE_LEGACY_KERAS",
    "TF_XLA_FLAGS",
    "XLA_*",
    "JAX_*",
    "KERAS_BACKEND",
    "ACCELERATE_*",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    # which code runs, and how text and time read
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONOPTIMIZE",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LANG",
    "LC_ALL",
    "TZ",
    # the scheduler's own, beyond the facts that `cluster` names
    "SLURM_*",
)


def probe_variables(environ: Mapping[str, str], *, without: Collection[str] = ()) -> dict[str, str]:
    """Return the allow-listed variables that are set, redacted, sorted by name.

    `without` names those that are recorded elsewhere.
    """
    added = [name.strip() for name in environ.get(ALLOW_VARIABLE, "").split(",")]
    allowed = [name for name in (*ALLOWED, *added) if name]
    names = {name for name in allowed if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in allowed if name.endswith("*"))
    return {
        name: _shortened(redact_value(name, value))
        for name, value in sorted(environ.items())
        if (name in names or name.startswith(prefixes)) and name not in without
    }


def _shortened(value: str) -> str:
    if len(value) <= MAX_CHARACTERS:
        return value
    return f"{value[:MAX_CHARACTERS]}… ({len(value)} characters)"
