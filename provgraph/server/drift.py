"""`/drift`: where a drop began. GET decides over what the caller sees; POST seals the verdict too.

A verdict that is sealed is read by others later, so only who sees the whole ledger may have one sealed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph.access.roles import CERTIFY, READ
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.problems import HttpError
from provgraph.service.drifting import Ends, Found, find_origin, record_verdict, verdict_json

MAX_BODY_BYTES: Final = 16 * 1024
_FIELDS: Final = ("subject", "baseline", "metric")
_MAX_CHARACTERS: Final = 2_000


async def decide(call: Call) -> Response:
    """Decide, and record nothing."""
    given = _given(call.request.query_params)
    async with seeing(call, None) as (run, _, size):
        found = await run(lambda seen: _found(seen, given, size))
    body = {**verdict_json(found.verdict), "ledger_size": size}
    return JSONResponse(body, headers={LEDGER_SIZE_HEADER: str(size)})


async def seal(call: Call) -> Response:
    """Decide, and seal the verdict into the ledger."""
    from provgraph.server.app import read_body

    if not call.view.is_full:
        raise HttpError(
            403,
            "Forbidden",
            "a sealed verdict is about the whole ledger, and you do not see all of it; GET decides",
        )
    given = _given(_body(await read_body(call, max_bytes=MAX_BODY_BYTES)))
    async with seeing(call, None) as (run, _, size):

        def make(seen: Seen) -> dict[str, Any]:
            found = _found(seen, given, size)
            receipt = record_verdict(
                call.services.settings, seen.ledger, found, by=call.caller.name
            )
            return {
                **verdict_json(found.verdict),
                "ledger_size": size,
                "record": receipt.record,
                "position": receipt.position,
            }

        body = await run(make)
    call.services.snapshots.grown()
    return JSONResponse(body, status_code=201)


def _found(seen: Seen, given: Mapping[str, str], size: int) -> Found:
    return find_origin(
        Ends(select=seen.ask, ledger=seen.ledger, resolve=seen.contents, shows=seen.entries.shows),
        given["subject"],
        baseline=given.get("baseline"),
        metric=given.get("metric"),
        ledger_size=size,
    )


def _given(values: Mapping[str, Any]) -> dict[str, str]:
    found = {name: values[name] for name in _FIELDS if values.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, str) or not value.strip() or len(value) > _MAX_CHARACTERS:
            raise HttpError(
                400,
                "Bad request",
                f"{name}: expected text of 1 to {_MAX_CHARACTERS} characters",
            )
    if "subject" not in found:
        raise HttpError(
            400, "Bad request", "expected subject: a model, run or observation, such as churn:4"
        )
    return found


def _body(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "Malformed content", f"expected JSON in UTF-8: {error}") from None
    if not isinstance(value, dict) or not value.keys() <= set(_FIELDS):
        raise HttpError(400, "Bad request", f"expected an object of {', '.join(_FIELDS)}")
    return value


_HELP: Final = {
    "subject": "what got worse: a model, a run or an observation",
    "baseline": "what to compare with; default: the healthy one before it",
    "metric": "the metric in question; default: the main one",
}

ENDPOINTS: Final = (
    Endpoint(
        path="/drift",
        method="GET",
        action=READ,
        handler=decide,
        summary="Where a drop began, and how sure that is",
        tag="query",
        parameters=tuple(
            Parameter(
                name=name,
                help=text,
                is_required=name == "subject",
                example="churn:4" if name == "subject" else None,
            )
            for name, text in _HELP.items()
        ),
        answers={"404": "Nothing is recorded about it, or nothing to compare it with"},
    ),
    Endpoint(
        path="/drift",
        method="POST",
        action=CERTIFY,
        handler=seal,
        summary="Decide where a drop began, and seal the verdict",
        tag="query",
        body={
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["subject"],
                        "properties": {
                            name: {"type": "string", "description": text}
                            for name, text in _HELP.items()
                        },
                        "additionalProperties": False,
                    },
                    "example": {"subject": "churn:4"},
                }
            },
        },
        answers={"201": "Decided and sealed", "404": "Nothing is recorded about it"},
        max_body_bytes=MAX_BODY_BYTES,
    ),
)
