"""`GET /picture`: what is around a thing, drawn: a page, an SVG to keep, or the positions as JSON."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph.query import picture as drawing
from provgraph.query.lineage import Select
from provgraph.query.lineage_graph import LineageGraph, require_known
from provgraph.query.picture import MAX_DEPTH, Picture, Shape
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.lineage import meant, number
from provgraph.server.pages import about, kind_words, page, rendered, wants_page
from provgraph.server.problems import HttpError
from provgraph.server.walking import with_lineage

_FORMS: Final = ("json", "svg", "html")
_CLASSES: Final = {
    "Model": "model",
    "Dataset": "dataset",
    "FeatureSet": "dataset",
    "File": "dataset",
}
_RUNS: Final = frozenset({"Run", "Step"})
_TEXT_LENGTH: Final = 24


async def show(call: Call) -> Response:
    """Draw what is around a thing."""
    given = call.request.query_params
    form = given.get("format") or ("html" if wants_page(call.request) else "json")
    if form not in _FORMS:
        raise HttpError(
            400, "Bad request", f"format: expected one of {', '.join(_FORMS)}, found {form[:40]!r}"
        )
    thing = given.get("thing", "").strip()
    if not thing:
        raise HttpError(400, "Bad request", "expected ?thing=<IRI, digest or name>")
    depth = number(given.get("depth") or str(MAX_DEPTH), "depth", most=MAX_DEPTH)
    as_of = number(given["as-of"], "as-of", most=10**18) if given.get("as-of") else None

    def draw(select: Select, graph: LineageGraph) -> tuple[str, Picture]:
        found = meant(select, thing)
        if as_of is not None:
            require_known(graph, found)
        return found[0], drawing.picture(graph, found[0], depth=depth)

    (iri, found), size = await with_lineage(call, draw, as_of=as_of, min_ledger_size=as_of or 0)
    headers = {LEDGER_SIZE_HEADER: str(size), "Vary": "Accept"}
    if form == "json":
        return JSONResponse(_json(iri, found, size=size, as_of=as_of), headers=headers)
    shapes = [_shown(each) for each in found.shapes]
    by_number = {each.number: each for each in found.shapes}
    values: dict[str, Any] = {
        "picture": found,
        "shapes": shapes,
        "paths": [_path(by_number[start], by_number[end]) for start, end in found.lines],
        "box": (drawing.WIDTH, drawing.HEIGHT),
        "title": next((each["title"] for each in shapes if each["is_focus"]), thing),
    }
    if form == "svg":
        headers["Content-Disposition"] = 'attachment; filename="lineage.svg"'
        text = rendered("picture.svg", {**values, "is_file": True})
        return Response(text, media_type="image/svg+xml", headers=headers)
    ends = {each.number: each for each in found.shapes}
    rows = [
        {
            **_shown(each),
            "origins": [_shown(ends[a]) for a, b in found.lines if b == each.number][:20],
        }
        for each in sorted(found.shapes, key=lambda one: (abs(one.rank), one.rank, one.title))
    ]
    values |= {
        "iri": iri,
        "thing": thing,
        "rows": rows,
        "depth": depth,
        "as_of": "" if as_of is None else as_of,
        "size": size,
        "is_file": False,
    }
    return page("picture.html", values, headers={LEDGER_SIZE_HEADER: str(size)})


def _shown(shape: Shape) -> dict[str, Any]:
    text = shape.title
    short = text if len(text) <= _TEXT_LENGTH else f"{text[: _TEXT_LENGTH - 1]}…"
    kind = kind_words(shape.kind) or "thing"
    style = _CLASSES.get(shape.kind) or ("run" if shape.kind in _RUNS else "act")
    if not shape.kind:
        style = "other"
    is_fold = shape.count > 1
    return {
        "number": shape.number,
        "iri": shape.iris[0],
        "iris": shape.iris,
        "href": about(shape.iris[0]) if not shape.is_restricted else None,
        "title": f"{shape.count} {kind}s, such as {text}" if is_fold else text,
        "short": f"{shape.count} {kind}s" if is_fold else short,
        "under": (short if is_fold else kind) + (" (restricted)" if shape.is_restricted else ""),
        "kind": kind,
        "style": style,
        "count": shape.count,
        "rank": shape.rank,
        "is_focus": shape.is_focus,
        "is_restricted": shape.is_restricted,
        "x": shape.x,
        "y": shape.y,
    }


def _path(start: Shape, end: Shape) -> str:
    """Return the line from an origin to what came of it, as SVG path data."""
    x1, y1 = start.x + drawing.WIDTH, start.y + drawing.HEIGHT / 2
    x2, y2 = end.x, end.y + drawing.HEIGHT / 2
    bend = max(30.0, abs(x2 - x1) / 2)
    return f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2 - 4:g} {y2:g}"


def _json(iri: str, found: Picture, *, size: int, as_of: int | None) -> dict[str, Any]:
    return {
        "focus": iri,
        "ledgerSize": size,
        "asOf": as_of,
        "isCut": found.is_cut,
        "beyond": found.beyond,
        "width": found.width,
        "height": found.height,
        "nodes": [
            {
                "id": each.number,
                "iri": each.iris[0],
                "members": list(each.iris),
                "count": each.count,
                "kind": each.kind,
                "label": each.title,
                "rank": each.rank,
                "restricted": each.is_restricted,
                "x": each.x,
                "y": each.y,
                "width": drawing.WIDTH,
                "height": drawing.HEIGHT,
            }
            for each in found.shapes
        ],
        "edges": [{"from": start, "to": end} for start, end in found.lines],
    }


ENDPOINTS: Final = (
    Endpoint(
        path="/picture",
        method="GET",
        action=READ,
        handler=show,
        summary="What is around a thing, drawn: a page, SVG, or positions as JSON",
        tag="pages",
        parameters=(
            Parameter(
                name="thing", help="IRI, SHA-256 or name", is_required=True, example="churn:2"
            ),
            Parameter(
                name="depth",
                help="so many steps and no more",
                schema={"type": "integer", "minimum": 0, "maximum": MAX_DEPTH},
            ),
            Parameter(
                name="as-of",
                help="what the first so many ledger entries say",
                schema={"type": "integer", "minimum": 0},
            ),
            Parameter(name="format", help="instead of Accept", schema={"enum": list(_FORMS)}),
        ),
        answers={"404": "Nothing is recorded about it"},
        media_types=("application/json", "text/html", "image/svg+xml"),
    ),
)
