"""Q35: an export held against this ledger, at the checkpoint that the export carries.

1. The export is what its producer sealed: a bundle verifies in full (`provgraph.seal.bundle`).
2. It is of this ledger: its charter is this one's.
3. This ledger's tree of the checkpoint's size has the root that the checkpoint names, so it was in
   exactly that state then (RFC 9162: one root, one sequence of entries).
4. Every entry and every graph in the export is, byte for byte, the one at that position here.
5. How much of that state the export holds is said, since a part is no lie and no whole either.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provgraph import terms
from provgraph.errors import FormatError, NotFoundError, ProvgraphError
from provgraph.index.store import Row
from provgraph.ledger.rows import StoredRecord
from provgraph.query.reporting import Entries, Material, Table
from provgraph.seal.bundle import VerifiedBundle, verify_bundle
from provgraph.terms import literal_parts

EQUAL: Final = "equal"
DIFFERS: Final = "differs"
NOT_HERE: Final = "not here"
_MAX_BYTES: Final = 1_000_000_000


def report(material: Material) -> Table:
    """Compare an export with the ledger.

    Raises:
        NotFoundError: there is no such file.
    """
    path = Path(literal_parts(material.values["export"][0])[0])
    if not path.exists():
        raise NotFoundError(f"there is no bundle or .nq file at {path}")
    is_quads = path.is_file() and path.suffix == ".nq"
    found = _quads(path, material.entries) if is_quads else _bundle(path, material.entries)
    return Table(columns=tuple(material.query.columns), rows=list(found))


def _bundle(path: Path, entries: Entries) -> Iterator[Row]:
    # 1.
    try:
        bundle = verify_bundle(path, report=lambda *_: None)
    except ProvgraphError as error:
        yield _row("the export verifies", DIFFERS, str(error))
        return
    yield _row("the export verifies", EQUAL, f"{len(bundle.records)} records, all seals and proofs")
    # 2.
    is_ours = bundle.charter == entries.ledger.charter
    yield _row("same ledger", EQUAL if is_ours else DIFFERS, bundle.charter.origin)
    # 3.
    checkpoint = bundle.checkpoint
    if checkpoint.size > entries.size:
        yield _row(
            "same tree",
            NOT_HERE,
            f"the export is of {checkpoint.size} entries, here are {entries.size}",
        )
        return
    is_same = entries.ledger.root(checkpoint.size) == checkpoint.root
    detail = f"root {checkpoint.root.hex()} of {checkpoint.size} entries"
    yield _row("same tree", EQUAL if is_same else DIFFERS, detail)
    # 4.
    yield from _records(bundle, entries)
    # 5.
    yield _row(
        "share of that state",
        EQUAL,
        f"{len(bundle.records)} of {checkpoint.size} entries with content,"
        f" {len(bundle.absent)} withheld or erased",
    )


def _records(bundle: VerifiedBundle, entries: Entries) -> Iterator[Row]:
    for each in bundle.records:
        ours = _read(entries, each.position)
        if ours is None:
            yield _row("record", NOT_HERE, "no such entry to see", each.iri, each.position)
        elif ours.iri != each.iri:
            yield _row("record", DIFFERS, f"here it is {ours.iri}", each.iri, each.position)
        elif ours.is_erased:
            detail = "its content was erased here since; the entry is the same"
            yield _row("record", NOT_HERE, detail, each.iri, each.position)
        else:
            state = EQUAL if ours.graph_nq == each.graph_nq else DIFFERS
            yield _row("record", state, "graph, byte for byte", each.iri, each.position)


def _quads(path: Path, entries: Entries) -> Iterator[Row]:
    if path.stat().st_size > _MAX_BYTES:
        raise FormatError(f"{path}: expected at most {_MAX_BYTES} bytes of N-Quads")
    graphs: dict[str, list[bytes]] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        name = line.rstrip().removesuffix(b" .").rpartition(b"<")[2].removesuffix(b">")
        graphs.setdefault(name.decode("utf-8", "replace"), []).append(line)
    for iri in sorted(graphs):
        position = entries.find(iri)
        ours = None if position is None else _read(entries, position)
        if ours is None or ours.is_erased:
            yield _row("graph", NOT_HERE, "no such record to see", iri, position)
            continue
        state = EQUAL if ours.graph_nq == b"".join(sorted(set(graphs[iri]))) else DIFFERS
        yield _row("graph", state, f"{len(graphs[iri])} statements", iri, position)
    yield _row(
        "share of that state",
        EQUAL,
        f"{len(graphs)} graphs of {entries.size} entries; N-Quads carry no checkpoint, so this is of"
        " the ledger as it is",
    )


def _read(entries: Entries, position: int) -> StoredRecord | None:
    try:
        return entries.read(position)
    except NotFoundError:
        return None


def _row(
    check: str, state: str, detail: str, record: str | None = None, position: int | None = None
) -> Row:
    return (
        terms.string(check),
        terms.string(state),
        terms.string(detail),
        None if record is None else terms.iri(terms.to_iri(record)),
        None if position is None else terms.integer(position),
    )
