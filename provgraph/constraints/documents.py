"""Reading PROV documents: PROV-JSON, PROV-N, PROV-XML and PROV-JSONLD, through the `prov` package.

One of the two doors to that package; the other writes (`provgraph.convert.prov_package`). It runs where foreign files are read: in a process with bounded
memory and time (`provgraph.constraints.worker`). A document type declaration is refused in XML, so
that no entity grows and no local file is read.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from provgraph.constraints.statements import KINDS, OBJECTS, Document, Statement, Value, moment
from provgraph.convert.provdm import ELEMENTS, RELATIONS
from provgraph.errors import FormatError, UsageError
from provgraph.vocab import PROV

FORMATS: Final = {"json": "json", "provn": "provn", "xml": "xml", "jsonld": "jsonld"}
"""Our name of a format to that of the package."""

# The package's class of a relation -> our kind; its formal attributes stand in the same order.
_RELATIONS: Final = {
    **{name: each.plain for name, each in RELATIONS.items()},
    **{name: name.lower() for name in ELEMENTS},
}


def load_parser(form: str) -> None:
    """Load what reading a format needs, before memory is bounded and files are out of reach.

    Raises:
        UsageError: the package `prov` is not installed.
    """
    try:
        from prov.model import ProvDocument  # noqa: F401 - imported for later
        from prov.serializers import get

        get(FORMATS[form])
        if form == "xml":
            from lxml import etree  # noqa: F401
    except ImportError:
        raise UsageError(
            "reading PROV-JSON, PROV-N, PROV-XML and PROV-JSONLD needs the extra `prov`:"
            " pip install 'provgraph[prov]'"
        ) from None


def read_document(data: bytes, form: str) -> Document:
    """Read a PROV document as statements.

    Args:
        data: the file.
        form: one of `FORMATS`.

    Raises:
        FormatError: it is not in that format.
        UsageError: the package `prov` is not installed.
    """
    return statements_in(load_document(data, form))


def load_document(data: bytes, form: str) -> Any:
    """Read a PROV document as a `ProvDocument` of the package.

    Raises:
        FormatError, UsageError: as `read_document`.
    """
    load_parser(form)
    from prov.model import ProvDocument

    if form == "xml":
        data = _plain_xml(data)
    elif form in {"json", "jsonld"}:
        _require_each_key_once(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            text = io.BytesIO(data) if form == "xml" else io.StringIO(data.decode("utf-8-sig"))
            return ProvDocument.deserialize(text, format=FORMATS[form])
        except RecursionError:
            raise FormatError("nested too deeply to be read") from None
        except Exception as error:
            raise FormatError(f"not {_TITLES[form]}: {_first_line(error)}") from None


def statements_in(document: Any) -> Document:
    """Return the statements of a `ProvDocument`.

    Raises:
        FormatError: one is of a kind that is not known here.
    """
    bundles: dict[str, Iterable[Statement]] = {"": _statements(document.get_records())}
    for bundle in document.bundles:
        name = bundle.identifier.uri if bundle.identifier is not None else ""
        bundles[name] = _statements(bundle.get_records())
    return Document(bundles={name: tuple(each) for name, each in bundles.items()})


_TITLES: Final = {
    "json": "PROV-JSON",
    "provn": "PROV-N",
    "xml": "PROV-XML",
    "jsonld": "PROV-JSONLD",
}


def _statements(records: Iterable[Any]) -> Iterable[Statement]:
    for record in records:
        kind = _RELATIONS.get(type(record).__name__.removeprefix("Prov"))
        if kind is None:
            raise FormatError(f"{type(record).__name__} is no kind of statement that is known here")
        values = [_term(value) for _, value in record.formal_attributes]
        identifier = record.identifier.uri if record.identifier is not None else None
        types = {uri for uri in map(_iri, record.get_asserted_types()) if uri is not None}
        yield Statement(
            kind=kind,
            id=identifier,
            arguments=tuple(values[: len(KINDS[kind])]),
            types=frozenset(types) if kind in OBJECTS else frozenset(),
        )


def _term(value: Any) -> Value | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return moment(value)
    return _iri(value) or str(value)


def _iri(value: Any) -> str | None:
    uri = getattr(value, "uri", None)
    return uri if isinstance(uri, str) else None


def _require_each_key_once(data: bytes) -> None:
    """Refuse a key that stands twice in one object: readers would take one and lose the other."""

    def pairs(found: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in found]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FormatError(f"expected each key once, found {twice[:80]!r} twice in one object")

    try:
        json.loads(data.decode("utf-8-sig"), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return  # the package says what is wrong


def _plain_xml(data: bytes) -> bytes:
    """Refuse a document type; give ProvToolbox's name for a bundle's content that of the schema."""
    if re.search(rb"<!\s*DOCTYPE", data[:65536], re.IGNORECASE) or b"<!ENTITY" in data:
        raise FormatError("expected PROV-XML without a document type declaration (<!DOCTYPE …>)")
    from lxml import etree

    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise FormatError(f"not XML: {error}") from None
    for child in root:
        if child.tag == f"{{{PROV}}}bundle" and len(child):
            child.tag = f"{{{PROV}}}bundleContent"
    return bytes(etree.tostring(root))


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
