"""How entities, agents and unknowns stand in a record's graph: shared by every kind of record.

A `Sheet` is one graph being written. Content is named by its digest, so that two runs that touch
the same bytes meet; what people name (a model and its versions) stands above its content through
prov:specializationOf, and one version follows another through prov:wasRevisionOf.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from provgraph import terms, vocab
from provgraph.convert import data
from provgraph.convert.origins import write_origin
from provgraph.digests import sha256_bytes
from provgraph.frozen import dataclass
from provgraph.imported import Origin
from provgraph.records import RECORD_VERSION, Agent, Entity, Missing, Note, Scalar
from provgraph.terms import Graph, Term
from provgraph.vocab import LABEL, PROV_T, A, C, P

# Where no time is written.
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Entities whose description is kept, of one or two kB each.
_KNOWN_ENTITIES: Final = 1024

Statements = list[tuple[Term, Term]]
"""Predicates with their values, about one subject."""

ENTITY_CLASSES: Final = {
    "dataset": "Dataset",
    "model": "Model",
    "feature-set": "FeatureSet",
    "file": "File",
    "feature": "Feature",
}
AGENT_CLASSES: Final = {
    "person": "Person",
    "organization": "Organization",
    "software": "SoftwareAgent",
}

# What the SPDX list calls a licence; any other text is kept as text, not turned into a dead link.
_SPDX_ID = re.compile(
    r"(?:0BSD|AFL-3\.0|AGPL-3\.0(?:-only|-or-later)?|Apache-2\.0|Artistic-2\.0|BSD-[234]-Clause"
    r"|BSL-1\.0|CC0-1\.0|CC-BY(?:-NC)?(?:-ND|-SA)?-[1-4]\.[05]|CDLA-Permissive-[12]\.0"
    r"|CDLA-Sharing-1\.0|ECL-2\.0|EPL-[12]\.0|EUPL-1\.[12]|[AL]?GPL-[23]\.[01](?:-only|-or-later)?"
    r"|ISC|MIT|MIT-0|MPL-2\.0|ODbL-1\.0|ODC-By-1\.0|OFL-1\.1|OGL-UK-[123]\.0|PDDL-1\.0|PSF-2\.0"
    r"|Python-2\.0|Unlicense|WTFPL|Zlib)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRow:
    """A name that a record gives to content: what resolves `churn:3` without the index."""

    kind: str
    name: str
    version: str
    iri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What conversion needs to know of its surroundings; nothing is read from clock or disk.

    `previous` maps (kind, name, version) to the IRI of the version that this one revises. `origin` is
    where an imported record came from.
    """

    namespace: str
    software_version: str
    recorded_at: datetime
    previous: Mapping[tuple[str, str, str], str]
    origin: Origin | None = None


class Sheet:
    """One record's graph while it is written, with counters for the nodes it mints."""

    def __init__(self, *, record_iri: str, home: str, context: Context) -> None:
        """`home` is the IRI below which local nodes are minted: `<home>#usage-1`."""
        self.graph = Graph(record_iri)
        self.context = context
        self.names: list[NameRow] = []
        self._home = terms.iri(home)[1:-1]
        self._counts: dict[str, int] = {}
        self._written: dict[Entity, Term] = {}

    def node(self, kind: str) -> Term:
        """Mint the next local node of a kind: `<home>#usage-1`, then `#usage-2`."""
        number = self._counts[kind] = self._counts.get(kind, 0) + 1
        return Term(f"<{self._home}#{kind}-{number}>")

    def add(self, subject: Term, predicate: Term, value: Term | None) -> None:
        """Add a statement, or nothing where the value is not known."""
        if value is not None:
            self.graph.add(subject, predicate, value)

    def text(self, subject: Term, predicate: Term, value: str | None) -> None:
        """Add a string, or nothing where it is not known."""
        if value is not None:
            self.graph.add(subject, predicate, terms.string(value))

    def number(self, subject: Term, predicate: Term, value: int | None) -> None:
        """Add an integer, or nothing where it is not known."""
        if value is not None:
            self.graph.add(subject, predicate, terms.integer(value))

    def real(self, subject: Term, predicate: Term, value: float | None) -> None:
        """Add a real number, or nothing where it is not known."""
        if value is not None:
            self.graph.add(subject, predicate, terms.real(value))

    def boolean(self, subject: Term, predicate: Term, *, value: bool | None) -> None:
        """Add true or false, or nothing where it is not known."""
        if value is not None:
            self.graph.add(subject, predicate, terms.boolean(value))

    def named(self, kind: str, name: str, version: str, thing: Term) -> None:
        """Note a name that this record gives, spelled as the graph spells it."""
        self.names.append(
            NameRow(
                kind=kind,
                name=terms.clean(name),
                version=terms.clean(version),
                iri=thing[1:-1],
            )
        )

    def time(self, subject: Term, predicate: Term, value: datetime | None) -> None:
        """Add a time, or nothing where it is not known."""
        if value is not None:
            self.graph.add(subject, predicate, terms.timestamp(value))

    def head(self, record_class: str) -> Term:
        """Write what every dated record says of itself; return the record's term."""
        record = self.content_head(record_class)
        self.time(record, PROV_T["generatedAtTime"], self.context.recorded_at)
        self.text(record, P["softwareVersion"], self.context.software_version)
        if self.context.origin is not None:
            write_origin(self, record, self.context.origin)
        return record

    def content_head(self, record_class: str) -> Term:
        """Write the head of a record named by its content: no time, or equal content would differ."""
        record = terms.iri(self.graph.name)
        self.add(record, A, PROV_T["Bundle"])
        self.add(record, A, C[record_class])
        self.number(record, P["recordVersion"], RECORD_VERSION)
        self.text(record, P["ontologyVersion"], vocab.ONTOLOGY_VERSION)
        return record

    def agent(self, agent: Agent) -> Term:
        """Describe an agent; people and organisations are named within the namespace."""
        iri = terms.iri(vocab.named_iri(agent.kind, self.context.namespace, agent.name))
        self.add(iri, A, PROV_T[AGENT_CLASSES[agent.kind]])
        self.text(iri, LABEL, agent.name)
        return iri

    def missing(self, subject: Term, unknowns: Iterable[Missing]) -> None:
        """Write what is not known, and why, as facts."""
        for unknown in unknowns:
            node = self.node("missing")
            self.add(subject, P["missing"], node)
            self.add(node, A, C["Missing"])
            self.text(node, P["field"], unknown.field)
            self.text(node, P["reason"], unknown.reason)

    def notes(self, subject: Term, notes: Iterable[Note]) -> None:
        """Write notes with their times."""
        for note in notes:
            node = self.node("note")
            self.add(subject, P["note"], node)
            self.add(node, A, C["Note"])
            self.text(node, P["text"], note.text)
            self.time(node, PROV_T["generatedAtTime"], note.at)

    def entity(self, entity: Entity) -> Term:
        """Describe an entity once in this graph and return its term."""
        if (known := self._written.get(entity)) is not None:
            return known
        if entity.digest is not None and entity.version is None:
            described = _described(entity, self.context.namespace)
            if described is not None:
                self._written[entity] = described.iri
                self.graph.merge(described.statements)
                self.names += described.names
                return described.iri
        return self._describe(entity)

    def _describe(self, entity: Entity) -> Term:
        if entity.digest is not None:
            iri = terms.iri(vocab.content_iri(entity.digest))
        elif entity.uri is not None:
            iri = terms.iri(terms.to_iri(entity.uri))
        else:
            iri = self.node("entity")
        self._written[entity] = iri
        self.add(iri, A, PROV_T["Entity"])
        self.add(iri, A, C[ENTITY_CLASSES.get(entity.kind, "File")])
        self.text(iri, LABEL, entity.name)
        self.text(iri, vocab.DESCRIPTION, entity.description)
        self.text(iri, P["digest"], None if entity.digest is None else str(entity.digest))
        if entity.weak_digest is not None:
            self.text(iri, P["digest"], str(entity.weak_digest))
        if entity.uri is not None and entity.digest is not None:
            self.add(iri, PROV_T["atLocation"], terms.iri(terms.to_iri(entity.uri)))
        if entity.location is not None:
            self.add(iri, PROV_T["atLocation"], _file_iri(entity.location))
        if entity.media_type is not None:
            self.add(iri, vocab.MEDIA_TYPE, terms.iri(vocab.MEDIA_TYPES + entity.media_type))
        self.number(iri, P["sizeBytes"], entity.size_bytes)
        self.number(iri, P["fileCount"], entity.file_count)
        self.number(iri, P["rowCount"], entity.rows)
        self.number(iri, P["columnCount"], entity.columns)
        data.write_facts(self, iri, entity)
        if entity.profile is not None:
            self.add(iri, P["columnProfile"], terms.iri(vocab.profile_iri(entity.profile)))
        self._version(iri, entity)
        self.missing(iri, entity.missing)
        return iri

    def parameters(self, activity: Term, parameters: Mapping[str, Scalar]) -> None:
        """Write parameters as one set named by its content: equal sets of two runs meet."""
        if not parameters:
            return
        statements, labels = _named_values(vocab.PARAM, parameters)
        text = "".join([f"{predicate} {value}\n" for predicate, value in sorted(statements)])
        digest = sha256_bytes(text.encode())
        node = terms.iri(f"{vocab.ID}parameters/{digest.value}")
        self.add(activity, P["parameters"], node)
        self.add(activity, PROV_T["used"], node)
        self.add(node, A, C["ParameterSet"])
        self._add_named(node, statements, labels)

    def named_values(self, node: Term, prefix: str, values: Mapping[str, Scalar]) -> None:
        """Write values under properties named by the user, such as `…/metric/roc_auc`."""
        self._add_named(node, *_named_values(prefix, values))

    def _add_named(self, node: Term, statements: Statements, labels: Statements) -> None:
        self.graph.add_all(node, statements)
        for predicate, label in labels:
            self.graph.add(predicate, LABEL, label)

    def role(self, name: str | None) -> Term | None:
        """Return the IRI of a role, described where it does not show the name; None for no role."""
        if name is None:
            return None
        iri, label = _property(vocab.ROLE, name)
        self.add(iri, LABEL, label)
        return iri

    def licence(self, iri: Term, licence: str) -> None:
        """Write a licence: of the SPDX list or the web as an IRI, anything else as text."""
        if _SPDX_ID.fullmatch(licence):
            self.add(iri, vocab.LICENSE, terms.iri(f"https://spdx.org/licenses/{licence}"))
        elif is_web_address(licence):
            self.add(iri, vocab.LICENSE, terms.iri(terms.to_iri(licence)))
        else:
            self.text(iri, vocab.RIGHTS_TEXT, licence)

    def source(self, iri: Term, source: str | None) -> None:
        """Write a web address as IRI, anything else as text: a dead link helps nobody."""
        if source is None:
            return
        if is_web_address(source):
            self.add(iri, vocab.SOURCE, terms.iri(terms.to_iri(source)))
        else:
            self.text(iri, vocab.SOURCE_TEXT, source)

    def _version(self, content: Term, entity: Entity) -> None:
        """Hang content below its version, and the version below what it is a version of."""
        if entity.name is None:
            return
        # Kind and class go together, or the name would claim what the graph does not say.
        kind = entity.kind if entity.kind in ENTITY_CLASSES else "file"
        names = (entity.name,) if entity.version is None else (entity.name, entity.version)
        if entity.version is None or entity.digest is not None or entity.uri is not None:
            # A version whose bytes nobody saw is no answer to the question which bytes it is.
            self.named(kind, entity.name, entity.version or "", content)
        if entity.version is None and kind not in {"model", "feature"}:
            # A dataset's title is a label, not a claim that it is one version of something.
            return
        namespace = self.context.namespace
        named = terms.iri(vocab.named_iri(kind, namespace, entity.name))
        self.add(named, A, C["Named"])
        self.text(named, LABEL, entity.name)
        if len(names) == 1:
            self.add(content, PROV_T["specializationOf"], named)
            return
        version = terms.iri(vocab.named_iri(kind, namespace, *names))
        self.add(content, PROV_T["specializationOf"], version)
        self.add(version, PROV_T["specializationOf"], named)
        self.add(version, A, C["Version"])
        self.text(version, P["version"], entity.version)
        self.text(version, LABEL, ":".join(names))
        previous = self.context.previous.get((entity.kind, entity.name, entity.version or ""))
        if previous is not None:
            self.add(version, PROV_T["wasRevisionOf"], terms.iri(previous))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    """What a graph says of an entity wherever it stands."""

    iri: Term
    statements: frozenset[str]
    names: tuple[NameRow, ...]


@functools.lru_cache(_KNOWN_ENTITIES)
def _described(entity: Entity, namespace: str) -> _Described | None:
    """Describe an entity apart from any record; None where that takes nodes of the record's own.

    Runs name the same data over and over.
    """
    context = Context(namespace=namespace, software_version="", recorded_at=_NO_TIME, previous={})
    sheet = Sheet(record_iri=f"{vocab.ID}record/", home=f"{vocab.ID}run/", context=context)
    iri = sheet._describe(entity)
    if sheet._counts:
        return None
    return _Described(iri=iri, statements=sheet.graph.statements(), names=tuple(sheet.names))


def _named_values(prefix: str, values: Mapping[str, Scalar]) -> tuple[Statements, Statements]:
    """Return (property, value) for each of the values, and (property, label) where it needs one."""
    statements: Statements = []
    labels: Statements = []
    for name, value in values.items():
        predicate, label = _property(prefix, name)
        statements.append((predicate, terms.scalar(value)))
        if label is not None:
            labels.append((predicate, label))
    return statements, labels


@functools.lru_cache(4096)
def _property(prefix: str, name: str) -> tuple[Term, Term | None]:
    """Return the property for a user's name, and its label where the IRI does not show the name."""
    encoded = terms.segment(name)
    label = None if encoded == name else terms.string(name)
    return terms.iri(prefix + encoded), label


def is_web_address(text: str) -> bool:
    """Whether text names something by a scheme that has an authority (`https://…`, `s3://…`)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://\S", text) is not None


def _file_iri(location: str) -> Term:
    """A local path as a file IRI (RFC 8089), byte for byte what the file system has."""
    try:
        path = quote(location.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        path = quote(terms.clean(location))
    return terms.iri(f"file://{path}")
