from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, signer_from_seed

LOG_SEED = b"\x01" * 32
PRODUCER_SEED = b"\x02" * 32


def clock() -> datetime:
    return datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def log_signer() -> Signer:
    return signer_from_seed(LOG_SEED)


@pytest.fixture
def producer() -> Signer:
    return signer_from_seed(PRODUCER_SEED)


@pytest.fixture
def open_ledger(tmp_path: Path, log_signer: Signer) -> Callable[[], Ledger]:
    """Opens the test's ledger; each call opens it anew."""

    def open_it() -> Ledger:
        return Ledger.open(
            tmp_path / "home" / "ledger.db",
            log_signer=log_signer,
            clock=clock,
            namespace="example.org",
        )

    return open_it


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Iterator[Ledger]:
    with open_ledger() as opened:
        yield opened
