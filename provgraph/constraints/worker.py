"""The process in which a foreign document is read and checked; started by `foreign`.

`python -I worker.py` reads one line of JSON from standard input (where our code is, the format, the
limits), then the document, and answers with JSON. Before the document is looked at, memory and CPU
time are bounded and sockets are closed; whoever started it kills it when it takes too long.
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
    from dataclasses import asdict

    from provgraph.constraints.checking import check
    from provgraph.constraints.documents import FORMATS, load_parser, read_document
    from provgraph.constraints.syntaxes import read_rdf
    from provgraph.errors import ProvgraphError
    from provgraph.index.worker import close_doors

    # All of it is needed to the end, and the process ends with it.
    gc.disable()
    form = request["format"]
    try:
        if form in FORMATS:
            load_parser(form)
        close_doors(memory_bytes=request["memory_bytes"], cpu_s=request["cpu_s"])
        document = read_document(data, form) if form in FORMATS else read_rdf(data, form)
        findings = check(document, strict=request["strict"])
    except ProvgraphError as error:
        answer: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    except (MemoryError, RecursionError):
        answer = {"error": "FormatError", "message": "it takes too much memory to be checked"}
    else:
        answer = {
            "statements": sum(map(len, document.bundles.values())),
            "bundles": len(document.bundles),
            "findings": [asdict(each) for each in findings],
        }
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
