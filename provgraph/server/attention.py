"""What needs attention first: silent monitoring, gates passed by, withdrawals, contradictions.

The written-down questions answer it (Q24, Q26, Q31, Q32), for what the caller sees. Over a large store they
take seconds, so they are asked once for a ledger size and a view, beside whatever is being read: a page waits
for them a moment, and then shows what was found last, with the size that it was found at.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from provgraph.access.views import View
from provgraph.errors import ProvgraphError
from provgraph.query.answers import found_rows
from provgraph.query.catalogue import find
from provgraph.query.lineage import plain
from provgraph.terms import format_time

if TYPE_CHECKING:
    from provgraph.server.asked import Seen
    from provgraph.server.endpoints import Call

SILENT_DAYS: Final = 30
_WAIT_S: Final = 0.6
_MAX_VIEWS: Final = 64
# Question -> its column that says what is the matter, and the one that names the thing.
_ASKED: Final = {
    "Q24": ("state", "label"),
    "Q26": ("problem", "label"),
    "Q31": ("what", "label"),
    "Q32": ("rule", "thing"),
}
_NAMES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """Something that somebody should look at."""

    question: str
    title: str
    state: str
    count: int
    names: tuple[str, ...]  # of some of the things
    given: str  # the query string of the question


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What was found, at a ledger size."""

    matters: tuple[Matter, ...]
    unanswered: tuple[str, ...]  # questions that did not come to an end, and why
    ledger_size: int


class AttentionKeeper:
    """Keeps what was found last for each view. Used by one event loop."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._found: OrderedDict[View, Attention] = OrderedDict()
        self._asking: dict[View, asyncio.Task[Attention]] = {}

    async def of(self, call: Call, *, size: int) -> Attention | None:
        """Return what needs attention; None while nothing was found yet."""
        known = self._found.get(call.view)
        if known is not None and known.ledger_size >= size:
            return known
        task = self._asking.get(call.view)
        if task is None or task.done():
            task = asyncio.create_task(self._ask(call))
            self._asking[call.view] = task
        try:
            return await asyncio.wait_for(asyncio.shield(task), _WAIT_S)
        except TimeoutError:
            return known

    async def _ask(self, call: Call) -> Attention:
        from provgraph.server.asked import seeing

        matters: list[Matter] = []
        unanswered: list[str] = []
        size = 0
        for name in _ASKED:
            try:
                async with seeing(call, None) as (run, _, size):
                    matters += await run(functools.partial(_matters, name=name))
            except ProvgraphError as error:
                unanswered.append(f"{name}: {error}")
        found = Attention(matters=tuple(matters), unanswered=tuple(unanswered), ledger_size=size)
        self._found[call.view] = found
        self._found.move_to_end(call.view)
        while len(self._found) > _MAX_VIEWS:
            self._found.popitem(last=False)
        self._asking.pop(call.view, None)
        return found


def _matters(seen: Seen, *, name: str) -> list[Matter]:
    query = find(name)
    given: dict[str, object] = {}
    text = ""
    if name == "Q24":
        since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=SILENT_DAYS)
        given, text = {"since": format_time(since)}, f"since={format_time(since)}"
    _, table = found_rows(seen.asked(query, given))
    state, label = (table.columns.index(each) for each in _ASKED[name])
    counted: Counter[str] = Counter()
    names: dict[str, list[str]] = {}
    for row in table.rows:
        what = "" if (term := row[state]) is None else plain(term)
        counted[what] += 1
        called = "" if (term := row[label]) is None else plain(term)
        if called and called not in names.setdefault(what, []):
            names[what].append(called)
    return [
        Matter(
            question=query.id,
            title=query.title,
            state=what,
            count=count,
            names=tuple(each.rsplit("/", 1)[-1] for each in names.get(what, [])[:_NAMES]),
            given=text,
        )
        for what, count in counted.most_common()
    ]
