"""What an endpoint is; the application and the OpenAPI document are both made of these rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from provgraph.access.verdict import Caller
from provgraph.access.views import View
from provgraph.server.services import Services

Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way through a handler: who sends it, what they see, what there is to use."""

    request: Request
    caller: Caller
    view: View
    services: Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter in the query string or the path, for the OpenAPI document."""

    name: str
    help: str
    place: str = "query"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    is_required: bool = False
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path and method."""

    path: str
    method: str
    action: str  # of provgraph.server.guard
    handler: Handler
    summary: str
    tag: str
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Any] | None = None  # OpenAPI request body
    answers: Mapping[str, str] = field(default_factory=dict)  # status -> description
    media_types: Sequence[str] = ("application/json",)
    schema: str | None = None  # of the answer, by its name in the OpenAPI document
    max_body_bytes: int = 0  # a body of more is refused with 413; 0 takes none


_PROBLEM: Final = {
    "description": "A problem (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "requestId": {"type": "string"},
    },
}


def openapi(
    endpoints: Sequence[Endpoint], *, version: str, schemas: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a table of endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        operation: dict[str, Any] = {
            "summary": each.summary,
            "operationId": f"{each.method.lower()}_{each.path.strip('/').replace('/', '_')}",
            "tags": [each.tag],
            "parameters": [_parameter(row) for row in each.parameters],
            "responses": _responses(each),
        }
        if each.body is not None:
            operation["requestBody"] = dict(each.body)
        # OpenAPI knows no path parameters over several segments (`{rest:path}`): named alike.
        paths.setdefault(each.path.replace(":path}", "}"), {})[each.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "provgraph",
            "version": version,
            "summary": "A verifiable lineage store for machine learning",
        },
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM_SCHEMA, **schemas}},
    }


def _parameter(row: Parameter) -> dict[str, Any]:
    made = {
        "name": row.name,
        "in": row.place,
        "required": row.is_required or row.place == "path",
        "description": row.help,
        "schema": dict(row.schema),
    }
    return made if row.example is None else {**made, "example": row.example}


def _responses(each: Endpoint) -> dict[str, Any]:
    form: dict[str, Any] = {}
    if each.schema is not None:
        form = {"schema": {"$ref": f"#/components/schemas/{each.schema}"}}
    content: dict[str, Any] = dict.fromkeys(each.media_types, form)
    made: dict[str, Any] = {"200": {"description": "The answer, complete", "content": content}}
    for status, description in each.answers.items():
        ok = status < "400"
        made[status] = {
            "description": description,
            **({} if ok else {"content": _PROBLEM["content"]}),
        }
    made["default"] = _PROBLEM
    return made
