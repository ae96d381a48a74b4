"""Group commit: 32 producers against one, on this disk and on one whose sync takes 5 ms longer.

Where a sync is quick, a record's own work in Python is what counts, and sharing the sync cannot
make it eight times faster; both are printed, and the slow one is held to the factor.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SYNC_DELAY_US = 5000


def slow_sync(folder: Path) -> dict[str, str]:
    """Return the environment in which a sync is slow."""
    compiler = shutil.which("cc")
    if compiler is None:
        reason = "needs a C compiler, to slow syncs down"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    library = folder / "slow_sync.so"
    source = str(HERE / "slow_sync.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SYNC_DELAY_US": str(SYNC_DELAY_US)}


@pytest.mark.parametrize("sync", ["of this disk", "5 ms slower"])
def test_rates(sync: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = slow_sync(tmp_path) if sync == "5 ms slower" else {}
    done = subprocess.run(
        [sys.executable, str(HERE / "group_rates.py"), str(tmp_path)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    with capsys.disabled():
        for kind, rates in ((kind, found[kind]) for kind in ("small", "run")):
            ratios = {way: rate / rates["one"] for way, rate in rates.items()}
            text = ", ".join(f"{way} {rates[way]:.0f}/s (x{ratios[way]:.1f})" for way in rates)
            print(f"\nsync {sync} ({found['sync']['ms']:.1f} ms), {kind} records: {text}", end=" ")
    if sync == "5 ms slower":
        assert found["small"]["threads"] >= 8 * found["small"]["one"]
        assert found["small"]["processes"] >= 2 * found["small"]["one"]
