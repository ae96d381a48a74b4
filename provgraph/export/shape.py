"""The form of the JSON-LD documents that provgraph writes, checked before they are believed.

A JSON-LD processor drops, without a word, a key that expands to no IRI, a node whose name is not
absolute, a value that is null, an empty list, and text that stands where a node should. A reader
would see it. So a document may hold only what certainly becomes a statement:

    node   {"id": absolute IRI, "type": class or classes, property: value or values, …}
    value  text | {"@value": text, "@type": datatype} | {"@value": text, "@language": tag} | node

What it does not do: say whether the statements are the right ones; see `provgraph.export.views`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from provgraph import terms
from provgraph.errors import FormatError

_LANGUAGE: Final = re.compile(r"[a-z]{1,8}(?:-[a-z0-9]{1,8})*")
_VALUE_KEYS: Final = ({"@value"}, {"@value", "@type"}, {"@value", "@language"})


def require_secured_shape(
    document: Mapping[str, Any], context: Mapping[str, Any], switched_off: frozenset[str]
) -> None:
    """Check a secured document, its proof taken out: a graph's name, and its nodes.

    Raises:
        FormatError: anything that would make no statement, or that no secured document has.
    """
    if set(document) != {"@context", "@id", "@graph"}:
        raise FormatError(f"expected @context, @id, @graph and proof, found {sorted(document)}")
    _require_iri(document["@id"])
    _Shape(context, switched_off).check_nodes(document["@graph"])


def require_lineage_shape(
    document: Mapping[str, Any], context: Mapping[str, Any], switched_off: frozenset[str]
) -> None:
    """Check a lineage document: a node, and the nodes that it does not lead to.

    Raises:
        FormatError: anything that would make no statement.
    """
    shape = _Shape(context, switched_off)
    if "@included" in document:
        shape.check_nodes(document["@included"])
    others = {"@context", "@included"}
    shape.check_nodes([{key: value for key, value in document.items() if key not in others}])


class _Shape:
    def __init__(self, context: Mapping[str, Any], switched_off: frozenset[str]) -> None:
        self._is_iri_valued: dict[str, bool] = {}
        self._classes: set[str] = set()
        self._prefixes: set[str] = set()
        for name, definition in context.items():
            given = definition if isinstance(definition, dict) else {"@id": definition}
            if name.startswith("@") or definition in ("@id", "@type"):
                continue
            if given.get("@prefix"):
                self._prefixes.add(name)
            elif name[0].isupper():
                self._classes.add(name)
            else:
                self._is_iri_valued[name] = given.get("@type") == "@id"
        self._prefixes -= switched_off

    def check_nodes(self, nodes: object) -> None:
        """Check a list of nodes, and all that is nested in them, without recursion."""
        if not isinstance(nodes, list) or not nodes:
            raise FormatError(f"expected a list of nodes, found {nodes!r:.200}")
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if not isinstance(node, dict):
                raise FormatError(f"expected a node, found {node!r:.200}")
            _require_iri(node.get("id"))
            for key, value in node.items():
                if key == "id":
                    continue
                values = value if isinstance(value, list) else [value]
                if not values:
                    raise FormatError(f"expected a value of {key[:100]!r}, found an empty list")
                for each in values:
                    if key == "type":
                        self._check_class(each)
                    elif (nested := self._check_value(key, each)) is not None:
                        waiting.append(nested)

    def _check_class(self, value: object) -> None:
        if value not in self._classes:
            _require_iri(value)

    def _check_value(self, key: str, value: object) -> dict[str, Any] | None:
        """Check one value of a property; return it where it is a node."""
        is_iri_valued = self._is_iri_valued.get(key)
        if is_iri_valued is None:
            is_iri_valued = False
            if ":" not in key:
                raise FormatError(f"the key {key[:100]!r} is not in the context")
            _require_iri(key)
        if isinstance(value, str):
            if is_iri_valued:
                _require_iri(value)
            return None
        if not isinstance(value, dict):
            raise FormatError(f"expected text or a node as {key[:100]!r}, found {value!r:.200}")
        if "@value" not in value:
            return value
        if set(value) not in _VALUE_KEYS or not all(isinstance(v, str) for v in value.values()):
            raise FormatError(f"expected a value of {key[:100]!r}, found {value!r:.200}")
        if "@type" in value:
            _require_iri(value["@type"])
        if not _LANGUAGE.fullmatch(value.get("@language", "en")):
            raise FormatError(f"expected a language, found {value['@language']!r:.200}")
        return None


def _require_iri(value: object) -> None:
    """Check for an absolute IRI; a prefixed name is one too, whatever its prefix stands for."""
    if not isinstance(value, str):
        raise FormatError(f"expected an absolute IRI, found {value!r:.200}")
    terms.iri(value)
