"""`POST /api/v1/lineage`: OpenLineage events, kept durably as they came.

Specification: OpenLineage 2-0-2, `OpenLineage.json`. An event is checked for what the specification
asks of its core (times, names, producer); facets are not looked into. Its bytes become the attachment
of a sealed record, named by their digest: sending them again is harmless. What an event means is
worked out from the ledger afterwards (`provgraph.server.mapping`). An event without schemaURL, or
without its job's name, is taken, as other servers do, since some clients send none; the record says what
is missing.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from provgraph.access.verdict import Caller
from provgraph.digests import sha256_bytes
from provgraph.records import Agent, Missing, Notice
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import INGEST
from provgraph.server.problems import HttpError
from provgraph.server.records import take_in
from provgraph.service.ingesting import Incoming, IncomingFacts

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
MAX_NAME: Final = 2000
EVENT_TYPES: Final = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
# RFC 3339, with a time zone or without; digits of a second as many as are written.
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json")


async def post(call: Call) -> Response:
    """Take an event in."""
    from provgraph.server.app import read_body

    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON.fullmatch(media_type):
        raise HttpError(
            415, "Unsupported media type", f"expected application/json, found {media_type[:100]!r}"
        )
    coding = call.request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip"}:
        raise HttpError(
            415, "Unsupported content coding", f"expected gzip or none, found {coding[:100]!r}"
        )
    body = await read_body(call, max_bytes=MAX_EVENT_BYTES)

    def read() -> list[Incoming]:
        return [_event(_inflated(body) if coding == "gzip" else body, call.caller)]

    size = len(body)
    if coding == "gzip":
        size = MAX_EVENT_BYTES  # what it may become counts
    answer = await take_in(call, size_bytes=size, read=read)
    if call.services.mapper is not None:
        call.services.mapper.came()
    return answer


def _event(data: bytes, caller: Caller) -> Incoming:
    """Read an event.

    Raises:
        HttpError: 400, no JSON object; 422, it lacks what the specification asks.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
        if not isinstance(value, dict):
            raise ValueError("expected an object")  # noqa: TRY004
    except (ValueError, RecursionError) as error:
        raise HttpError(
            400, "Malformed content", f"expected an OpenLineage event, JSON in UTF-8: {error}"
        ) from None
    digest = sha256_bytes(data)
    record_id = f"openlineage-{digest.value}"
    missing = []
    if "schemaURL" not in value:
        missing.append(Missing(field="schema URL", reason="the event has no schemaURL"))
    run = None
    if "run" in value:
        run = _text(_object(value, "run", ""), "runId", "/run", pattern=_UUID)
    is_of_dataset = "dataset" in value and run is None
    if is_of_dataset and "job" in value:
        raise _unfit("/dataset", "expected a job or a dataset, found both")
    about = "dataset" if is_of_dataset else "job"
    thing = _object(value, about, "")
    name = None
    if is_of_dataset or "name" in thing:
        name = _text(thing, "name", f"/{about}")
    else:
        missing.append(Missing(field="job name", reason="the event's job has no name"))
    for side in ("inputs", "outputs"):
        _datasets(value, side)
    notice = Notice(
        id=digest.value,
        form="openlineage",
        content=digest,
        sender=Agent(name=caller.name),
        producer=_text(value, "producer", "", pattern=_URI),
        event_type=_event_type(value),
        event_time=_time(value),
        schema_url=_text(value, "schemaURL", "", pattern=_URI) if "schemaURL" in value else None,
        run=run,
        namespace=_text(thing, "namespace", f"/{about}"),
        name=name,
        is_of_dataset=is_of_dataset,
        missing=tuple(missing),
    )
    return IncomingFacts(record_id=record_id, record=notice, attachments={digest: data})


def _event_type(value: Mapping[str, Any]) -> str | None:
    found = value.get("eventType")
    if found is not None and found not in EVENT_TYPES:
        raise _unfit("/eventType", f"expected one of {', '.join(EVENT_TYPES)}, found {found!r:.80}")
    return None if found is None else str(found)


def _time(value: Mapping[str, Any]) -> str:
    text = _text(value, "eventTime", "", pattern=_TIME)
    try:
        # The calendar: there is no 30 February. Digits past microseconds are not for this check.
        datetime.fromisoformat(re.sub(r"\.\d+", "", text.upper()))
    except ValueError as error:
        raise _unfit("/eventTime", f"expected a date-time, found {text!r}: {error}") from None
    return text


def _datasets(value: Mapping[str, Any], side: str) -> None:
    rows = value.get(side)
    if rows is None:
        return
    if not isinstance(rows, list):
        raise _unfit(f"/{side}", f"expected an array, found {type(rows).__name__}")
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _unfit(f"/{side}/{place}", "expected an object")
        for name in ("namespace", "name"):
            _text(row, name, f"/{side}/{place}")


def _object(value: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise _unfit(
            f"{path}/{name}",
            "expected an object" if name in value else "it is required, and not there",
        )
    return found


def _text(
    value: Mapping[str, Any], name: str, path: str, *, pattern: re.Pattern[str] | None = None
) -> str:
    found = value.get(name)
    where = f"{path}/{name}"
    if not isinstance(found, str) or not found:
        raise _unfit(where, "expected a text" if name in value else "it is required, and not there")
    if len(found) > MAX_NAME:
        raise _unfit(where, f"expected at most {MAX_NAME} characters, found {len(found)}")
    if pattern is not None and not pattern.fullmatch(found):
        raise _unfit(where, f"expected {_WHAT[pattern]}, found {found!r:.100}")
    if any("\ud800" <= each <= "\udfff" for each in found):
        raise _unfit(where, "expected text without lone surrogates")
    return found


_WHAT: Final = {_TIME: "a date-time (RFC 3339)", _URI: "a URI", _UUID: "a UUID"}


def _inflated(data: bytes) -> bytes:
    """Decompress one gzip stream, and no more of it than an event may have."""
    try:
        stream = zlib.decompressobj(wbits=31)
        found = stream.decompress(data, MAX_EVENT_BYTES + 1)
    except zlib.error as error:
        raise HttpError(400, "Malformed content", f"expected gzip: {error}") from None
    if len(found) > MAX_EVENT_BYTES:
        raise HttpError(
            413, "Body too large", f"expected an event of at most {MAX_EVENT_BYTES} bytes"
        )
    if not stream.eof or stream.unused_data:
        raise HttpError(400, "Malformed content", "expected one gzip stream, whole")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _unfit(path: str, message: str) -> HttpError:
    return HttpError(
        422,
        "No OpenLineage event",
        f"{path}: {message}",
        members={"errors": [{"path": path, "message": message}]},
    )


SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "An OpenLineage event (2-0-2): of a run, a job, or a dataset.",
    "required": ["eventTime", "producer"],
    "properties": {
        "eventType": {"enum": [*EVENT_TYPES]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "format": "uri"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}},
        },
        "job": {"$ref": "#/components/schemas/OpenLineageName"},
        "dataset": {"$ref": "#/components/schemas/OpenLineageName"},
        "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/OpenLineageName"}},
        "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/OpenLineageName"}},
    },
}
NAME_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {
        "namespace": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
        "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
    },
}

ENDPOINTS: Final = (
    Endpoint(
        path="/api/v1/lineage",
        method="POST",
        action=INGEST,
        handler=post,
        summary="Keep an OpenLineage event; acknowledged when it is durable",
        tag="records",
        body={
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/OpenLineageEvent"}}
            },
        },
        answers={
            "201": "Kept; the receipt says where",
            "415": "Not JSON, or compressed otherwise than by gzip",
            "422": "No OpenLineage event; the path says where it is not",
            "429": "Too many at once; Retry-After says when to come again",
        },
        max_body_bytes=MAX_EVENT_BYTES,
    ),
)
