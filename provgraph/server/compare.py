"""`GET /compare`: what differs between two runs or models, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph.errors import NotFoundError, UsageError
from provgraph.query.answers import Answer
from provgraph.query.catalogue import find
from provgraph.query.difference import Change, Difference, difference
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import page, wants_page
from provgraph.server.problems import HttpError

# Of one section a page shows so many changes; JSON has all of them.
MAX_CHANGES: Final = 200


async def show(call: Call) -> Response:
    """Compare two things."""
    given = {
        name: call.request.query_params.get(name, "").strip()
        for name in ("before", "after", "as-of")
    }
    before, after = given["before"], given["after"]
    is_page = wants_page(call.request) and call.request.query_params.get("format") != "json"
    values: dict[str, Any] = {"given": given, "problem": None, "found": None}
    if not (before and after):
        if is_page:
            return page("compare.html", values)
        raise HttpError(400, "Bad request", "expected ?before=<thing>&after=<thing>")
    try:
        async with seeing(call, given["as-of"] or None) as (run, _, size):
            found: Difference = await run(lambda seen: _compared(seen, before, after))
    except (UsageError, NotFoundError) as error:
        if not is_page:
            raise
        status = 404 if isinstance(error, NotFoundError) else 400
        return page("compare.html", {**values, "problem": str(error)}, status=status)
    headers = {LEDGER_SIZE_HEADER: str(size), "Vary": "Accept"}
    if not is_page:
        return JSONResponse(_json(found), headers=headers)
    values |= {
        "found": found,
        "sections": [
            {
                "name": each.name,
                "equal": each.equal,
                "changes": [_shown(one) for one in each.changes[:MAX_CHANGES]],
                "more": max(0, len(each.changes) - MAX_CHANGES),
            }
            for each in found.sections
        ],
        "is_same": not any(each.changes for each in found.sections),
    }
    return page("compare.html", values, headers={LEDGER_SIZE_HEADER: str(size)})


def _compared(seen: Seen, before: str, after: str) -> Difference:
    def ask(name: str, values: Mapping[str, object]) -> Answer:
        return seen.answer(seen.asked(find(name), values))

    return difference(ask, before, after)


def _json(found: Difference) -> dict[str, Any]:
    return {
        "before": found.before,
        "after": found.after,
        "ledgerSize": found.ledger_size,
        "commits": found.commits,
        "sections": {
            each.name: {
                "equal": each.equal,
                "changes": [{**asdict(one), "kind": one.kind} for one in each.changes],
            }
            for each in found.sections
        },
    }


def _shown(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "what": change.what,
        "name": change.name,
        "before": ", ".join(change.before),
        "after": ", ".join(change.after),
        "note": change.note,
        "where": change.where,
        "bars": _bars(change) if change.what == "result" else None,
    }


def _bars(change: Change) -> tuple[float, float] | None:
    """Return both values of a result as lengths up to 100, None where there are not two numbers."""
    try:
        (old,), (new,) = change.before, change.after
        values = float(old), float(new)
    except ValueError:
        return None
    most = max(*map(abs, values), 1.0 if max(map(abs, values)) <= 1 else 0.0)
    return round(96 * abs(values[0]) / most, 1), round(96 * abs(values[1]) / most, 1)


ENDPOINTS: Final = (
    Endpoint(
        path="/compare",
        method="GET",
        action=READ,
        handler=show,
        summary="What differs between two runs or models",
        tag="query",
        parameters=(
            Parameter(
                name="before", help="the earlier one: name, digest or IRI", example="churn:1"
            ),
            Parameter(name="after", help="the later one", example="churn:2"),
            Parameter(name="as-of", help="as the ledger was: a size, or a time"),
            Parameter(name="format", help="instead of Accept", schema={"enum": ["json"]}),
        ),
        answers={"404": "One of them is not known"},
        media_types=("application/json", "text/html"),
    ),
)
