"""`provgraph.drift_origin(…)`: ask from Python where a drop began; also as `provgraph.drift(…)`."""

from __future__ import annotations

import getpass

from provgraph.drift.verdict import Verdict
from provgraph.service.asking import open_reader
from provgraph.service.drifting import Ends, find_origin, record_verdict
from provgraph.settings import load


def drift_origin(
    subject: str,
    *,
    baseline: str | None = None,
    metric: str | None = None,
    record: bool = True,
    by: str | None = None,
) -> Verdict:
    """Say where a drop of a model's quality began, and how sure that is.

    Args:
        subject: what got worse: a model (`churn:4`), a run or an observation.
        baseline: what to compare with; None: the healthy one before it.
        metric: the metric in question; None: the main one.
        record: seal the verdict into the ledger.
        by: who asks, for the record.

    Raises:
        NotFoundError: one of the ends is not known, or there is nothing to compare with.
        UsageError: both ends are the same, or not of a kind that can drift.
    """
    settings = load()
    with open_reader(settings) as reader:
        found = find_origin(
            Ends(select=reader.index.select, ledger=reader.ledger, resolve=reader.resolve),
            subject,
            baseline=baseline,
            metric=metric,
            ledger_size=reader.ledger_size,
        )
        if record:
            record_verdict(settings, reader.ledger, found, by=by or getpass.getuser())
    return found.verdict
