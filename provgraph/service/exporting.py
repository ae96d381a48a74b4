"""Exporting a thing's lineage, as RDF or as a bundle that anyone can verify offline."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph import disk, terms, vocab
from provgraph.errors import NotFoundError, StorageError, UsageError
from provgraph.export import bundle, jsonld, openlineage, rdf
from provgraph.export.outside import Outside
from provgraph.index.edge_facts import FACTS
from provgraph.ledger.rows import StoredRecord
from provgraph.query.closure import Closure, closure
from provgraph.query.lineage import Node, describe, plain
from provgraph.seal.entry import RECORD
from provgraph.seal.members import write_folder, write_zip
from provgraph.seal.note import unverified_checkpoint
from provgraph.service.asking import Reader
from provgraph.service.home import cosigned_checkpoint, log_signer
from provgraph.service.timestamping import kept_token
from provgraph.service.trusting import trust_chain
from provgraph.service.witnessing import Witnessed

KINDS: Final = {
    "run": "RunRecord",
    "environment": "EnvironmentRecord",
    "source": "SourceRecord",
    "deployment": "DeploymentRecord",
    "observation": "ObservationRecord",
    "approval": "ApprovalRecord",
    "retraction": "RetractionRecord",
    "description": "DescriptionRecord",
}
"""Kinds of records that can be withheld, and their classes."""

RDF_FORMATS: Final = ("jsonld", "turtle", "trig", "nquads")
PROV_FORMATS: Final = ("prov-json", "provn", "prov-xml", "prov-jsonld")


def collect(reader: Reader, thing: str) -> Closure:
    """Find every record behind a thing; the first root is what was asked for.

    Raises:
        NotFoundError: nothing here goes by that name, or nothing is said of it.
        UsageError: the name means several contents.
    """
    iri = reader.resolve_one(thing)
    contents = reader.entities([iri])
    if len(contents) == 1:
        # A version stands for its content; a run for itself and for what it made.
        is_run = iri.startswith(f"{vocab.ID}run/")
        return closure(reader.index.select, [iri, *contents] if is_run else contents)
    return closure(reader.index.select, [iri, *contents])


def export_rdf(reader: Reader, thing: str, form: str) -> bytes:
    """Return the lineage of a thing in an RDF format: jsonld, turtle, trig or nquads.

    Of erased records it holds the tombstones.
    """
    found = collect(reader, thing)
    records = [reader.ledger.read(_index(reader, iri)) for iri in found.records]
    graphs = [record.graph_nq for record in records if not record.is_erased]
    if form == "jsonld":
        return jsonld.to_bytes(jsonld.lineage_document(graphs, found.roots[0]))
    writers = {"turtle": rdf.as_turtle, "trig": rdf.as_trig, "nquads": rdf.as_nquads}
    return writers[form](graphs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A document in another system's format, and what that format cannot carry."""

    data: bytes
    left_out: tuple[str, ...]


def export_prov(reader: Reader, thing: str, form: str) -> Exported:
    """Return the lineage of a thing as a PROV document: each record is a bundle of that name.

    Raises:
        UsageError: the extra `prov` is not installed.
        FormatError: the format cannot hold what is recorded.
    """
    from provgraph.convert.prov_package import write_document

    found = collect(reader, thing)
    records = [reader.ledger.read(_index(reader, iri)) for iri in found.records]
    graphs = {
        record.iri: [(s, p, o) for s, p, o, _ in terms.parse_lines(record.graph_nq)]
        for record in records
        if not record.is_erased
    }
    written = write_document(graphs, form)
    left_out = ["seals and positions in the ledger: --format bundle has them"]
    if written.as_entities:
        left_out.append(
            f"that {len(written.as_entities)} things are neither entity, activity nor agent (unknowns,"
            " notes, labels of properties): PROV has only these three, and they are written as entities"
        )
    if len(graphs) < len(records):
        left_out.append(
            f"{len(records) - len(graphs)} erased records, of which nobody has the content"
        )
    return Exported(data=written.data, left_out=tuple(left_out))


def export_openlineage(reader: Reader, thing: str) -> Exported:
    """Return the runs behind a thing as OpenLineage events, one a line."""
    found = collect(reader, thing)
    records = [reader.ledger.read(_index(reader, iri)) for iri in found.records]

    def kept_events(iri: str) -> list[bytes]:
        attached = [reader.ledger.attachment(each) for each in reader.ledger.attachments(iri)]
        return [line for data in attached for line in data.splitlines() if line.startswith(b"{")]

    graphs = [record.graph_nq for record in records if not record.is_erased]
    events = openlineage.events_of(
        graphs, namespace=reader.ledger.namespace, kept_events=kept_events
    )
    left_out = [
        "seals and positions in the ledger: --format bundle has them",
        "approvals, deployments, evaluations and other later facts",
        *sorted(events.left_out),
    ]
    if len(graphs) < len(records):
        left_out.append(
            f"{len(records) - len(graphs)} erased records, of which nobody has the content"
        )
    if events.without_start:
        left_out.append(f"{events.without_start} runs without a start: an event needs a time")
    return Exported(data=b"".join(line + b"\n" for line in events.lines), left_out=tuple(left_out))


def export_bundle(
    reader: Reader,
    thing: str,
    *,
    withhold: Sequence[str] = (),
    because: str | None = None,
    witnessed: Witnessed | None = None,
) -> dict[str, bytes]:
    """Return the members of a verifiable bundle of a thing's lineage.

    Args:
        reader: over ledger and index.
        thing: what the bundle explains.
        withhold: records, things (every record that describes one) and kinds of records (a key of
            KINDS) whose graphs are kept back. That other records mention them stays.
        because: why; said in the bundle.
        witnessed: the checkpoint to prove it against; without one, nobody is asked to cosign it.

    Raises:
        NotFoundError: nothing goes by one of the names.
        UsageError: nothing would be left that describes the thing, or no reason is given.
    """
    found = collect(reader, thing)
    root = found.roots[0]
    records = [reader.ledger.read(_index(reader, iri)) for iri in found.records]
    held: dict[str, str] = {}
    if withhold or because is not None:
        if not withhold or because is None or not because.strip():
            raise UsageError(
                "a bundle says what it withholds and why: give --withhold and --because"
            )
        held = dict.fromkeys(_withheld(reader, records, withhold), because.strip())
    shown = [record for record in records if not record.is_erased and record.iri not in held]
    if len(shown) == len(records):
        title = describe(reader.index.select, [root])[root].title or thing
    else:
        # A name that only an absent graph gives must not come back through the title.
        title = title_in([record.graph_nq for record in shown], root) or root
    note = cosigned_checkpoint(reader.settings) if witnessed is None else witnessed.note
    outside = Outside(
        witness_keys=() if witnessed is None else witnessed.keys,
        timestamp=kept_token(reader.settings, unverified_checkpoint(note)),
    )
    try:
        return bundle.make_bundle(
            reader.ledger,
            subject=bundle.Subject(root=root, title=title),
            records=found.records,
            note=note,
            log_signer=log_signer(reader.settings),
            withhold=held,
            outside=outside,
            trust=trust_chain(reader.settings),
        )
    except NotFoundError as error:
        if not held:
            raise
        raise UsageError(
            f"everything that describes {thing} would be withheld, so there would be nothing to show:"
            f" {error}"
        ) from None


def title_in(graphs: Sequence[bytes], iri: str) -> str:
    """Return what people call a thing, by what some graphs say; empty where they do not."""
    subject = terms.iri(iri)
    facts: dict[str, tuple[str, ...]] = {}
    for graph in graphs:
        for each, predicate, value, _ in terms.parse_lines(graph):
            if each == subject and (name := FACTS.get(predicate[1:-1])):
                facts[name] = tuple(sorted({*facts.get(name, ()), plain(value)}))
    return Node(iri=iri, facts=facts).title


def _withheld(
    reader: Reader, records: Sequence[StoredRecord], withhold: Sequence[str]
) -> list[str]:
    """Return which of a bundle's records are meant.

    Raises:
        NotFoundError: none of them is.
        UsageError: one that decides about the ledger is.
    """
    found: dict[str, None] = {}
    for text in withhold:
        if text in KINDS:
            class_ = vocab.C[KINDS[text]]
            means = {each.iri for each in records if _is_of(each, class_)}
        else:
            iris = reader.resolve(text)
            means = {*iris, *reader.records_about(iris)}
        named = [each for each in records if each.iri in means and not each.is_erased]
        own = [each for each in named if each.kind == RECORD]
        if named and not own:
            raise UsageError(
                f"{text} means an entry of kind {named[0].kind}, which is never withheld: what is"
                " left would read otherwise without it"
            )
        if not own:
            raise NotFoundError(f"no record of this bundle is or describes {text}")
        found |= dict.fromkeys(each.iri for each in own)
    return list(found)


def _is_of(record: StoredRecord, class_: terms.Term) -> bool:
    if record.is_erased:
        return False
    claim = f"\n{terms.iri(record.iri)} {vocab.A} {class_} "
    return claim.encode() in b"\n" + record.graph_nq


def save_bundle(members: Mapping[str, bytes], path: Path) -> None:
    """Write a bundle to a zip (a name that ends in .zip) or a new folder, whole or not at all.

    Raises:
        UsageError: the folder exists already.
        StorageError: the disk did not take it.
    """
    is_zip = path.suffix == ".zip"
    if not is_zip and path.exists():
        raise UsageError(f"{path} exists already; name a new folder, or a .zip file to replace")
    try:
        place = Path(tempfile.mkdtemp(prefix=".provgraph-", dir=path.absolute().parent))
        try:
            made = place / path.name
            (write_zip if is_zip else write_folder)(made, members)
            if is_zip:
                disk.sync(made)
            else:
                disk.sync_tree(made)
            # Until the rename there is nothing under the final name; after it, all of it.
            made.replace(path)
            disk.sync(path.absolute().parent)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; make room, or write elsewhere"
        ) from error


def _index(reader: Reader, iri: str) -> int:
    index = reader.ledger.find(iri)
    if index is None:
        raise StorageError(
            f"the index knows {iri} and the ledger does not; run `provgraph reindex`"
        )
    return index
