"""Searching what was recorded: the text index is brought up to the ledger first, as any index is.

What a reader may not see is not found, and does not count: hidden entries are left out of the search, not
of its answer. After an erasure the index is built anew, since what it erases stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from provgraph.access.views import FULL, View
from provgraph.errors import ErasedError, UsageError
from provgraph.index.texts import KINDS, Filters, Hit, TextFile, open_texts, texts_path
from provgraph.ledger.reading import LedgerReader
from provgraph.seal.entry import TOMBSTONE, parse_entry
from provgraph.service.as_of import size_as_of
from provgraph.service.home import index_folder, readable_ledger
from provgraph.service.recovery import recover
from provgraph.service.visibility import open_visibility
from provgraph.settings import Settings
from provgraph.terms import format_time

MAX_HITS: Final = 1000
_BATCH: Final = 500
_BOUND = re.compile(r"\s*([^<>=\s]+)\s*(?:(>=|<=|>|<|=)\s*([-+0-9.eE]+))?\s*\Z")

Progress = Callable[[int, int], None]
"""Called with (entries read, entries to read)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to, and the ledger size that it holds for."""

    hits: tuple[Hit, ...]
    is_cut: bool
    ledger_size: int


def search(
    settings: Settings,
    text: str,
    filters: Filters,
    *,
    limit: int = 50,
    offset: int = 0,
    as_of: str | int | None = None,
    view: View = FULL,
    recovers: bool = True,
    progress: Progress | None = None,
) -> Found:
    """Find things by words and facts.

    Args:
        settings: which home.
        text: as for `TextFile.search`.
        filters: as for `TextFile.search`.
        limit: at most so many things.
        offset: after so many that are passed over.
        as_of: only what the ledger said at this size or time.
        view: what the reader may see.
        recovers: whether what killed processes left is sealed first; a server does that by itself.
        progress: told how far the index is brought up.

    Raises:
        NotFoundError: nothing has been recorded here yet, or so much or by then.
        UsageError: a kind that does not exist, a limit out of bounds, neither a size nor a time.
    """
    known = {each.lower() for each in KINDS} | {"person", "organization", "software"}
    for kind in filters.kinds - known:
        raise UsageError(
            f"no kind of thing is called {kind!r}; there are {', '.join(sorted(known))}"
        )
    if not 1 <= limit <= MAX_HITS:
        raise UsageError(f"limit: expected 1 to {MAX_HITS}, found {limit}")
    if recovers and settings.home.exists():
        recover(settings)
    index = index_folder(settings)
    with readable_ledger(settings) as ledger, open_texts(texts_path(index)) as file:
        size = _follow(ledger, file, progress)
        upto = size if as_of is None else size_as_of(ledger, as_of, times_beside=index)
        hidden = _hidden(settings, ledger, view, size=size)
        hits, is_cut = file.search(
            text, filters, limit=limit, offset=offset, as_of=upto, hidden=hidden
        )
    return Found(hits=tuple(hits), is_cut=is_cut, ledger_size=upto)


def follow(settings: Settings) -> None:
    """Bring the text index up to the ledger, so that the next search does not have to.

    Raises:
        NotFoundError: nothing has been recorded here yet.
    """
    with (
        readable_ledger(settings) as ledger,
        open_texts(texts_path(index_folder(settings))) as file,
    ):
        _follow(ledger, file, None)


def counts_by_kind(settings: Settings, *, view: View = FULL) -> dict[str, int]:
    """Return how many things of each kind a reader sees.

    Raises:
        NotFoundError: nothing has been recorded here yet.
    """
    with (
        readable_ledger(settings) as ledger,
        open_texts(texts_path(index_folder(settings))) as file,
    ):
        size = _follow(ledger, file, None)
        return file.counts(hidden=_hidden(settings, ledger, view, size=size))


def _hidden(settings: Settings, ledger: LedgerReader, view: View, *, size: int) -> set[int]:
    if view.is_full:
        return set()
    with open_visibility(settings) as visibility:
        visibility.follow(ledger)
        return visibility.hidden(view, size=size)


def _follow(ledger: LedgerReader, file: TextFile, progress: Progress | None) -> int:
    size = ledger.size()
    start, root = file.watermark()
    if start > size or (start and ledger.root(start).hex() != root):
        file.clear()
        start = 0
    if start and any(
        parse_entry(ledger.entry(index)).kind == TOMBSTONE for index in range(start, size)
    ):
        file.clear()
        start = 0
    for first in range(start, size, _BATCH):
        after = min(size, first + _BATCH)
        graphs = []
        for index in range(first, after):
            try:
                graphs.append((index, ledger.graph(index)))
            except ErasedError:
                continue
        file.append(graphs, size=after, root=ledger.root(after).hex())
        if progress is not None:
            progress(after - start, size - start)
    return size


def filters_of(
    *,
    kinds: tuple[str, ...] = (),
    project: str | None = None,
    owner: str | None = None,
    licence: str | None = None,
    since: str | None = None,
    until: str | None = None,
    metric: str | None = None,
) -> Filters:
    """Read filters as people write them: days or times, `auc>=0.8` or `auc`.

    Raises:
        UsageError: a time or a bound that cannot be read.
    """
    name = at_least = at_most = None
    if metric is not None:
        match = _BOUND.match(metric)
        if match is None:
            raise UsageError(
                f"metric: expected a name or a bound such as auc>=0.8, found {metric!r}"
            )
        name, sign = match[1], match[2]
        if sign is not None:
            try:
                bound = float(match[3])
            except ValueError:
                raise UsageError(f"metric: expected a number, found {match[3]!r}") from None
            at_least = bound if sign in {">=", ">", "="} else None
            at_most = bound if sign in {"<=", "<", "="} else None
    return Filters(
        kinds=frozenset(each.strip().lower() for each in kinds),
        project=project,
        owner=owner,
        licence=licence,
        since=_time(since, "since"),
        until=_time(until, "until"),
        metric=name,
        at_least=at_least,
        at_most=at_most,
    )


def _time(text: str | None, what: str) -> str | None:
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{what}: expected a day or time such as 2026-03-01 or 2026-03-01T12:00:00Z, found {text!r}"
        ) from None
    return format_time(value if value.tzinfo is not None else value.replace(tzinfo=UTC))
