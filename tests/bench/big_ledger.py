"""A ledger of any size, made in minutes: recorded runs, copied under new ids, sealed and appended.

Each copy is a graph of its own: the run's id stands in the same places of every line that holds it, so
the lines keep their order. It is signed, deflated and appended as recording does it, 500 to a commit.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from provgraph import vocab
from provgraph.ledger.codec import Prepared, prepare
from provgraph.ledger.rows import NameRow, Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer
from provgraph.seal.proof import seal
from provgraph.service.home import producer_signer, writable_ledger
from provgraph.settings import Settings

_BATCH = 500
_FIRST = 52  # 50 runs, and what the first of them brought along
_RUN_ID = re.compile(
    rf"<{re.escape(vocab.ID)}run/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})>".encode()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A recorded run, to be copied."""

    iri: str
    graph_nq: bytes
    run_id: bytes
    names: tuple[NameRow, ...]


def templates(ledger: Ledger) -> list[Template]:
    """Return the runs among the first entries of a ledger."""
    found = []
    for record in islice(ledger.records(), _FIRST):
        match = _RUN_ID.search(record.graph_nq)
        if match is not None and record.iri.endswith(match[1].decode()):
            rows = ledger._db.execute(
                "SELECT kind, name, version, iri FROM name WHERE position = ?", (record.index,)
            ).fetchall()
            names = tuple(NameRow(kind=k, name=n, version=v, iri=i) for k, n, v, i in rows)
            found.append(
                Template(iri=record.iri, graph_nq=record.graph_nq, run_id=match[1], names=names)
            )
    return found


def copy_runs(settings: Settings, *, size: int) -> None:
    """Append copies of the runs in a ledger until it has `size` entries."""
    signer = producer_signer(settings)
    with writable_ledger(settings) as ledger:
        known = templates(ledger)
        for start in range(ledger.size(), size, _BATCH):
            numbers = range(start, min(size, start + _BATCH))
            ledger.append_each([[_copy(known[n % len(known)], signer) for n in numbers]])


def _copy(template: Template, signer: Signer) -> Prepared:
    old, new = template.run_id.decode(), str(uuid.uuid4())
    graph = template.graph_nq.replace(template.run_id, new.encode())
    return prepare(
        Pending(
            iri=template.iri.replace(old, new),
            graph_nq=graph,
            seal=seal(graph, signer=signer, created=datetime.now(UTC)),
            names=[
                NameRow(
                    kind=row.kind,
                    name=row.name,
                    version=row.version,
                    iri=row.iri.replace(old, new),
                )
                for row in template.names
            ],
        )
    )
