"""JSON Schema of what may be recorded, made from the dataclasses that the facts are read into.

Specification: JSON Schema 2020-12, as OpenAPI 3.1 uses it. A schema says what `facts.decode` accepts;
a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from provgraph.digests import Digest
from provgraph.recordable import LATER_FACTS
from provgraph.records import Run

_LEAVES: Final[Mapping[Any, Mapping[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    Digest: {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*:.+$", "examples": ["sha256:…"]},
}


def schemas_of(*kinds: type) -> dict[str, Any]:
    """Return a schema for each dataclass, and for each that it holds, by name."""
    made: dict[str, Any] = {}
    for kind in kinds:
        _reference(kind, made)
    return made


def _schema(kind: Any, made: dict[str, Any]) -> dict[str, Any]:
    if kind in _LEAVES:
        return dict(_LEAVES[kind])
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        options = [option for option in arguments if option is not type(None)]
        found = [_schema(option, made) for option in options]
        if len(options) < len(arguments):
            found.append({"type": "null"})
        return found[0] if len(found) == 1 else {"anyOf": found}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], made)}
    if origin is tuple:
        members = [_schema(each, made) for each in arguments]
        return {
            "type": "array",
            "prefixItems": members,
            "minItems": len(members),
            "maxItems": len(members),
        }
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], made)}
    return _reference(kind, made)


def _reference(kind: type, made: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in made:
        schema: dict[str, Any] = {"type": "object", "additionalProperties": False}
        made[kind.__name__] = schema
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        schema["properties"] = {each.name: _schema(hints[each.name], made) for each in fields}
        schema["required"] = [
            each.name
            for each in fields
            if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        ]
        summary = (kind.__doc__ or "").strip().partition("\n")[0]
        schema["description"] = summary
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


_KINDS: Final[Mapping[str, type]] = {"run": Run, **LATER_FACTS}
_ATTACHMENTS: Final = {
    "type": "object",
    "description": "bytes that the record names by digest, in base64",
    "additionalProperties": {"type": "string", "contentEncoding": "base64"},
    "propertyNames": {"pattern": "^sha256:[0-9a-f]{64}$"},
}

SCHEMAS: Final[Mapping[str, Any]] = {
    **schemas_of(*_KINDS.values()),
    "Sealed": {
        "type": "object",
        "description": "A graph that its producer sealed (W3C Data Integrity)",
        "additionalProperties": False,
        "required": ["graph", "proof", "proofValue"],
        "properties": {
            "graph": {"type": "string", "description": "canonical N-Quads"},
            "proof": {"type": "string", "description": "the proof's five canonical N-Quads"},
            "proofValue": {"type": "string", "pattern": "^z[1-9A-HJ-NP-Za-km-z]+$"},
            "attachments": _ATTACHMENTS,
        },
    },
    **{
        f"Incoming{kind.__name__}": {
            "type": "object",
            "additionalProperties": False,
            "required": ["kind", "id", "facts"],
            "properties": {
                "kind": {"const": name},
                "id": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]{0,199}$"},
                "facts": {"$ref": f"#/components/schemas/{kind.__name__}"},
                "called": {"type": "string", "description": "what its model goes by: churn:3"},
                "attachments": _ATTACHMENTS,
            },
        }
        for name, kind in _KINDS.items()
    },
    "Batch": {
        "type": "object",
        "additionalProperties": False,
        "required": ["records"],
        "properties": {
            "records": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {
                    "oneOf": [
                        *(
                            {"$ref": f"#/components/schemas/Incoming{kind.__name__}"}
                            for kind in _KINDS.values()
                        ),
                        {"$ref": "#/components/schemas/Sealed"},
                    ]
                },
            }
        },
    },
    "Receipts": {
        "type": "object",
        "required": ["receipts", "ledgerSize"],
        "properties": {
            "ledgerSize": {"type": "integer"},
            "receipts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["record", "position", "isNew"],
                    "properties": {
                        "record": {"type": "string", "format": "uri"},
                        "position": {"type": "integer"},
                        "isNew": {"type": "boolean"},
                    },
                },
            },
        },
    },
}
