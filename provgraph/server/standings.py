"""How the ledger stands with its witnesses, as every page says it; read again after a moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from provgraph.errors import NotFoundError, ProvgraphError
from provgraph.service.home import readable_ledger
from provgraph.service.witnessing import standing
from provgraph.settings import Settings

_FRESH_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a page says of the ledger: a sentence on witnesses, and whether it should worry somebody."""

    size: int | None  # None: nothing has been recorded yet
    witnessed: str
    is_worrying: bool = False


class Standings:
    """Keeps the last one for a moment. Threads may race; each then reads for itself."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._last: tuple[float, Standing] | None = None

    def of(self, settings: Settings) -> Standing:
        """Say how the ledger of a home stands."""
        now_s = time.monotonic()
        if self._last is not None and now_s - self._last[0] < _FRESH_S:
            return self._last[1]
        found = _read(settings)
        self._last = now_s, found
        return found


def _read(settings: Settings) -> Standing:
    try:
        with readable_ledger(settings) as ledger:
            size = ledger.size()
            found = standing(ledger)
    except NotFoundError:
        return Standing(size=None, witnessed="nothing to witness yet")
    except ProvgraphError as error:
        return Standing(size=None, witnessed=str(error), is_worrying=True)
    if found.stopped is not None:
        return Standing(size=size, witnessed=f"stopped: {found.stopped}", is_worrying=True)
    if found.seen is None:
        return Standing(size=size, witnessed="witnessed by nobody")
    text = f"witnessed up to {found.seen.size}"
    if found.cosigned:
        text += f" on {max(at for _, at in found.cosigned):%Y-%m-%d %H:%M} UTC"
    return Standing(size=size, witnessed=text, is_worrying=found.behind > 0)
