"""Names of headers that are our own."""

from __future__ import annotations

from typing import Final

LEDGER_SIZE_HEADER: Final = "Provgraph-Ledger-Size"
"""The ledger size that an answer was computed at."""
