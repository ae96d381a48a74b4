"""`POST /records`: one record or a batch, as facts or as graphs that their producers sealed.

A batch is all or nothing, and acknowledged after the ledger has committed it. What does not fit the
schema is refused with the path of every faulty field; the schema in the OpenAPI document is made from
the same dataclasses that the facts are read into. While much is waiting, 429 says when to come again.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph.access.belonging import LATER, RUN, Said, graph_name, read_said
from provgraph.access.roles import APPROVE
from provgraph.access.verdict import judge
from provgraph.capture.facts import decode, find_fault
from provgraph.digests import Digest
from provgraph.errors import FormatError
from provgraph.recordable import DECISIONS, LATER_FACTS, LaterFact
from provgraph.records import Run
from provgraph.seal.entry import RECORD
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import INGEST
from provgraph.server.problems import HttpError
from provgraph.service.ingesting import (
    MAX_BATCH,
    HandedOver,
    Incoming,
    IncomingFacts,
    IncomingSealed,
)

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
# Bodies that are being taken in at once; beyond it a client is asked to wait.
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024

KINDS: Final[Mapping[str, type[Run | LaterFact]]] = {"run": Run, **LATER_FACTS}
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,199}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class _FaultError(Exception):
    """A part of the body that does not fit, with its path."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


async def post(call: Call) -> Response:
    """Take records in."""
    from provgraph.server.app import read_body

    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HttpError(
            415, "Unsupported media type", f"expected application/json, found {media_type[:100]!r}"
        )
    body = await read_body(call, max_bytes=MAX_BODY_BYTES)
    return await take_in(call, size_bytes=len(body), read=lambda: _read(body))


async def take_in(call: Call, *, size_bytes: int, read: Callable[[], list[Incoming]]) -> Response:
    """Read items, in the ingest thread, and take them in; answer with their receipts.

    Raises:
        HttpError: what `read` raises; 403; 429, too much is being taken in.
        ProvgraphError: as `Ingest.take`.
    """
    services = call.services
    if services.waiting_bytes + size_bytes > MAX_WAITING_BYTES:
        raise HttpError(429, "Too many records at once", "others are being taken in; come again")
    services.waiting_bytes += size_bytes
    try:
        ingest, intake = await services.intake()
        view = call.view

        def begin() -> HandedOver:
            items = read()
            _require_rights(call, items)
            return ingest.hand_over(items, view=view)

        taken = await intake.take(begin)
    finally:
        services.waiting_bytes -= size_bytes
    services.snapshots.grown()
    services.metrics.records += sum(each.is_new for each in taken)
    receipts = [
        {
            "record": each.receipt.record,
            "position": each.receipt.position,
            "isNew": each.is_new,
        }
        for each in taken
    ]
    size = max(each.receipt.ledger_size for each in taken)
    status = 201 if any(each.is_new for each in taken) else 200
    return JSONResponse({"receipts": receipts, "ledgerSize": size}, status_code=status)


def _require_rights(call: Call, items: list[Incoming]) -> None:
    """Refuse what a caller may not append.

    1. A token that is limited to projects appends runs of these projects, and nothing else.
    2. Only those approve who may, sealed or not; as facts, in nobody else's name.
    """
    caller = call.caller
    for place, item in enumerate(items):
        said = _said(item)
        reason = None
        # 1.
        if caller.projects is not None and not (
            said.standing == RUN and said.projects and said.projects <= caller.projects
        ):
            limits = ", ".join(sorted(caller.projects))
            reason = f"{caller.name} is limited to appending runs of the projects {limits}"
        # 2.
        if reason is None and said.approves:
            verdict = judge(caller, APPROVE)
            reason = None if verdict.is_allowed else verdict.reason
            record = item.record if isinstance(item, IncomingFacts) else None
            if reason is None and isinstance(record, DECISIONS) and record.by.name != caller.name:
                reason = f"{caller.name} cannot decide in the name of {record.by.name}"
        if reason is not None:
            raise HttpError(403, "Forbidden", f"records/{place}: {reason}")


def _said(item: Incoming) -> Said:
    """Return what an item says that bears on who may append it."""
    if isinstance(item, IncomingSealed):
        return read_said(item.graph_nq, iri=graph_name(item.graph_nq), kind=RECORD)
    project = item.record.project if isinstance(item.record, Run) else None
    return Said(
        standing=RUN if isinstance(item.record, Run) else LATER,
        projects=frozenset() if project is None else frozenset({project}),
        approves=isinstance(item.record, DECISIONS),
    )


def _read(body: bytes) -> list[Incoming]:
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "Malformed content", f"expected JSON in UTF-8: {error}") from None
    rows = value.get("records") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_BATCH or set(value) != {"records"}:
        raise _unprocessable(
            [("records", f'expected {{"records": […]}} with 1 to {MAX_BATCH} items, and no more')]
        )
    items: list[Incoming] = []
    faults: list[tuple[str, str]] = []
    for place, row in enumerate(rows):
        try:
            items.append(_item(row))
        except _FaultError as error:
            faults.append((f"records/{place}{error.path}", str(error)))
    if faults:
        raise _unprocessable(faults)
    return items


def _item(row: Any) -> Incoming:
    if not isinstance(row, dict):
        raise _FaultError("", "expected an object")
    attachments = _attachments(row.get("attachments", {}))
    if "graph" in row:
        _only(row, {"graph", "proof", "proofValue", "attachments"})
        return IncomingSealed(
            graph_nq=_text(row, "graph").encode(),
            proof_nq=_text(row, "proof").encode(),
            proof_value=_text(row, "proofValue"),
            attachments=attachments,
        )
    _only(row, {"kind", "id", "facts", "called", "attachments"})
    kind = KINDS.get(_text(row, "kind"))
    if kind is None:
        raise _FaultError("/kind", f"expected one of {', '.join(KINDS)}, found {row['kind']!r:.80}")
    record_id = _text(row, "id")
    if not _ID.fullmatch(record_id):
        raise _FaultError("/id", f"expected {_ID.pattern}, found {record_id[:80]!r}")
    facts = row.get("facts")
    try:
        record = decode(kind, facts)
    except FormatError:
        path, message = find_fault(kind, facts)
        raise _FaultError(f"/facts{path}", message) from None
    return IncomingFacts(
        record_id=record_id,
        record=record,
        called=_text(row, "called") if "called" in row else None,
        attachments=attachments,
    )


def _only(row: Mapping[str, Any], allowed: set[str]) -> None:
    for name in row:
        if name not in allowed:
            raise _FaultError(f"/{name}", f"there is no such member; there are {sorted(allowed)}")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise _FaultError(f"/{name}", f"expected a text, found {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _FaultError(f"/{name}", "expected text without lone surrogates") from None
    return value


def _attachments(value: Any) -> dict[Digest, bytes]:
    if not isinstance(value, dict):
        raise _FaultError("/attachments", "expected an object of digests and base64")
    found = {}
    for digest, text in value.items():
        if not _DIGEST.fullmatch(digest) or not isinstance(text, str):
            raise _FaultError("/attachments", f"expected sha256:<hex>, found {digest[:80]!r}")
        try:
            found[Digest.parse(digest)] = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _FaultError(f"/attachments/{digest}", "expected base64") from None
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return found


def _unprocessable(faults: list[tuple[str, str]]) -> HttpError:
    path, message = faults[0]
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return HttpError(
        422,
        "Facts that do not fit",
        f"{path}: {message}{more}",
        members={"errors": [{"path": path, "message": message} for path, message in faults]},
    )


ENDPOINTS: Final = (
    Endpoint(
        path="/records",
        method="POST",
        action=INGEST,
        handler=post,
        summary="Append records, all or none; acknowledged when they are durable",
        tag="records",
        body={
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Batch"}}},
        },
        answers={
            "201": "Taken in; the receipts say where each stands",
            "403": "Not allowed, or separation of duties",
            "409": "A record of that name has other content",
            "415": "Not JSON",
            "422": "Facts that do not fit, each with its path",
            "429": "Too many at once; Retry-After says when to come again",
        },
        max_body_bytes=MAX_BODY_BYTES,
    ),
)
