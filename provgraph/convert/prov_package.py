"""Writing PROV-JSON, PROV-N, PROV-XML and PROV-JSONLD, through the package `prov`.

One of the two doors to that package; the other reads (`provgraph.constraints.documents`). What is
written is read back and compared before it is handed out: a document that says something else than
the graphs is never returned.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from provgraph import terms
from provgraph.convert.provdm import UNNAMED, Triple
from provgraph.convert.provdm_writing import Said, Writing, statements_of
from provgraph.errors import FormatError, UsageError
from provgraph.frozen import dataclass
from provgraph.terms import XSD, XSD_STRING, Term
from provgraph.vocab import PREFIXES

FORMATS: Final = {
    "prov-json": "json",
    "provn": "provn",
    "prov-xml": "xml",
    "prov-jsonld": "jsonld",
}
"""What a format is called on the command line, and by the package."""

# The longest head that ends before a last part without separators becomes a prefix.
_INT: Final = 2**31
_SPLIT = re.compile(r"(.*[/#:])([^/#:]*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A document, and what its format could not say just so."""

    data: bytes
    statements: int
    as_entities: tuple[str, ...]  # IRIs of what is neither entity, activity nor agent


def write_document(
    graphs: Mapping[str, Sequence[Triple]], form: str, *, minted: str | None = None
) -> Written:
    """Write graphs as a PROV document, each as a bundle; one under the empty name stands outside.

    Args:
        graphs: triples by name of the graph.
        form: a key of `FORMATS`.
        minted: what the IRIs of relations begin with that have no identifier.

    Raises:
        UsageError: the package `prov` is not installed.
        FormatError: the format cannot hold these statements.
    """
    document, writings = build_document(graphs, minted=minted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out: Any = io.BytesIO() if form == "prov-xml" else io.StringIO()
            document.serialize(out, format=FORMATS[form])
            data = out.getvalue()
            source = io.BytesIO(data) if form == "prov-xml" else io.StringIO(data)
            again = type(document).deserialize(source, format=FORMATS[form])
        except Exception as error:
            raise FormatError(f"the package prov could not write {form}: {error}") from error
    if again != document:
        raise FormatError(
            f"{form} cannot hold these statements: what was written reads back as something else;"
            " export trig or nquads"
        )
    return Written(
        data=data if isinstance(data, bytes) else data.encode(),
        statements=sum(len(each.said) for each in writings),
        as_entities=tuple(term[1:-1] for each in writings for term in each.as_entities),
    )


def build_document(
    graphs: Mapping[str, Sequence[Triple]], *, minted: str | None = None
) -> tuple[Any, list[Writing]]:
    """Build a `ProvDocument` of graphs.

    Raises:
        UsageError: the package `prov` is not installed.
    """
    try:
        from prov.model import ProvDocument
    except ImportError:
        raise UsageError(
            "writing PROV-JSON, PROV-N, PROV-XML and PROV-JSONLD needs the extra `prov`:"
            " pip install 'provgraph[prov]'"
        ) from None
    document = ProvDocument()
    names = _Names(document, has_ints=minted is not None)
    writings = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for graph, triples in graphs.items():
            writing = statements_of(
                triples,
                is_minted=lambda node: minted is not None and node[1:].startswith(minted + UNNAMED),
            )
            place = document if graph == "" else document.bundle(names.name(terms.iri(graph)))
            for said in writing.said:
                _say(place, said, names)
            writings.append(writing)
    return document, writings


class _Names:
    """Qualified names of IRIs, with one prefix for each namespace that occurs."""

    def __init__(self, document: Any, *, has_ints: bool) -> None:
        from prov.identifier import Namespace

        self._has_ints = has_ints
        self._namespace = Namespace
        self._document = document
        self._known: dict[str, Any] = {}
        self._prefixes = {iri: prefix for prefix, iri in PREFIXES.items()}
        self._names: dict[str, Any] = {}

    def name(self, term: Term) -> Any:
        """Return the qualified name of an IRI."""
        if (known := self._names.get(term)) is not None:
            return known
        iri = term[1:-1]
        match = _SPLIT.fullmatch(iri)
        head, local = (match[1], match[2]) if match is not None else (iri, "")
        self._names[term] = found = self._space(head)[local]
        return found

    def _space(self, head: str) -> Any:
        if head not in self._known:
            prefix = self._prefixes.get(head, f"n{len(self._known)}")
            space = self._namespace(prefix, head)
            if prefix not in {"prov", "xsd"}:
                space = self._document.add_namespace(space)
            self._known[head] = space
        return self._known[head]

    def value(self, term: Term) -> Any:
        """Return an attribute's value."""
        from prov.identifier import Identifier
        from prov.model import Literal

        if not terms.is_literal(term):
            return self.name(term)
        lexical, datatype, language = terms.literal_parts(term)
        if language:
            return Literal(lexical, langtag=language)
        if datatype == XSD_STRING:
            return lexical
        if datatype == f"{XSD}anyURI":
            return Identifier(lexical)
        if (
            datatype == f"{XSD}integer"
            and self._has_ints
            and -_INT <= (whole := int(lexical)) < _INT
        ):
            # The package and PROV-N write xsd:int, which the index folded into xsd:integer.
            return whole
        return Literal(lexical, self.name(terms.iri(datatype)))


def _say(place: Any, said: Said, names: _Names) -> None:
    from prov import constants
    from prov.model import PROV_REC_CLS

    types = {cls.__name__.removeprefix("Prov"): type_ for type_, cls in PROV_REC_CLS.items()}
    attributes = []
    for name, value in said.arguments:
        key = constants.PROV[name]
        is_time = name.endswith(("time", "Time"))
        attributes.append((key, terms.literal_parts(value)[0] if is_time else names.name(value)))
    others = [(names.name(name), names.value(value)) for name, value in said.attributes]
    identifier = None if said.id is None else names.name(said.id)
    place.new_record(types[said.kind], identifier, attributes, others)
