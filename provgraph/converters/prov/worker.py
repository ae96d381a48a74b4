"""The process in which a foreign PROV document is read: started by the converter, bounded, offline.

`python -I worker.py` reads one line of JSON from standard input (where our code is, the format, the
limits), then the document, and answers with JSON: canonical triples by bundle, what was refused or
written otherwise, and what PROV-CONSTRAINTS finds.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any


def main() -> int:
    """Answer on standard output; 0 also where the document is refused."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    sys.path[:0] = request["path"]
    data = sys.stdin.buffer.read()
    from provgraph.constraints.checking import check
    from provgraph.constraints.documents import FORMATS, load_document, load_parser, statements_in
    from provgraph.constraints.rdf import document_of
    from provgraph.constraints.syntaxes import kept_literals, read_quads
    from provgraph.convert.provdm_reading import read_statements
    from provgraph.converters.prov.statements import Taken, take, triples_of
    from provgraph.errors import ProvgraphError
    from provgraph.index.worker import close_doors

    gc.disable()
    form, minted = request["format"], request["minted"]
    try:
        if form in FORMATS:
            load_parser(form)
        close_doors(memory_bytes=request["memory_bytes"], cpu_s=request["cpu_s"])
        before = Taken()
        if form in FORMATS:
            document = load_document(data, form)
            findings = check(statements_in(document))
            reading = read_statements(document, minted=minted)
            bundles: Any = reading.bundles
            before.zoneless = reading.zoneless_times
            before.refused += [_split(each) for each in reading.refused]
            before.kept += [
                ("IRI", f"{each[:120]} is written percent-encoded")
                for each in sorted(reading.encoded_iris)
            ]
        else:
            base = "urn:provgraph:relative/"
            quads = read_quads(data, form, base=base)
            findings = check(document_of(quads))
            bundles = triples_of(quads, minted=minted, base=base, taken=before)
        taken = take(bundles, minted=minted, kept_literals=kept_literals)
    except ProvgraphError as error:
        answer: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    except (MemoryError, RecursionError):
        answer = {"error": "FormatError", "message": "it takes too much memory to be read"}
    else:
        answer = {
            "bundles": {name: sorted(lines) for name, lines in taken.bundles.items()},
            "refused": [*before.refused, *taken.refused],
            "kept": [*before.kept, *taken.kept],
            "zoneless": before.zoneless,
            "findings": [
                [each.name, each.message, each.bundle, each.is_violation] for each in findings
            ],
        }
    sys.stdout.write(json.dumps(answer))
    return 0


def _split(line: str) -> tuple[str, str]:
    shown, _, reason = line.rpartition("): ")
    return (f"{shown})", reason) if shown else (line, "it could not be kept")


if __name__ == "__main__":
    sys.exit(main())
