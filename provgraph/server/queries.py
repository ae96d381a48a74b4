"""`/queries`: the written-down questions, as pages, JSON and CSV, with an operation for each.

An answer says what it rests on, as far as the caller sees: rows, evidence, contradictions and counts come
from what their view shows, and from nothing else. JSON and pages come in parts (`limit`, `offset`); CSV
has all rows, and is sent while it is read.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from itertools import chain
from typing import IO, Any, Final
from urllib.parse import quote, urlencode

from starlette.responses import JSONResponse, Response, StreamingResponse

from provgraph import vocab
from provgraph.access.roles import CERTIFY, READ
from provgraph.access.verdict import judge
from provgraph.errors import NotFoundError, QueryError, UsageError
from provgraph.index.pool import Request
from provgraph.query.answer_json import answer_json, csv_cell, native
from provgraph.query.answers import Answer, Asked, found_rows
from provgraph.query.catalogue import CannedQuery, catalogue, find
from provgraph.query.parameters import JSON_SCHEMAS
from provgraph.records import Agent
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.negotiation import choose
from provgraph.server.pages import page
from provgraph.server.problems import HttpError
from provgraph.service.asking import Meant
from provgraph.service.certifying import certify
from provgraph.service.home import utc_now
from provgraph.terms import Term

JSON_ROWS: Final = 1_000
MAX_JSON_ROWS: Final = 10_000
PAGE_ROWS: Final = 200
MAX_BODY_BYTES: Final = 64 * 1024
_MAX_OFFSET: Final = 10_000_000
_FORMS: Final = {"json": "application/json", "html": "text/html", "csv": "text/csv"}
_OWN: Final = ("as-of", "limit", "offset", "format")
_PIECE_BYTES: Final = 256 * 1024
_INPUTS: Final = {"integer": ("number", "1"), "number": ("number", "any")}


async def list_questions(call: Call) -> Response:
    """List the questions."""
    if _form(call) == "text/html":
        return page("questions.html", {"queries": catalogue()})
    return JSONResponse({"queries": [_described(query) for query in catalogue()]})


async def ask_by_name(call: Call) -> Response:
    """Answer a question by its name, or its id in any case."""
    query = _find(call)
    verdict = judge(call.caller, query.right)
    if not verdict.is_allowed and query.right != READ:
        raise HttpError(403, "Forbidden", verdict.reason)
    return await _answered(call, query)


async def ask(query: CannedQuery, call: Call) -> Response:
    """Answer one question."""
    return await _answered(call, query)


async def _answered(call: Call, query: CannedQuery) -> Response:
    form = _form(call)
    given, own = _given(call, query)
    if form == "text/html":
        return await _html(call, query, given, own)
    if form == "text/csv":
        return await _csv(call, query, given, own)
    limit = _number(own.get("limit"), "limit", default=JSON_ROWS, most=MAX_JSON_ROWS)
    offset = _number(own.get("offset"), "offset", default=0, most=_MAX_OFFSET)
    answer, meant = await _answer(call, query, given, own, page_of=(offset, limit))
    body = {
        **answer_json(answer),
        "offset": offset,
        "limit": limit,
        "meant": [asdict(each) for each in meant],
    }
    if answer.more:
        body["next"] = _link(query, {**given, **own, "offset": offset + limit})
        body["all"] = _link(query, {**given, **_as_of(own), "format": "csv"})
    headers = {LEDGER_SIZE_HEADER: str(answer.ledger_size), "Vary": "Accept"}
    return JSONResponse(body, headers=headers)


async def _answer(
    call: Call,
    query: CannedQuery,
    given: Mapping[str, str],
    own: Mapping[str, str],
    *,
    page_of: tuple[int, int],
) -> tuple[Answer, list[Meant]]:
    async with seeing(call, own.get("as-of")) as (run, _, _size):

        def question(seen: Seen) -> tuple[Answer, list[Meant]]:
            return seen.answer(seen.asked(query, given, page=page_of)), seen.meant

        return await run(question)


async def _csv(
    call: Call, query: CannedQuery, given: Mapping[str, str], own: Mapping[str, str]
) -> Response:
    """Answer with all rows; those of a query are serialised by its worker, and sent as they are read."""
    if "limit" in own or "offset" in own:
        raise UsageError("CSV has all rows: leave limit and offset out")
    async with seeing(call, own.get("as-of")) as (run, folder, size):
        asked: Asked = await run(lambda seen: seen.asked(query, given))
        headers = {
            LEDGER_SIZE_HEADER: str(size),
            "Vary": "Accept",
            "Content-Disposition": f'inline; filename="{query.id}.csv"',
        }
        if query.report is not None:
            text = await run(lambda seen: _as_csv(seen.asked(query, given)))
            return Response(text, media_type="text/csv", headers=headers)
        found = await call.services.pool.run(
            Request(
                query=asked.text,
                folder=folder,
                formats={"rows": "CSV", "boolean": "CSV"},
                is_ours=True,
            ),
            who=call.caller.name,
        )
    if isinstance(found.body, bytes):
        return Response(found.body, media_type="text/csv", headers=headers)
    headers["Content-Length"] = str(found.size_bytes)
    return StreamingResponse(_pieces(found.body), media_type="text/csv", headers=headers)


def _as_csv(asked: Asked) -> str:
    _, table = found_rows(asked)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows(map(csv_cell, row) for row in table.rows)
    return buffer.getvalue()


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


# ---- certificates ------------------------------------------------------------------------------------
async def certificate(call: Call) -> Response:
    """Seal a certificate of an answer into the ledger."""
    from provgraph.server.app import read_body

    query = _find(call)
    if not call.view.is_full:
        raise HttpError(
            403,
            "Forbidden",
            "a certificate says what the whole ledger answers, and you do not see all of it",
        )
    verdict = judge(call.caller, query.right)
    if not verdict.is_allowed:
        raise HttpError(403, "Forbidden", verdict.reason)
    given, as_of = _wanted(await read_body(call, max_bytes=MAX_BODY_BYTES))
    async with seeing(call, as_of) as (run, _, size):

        def make(seen: Seen) -> dict[str, Any]:
            by = Agent(name=call.caller.name)
            receipt = certify(
                call.services.settings, seen.asked(query, given), by=by, now=utc_now()
            )
            return {
                "certificate": receipt.record.rsplit("/", 1)[-1],
                "record": receipt.record,
                "position": receipt.position,
                "ledgerSize": size,
            }

        body = await run(make)
    call.services.snapshots.grown()
    return JSONResponse(body, status_code=201)


def _wanted(body: bytes) -> tuple[dict[str, object], str | None]:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise HttpError(400, "Malformed content", f"expected JSON in UTF-8: {error}") from None
    if not isinstance(value, dict) or not value.keys() <= {"parameters", "as_of"}:
        raise HttpError(400, "Bad request", 'expected {"parameters": {…}, "as_of": …} and no more')
    given, as_of = value.get("parameters", {}), value.get("as_of")
    plain = (str, int, float, bool)
    if not isinstance(given, dict) or not all(isinstance(each, plain) for each in given.values()):
        raise HttpError(400, "Bad request", "parameters: expected an object of texts and numbers")
    if as_of is not None and not (isinstance(as_of, str | int) and not isinstance(as_of, bool)):
        raise HttpError(400, "Bad request", "as_of: expected a ledger size or a time")
    return given, None if as_of is None else str(as_of)


# ---- pages -------------------------------------------------------------------------------------------
async def _html(
    call: Call, query: CannedQuery, given: Mapping[str, str], own: Mapping[str, str]
) -> Response:
    values: dict[str, Any] = {
        "query": query,
        "fields": _fields(query, given),
        "as_of": own.get("as-of", ""),
        "problem": None,
        "answer": None,
    }
    needed = [each for each in query.parameters if not each.is_optional and each.default is None]
    if not given and needed:
        return page("question.html", values)
    limit = _number(own.get("limit"), "limit", default=PAGE_ROWS, most=JSON_ROWS)
    offset = _number(own.get("offset"), "offset", default=0, most=_MAX_OFFSET)
    try:
        answer, meant = await _answer(call, query, given, own, page_of=(offset, limit))
    except (UsageError, NotFoundError) as error:
        status = 404 if isinstance(error, NotFoundError) else 400
        return page("question.html", {**values, "problem": str(error)}, status=status)
    values |= _shown(query, answer, given, own, offset=offset, limit=limit)
    headers = {LEDGER_SIZE_HEADER: str(answer.ledger_size)}
    return page("question.html", {**values, "meant": meant}, headers=headers)


def _shown(
    query: CannedQuery,
    answer: Answer,
    given: Mapping[str, str],
    own: Mapping[str, str],
    *,
    offset: int,
    limit: int,
) -> dict[str, Any]:
    """Return what the template shows of an answer."""
    assert answer.proofs is not None, "pages are answered with proofs"
    filled = [
        place
        for place in range(len(answer.columns))
        if any(row[place] is not None for row in answer.rows)
    ]
    states = Counter(each.state for each in answer.proofs.seals)
    here = {**given, **_as_of(own)}
    last = offset + len(answer.rows)
    links = {
        "csv": _link(query, {**here, "format": "csv"}),
        "json": _link(query, {**here, "format": "json"}),
        "next": _link(query, {**here, "offset": last}) if answer.more else None,
        "previous": _link(query, {**here, "offset": max(0, offset - limit)}) if offset else None,
    }

    def names(iri: str) -> str:
        return answer.labels.get(iri) or iri.removeprefix(vocab.ID)

    return {
        "answer": answer,
        "proofs": answer.proofs,
        "columns": [answer.columns[place] for place in filled],
        "empty_columns": [
            name for place, name in enumerate(answer.columns) if place not in set(filled)
        ],
        "rows": [[_cell(row[place], answer.labels) for place in filled] for row in answer.rows],
        "shown": f"Rows {offset + 1} to {last}" if answer.more or offset else f"{last} rows",
        "links": links,
        "erased": list(dict.fromkeys(chain.from_iterable(answer.erased.values()))),
        "seals": ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none",
        "names": names,
        "link": _about,
    }


def _cell(term: Term | None, labels: Mapping[str, str]) -> dict[str, str | None]:
    if term is None or term[0] != "<":
        value = native(term)
        return {"text": "" if value is None else str(value), "link": None}
    iri = term[1:-1]
    text = labels.get(iri) or iri.removeprefix(vocab.ID)
    return {"text": text, "iri": iri, "link": _about(iri)}


def _about(iri: str) -> str | None:
    """Return where a thing of ours is described; the page links to nothing else."""
    if not iri.startswith(vocab.ID):
        return None
    path = iri.removeprefix(vocab.ID).partition("#")[0]
    return f"/about/{quote(path, safe='/%:~')}.html"


def _fields(query: CannedQuery, given: Mapping[str, str]) -> list[dict[str, Any]]:
    fields = []
    for each in query.parameters:
        kind, step = _INPUTS.get(each.type, ("text", None))
        choices = each.choices or (("true", "false") if each.type == "boolean" else ())
        is_needed = not each.is_optional and each.default is None
        if choices and each.is_optional:
            choices = ("", *choices)
        fields.append(
            {
                "name": each.name,
                "kind": kind,
                "step": step,
                "choices": choices,
                "value": given.get(each.name, each.default or ""),
                "example": each.sample,
                "help": each.help,
                "required": is_needed,
            }
        )
    return fields


# ---- what is asked for ------------------------------------------------------------------------------
def _find(call: Call) -> CannedQuery:
    try:
        return find(call.request.path_params["name"])
    except QueryError as error:
        text = str(error).replace("`provgraph query` lists all", "/queries lists all")
        raise NotFoundError(text) from None


def _form(call: Call) -> str:
    wanted = call.request.query_params.get("format")
    if wanted is not None:
        if wanted not in _FORMS:
            raise UsageError(f"format: expected one of {', '.join(_FORMS)}, found {wanted[:40]!r}")
        return _FORMS[wanted]
    chosen = choose(call.request.headers.get("accept"), list(_FORMS.values()))
    if chosen is None:
        raise HttpError(406, "Not acceptable", f"an answer comes as {', '.join(_FORMS.values())}")
    return chosen


def _given(call: Call, query: CannedQuery) -> tuple[dict[str, str], dict[str, str]]:
    """Split what is asked with into the question's parameters and those of every answer."""
    given: dict[str, str] = {}
    own: dict[str, str] = {}
    known = {each.name for each in query.parameters}
    for name, value in call.request.query_params.multi_items():
        spelled = name.replace("_", "-")
        into = own if spelled in _OWN and spelled not in known else given
        if spelled in into:
            raise UsageError(f"{name[:100]} is given twice")
        # A form sends what was left empty.
        if value != "":
            into[spelled] = value
    return given, own


def _as_of(own: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in own.items() if name == "as-of"}


def _link(query: CannedQuery, values: Mapping[str, object]) -> str:
    return f"/queries/{query.id}?{urlencode(values)}"


def _number(text: str | None, name: str, *, default: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) > most:
        raise UsageError(f"{name}: expected a number up to {most}, found {text[:40]!r}")
    if name == "limit" and int(text) == 0:
        raise UsageError("limit: expected at least 1, found 0")
    return int(text)


def _described(query: CannedQuery) -> dict[str, Any]:
    return {
        "id": query.id,
        "name": query.name,
        "title": query.title,
        "help": query.help,
        "no_rows_mean": query.empty,
        "tags": list(query.tags),
        "columns": dict(query.columns),
        "parameters": [
            {
                "name": each.name,
                "type": each.type,
                "help": each.help,
                "optional": each.is_optional,
                "default": each.default,
                "choices": list(each.choices),
                "example": each.sample,
            }
            for each in query.parameters
        ],
        "url": f"/queries/{query.id}",
    }


# ---- the table of endpoints -------------------------------------------------------------------------
def _schema(query: CannedQuery, name: str) -> Mapping[str, Any]:
    (each,) = (parameter for parameter in query.parameters if parameter.name == name)
    schema = dict(JSON_SCHEMAS[each.type])
    if each.choices:
        schema["enum"] = list(each.choices)
    if each.default is not None:
        schema["default"] = each.default
    return schema


_ANSWER: Final = (
    Parameter(
        name="as-of",
        help="answer from the ledger as it was: a size (entries), or a time",
        example="2026-03-01T12:00:00Z",
    ),
    Parameter(
        name="limit",
        help="so many rows at most; CSV has all",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_JSON_ROWS, "default": JSON_ROWS},
    ),
    Parameter(
        name="offset",
        help="leave out so many rows",
        schema={"type": "integer", "minimum": 0, "maximum": _MAX_OFFSET, "default": 0},
    ),
    Parameter(name="format", help="instead of an Accept header", schema={"enum": list(_FORMS)}),
)
_MEDIA_TYPES: Final = tuple(_FORMS.values())
_NAME: Final = Parameter(
    name="name", help="id or name of a question", place="path", example="impact"
)


def _endpoint(query: CannedQuery) -> Endpoint:
    return Endpoint(
        path=f"/queries/{query.id}",
        method="GET",
        action=query.right,
        handler=functools.partial(ask, query),
        summary=f"{query.title}. {query.help}",
        tag="questions",
        parameters=(
            *(
                Parameter(
                    name=each.name,
                    help=each.help,
                    schema=_schema(query, each.name),
                    is_required=not each.is_optional and each.default is None,
                    example=each.sample,
                )
                for each in query.parameters
            ),
            *_ANSWER,
        ),
        answers={"400": "A parameter is missing, unknown or of another type", "404": "Not known"},
        media_types=_MEDIA_TYPES,
    )


ENDPOINTS: Final = (
    Endpoint(
        path="/queries",
        method="GET",
        action=READ,
        handler=list_questions,
        summary="The questions that have been written down",
        tag="questions",
        media_types=("application/json", "text/html"),
    ),
    *map(_endpoint, catalogue()),
    Endpoint(
        path="/queries/{name}",
        method="GET",
        action=READ,
        handler=ask_by_name,
        summary="Any of the questions, by id or name",
        tag="questions",
        parameters=(_NAME, *_ANSWER),
        answers={"404": "No such question, or a thing that is not known"},
        media_types=_MEDIA_TYPES,
    ),
    Endpoint(
        path="/queries/{name}/certificate",
        method="POST",
        action=CERTIFY,
        handler=certificate,
        summary="Seal a certificate of an answer into the ledger",
        tag="questions",
        parameters=(_NAME,),
        body={
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "parameters": {"type": "object"},
                            "as_of": {"type": ["string", "integer", "null"]},
                        },
                        "additionalProperties": False,
                    },
                    "example": {"parameters": {"dataset": "customers.csv"}},
                }
            },
        },
        answers={"201": "Sealed; where it stands", "404": "No such question or thing"},
        max_body_bytes=MAX_BODY_BYTES,
    ),
)
