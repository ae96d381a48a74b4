"""What may be recorded of looking after a ledger: that a backup of it was restored, to see whether it can be.

Nothing here does I/O.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from provgraph.digests import Digest
from provgraph.frozen import dataclass
from provgraph.records import Agent, Missing

PASSED: Final = "passed"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTest:
    """A backup was restored to a folder of its own, checked, asked, and thrown away."""

    id: str
    place: str  # address of the backup
    backup: str | None  # name of its manifest; None where none could be read
    state: str  # passed | failed
    problems: tuple[str, ...] = ()
    ledger_size: int | None  # of the backup
    root_hash: str | None  # sha256:<hex>
    details: Digest  # of an attachment: the report
    software: Agent
    at: datetime
    ended_at: datetime
    missing: tuple[Missing, ...] = ()
