"""Erasing what somebody names: which records go, what stays of them, and the order of the writes.

1. The mark beside the ledger (whoever finds it finishes step 3).
2. One transaction: tombstones in, content out. Before its COMMIT nothing has happened, after it the
   content is in no row.
3. Everything else that holds a copy in this home is cleared, and then the mark goes.

What it does not do: decide whether somebody may erase; the steward's key does, and whoever holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from provgraph import __version__, terms, vocab
from provgraph.capture.identifiers import new_id
from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.convert.tombstone import Shape, lineage_shape
from provgraph.errors import FormatError, NotFoundError
from provgraph.ledger.erasing import Mark, erase, finish, own_attachments, require_erasable
from provgraph.ledger.rows import NameRow, Pending, StoredRecord
from provgraph.ledger.sqlite import Ledger
from provgraph.query.lineage import plain
from provgraph.records import Agent, Missing, Tombstone
from provgraph.seal.entry import RECORD, STEWARD, TOMBSTONE, parse_entry
from provgraph.seal.proof import seal
from provgraph.seal.tombstone import leaf_digest
from provgraph.seal.trust import KNOWN_BY_USE
from provgraph.service.asking import Reader
from provgraph.service.home import steward_signer, utc_now, writable_ledger
from provgraph.service.sweeping import keep_visibility, sweep
from provgraph.settings import Settings
from provgraph.terms import Term
from provgraph.vocab import LABEL, A

OPAQUE: Final = "opaque"
NAMES: Final = "names"
NONE: Final = "none"
SHAPES: Final = (OPAQUE, NAMES, NONE)
"""What a tombstone keeps of the lineage: edges between opaque IRIs, between all, or none."""

# Records named by their content, which many runs refer to.
_SHARED: Final = ("environment-", "source-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A record that is to be erased, in the words of a dry run."""

    index: int
    iri: str
    kind: str  # RunRecord, …
    title: str
    statements: int
    names: tuple[str, ...]
    attachments: int
    shape: Shape
    shape_kind: str
    ids: tuple[str, ...]  # of the record and its run, as in the names of journals


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an erasure would do; nothing has happened yet."""

    targets: tuple[Target, ...]
    erased: tuple[str, ...]  # records that are erased already
    kept: tuple[str, ...]  # in words: what speaks of the thing too, and stays
    mentions: int  # other records that only refer to the thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """An entry whose content is gone, and the entry that says so."""

    index: int
    tombstone: int
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who erases, why, and on which legal ground."""

    by: str
    why: str
    ground: str | None


def plan_erasure(reader: Reader, thing: str, *, shape: str = OPAQUE) -> Plan:
    """Find what erasing a thing or record would take away.

    A record's IRI means that record. Anything else means every record that says something of it; what
    many share (an environment, a state of source code) goes only when it is named itself.

    Raises:
        NotFoundError: nothing here goes by that name.
        UsageError: it means several contents, or an entry that is never erased.
    """
    iri = reader.resolve_one(thing)
    ledger = reader.ledger
    own = ledger.find(iri)
    indices = [own] if own is not None else _described_in(reader, iri)
    targets: list[Target] = []
    erased: list[str] = []
    kept: list[str] = []
    for index in indices:
        record = ledger.read(index)
        if record.is_erased:
            erased.append(record.iri)
        elif index == own:
            require_erasable(record)
            targets.append(_target(ledger, record, shape, among={index}))
        elif record.kind == TOMBSTONE:
            erased.append(_erased_by(record))
        elif record.kind != RECORD:
            kept.append(f"entry {index}, of kind {record.kind}, which decides about the ledger")
        elif _is_shared(record.iri) and not _is_home(record, iri):
            kept.append(f"entry {index} {record.iri}, which many runs share; name it to erase it")
        else:
            targets.append(_target(ledger, record, shape, among=set(indices)))
    if not targets and not erased:
        raise NotFoundError(f"no record that can be erased says anything of {thing}")
    mentioned = set(reader.records_mentioning([iri]))
    mentioned -= {target.iri for target in targets} | {ledger.read(i).iri for i in indices}
    return Plan(
        targets=tuple(targets),
        erased=tuple(dict.fromkeys(erased)),
        kept=tuple(kept),
        mentions=len(mentioned),
    )


def carry_out(settings: Settings, plan: Plan, order: Order) -> tuple[list[Erased], list[str]]:
    """Erase what a plan names; return where the tombstones stand, and notes.

    Raises:
        KeyRefusedError: this home's steward key is no steward of the ledger.
        StorageError: nothing was erased; or it was, and copies are not all cleared yet.
    """
    keep_visibility(settings)
    mark = Mark.begin(settings.ledger_path)
    try:
        with writable_ledger(settings) as ledger:
            among = {target.index for target in plan.targets}
            pending = {
                target.index: _tombstone(settings, ledger, target, order, among)
                for target in plan.targets
                if not ledger.read(target.index).is_erased
            }
            # The one durable write. If the process dies before its COMMIT, the ledger is as it was,
            # and the mark makes the next one sweep for nothing; after it, for something.
            positions = erase(ledger, pending)
        notes = sweep(settings, ids=[each for target in plan.targets for each in target.ids])
        mark.finish()
    finally:
        mark.close()
    done = [
        Erased(index=index, tombstone=position.index, is_new=position.is_new)
        for index, position in zip(pending, positions, strict=True)
    ]
    return done, notes


def resume(settings: Settings) -> tuple[list[int], list[str]]:
    """Finish erasures: empty what tombstones name and is still there, and clear all copies.

    Returns the entries that were emptied now, and notes.

    Raises:
        UntrustedError: a tombstone that is not the steward's.
        StorageError: it could not be finished now.
    """
    mark = Mark.begin(settings.ledger_path)
    try:
        with writable_ledger(settings) as ledger:
            keys = ledger.keys()
            entries = (parse_entry(data) for data in ledger.entries(0, ledger.size()))
            producers = {each.verification_method for each in entries if each.kind == RECORD}

            def is_steward(method: str, index: int) -> bool:
                basis = keys.judge(method, index=index, role=STEWARD).basis
                return basis != KNOWN_BY_USE or method not in producers

            emptied = finish(ledger, is_steward=is_steward)
        notes = sweep(settings)
        mark.finish()
    finally:
        mark.close()
    return emptied, notes


def _described_in(reader: Reader, iri: str) -> list[int]:
    found = (reader.ledger.find(each) for each in reader.records_about([iri]))
    return sorted(index for index in found if index is not None)


def _target(ledger: Ledger, record: StoredRecord, shape: str, *, among: set[int]) -> Target:
    graph = record.graph_nq
    statements = [(s, p, o) for s, p, o, _ in terms.parse_lines(graph)]
    kinds = _objects(statements, terms.iri(record.iri), A)
    labels = [
        plain(o) for s, p, o in statements if p == LABEL and (s, A, vocab.C["Run"]) in statements
    ]
    return Target(
        index=record.index,
        iri=record.iri,
        kind=next((k.removeprefix(vocab.PG) for k in kinds if k.startswith(vocab.PG)), "Record"),
        title=" ".join(labels),
        statements=len(statements),
        names=tuple(
            f"{row.kind} {row.name}{f':{row.version}' if row.version else ''}"
            for row in ledger.names_given_by(record.index)
        ),
        attachments=len(own_attachments(ledger, record.index, among=among)),
        shape=Shape() if shape == NONE else lineage_shape(graph, keeps_names=shape == NAMES),
        shape_kind=shape,
        ids=(
            record.iri.rsplit("/", 1)[-1],
            *(
                s[1:-1].rsplit("/", 1)[-1]
                for s, p, o in statements
                if (p, o) == (A, vocab.C["Run"])
            ),
        ),
    )


def _objects(statements: Sequence[tuple[Term, Term, Term]], s: Term, p: Term) -> list[str]:
    return [
        plain(value) for subject, predicate, value in statements if (subject, predicate) == (s, p)
    ]


def _tombstone(
    settings: Settings, ledger: Ledger, target: Target, order: Order, among: set[int]
) -> Pending:
    record = ledger.read(target.index)
    now = utc_now()
    said = Tombstone(
        id=new_id(),
        record=record.iri,
        entry_index=record.index,
        leaf_hash=leaf_digest(record.entry),
        graph_digest=f"sha256:{parse_entry(record.entry).graph_sha256}",
        by=Agent(name=order.by),
        reason=order.why,
        ground=order.ground,
        at=now,
        attachments=tuple(own_attachments(ledger, record.index, among=among)),
        edges=target.shape.edges,
        types=target.shape.types,
        missing=_unknowns(target, order),
    )
    context = Context(
        namespace=ledger.namespace, software_version=__version__, recorded_at=now, previous={}
    )
    try:
        converted = convert(said, record_id=said.id, context=context)
    except FormatError:
        # So many edges that no graph holds them twice over with their marks.
        lost = Missing(field="shape", reason=f"its {len(said.edges)} edges were too many to keep")
        said = replace(said, edges=(), types=(), missing=(*said.missing, lost))
        converted = convert(said, record_id=said.id, context=context)
    names = [
        NameRow(kind=n.kind, name=n.name, version=n.version, iri=n.iri) for n in converted.names
    ]
    return Pending(
        iri=converted.iri,
        kind=TOMBSTONE,
        graph_nq=converted.canonical,
        seal=seal(converted.canonical, signer=steward_signer(settings), created=now),
        names=names,
    )


def _unknowns(target: Target, order: Order) -> tuple[Missing, ...]:
    found = []
    if order.ground is None:
        found.append(Missing(field="legalGround", reason="none was stated"))
    if target.shape_kind == NONE:
        found.append(Missing(field="shape", reason="it was erased as well, by whoever erased"))
    elif target.shape.left_out:
        reason = f"{target.shape.left_out} edges led to names that people made, and were erased"
        found.append(Missing(field="shape", reason=reason))
    return tuple(found)


def _erased_by(tombstone: StoredRecord) -> str:
    lines = terms.parse_lines(tombstone.graph_nq)
    return next(plain(o) for _, p, o, _ in lines if p == vocab.P["erases"])


def _is_shared(iri: str) -> bool:
    return iri.removeprefix(f"{vocab.ID}record/").startswith(_SHARED)


def _is_home(record: StoredRecord, iri: str) -> bool:
    """Whether a shared record is the description of the thing itself."""
    return record.iri == f"{vocab.ID}record/{iri.removeprefix(vocab.ID).replace('/', '-', 1)}"
