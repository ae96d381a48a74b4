"""The ledger as it was: which size a time means, and indexes of earlier sizes.

An answer as of a size comes from an index of the entries below it and no others, so it is the same for
ever, except that what was erased since is gone, which the answer says. Such an index is built from the
ledger when somebody first asks, in about the time of `provgraph reindex` for so many entries; the last
few are kept beside the index (`index.asof/`). All of them go when something is erased.

A time means the largest size whose entries were all sealed by then. The ledger keeps no clock of its
own: the times are those that the seals state, and an entry that was sealed elsewhere may have come in
later. So a time is for finding a size; the size is what an answer is exact about.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from provgraph.errors import DamagedIndexError, IndexUnavailableError, NotFoundError, UsageError
from provgraph.index.store import PREFIXES_SUFFIX, Index, Watermark, open_index
from provgraph.ledger.reading import LedgerReader
from provgraph.query.parameters import read_time
from provgraph.seal.proof import parse_proof_config
from provgraph.service.home import readable_ledger
from provgraph.settings import load
from provgraph.terms import format_time

logger: Final = logging.getLogger(__name__)

MAX_KEPT: Final = 4
_TIMES_SUFFIX: Final = ".times"
_MAGIC: Final = b"PGTIMES1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE: Final = re.compile(r"[0-9]{1,18}")

Counting = Callable[[int], None]


def size_as_of(ledger: LedgerReader, as_of: str | int | datetime, *, times_beside: Path) -> int:
    """Return the ledger size that a size or a time means.

    Args:
        ledger: the ledger.
        as_of: a size, or a time.
        times_beside: the index's folder; the times of entries are kept beside it.

    Raises:
        UsageError: it is neither.
        NotFoundError: the ledger has not got so many entries, or had none then.
    """
    size = ledger.size()
    if isinstance(as_of, int) or (isinstance(as_of, str) and _SIZE.fullmatch(as_of.strip())):
        wanted = int(as_of)
        if not 0 < wanted <= size:
            raise NotFoundError(f"as of: expected a ledger size of 1 to {size}, found {wanted}")
        return wanted
    if isinstance(as_of, datetime):
        moment = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
    else:
        try:
            moment = read_time(as_of)
        except ValueError as error:
            raise UsageError(
                f"as of: expected a ledger size or {error}, found {as_of[:100]!r}"
            ) from None
    times = _times(ledger, size, times_beside.with_name(times_beside.name + _TIMES_SUFFIX))
    limit = (moment - _EPOCH) // timedelta(microseconds=1)
    found = next((index for index, time in enumerate(times) if time > limit), size)
    if not found:
        first = _EPOCH + timedelta(microseconds=times[0]) if times else None
        began = (
            "nothing is recorded"
            if first is None
            else f"the first entry is of {format_time(first)}"
        )
        raise NotFoundError(f"as of {format_time(moment)} nothing was recorded: {began}")
    return found


@contextlib.contextmanager
def prefix_index(
    ledger: LedgerReader,
    *,
    size: int,
    index_folder: Path,
    erased: Collection[int],
    wait_s: float,
    counting: Counting | None = None,
) -> Iterator[Index]:
    """Open an index of the first `size` entries, built where there is none.

    Args:
        ledger: the ledger.
        size: of the entries that are in.
        index_folder: of the index that it stands beside.
        erased: positions of entries that are erased now.
        wait_s: how long to wait for another process that uses it.
        counting: called with the number of graphs just loaded.

    Raises:
        IndexUnavailableError: no room on the disk, or in use by another process.
    """
    home = index_folder.with_name(index_folder.name + PREFIXES_SUFFIX)
    home.mkdir(mode=0o700, exist_ok=True)
    state = _state(erased)
    folder = home / f"{size}-{state}"
    with open_index(folder, wait_s=wait_s) as index:
        mark = Watermark(size=size, root_hex=ledger.root(size).hex())
        try:
            is_there = index.watermark() == mark
        except DamagedIndexError:
            is_there = False
        if not is_there:
            build_prefix(index, ledger, mark=mark, counting=counting)
        # A block may turn out to be damaged when a question first needs it.
        index.on_damage = lambda: build_prefix(index, ledger, mark=mark)
        os.utime(folder)
        _keep_some(home, state=state, but=folder)
        yield index


def build_prefix(
    index: Index,
    ledger: LedgerReader,
    *,
    mark: Watermark,
    hidden: Collection[int] = (),
    counting: Counting | None = None,
) -> None:
    """Build an index of the entries below a size, without those that are hidden or erased."""

    def graphs() -> Iterator[bytes]:
        for record in ledger.records(0, mark.size):
            is_in = record.index not in hidden and not record.is_erased
            yield record.graph_nq if is_in else b""

    logger.info("index of an earlier size built size=%d folder=%s", mark.size, index.folder)
    index.rebuild(graphs(), mark=mark, progress=counting)


def _state(erased: Collection[int]) -> str:
    """Name what is erased: an index that holds more than may be is never opened again."""
    text = ",".join(map(str, sorted(erased)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keep_some(home: Path, *, state: str, but: Path) -> None:
    """Remove indexes that hold what was erased since, and all but the last few used."""
    folders = [each for each in home.iterdir() if each.is_dir() and each != but]
    folders.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    kept = 1
    for each in folders:
        if each.name.endswith(f"-{state}"):
            kept += 1
            if kept <= MAX_KEPT:
                continue
        with contextlib.suppress(IndexUnavailableError, OSError):
            # Another process may be asking it; then it goes another time.
            with open_index(each, wait_s=0):
                shutil.rmtree(each)
            each.with_name(f"{each.name}.lock").unlink()


# ---- times of entries --------------------------------------------------------------------------------
def _times(ledger: LedgerReader, size: int, path: Path) -> array.array[int]:
    """Return when each entry was sealed, in microseconds since 1970, kept in a file that can go."""
    times = _read_times(ledger, size, path)
    if len(times) < size:
        known = len(times)
        times.extend(
            (parse_proof_config(proof).created - _EPOCH) // timedelta(microseconds=1)
            for proof in ledger.proofs(known, size)
        )
        with contextlib.suppress(OSError):
            _write_times(ledger, times, path)
    return times


def _read_times(ledger: LedgerReader, size: int, path: Path) -> array.array[int]:
    times = array.array("q")
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        head, root, body = data[:8], data[8:40], data[40:]
        count = len(body) // times.itemsize
        is_whole = head == _MAGIC and len(body) % times.itemsize == 0
        if is_whole and 0 < count <= size and ledger.root(count) == root:
            times.frombytes(body)
    if sys.byteorder == "big":
        times.byteswap()
    return times


def _write_times(ledger: LedgerReader, times: array.array[int], path: Path) -> None:
    stored = times[:]
    if sys.byteorder == "big":
        stored.byteswap()
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_MAGIC + ledger.root(len(times)) + stored.tobytes())
    temporary.rename(path)


def main() -> None:
    """Build the index that standard input describes, for a server that must stay small."""
    wanted = json.load(sys.stdin)
    os.nice(5)
    settings = load({**os.environ, "PROVGRAPH_HOME": wanted["home"]})
    folder, size = Path(wanted["folder"]), int(wanted["size"])
    with (
        readable_ledger(settings) as ledger,
        open_index(folder, wait_s=settings.index_wait_s) as index,
    ):
        mark = Watermark(size=size, root_hex=ledger.root(size).hex())
        build_prefix(index, ledger, mark=mark, hidden=frozenset(wanted["hidden"]))
