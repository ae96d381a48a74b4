"""All converters, one row each: a new format is a module with a CONVERTER, and a row here.

The order is the order in which they are asked whether they recognise a source.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final

from provgraph.converters.contract import Converter
from provgraph.converters.sources import Source
from provgraph.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A converter: where it is, so that listing it loads nothing, and what it reads."""

    name: str
    module: str
    reads: str


ROWS: Final = (
    Row(
        name="mlflow",
        module="provgraph.converters.mlflow",
        reads="an MLflow 2 or 3 store: SQLite file, or the address of its server",
    ),
    Row(
        name="openlineage",
        module="provgraph.converters.openlineage",
        reads="OpenLineage 2 events: a file of JSON Lines, an array, or one event",
    ),
    Row(
        name="prov",
        module="provgraph.converters.prov",
        reads="W3C PROV: PROV-JSON, PROV-N, PROV-XML, PROV-JSONLD, or PROV-O as RDF",
    ),
)


def find(name: str) -> Converter:
    """Return a converter by name.

    Raises:
        UsageError: there is none of that name.
    """
    for row in ROWS:
        if row.name == name:
            converter: Converter = importlib.import_module(row.module).CONVERTER
            return converter
    known = ", ".join(row.name for row in ROWS)
    raise UsageError(f"there is no converter {name[:100]!r}; there are: {known}")


def recognise(source: Source) -> tuple[Converter, str]:
    """Return the converter of a source, and what the source is, in words.

    Raises:
        UsageError: none recognises it.
    """
    for row in ROWS:
        converter = find(row.name)
        what = converter.recognises(source)
        if what is not None:
            return converter, what
    raise UsageError(
        f"{source.text[:200]} is in no format that can be imported ({_seen(source)}). What can be:"
        + "".join(f"\n  {row.name}: {row.reads}" for row in ROWS)
        + "\nIf it is one of these, name it: provgraph import "
        f"--as {ROWS[0].name} {source.text[:200]}"
    )


def _seen(source: Source) -> str:
    if source.address is not None:
        return "an address"
    if source.folder is not None:
        return "a folder"
    return f"a file that begins with {source.head[:24]!r}" if source.head else "an empty file"
