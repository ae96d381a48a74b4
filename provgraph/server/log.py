"""The log over HTTP: checkpoint, charter, tiles, entries and proofs, for witnesses and auditors.

Specifications: C2SP tlog-tiles (paths below the prefix `/log`), tlog-checkpoint, tlog-proof. Tiles
never change and may be kept for ever; the checkpoint is asked for anew each time. What is served are
hashes and record ids, no content, and it is open to everybody: a log that only friends can read
convinces nobody.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from starlette.responses import Response

from provgraph.errors import FormatError, NotFoundError
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.note import open_checkpoint
from provgraph.seal.tiles import TILE_WIDTH, Tile, encode_bundle
from provgraph.seal.tlogproof import TlogProof
from provgraph.server.caching import cacheable
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import OPEN
from provgraph.server.problems import HttpError
from provgraph.service.home import cosigned_checkpoint, readable_ledger

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_INDEX: Final = re.compile(r"((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


async def checkpoint(call: Call) -> Response:
    """Return the latest checkpoint, signed by all keys of the log."""
    note = await asyncio.to_thread(cosigned_checkpoint, call.services.settings)
    return cacheable(call.request, note, media_type=_TEXT)


async def charter(call: Call) -> Response:
    """Return the ledger's charter: its origin and keys."""
    note = await asyncio.to_thread(_with_ledger, call, lambda ledger: ledger.charter.note)
    return cacheable(call.request, note, media_type=_TEXT)


async def tile(call: Call) -> Response:
    """Return a tile of hashes, or a bundle of entries."""
    level, rest = call.request.path_params["level"], call.request.path_params["rest"]
    match = _INDEX.fullmatch(rest)
    is_entries = level == "entries"
    if match is None or not (is_entries or _NUMBER.fullmatch(level)):
        raise _no_tile(call)
    index = int(match[1].replace("x", "").replace("/", ""))
    width = int(match[2]) if match[2] else TILE_WIDTH
    try:
        wanted = Tile(level=0 if is_entries else int(level), index=index, width=width)
    except FormatError:
        raise _no_tile(call) from None
    path = wanted.bundle_path if is_entries else wanted.path
    if path != f"tile/{level}/{rest}":
        raise _no_tile(call)  # another spelling of the same tile

    def read(ledger: Ledger) -> bytes:
        hashes = ledger.size() >> (8 * wanted.level)
        if wanted.start + width > hashes:
            raise _no_tile(call)
        if is_entries:
            return encode_bundle(list(ledger.entries(wanted.start, wanted.start + width)))
        height = 8 * wanted.level
        return b"".join(ledger.node_at(height, wanted.start + n) for n in range(width))

    data = await asyncio.to_thread(_with_ledger, call, read)
    return Response(data, media_type=_BYTES, headers={"Cache-Control": _FOR_EVER})


async def proof(call: Call) -> Response:
    """Return the offline proof that an entry is in the log, under the latest checkpoint."""
    given = call.request.query_params
    if ("index" in given) == ("record" in given):
        raise HttpError(400, "Bad request", "expected one of ?index=<number> or ?record=<IRI>")
    number = given.get("index", "0")
    if not _NUMBER.fullmatch(number):
        raise HttpError(400, "Bad request", f"index: expected a number, found {number[:40]!r}")
    note = await asyncio.to_thread(cosigned_checkpoint, call.services.settings)

    def prove(ledger: Ledger) -> bytes:
        size = open_checkpoint(note, *ledger.charter.log_keys).size
        index = ledger.find(given["record"]) if "record" in given else int(number)
        if index is None:
            raise NotFoundError(f"there is no record {given['record'][:300]} here")
        hashes = tuple(ledger.inclusion_proof(index, size))
        return TlogProof(index=index, hashes=hashes, checkpoint=note).encode()

    data = await asyncio.to_thread(_with_ledger, call, prove)
    return cacheable(call.request, data, media_type=_TEXT)


def _with_ledger(call: Call, use: Callable[[Ledger], bytes]) -> bytes:
    with readable_ledger(call.services.settings) as ledger:
        return use(ledger)


def _no_tile(call: Call) -> HttpError:
    return HttpError(
        404,
        "Not found",
        f"{call.request.url.path} is no tile of this log; its size is in /log/checkpoint",
    )


ENDPOINTS: Final = (
    Endpoint(
        path="/log/checkpoint",
        method="GET",
        action=OPEN,
        handler=checkpoint,
        summary="The latest signed checkpoint (C2SP tlog-checkpoint)",
        tag="log",
        media_types=("text/plain",),
    ),
    Endpoint(
        path="/log/charter",
        method="GET",
        action=OPEN,
        handler=charter,
        summary="Who this ledger is: its origin and keys",
        tag="log",
        media_types=("text/plain",),
    ),
    Endpoint(
        path="/log/proof",
        method="GET",
        action=OPEN,
        handler=proof,
        summary="The proof that an entry is in the log (C2SP tlog-proof)",
        tag="log",
        parameters=(
            Parameter(name="index", help="position of the entry", schema={"type": "integer"}),
            Parameter(name="record", help="IRI of the record, instead of its position"),
        ),
        answers={"404": "There is no such entry"},
        media_types=("text/plain",),
    ),
    Endpoint(
        path="/log/tile/{level}/{rest:path}",
        method="GET",
        action=OPEN,
        handler=tile,
        summary="A tile of hashes, or with level `entries` a bundle of entries (C2SP tlog-tiles)",
        tag="log",
        parameters=(
            Parameter(name="level", place="path", help="0, 1, … or entries"),
            Parameter(name="rest", place="path", help="N as x001/x234/067, and .p/W if partial"),
        ),
        answers={"404": "There is no such tile"},
        media_types=(_BYTES,),
    ),
)
