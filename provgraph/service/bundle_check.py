"""Checking a bundle that somebody sent: in a process of its own, with no network, bounded memory and time.

`python -m provgraph.service.bundle_check FILE` writes one JSON object to standard output. A file that breaks
a parser breaks that process and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from provgraph.errors import ProvgraphError, UntrustedError
from provgraph.export.views import check_views
from provgraph.index.worker import close_doors
from provgraph.seal.bundle import verify_bundle

MEMORY_BYTES: Final = 1024 * 1024 * 1024
TIMEOUT_S: Final = 60.0


def check_bundle(data: bytes) -> dict[str, Any]:
    """Check a zipped bundle; return the steps that held, and what is wrong.

    Raises:
        UntrustedError: the check did not come to its end.
    """
    with tempfile.TemporaryDirectory(prefix="provgraph-") as folder:
        path = Path(folder) / "bundle.zip"
        path.write_bytes(data)
        command = [sys.executable, "-m", "provgraph.service.bundle_check", str(path)]
        environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, timeout=TIMEOUT_S, env=environ
            )
        except subprocess.TimeoutExpired:
            raise UntrustedError(
                f"the check was stopped after {TIMEOUT_S:g} s; check it with `provgraph verify`"
            ) from None
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise UntrustedError(
            f"the check broke off (code {done.returncode}): this is no bundle that can be read"
        ) from None
    return found


def main(path: str) -> int:
    """Check the bundle at a path."""
    close_doors(memory_bytes=MEMORY_BYTES, cpu_s=int(TIMEOUT_S))
    steps: list[tuple[int, str]] = []
    found: dict[str, Any] = {"isVerified": False, "problem": None}
    try:
        bundle = verify_bundle(Path(path), report=lambda step, text: steps.append((step, text)))
        compared = check_views(bundle)
        steps.append((10, f"{compared} readable views say exactly what was signed"))
        found |= {
            "isVerified": True,
            "root": bundle.root,
            "records": len(bundle.records),
            "origin": bundle.charter.origin,
            "ledgerSize": bundle.checkpoint.size,
            "keys": sorted({record.signer for record in bundle.records}),
            "absent": [
                {"iri": each.iri, "position": each.position, "reason": each.reason}
                for each in bundle.absent
            ],
        }
    except ProvgraphError as error:
        found["problem"] = str(error).replace(path, "it")
    except MemoryError:
        found["problem"] = f"checking it takes more than {MEMORY_BYTES >> 20} MiB of memory"
    json.dump({**found, "steps": steps}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
