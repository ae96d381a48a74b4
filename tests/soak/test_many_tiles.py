"""A ledger of 65,836 entries, published: three levels of tiles."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ledger"))

from ledger_samples import LOG_SEED, PRODUCER_SEED, clock, small

from provgraph.ledger.published import PublishedReport, verify_published
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.tiles import publish
from provgraph.seal.keys import signer_from_seed

SIZE = 65_536 + 300


def test_three_levels(tmp_path: Path) -> None:
    producer, www = signer_from_seed(PRODUCER_SEED), tmp_path / "www"
    with Ledger.open(
        tmp_path / "ledger.db", log_signer=signer_from_seed(LOG_SEED), clock=clock
    ) as ledger:
        for start in range(0, SIZE, 10_000):
            numbers = range(start, min(SIZE, start + 10_000))
            ledger.append([small(number, signer=producer) for number in numbers])
        done = publish(ledger, www, note=ledger.checkpoint())
        # 258 tiles of level 0 with their bundles, two of level 1, one of level 2, and the charter.
        assert (done.new_entries, done.new_files) == (SIZE, 2 * 258 + 2 + 1 + 1)
        above = [path for level in ("1", "2") for path in (www / "tile" / level).rglob("*")]
        assert sorted(path.relative_to(www).as_posix() for path in above if path.is_file()) == [
            "tile/1/000",
            "tile/1/001.p/1",
            "tile/2/000.p/1",
        ]
        assert verify_published(www) == PublishedReport(
            origin=ledger.origin, size=SIZE, root=ledger.root(), tiles=261, bundles=258
        )
