from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_samples import LOG_SEED, MLDSA_SEED, PRODUCER_SEED, clock

from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.mldsa import MldsaSigner, mldsa_signer_from_seed


@pytest.fixture
def log_signer() -> Signer:
    return signer_from_seed(LOG_SEED)


@pytest.fixture(scope="session")
def mldsa_signer() -> MldsaSigner:
    return mldsa_signer_from_seed(MLDSA_SEED)


@pytest.fixture
def producer() -> Signer:
    return signer_from_seed(PRODUCER_SEED)


@pytest.fixture
def open_ledger(
    tmp_path: Path, log_signer: Signer, mldsa_signer: MldsaSigner
) -> Callable[[], Ledger]:
    """Opens the test's ledger; each call opens it anew."""

    def open_it() -> Ledger:
        return Ledger.open(
            tmp_path / "home" / "ledger.db",
            log_signer=log_signer,
            mldsa_signer=mldsa_signer,
            clock=clock,
            namespace="example.org",
        )

    return open_it


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Iterator[Ledger]:
    with open_ledger() as opened:
        yield opened
