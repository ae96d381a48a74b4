"""`/gate`: may a model be promoted, judged over what the caller sees; and the profiles that there are.

`GET` judges, `POST` judges and seals the decision into the ledger, in the caller's name. What is wrong with a
model is a verdict that fails, with status 200 or 201; only a request that is wrong itself gets a problem.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph.access.verdict import judge as may
from provgraph.errors import FormatError, NotFoundError, UsageError
from provgraph.gates.judging import judge
from provgraph.gates.reports import to_json
from provgraph.gates.sight import Sight
from provgraph.gates.verdict import Verdict
from provgraph.query.promotion import Profile
from provgraph.query.requirements import load_profile, named_profiles
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import INGEST, READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.problems import HttpError
from provgraph.service.gating import profiles_folder, record_decision, refused
from provgraph.service.home import utc_now

MAX_BODY_BYTES: Final = 64 * 1024
_MAX_TEXT: Final = 2_000
_KEYS: Final = ("model", "profile", "stage")


async def profiles(call: Call) -> Response:
    """List the profiles."""
    folder = profiles_folder(call.services.settings)
    found: list[dict[str, Any]] = []
    for name in named_profiles(folder):
        try:
            profile = load_profile(name, folder=folder)
        except FormatError as error:
            found.append({"id": name, "problem": str(error)})
            continue
        found.append(
            {
                "id": profile.id,
                "version": profile.version,
                "title": profile.title,
                "about": profile.about,
                "digest": str(profile.digest),
                "requirements": len(profile.requirements),
                "not_answered_by_records": len(profile.unanswered),
            }
        )
    return JSONResponse({"profiles": found})


async def look(call: Call) -> Response:
    """Judge a model."""
    given = dict(call.request.query_params)
    if unknown := sorted(given.keys() - set(_KEYS)):
        raise UsageError(f"expected {', '.join(_KEYS)}; found {unknown[0][:100]!r}")
    return await _judged(call, given, is_recorded=False)


async def decide(call: Call) -> Response:
    """Judge a model, and seal the decision."""
    from provgraph.server.app import read_body

    body = await read_body(call, max_bytes=MAX_BODY_BYTES)
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "Malformed content", f"expected JSON in UTF-8: {error}") from None
    if not isinstance(given, dict) or not given.keys() <= set(_KEYS):
        raise HttpError(400, "Bad request", 'expected {"model": …, "profile": …, "stage": …}')
    _given(given)
    # What a gate says is read, too; and a token for some projects appends runs of these, and no more.
    reading = may(call.caller, READ)
    if not reading.is_allowed:
        raise HttpError(403, "Forbidden", reading.reason)
    if call.caller.projects is not None:
        raise HttpError(
            403, "Forbidden", f"{call.caller.name} is limited to appending runs of some projects"
        )
    return await _judged(call, given, is_recorded=True)


async def _judged(call: Call, given: Mapping[str, Any], *, is_recorded: bool) -> Response:
    model, name, stage = _given(given)
    settings = call.services.settings
    try:
        profile = load_profile(name, folder=profiles_folder(settings))
    except FormatError as error:
        raise HttpError(409, "Broken profile", str(error)) from None
    async with seeing(call, None) as (run, _, size):

        def work(seen: Seen) -> dict[str, Any]:
            verdict = _verdict(seen, model, profile, stage)
            body = to_json(verdict)
            receipt = None
            if is_recorded:
                receipt = record_decision(settings, verdict, by=call.caller.name)
            body["decision"] = None if receipt is None else receipt.record
            return body

        body = await run(work)
    if body["decision"] is not None:
        call.services.snapshots.grown()
    status = 200 if body["decision"] is None else 201
    return JSONResponse(body, status_code=status, headers={LEDGER_SIZE_HEADER: str(size)})


def _verdict(seen: Seen, model: str, profile: Profile, stage: str | None) -> Verdict:
    now = utc_now()
    try:
        sight = Sight(
            model=seen.content(model),
            ask=seen.ask,
            asked=seen.asked,
            entries=seen.entries,
            keys=seen.ledger.keys(),
            now=now,
        )
    except (NotFoundError, UsageError) as error:
        return refused(error, model, profile=profile, stage=stage, now=now)
    return judge(sight, profile, asked=model, stage=stage)


def _given(given: Mapping[str, Any]) -> tuple[str, str, str | None]:
    model, profile, stage = (given.get(name) for name in _KEYS)
    for name, value in zip(_KEYS, (model, profile, stage), strict=True):
        if value is not None and (not isinstance(value, str) or len(value) > _MAX_TEXT):
            raise UsageError(f"{name}: expected a text of at most {_MAX_TEXT} characters")
    if not model or not str(model).strip():
        raise UsageError("expected a model: name:version, digest or IRI")
    return str(model), str(profile or "minimal"), stage or None


_STATES: Final = ["met", "waived", "failed", "missing", "unknown"]
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["verdict", "passes", "model", "profile", "requirements", "waivers"],
    "properties": {
        "verdict": {"enum": ["passed", "waived", "failed"]},
        "passes": {"type": "boolean"},
        "model": {"type": "string", "description": "as it was asked"},
        "content": {"type": ["string", "null"]},
        "profile": {"type": "string"},
        "profile_version": {"type": "string"},
        "profile_digest": {"type": "string"},
        "stage": {"type": ["string", "null"]},
        "ledger_size": {"type": ["integer", "null"]},
        "at": {"type": "string"},
        "decision": {"type": ["string", "null"], "description": "the sealed record"},
        "requirements": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["requirement", "title", "source", "severity", "state", "blocks"],
                "properties": {
                    "requirement": {"type": "string"},
                    "state": {"enum": _STATES},
                    "severity": {"enum": ["error", "warning"]},
                    "blocks": {"type": "boolean"},
                    "reasons": {"type": "array", "items": {"type": "string"}},
                    "evidence": {"type": "array", "items": {"type": "string"}},
                    "waiver": {"type": ["string", "null"]},
                },
            },
        },
        "waivers": {"type": "array", "items": {"type": "object"}},
        "not_answered_by_records": {"type": "array", "items": {"type": "object"}},
    },
}
_PROBLEMS: Final = {
    "400": "A parameter is missing or unknown",
    "404": "No such profile",
    "409": "A profile of this server is broken",
}

ENDPOINTS: Final = (
    Endpoint(
        path="/gate/profiles",
        method="GET",
        action=READ,
        handler=profiles,
        summary="The profiles that a model can be held against",
        tag="gate",
    ),
    Endpoint(
        path="/gate",
        method="GET",
        action=READ,
        handler=look,
        summary="May this model be promoted, by a profile; the decision is not recorded",
        tag="gate",
        parameters=(
            Parameter(
                name="model",
                help="name:version, digest or IRI",
                is_required=True,
                example="churn:3",
            ),
            Parameter(
                name="profile", help="the profile", schema={"type": "string", "default": "minimal"}
            ),
            Parameter(name="stage", help="what it is promoted to", example="production"),
        ),
        answers=_PROBLEMS,
        schema="GateVerdict",
    ),
    Endpoint(
        path="/gate",
        method="POST",
        action=INGEST,
        handler=decide,
        summary="May this model be promoted; the decision is sealed into the ledger. Needs read as well",
        tag="gate",
        body={
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["model"],
                        "properties": {
                            "model": {"type": "string"},
                            "profile": {"type": "string", "default": "minimal"},
                            "stage": {"type": ["string", "null"]},
                        },
                        "additionalProperties": False,
                    },
                    "example": {"model": "churn:3", "profile": "minimal", "stage": "production"},
                }
            },
        },
        answers={"201": "Judged and sealed", "403": "Without the right to read", **_PROBLEMS},
        schema="GateVerdict",
        max_body_bytes=MAX_BODY_BYTES,
    ),
)
