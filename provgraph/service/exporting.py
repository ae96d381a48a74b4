"""Exporting a thing's lineage, as RDF or as a bundle that anyone can verify offline."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provgraph import disk, vocab
from provgraph.errors import StorageError, UsageError
from provgraph.export import bundle, jsonld, rdf
from provgraph.query.closure import Closure, closure
from provgraph.query.lineage import describe
from provgraph.seal.members import write_folder, write_zip
from provgraph.service.asking import Reader
from provgraph.service.home import cosigned_checkpoint, log_signer

RDF_FORMATS: Final = ("jsonld", "turtle", "trig", "nquads")


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
    """Return the lineage of a thing in an RDF format: jsonld, turtle, trig or nquads."""
    found = collect(reader, thing)
    graphs = [reader.ledger.graph(_index(reader, iri)) for iri in found.records]
    if form == "jsonld":
        return jsonld.to_bytes(jsonld.lineage_document(graphs, found.roots[0]))
    writers = {"turtle": rdf.as_turtle, "trig": rdf.as_trig, "nquads": rdf.as_nquads}
    return writers[form](graphs)


def export_bundle(reader: Reader, thing: str) -> dict[str, bytes]:
    """Return the members of a verifiable bundle of a thing's lineage."""
    found = collect(reader, thing)
    root = found.roots[0]
    title = describe(reader.index.select, [root])[root].title
    return bundle.make_bundle(
        reader.ledger,
        subject=bundle.Subject(root=root, title=title or thing),
        records=found.records,
        note=cosigned_checkpoint(reader.settings),
        log_signer=log_signer(reader.settings),
    )


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
