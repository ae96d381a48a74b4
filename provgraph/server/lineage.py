"""`GET /lineage`: what a thing was made from, or what was made from it, as JSON.

The walk is that of `provgraph lineage`, over what the caller sees. Where it comes to something that no
record which they see describes, the node is *restricted*: its IRI and nothing else, whether others
know more of it or nobody does. What was erased says so, by whom and why.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from provgraph import terms, vocab
from provgraph.digests import Digest
from provgraph.errors import FormatError, NotFoundError, UsageError
from provgraph.query import erasures, lineage, roots
from provgraph.query.erasures import Erasure
from provgraph.query.lineage import Lineage, Node, Select
from provgraph.query.lineage_graph import LineageGraph, Restriction, require_known
from provgraph.query.lineage_roots import starts
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import wants_page
from provgraph.server.problems import HttpError
from provgraph.server.walking import with_lineage
from provgraph.service.home import readable_ledger
from provgraph.service.indexing import counting_tombstones

MAX_DEPTH: Final = 1000
# More than this is an export, not something that a page or a person reads.
MAX_NODES: Final = 10_000
_IRI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|urn:|pkg:|mailto:")
_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_DIRECTIONS: Final = ("up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walked:
    found: Lineage
    erased: Mapping[str, tuple[Erasure, ...]]


async def read(call: Call) -> Response:
    """Walk, and answer with nodes and edges; a browser is sent to the picture."""
    given = call.request.query_params
    if wants_page(call.request):
        return RedirectResponse(f"/picture?{urlencode(given)}", status_code=303)
    thing, direction = given.get("thing", "").strip(), given.get("direction", "up")
    if not thing or direction not in _DIRECTIONS:
        raise HttpError(
            400, "Bad request", "expected ?thing=<IRI, digest or name>&direction=up or down"
        )
    depth = None if "depth" not in given else number(given["depth"], "depth", most=MAX_DEPTH)
    min_size = number(given.get("min-ledger-size", "0"), "min-ledger-size", most=10**18)
    as_of = None
    if "as-of" in given:
        as_of = number(given["as-of"], "as-of", most=10**18)
    only = Restriction(
        kinds=frozenset(each.lower() for each in given.getlist("kind")),
        projects=frozenset(given.getlist("project")),
    )
    tombstones = await counting(call)

    def walk(select: Select, graph: LineageGraph) -> _Walked:
        up = direction == "up"
        start = starts(graph, meant(select, thing), up=up)
        if as_of is not None:
            require_known(graph, start)
        found = lineage.walk(graph, start, up=up, max_depth=depth, max_nodes=MAX_NODES, only=only)
        erased = erased_in(select, found.nodes, tombstones=tombstones)
        return _Walked(found=found, erased=erased)

    walked, size = await with_lineage(
        call, walk, as_of=as_of, min_ledger_size=max(min_size, as_of or 0)
    )
    found = walked.found
    body = {
        "roots": list(found.roots),
        "direction": direction,
        "depth": depth,
        "isCut": found.is_cut,
        "ledgerSize": size,
        "asOf": as_of,
        "matches": None if found.matches is None else sorted(found.matches),
        "nodes": [
            _node(node, walked.erased.get(iri, ())) for iri, node in sorted(found.nodes.items())
        ],
        "edges": [
            {"child": edge.child, "parent": edge.parent, "activities": list(edge.activities)}
            for edge in found.edges
        ],
    }
    return JSONResponse(body, headers={LEDGER_SIZE_HEADER: str(size)})


async def counting(call: Call) -> frozenset[str]:
    """Return the tombstones that count, by the ledger: any record can say that something was erased."""

    def read_them() -> frozenset[str]:
        try:
            with readable_ledger(call.services.settings) as ledger:
                return frozenset(counting_tombstones(ledger, size=ledger.size()))
        except NotFoundError:
            return frozenset()

    return await asyncio.to_thread(read_them)


def erased_in(
    select: Select, iris: Iterable[str], *, tombstones: frozenset[str]
) -> dict[str, tuple[Erasure, ...]]:
    """Return what was erased of things; those untouched are left out."""
    if not tombstones:
        return {}
    return erasures.erasures_of(select, iris, tombstones=tombstones)


def meant(select: Select, text: str) -> list[str]:
    """Find what somebody means in what they see: an IRI, a SHA-256, a name.

    Raises:
        NotFoundError: no record that they see says anything of it.
        UsageError: several things are called that.
    """
    found: list[str]
    if (digest := _DIGEST.fullmatch(text)) is not None:
        found = [vocab.content_iri(Digest("sha256", digest[1]))]
    elif _IRI.match(text):
        try:
            found = [terms.iri(text)[1:-1]]
        except FormatError as error:
            raise HttpError(400, "Bad request", f"thing: {error}") from None
    else:
        found = roots.called(select, text)
        if len(found) > 1:
            choices = ", ".join(found[:5])
            raise UsageError(f"{len(found)} things are called {text[:200]}; say which: {choices}")
    if not found or not roots.is_known(select, found[0]):
        raise NotFoundError(f"nothing is recorded here about {text[:500]}")
    return found


def _node(node: Node, erased: tuple[Erasure, ...]) -> dict[str, Any]:
    if not node.facts:
        return {"iri": node.iri, "restricted": True}
    made: dict[str, Any] = {"iri": node.iri, "kind": node.kind, "label": node.title or None}
    if erased:
        made["isPartlyErased"] = not erasures.is_wholly_erased(node)
        made["erased"] = [
            {
                "by": each.by,
                "at": each.at,
                "reason": each.reason,
                "ground": each.ground,
                "entry": each.entry_index,
                "tombstone": each.tombstone,
            }
            for each in erased
        ]
    return made


def number(text: str, name: str, *, most: int) -> int:
    """Read a number that somebody gave.

    Raises:
        HttpError: 400, it is none, or too large.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) > most:
        raise HttpError(
            400, "Bad request", f"{name}: expected a number up to {most}, found {text[:40]!r}"
        )
    return int(text)


SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["roots", "direction", "isCut", "ledgerSize", "nodes", "edges"],
    "properties": {
        "roots": {"type": "array", "items": {"type": "string"}},
        "direction": {"enum": list(_DIRECTIONS)},
        "depth": {"type": ["integer", "null"]},
        "isCut": {"type": "boolean", "description": "whether a limit ended the walk"},
        "ledgerSize": {"type": "integer"},
        "asOf": {"type": ["integer", "null"]},
        "matches": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "what a restriction asked for; the other nodes stand on the way there",
        },
        "nodes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["iri"],
                "properties": {
                    "iri": {"type": "string"},
                    "kind": {"type": "string"},
                    "label": {"type": ["string", "null"]},
                    "restricted": {
                        "type": "boolean",
                        "description": "no record that the caller sees describes it",
                    },
                    "isPartlyErased": {"type": "boolean"},
                    "erased": {"type": "array", "items": {"type": "object"}},
                },
            },
        },
        "edges": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["child", "parent", "activities"],
                "properties": {
                    "child": {"type": "string"},
                    "parent": {"type": "string"},
                    "activities": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}

ENDPOINTS: Final = (
    Endpoint(
        path="/lineage",
        method="GET",
        action=READ,
        handler=read,
        summary="What a thing was made from, or what was made from it",
        tag="query",
        parameters=(
            Parameter(
                name="thing", help="IRI, SHA-256 or name", is_required=True, example="churn:2"
            ),
            Parameter(
                name="direction",
                help="up: what it was made from; down: what was made from it",
                schema={"enum": list(_DIRECTIONS), "default": "up"},
            ),
            Parameter(
                name="depth",
                help="so many steps and no more",
                schema={"type": "integer", "minimum": 0, "maximum": MAX_DEPTH},
            ),
            Parameter(
                name="as-of",
                help="what the first so many ledger entries say: the same for ever",
                schema={"type": "integer", "minimum": 0},
            ),
            Parameter(name="kind", help="things of this kind, such as model; repeatable"),
            Parameter(
                name="project", help="things that records of this project speak of; repeatable"
            ),
            Parameter(
                name="min-ledger-size",
                help="wait until so many ledger entries are in the index",
                schema={"type": "integer", "minimum": 0},
            ),
        ),
        answers={"303": "A browser: to the picture", "404": "Nothing is recorded about it"},
        schema="Lineage",
    ),
)
