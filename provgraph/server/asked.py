"""Answering a written-down question for a caller: what they see, as of when they ask, in query workers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from provgraph.access.views import View
from provgraph.errors import DamagedIndexError, NotFoundError, UsageError
from provgraph.ledger.names import ShownNames
from provgraph.ledger.sqlite import Ledger
from provgraph.query import erasures, roots
from provgraph.query.answers import Answer, Asked, answer
from provgraph.query.asking import Ask
from provgraph.query.catalogue import CannedQuery
from provgraph.query.erasures import Erasure
from provgraph.query.reporting import Entries
from provgraph.server.endpoints import Call
from provgraph.server.walking import select_on
from provgraph.service.as_of import size_as_of
from provgraph.service.asking import Meant
from provgraph.service.home import index_folder, readable_ledger
from provgraph.service.indexing import counting_tombstones
from provgraph.service.things import content_digest, resolve
from provgraph.service.visibility import open_visibility
from provgraph.settings import Settings

Found = TypeVar("Found")
_MAX_CHOICES = 5


@dataclass(slots=True, kw_only=True)
class Seen:
    """The ledger and the index as a caller sees them, for one question, in a thread."""

    ask: Ask
    now: Ask
    """Over the index of today, where `ask` is over an earlier one."""
    ledger: Ledger
    entries: Entries
    settings: Settings
    tombstones: Mapping[str, str]
    """Of those that the caller sees, as of now: tombstone to erased record."""
    meant: list[Meant] = field(default_factory=list)

    def asked(
        self,
        query: CannedQuery,
        given: Mapping[str, object],
        *,
        page: tuple[int, int] | None = None,
    ) -> Asked:
        """Return a question with its parameters looked up.

        Raises:
            UsageError: a parameter is unknown, missing, of another type, or means several things.
            NotFoundError: a thing is not known to whoever asks.
        """
        return Asked(
            query=query,
            values=query.values(given, resolve=self._content),
            ask=self.ask,
            entries=self.entries,
            settings=self.settings,
            page=page,
        )

    def answer(self, asked: Asked) -> Answer:
        """Answer with everything that an answer says."""
        return answer(
            asked,
            erased=self._erased,
            erased_records=sum(map(self._is_below, self.tombstones.values())),
            keys=self.ledger.keys,
        )

    def contents(self, text: str) -> list[str]:
        """Return the contents that somebody means; errors as `asked`."""
        return self._content(text)

    def content(self, text: str) -> str:
        """Return the one content that somebody means; errors as `asked`."""
        return self._content(text)[0]

    def _content(self, text: str) -> list[str]:
        names = ShownNames(self.ledger, is_shown=self.entries.shows)
        found = resolve(names, text, finds_files=False)
        for iri in found.iris:
            if not roots.is_known(self.ask, iri) and not self._erased({iri}):
                raise NotFoundError(f"nothing is recorded here about {text.strip()[:200]}")
        if len(found.iris) > 1:
            raise _several(text, list(found.iris))
        if found.others:
            self.meant.append(Meant(text=text, iri=found.iris[0], others=found.others))
        contents = roots.versions(self.ask, list(found.iris))
        if len(contents) > 1:
            raise _several(text, contents)
        return contents or list(found.iris)

    def _erased(self, iris: set[str]) -> Mapping[str, tuple[Erasure, ...]]:
        if not self.tombstones:
            return {}
        found = erasures.erasures_of(self.now, iris, tombstones=self.tombstones)
        below = {
            iri: tuple(each for each in those if each.entry_index < self.entries.size)
            for iri, those in found.items()
        }
        return {iri: those for iri, those in below.items() if those}

    def _is_below(self, record: str) -> bool:
        position = self.ledger.find(record)
        return position is not None and position < self.entries.size


class Run(Protocol):
    """Runs a question in a thread."""

    def __call__(self, question: Callable[[Seen], Found]) -> Awaitable[Found]:
        """Return what came of it."""


@contextlib.asynccontextmanager
async def seeing(call: Call, as_of: str | None) -> AsyncIterator[tuple[Run, Path, int]]:
    """Lend what a caller sees: a function that runs a question in a thread, the index, and its size.

    Raises:
        NotFoundError: nothing is recorded yet, or the ledger was never that large.
        IndexUnavailableError: the index of an earlier size is being built.
        UsageError: `as_of` is neither a size nor a time.
    """
    services = call.services
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        snapshot = await stack.enter_async_context(services.snapshots.lend(call.view))
        today, size, folder = snapshot.ledger_size, snapshot.ledger_size, snapshot.folder
        if as_of is not None:
            size = await asyncio.to_thread(_size, services.settings, as_of)
        if size < today:
            hidden = await asyncio.to_thread(_hidden, services.settings, call.view, size)
            folder = await stack.enter_async_context(
                services.prefixes.lend(call.view, size, hidden)
            )
        elif size > today:
            raise NotFoundError(
                f"expected a ledger size of at most {today}, found {size}; ask again"
            )
        ask = select_on(call, folder, loop)
        now = select_on(call, snapshot.folder, loop)

        def work(question: Callable[[Seen], Found]) -> Found:
            with _opened(services.settings, call.view, size=size, today=today) as (
                opened,
                entries,
                those,
            ):
                return question(
                    Seen(
                        ask=ask,
                        now=now,
                        ledger=opened,
                        entries=entries,
                        settings=services.settings,
                        tombstones=those,
                    )
                )

        async def run(question: Callable[[Seen], Found]) -> Found:
            try:
                return await loop.run_in_executor(services.walkers, work, question)
            except DamagedIndexError:
                await services.snapshots.rebuild(snapshot)
                raise

        yield run, folder, size


@contextlib.contextmanager
def _opened(
    settings: Settings, view: View, *, size: int, today: int
) -> Iterator[tuple[Ledger, Entries, Mapping[str, str]]]:
    """Open the ledger, limited to what a view shows of it."""
    with readable_ledger(settings) as ledger:
        hidden = _hidden(settings, view, size)
        hidden_today = hidden if size == today else _hidden(settings, view, today)
        tombstones = {
            iri: record
            for iri, record in counting_tombstones(ledger, size=today).items()
            if (position := ledger.find(record)) is not None and position not in hidden_today
        }
        yield ledger, Entries(ledger, size=size, hidden=hidden), tombstones


def _hidden(settings: Settings, view: View, size: int) -> frozenset[int]:
    """Return which of the first entries a view leaves out."""
    if view.is_full:
        return frozenset()
    return _hidden_once(settings, view, size)


@functools.lru_cache(64)
def _hidden_once(settings: Settings, view: View, size: int) -> frozenset[int]:
    with readable_ledger(settings) as ledger, open_visibility(settings) as visibility:
        visibility.follow(ledger)
        return frozenset(visibility.hidden(view, size=size))


def _size(settings: Settings, as_of: str) -> int:
    with readable_ledger(settings) as ledger:
        return size_as_of(ledger, as_of, times_beside=index_folder(settings))


def _several(text: str, iris: list[str]) -> UsageError:
    choices = ", ".join(str(content_digest(iri) or iri) for iri in iris[:_MAX_CHOICES])
    return UsageError(f"{text[:200]} names {len(iris)} contents; say which by digest: {choices}")
