"""The process in which a foreign dataset is canonicalised; started by `provgraph.convert.rdfc10`.

`python -I rdfc10_worker.py <sha256|sha384> <most blank nodes> <CPU seconds>` reads N-Quads from
standard input. It answers with the line `canonical` and the canonical N-Quads, or the line
`refused` and why; whoever started it kills it when that takes too long. It imports nothing of
provgraph, so that it starts quickly.
"""

from __future__ import annotations

import io
import resource
import sys
from collections.abc import Sequence
from typing import Final

import pyoxigraph as ox

_MEMORY_BYTES: Final = 2 << 30
_ALGORITHMS: Final = {
    "sha256": ox.CanonicalizationAlgorithm.RDFC_1_0,
    "sha384": ox.CanonicalizationAlgorithm.RDFC_1_0_SHA_384,
}


def main(arguments: Sequence[str]) -> int:
    """Answer on standard output; 0 also where the dataset is refused."""
    algorithm, max_blank_nodes, cpu_s = arguments
    # If whoever started this is killed, nobody is left to kill it.
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s)))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        quads = list(ox.parse(sys.stdin.buffer.read(), format=ox.RdfFormat.N_QUADS))
    except SyntaxError as error:
        return _answer("refused", f"expected N-Quads: {error}".encode())
    fault = _fault(quads, int(max_blank_nodes))
    if fault:
        return _answer("refused", fault.encode())
    dataset = ox.Dataset(quads)
    dataset.canonicalize(_ALGORITHMS[algorithm])
    written = io.BytesIO()
    ox.serialize(dataset, written, format=ox.RdfFormat.N_QUADS)
    # UTF-8 sorts as code points do.
    return _answer("canonical", b"".join(sorted(written.getvalue().splitlines(keepends=True))))


def _fault(quads: Sequence[ox.Quad], max_blank_nodes: int) -> str:
    """Say why a dataset is refused before the work; empty where it is not."""
    blank_nodes = set()
    for quad in quads:
        for term in (quad.subject, quad.object, quad.graph_name):
            if isinstance(term, ox.BlankNode):
                blank_nodes.add(term)
            elif isinstance(term, ox.Triple):
                return f"expected RDF 1.1, which RDFC-1.0 is for; found a triple term: {term}"
            elif isinstance(term, ox.Literal):
                if term.direction is not None:
                    return f"expected RDF 1.1, which RDFC-1.0 is for; found a direction: {term}"
                if "\ufffe" in term.value or "\uffff" in term.value:
                    return (
                        "expected text whose canonical form implementations agree on; U+FFFE and"
                        f" U+FFFF are written as escapes by some: {term}"
                    )
    if len(blank_nodes) > max_blank_nodes:
        return f"expected at most {max_blank_nodes} blank nodes, found {len(blank_nodes)}"
    return ""


def _answer(outcome: str, data: bytes) -> int:
    sys.stdout.buffer.write(outcome.encode() + b"\n" + data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
