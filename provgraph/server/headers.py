"""Names of headers that are our own."""

from __future__ import annotations

from typing import Final

ERASED_HEADER: Final = "Provgraph-Erased-Records"
"""How many records that an answer could have drawn on were erased: what they said is not in it."""
LEDGER_SIZE_HEADER: Final = "Provgraph-Ledger-Size"
"""The ledger size that an answer was computed at."""
