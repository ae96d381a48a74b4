"""Make one probe fail alone: what it could not learn becomes a `Missing` with the reason.

Every automatic fact is read through `learn`, so that a strange machine costs one fact and never
the run. It hides no error of the recording itself; only probes of the surroundings go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from provgraph.capture.redact import redact
from provgraph.errors import CaptureError
from provgraph.records import Missing

T = TypeVar("T")


def learn(field: str, probe: Callable[[], T], missing: list[Missing]) -> T | None:
    """Return what the probe found; where it raises, append why and return None.

    A `CaptureError` states its reason in its own words. Reasons become part of records that are
    named by their content, so a probe keeps times and process ids out of them.
    """
    try:
        return probe()
    except CaptureError as error:
        reason = str(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    missing.append(Missing(field=field, reason=redact(reason)))
    return None
