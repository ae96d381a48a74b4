from __future__ import annotations

import subprocess
import sys


def test_opening_a_ledger_module_loads_no_cryptography_and_no_rdf_library() -> None:
    """The library costs 24 ms; it is loaded when a key is first used."""
    script = (
        "import sys, provgraph.ledger.sqlite, provgraph.ledger.fsck, provgraph.seal.tlogproof;"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'cryptography', 'pyoxigraph', 'rdflib', 'pyld', 'numpy', 'pydantic'}))"
    )
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert result.stdout == b"[]\n"
