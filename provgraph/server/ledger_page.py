"""`/ledger`: its entries, and the proof that one of them is in the tree that the checkpoint names."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from provgraph.errors import NotFoundError
from provgraph.seal import merkle
from provgraph.seal.entry import parse_entry
from provgraph.seal.note import Checkpoint, open_checkpoint
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.lineage import number
from provgraph.server.pages import page

_ROWS: Final = 50


async def entries(call: Call) -> Response:
    """Show the latest entries, or those below a position."""
    below = call.request.query_params.get("below", "")
    at = number(below, "below", most=10**18) if below else None
    try:
        async with seeing(call, None) as (run, _, size):
            values = await run(lambda seen: _listed(seen, size if at is None else min(at, size)))
    except NotFoundError:
        return page("empty.html", {})
    values |= {"size": size, "step": _ROWS}
    return page("ledger.html", values, headers={LEDGER_SIZE_HEADER: str(size)})


def _listed(seen: Seen, below: int) -> dict[str, Any]:
    first = max(0, below - _ROWS)
    rows = [
        _row(seen, first + at, data) for at, data in enumerate(seen.ledger.entries(first, below))
    ]
    note = seen.ledger.checkpoint()
    return {
        "rows": rows[::-1],
        "first": first,
        "below": below,
        "origin": seen.ledger.origin,
        "root": _checkpoint(seen).root.hex(),
        "note": note.decode(errors="replace"),
    }


def _checkpoint(seen: Seen) -> Checkpoint:
    charter = seen.ledger.charter
    return open_checkpoint(seen.ledger.checkpoint(), charter.note_key, known=charter.log_keys[1:])


def _row(seen: Seen, index: int, data: bytes) -> dict[str, Any]:
    entry = parse_entry(data)
    # The log itself is open to all; what an entry is of is for those who may read it.
    is_shown = seen.entries.shows(index)
    return {
        "index": index,
        "kind": entry.kind,
        "iri": entry.graph if is_shown else None,
        "leaf": merkle.leaf_hash(data).hex(),
        "key": entry.verification_method.partition("#")[0] if is_shown else "",
    }


async def entry(call: Call) -> Response:
    """Show one entry with its inclusion proof, step by step."""
    index = number(call.request.path_params["index"], "index", most=10**18)
    async with seeing(call, None) as (run, _, size):
        if index >= size:
            raise NotFoundError(f"expected an entry below {size}, found {index}")
        values = await run(lambda seen: _proved(seen, index))
    values |= {"size": size}
    return page("entry.html", values, headers={LEDGER_SIZE_HEADER: str(size)})


def _proved(seen: Seen, index: int) -> dict[str, Any]:
    data = seen.ledger.entry(index)
    checkpoint = _checkpoint(seen)
    proof = seen.ledger.inclusion_proof(index, checkpoint.size)
    leaf = merkle.leaf_hash(data)
    # Raises where the proof does not lead to the root: then there is no page to show.
    merkle.verify_inclusion(
        leaf=leaf, index=index, size=checkpoint.size, proof=proof, root=checkpoint.root
    )
    row = _row(seen, index, data)
    return {
        "row": row,
        "text": data.decode() if row["iri"] else None,
        "tree_size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "steps": [
            {**each, "sibling": each["sibling"].hex(), "made": each["made"].hex()}
            for each in _steps(leaf, index, checkpoint.size, proof)
        ],
    }


def _steps(leaf: bytes, index: int, size: int, proof: list[bytes]) -> list[dict[str, Any]]:
    """Return what is hashed with what (RFC 9162 section 2.1.3.2)."""
    at, last, made = index, size - 1, leaf
    steps = []
    for sibling in proof:
        if at % 2 or at == last:
            side, made = "left", merkle.node_hash(sibling, made)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            side, made = "right", merkle.node_hash(made, sibling)
        at, last = at >> 1, last >> 1
        steps.append({"side": side, "sibling": sibling, "made": made})
    return steps


ENDPOINTS: Final = (
    Endpoint(
        path="/ledger",
        method="GET",
        action=READ,
        handler=entries,
        summary="The entries of the ledger, newest first",
        tag="pages",
        parameters=(
            Parameter(
                name="below",
                help="only those below this position",
                schema={"type": "integer", "minimum": 0},
            ),
        ),
        media_types=("text/html",),
    ),
    Endpoint(
        path="/ledger/{index}",
        method="GET",
        action=READ,
        handler=entry,
        summary="One entry, and the proof that it is in the tree",
        tag="pages",
        parameters=(Parameter(name="index", place="path", help="its position", example="0"),),
        answers={"404": "There is no such entry"},
        media_types=("text/html",),
    ),
)
