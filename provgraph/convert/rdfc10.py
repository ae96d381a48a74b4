"""RDFC-1.0 of foreign RDF: its canonical N-Quads and their digest, in a process that is killed.

Specification: RDF Dataset Canonicalization 1.0 (W3C, RDFC-1.0), SHA-256; section 7.1 names the
attack: a graph of a few hundred bytes whose blank nodes look alike keeps every implementation busy
for ever. The engine (Oxigraph) has no work limit and holds the interpreter's lock while it works,
so it runs in a process of its own, bounded in time, memory and blank nodes.

This is for other people's graphs, where their own digest is wanted. Our graphs have no blank nodes
and need none of this: sorted lines are their canonical form (`provgraph.terms`).

What it does not do: give the map from blank nodes to canonical labels (Oxigraph's Python interface
has none), and digest what RDFC-1.0 does not define: triple terms, strings with a base direction.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError
from provgraph.terms import MAX_GRAPH_BYTES

# With starting and killing the process, a graph is refused before 3 s have passed.
TIMEOUT_S: Final = 2.7
# As many as can be labelled within the time where no two look alike.
MAX_BLANK_NODES: Final = 50_000

# The worker imports the engine and nothing of ours, so it starts in about 50 ms.
_WORKER: Final = Path(__file__).with_name("rdfc10_worker.py")


def rdfc10_digest(
    nquads: bytes, *, timeout_s: float = TIMEOUT_S, max_blank_nodes: int = MAX_BLANK_NODES
) -> Digest:
    """Return the SHA-256 of a dataset's canonical N-Quads.

    Raises:
        FormatError: as for `rdfc10`.
    """
    return sha256_bytes(rdfc10(nquads, timeout_s=timeout_s, max_blank_nodes=max_blank_nodes))


def rdfc10(
    nquads: bytes,
    *,
    timeout_s: float = TIMEOUT_S,
    max_blank_nodes: int = MAX_BLANK_NODES,
    algorithm: str = "sha256",
) -> bytes:
    """Return the canonical N-Quads of a dataset given as N-Quads.

    Args:
        nquads: the dataset, at most `terms.MAX_GRAPH_BYTES`.
        timeout_s: after this the work is killed.
        max_blank_nodes: more are refused before the work.
        algorithm: the hash inside the algorithm, `sha256` or `sha384`.

    Raises:
        FormatError: not N-Quads, not RDF 1.1, over a limit, or not done in time.
    """
    import subprocess

    if len(nquads) > MAX_GRAPH_BYTES:
        raise FormatError(
            f"expected a dataset of at most {MAX_GRAPH_BYTES} bytes, found {len(nquads)}"
        )
    try:
        # Kills the process at the deadline, and whenever this call ends otherwise.
        done = subprocess.run(
            [
                *(sys.executable, "-I", str(_WORKER)),
                *(algorithm, str(max_blank_nodes), str(int(timeout_s) + 1)),
            ],
            input=nquads,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FormatError(
            f"expected a dataset that RDFC-1.0 canonicalises within {timeout_s:g} s: too many of its"
            " blank nodes look alike (RDFC-1.0 section 7.1). Give them IRIs"
        ) from None
    outcome, _, rest = done.stdout.partition(b"\n")
    if done.returncode == 0 and outcome == b"canonical":
        return rest
    if done.returncode == 0 and outcome == b"refused":
        raise FormatError(rest.decode("utf-8", "replace"))
    raise FormatError(
        f"expected a dataset that RDFC-1.0 can canonicalise; the process that tried ended with"
        f" status {done.returncode}: it needed too much memory or time"
    )
