"""Q30: the records behind a model checked one by one, and its recorded files hashed again.

Records: `provgraph.query.seals` (graph, entry, inclusion, seal, key at its position). Files:
`provgraph.query.places`, local ones only, and only where that was asked for.
"""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.digests import Digest
from provgraph.errors import FormatError
from provgraph.index.store import Row
from provgraph.ledger.sqlite import Ledger
from provgraph.query.places import Checked, Place, check_places
from provgraph.query.reporting import Material, Table
from provgraph.query.seals import SealState, seal_states
from provgraph.seal.trust import KeyHistory
from provgraph.terms import Term, literal_parts


def report(material: Material) -> Table:
    """Check every record, and every file where `rehash` says so.

    Raises:
        UntrustedError: the ledger's checkpoint does not verify, or a key event does not count.
    """
    records = sorted({row[0][1:-1] for row in material.found.rows if row[0] is not None})
    ledger = material.entries.ledger
    keys = ledger.keys() if isinstance(ledger, Ledger) else KeyHistory()
    states = seal_states(material.entries, keys, records, is_fresh=True)
    rows: list[Row] = [_record_row(each, ledger.size()) for each in states]
    rehash = literal_parts(material.values["rehash"][0])[0] == "true"
    rows += _file_rows(material.found.rows, rehash=rehash)
    return Table(columns=tuple(material.query.columns), rows=rows, records=frozenset(records))


def _record_row(state: SealState, size: int) -> Row:
    detail = state.reason or f"seal, key and place in the tree of {size} entries"
    return (
        terms.string("record"),
        terms.iri(state.record),
        None,
        None if state.position is None else terms.integer(state.position),
        terms.string(state.state),
        terms.string(detail),
        terms.string(state.key) if state.key else None,
        None if state.at is None else terms.timestamp(state.at),
    )


def _file_rows(found: list[Row] | tuple[Row, ...], *, rehash: bool) -> list[Row]:
    labels: dict[Term, Term | None] = {}
    places: dict[tuple[Term, str], Place] = {}
    placed: set[Term] = set()
    for _, thing, label, digest, location in found:
        if thing is None or digest is None:
            continue
        labels.setdefault(thing, label)
        if labels[thing] is None:
            labels[thing] = label
        if location is not None:
            placed.add(thing)
            try:
                parsed = Digest.parse(literal_parts(digest)[0])
            except FormatError:
                continue  # no digest that we could have written
            places[thing, location] = Place(digest=parsed, location=location[1:-1])
    rows = [
        _file_row(thing, labels[thing], "no place recorded", None)
        for thing in labels
        if thing not in placed
    ]
    if not rehash:
        rows += [
            _file_row(
                thing, labels[thing], "not hashed again", f"{place.location}; ask with rehash=yes"
            )
            for (thing, _), place in places.items()
        ]
    else:
        for checked in check_places(list(places.values()), progress=lambda _done, _total: None):
            thing = terms.iri(vocab.content_iri(checked.place.digest))
            rows.append(_file_row(thing, labels.get(thing), checked.state, _where(checked)))
    return sorted(rows, key=lambda row: (str(row[2]), str(row[1]), str(row[5])))


def _where(checked: Checked) -> str:
    return "; ".join(filter(None, (checked.place.location, checked.reason)))


def _file_row(thing: Term, label: Term | None, state: str, detail: str | None) -> Row:
    return (
        terms.string("file"),
        thing,
        label,
        None,
        terms.string(state),
        None if detail is None else terms.string(detail),
        None,
        None,
    )
