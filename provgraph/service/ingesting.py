"""Taking in records that others send: facts to be converted and sealed here, or graphs sealed there.

One thread seals, one commits: requests that come in while a transaction runs share the next one. A
batch is all or nothing. Sending a record again is harmless: its id is its name, and the first one
that was committed counts. Acknowledged is what the ledger has committed, never before.

Used by many threads; closing commits what was handed over.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote

from provgraph import terms, vocab
from provgraph.access.views import FULL, View
from provgraph.capture.sinks import Receipt
from provgraph.constraints import shapes
from provgraph.digests import Digest
from provgraph.errors import ConflictError, FormatError, KeyRefusedError, ProvgraphError
from provgraph.governance import Waiver
from provgraph.ledger.group import Committer
from provgraph.ledger.rows import Pending, Position
from provgraph.recordable import LaterFact
from provgraph.records import Approval, GraphImport, Notice, Run
from provgraph.seal.entry import RECORD
from provgraph.seal.keys import Signer
from provgraph.seal.proof import Seal, seal, verify_seal
from provgraph.seal.trust import KeyHistory
from provgraph.service.audience import Audience
from provgraph.service.duties import require_separate
from provgraph.service.home import own_ledger, producer_signer, readable_ledger
from provgraph.service.recording import find_receipt, prepare_record
from provgraph.service.rotating import finish_rotation
from provgraph.service.things import about
from provgraph.settings import Settings

MAX_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingFacts:
    """A record as facts. `called` is what a later fact's model goes by, to be looked up here."""

    record_id: str
    record: Run | LaterFact | Notice
    called: str | None = None
    attachments: Mapping[Digest, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingSealed:
    """A graph that its producer sealed: canonical N-Quads, the proof, and its value."""

    graph_nq: bytes
    proof_nq: bytes
    proof_value: str
    attachments: Mapping[Digest, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingGraph:
    """A foreign graph in canonical N-Quads, and the record of its import with the source bytes."""

    iri: str
    graph_nq: bytes
    imported: GraphImport
    source: bytes


Incoming = IncomingFacts | IncomingSealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one item: where it stands, and whether this request put it there."""

    receipt: Receipt
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """A batch on its way into the ledger; `committed` is done after the COMMIT, or has its error."""

    view: View
    sealed_by: Signer
    batch: Sequence[Incoming]
    prepared: Sequence[Receipt | list[Pending]]
    pending: Sequence[Pending]
    committed: Future[list[Position]]


class Ingest:
    """Takes batches in. Use it as a context manager, or call `close`."""

    def __init__(self, settings: Settings) -> None:
        """Open the ledger, made first where there is none, and start the committer.

        Raises:
            StorageError: the home cannot be written.
            LedgerError: the ledger is damaged.
        """
        self._settings = settings
        self._ledger = own_ledger(settings)
        self._reader = readable_ledger(settings)
        self._committer = Committer(self._ledger)
        self._audience = Audience(settings)
        # The reader serves one thread at a time; conversion holds the interpreter anyhow.
        self._lock = threading.Lock()
        self._known: set[str] = set()  # records by content that the ledger is known to hold

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what was handed over."""
        self._committer.close()
        self._audience.close()
        self._reader.close()
        self._ledger.close()

    def take(self, batch: Sequence[Incoming], *, view: View = FULL) -> list[Taken]:
        """Convert, seal and commit a batch; return when the ledger has committed it.

        Names mean what they mean in the view of whoever sends it; see `provgraph.service.audience`.

        Raises:
            FormatError: a graph or proof is malformed; the message says which item.
            UntrustedError: a seal does not verify, or its key does not count here.
            ConflictError: a record of that name is there with other content.
            StorageError: the bytes could not be made durable.
        """
        return self.finish(self.hand_over(batch, view=view))

    def hand_over(self, batch: Sequence[Incoming], *, view: View = FULL) -> HandedOver:
        """Convert and seal a batch and give it to the committer; `finish` it once that is done.

        Raises:
            FormatError, UntrustedError, ConflictError: as `take`; nothing was handed over then.
        """
        signer = producer_signer(self._settings)
        with self._lock:
            prepared = [
                self._prepare(place, item, view, signer) for place, item in enumerate(batch)
            ]
        pending = [one for each in prepared if isinstance(each, list) for one in each]
        committed: Future[list[Position]] = Future()
        if pending:
            committed = self._committer.submit(pending)
        else:
            committed.set_result([])
        return HandedOver(
            view=view,
            sealed_by=signer,
            batch=batch,
            prepared=prepared,
            pending=pending,
            committed=committed,
        )

    def finish(self, handed: HandedOver) -> list[Taken]:
        """Wait for the commit of a batch that was handed over, and say where its items stand.

        Raises:
            ConflictError, StorageError: as `take`.
        """
        try:
            positions = handed.committed.result()
        except ConflictError:
            # The same record may have come in twice at once, sealed at two moments: the first
            # counts, and this one is where that one is.
            return self._as_found(handed.batch, handed.prepared)
        except KeyRefusedError:
            return self._by_successor(handed)
        self._remember(handed.pending)
        return self._merged(handed.prepared, positions)

    def take_graph(self, item: IncomingGraph) -> Taken:
        """Take a foreign graph in, with the record of its import; again, it changes nothing.

        Raises:
            ConflictError: a graph of that name is there with other content.
            StorageError: the bytes could not be made durable.
        """
        with self._lock:
            index = self._reader.find(item.iri)
            if index is not None:
                if self._reader.read(index).graph_nq != item.graph_nq:
                    raise ConflictError(
                        f"the graph {item.iri} is entry {index} of the ledger with other content;"
                        " nothing is changed: put the new content under a new name"
                    )
                size = self._reader.size()
                receipt = Receipt(record=item.iri, position=index, ledger_size=size)
                return Taken(receipt=receipt, is_new=False)
            pending = self._graph(item)
        positions = self._submit(pending)
        first = positions[0]
        receipt = Receipt(
            record=first.iri, position=first.index, ledger_size=positions[-1].index + 1
        )
        return Taken(receipt=receipt, is_new=first.is_new)

    def _submit(self, pending: Sequence[Pending]) -> list[Position]:
        if not pending:
            return []
        future: Future[list[Position]] = self._committer.submit(pending)
        positions = future.result()
        self._remember(pending)
        return positions

    def _remember(self, pending: Sequence[Pending]) -> None:
        self._known.update(each.iri for each in pending if "/record/environment-" in each.iri)
        self._known.update(each.iri for each in pending if "/record/source-" in each.iri)
        self._known.update(each.iri for each in pending if "/record/profile-" in each.iri)

    def _by_successor(self, refused: HandedOver) -> list[Taken]:
        """Seal a batch again after the producer key was rotated; once, and only then.

        Raises:
            KeyRefusedError: the key is the same, or what refused it is not ours.
        """
        finish_rotation(self._settings, self._keys())
        successor = producer_signer(self._settings)
        if successor.verification_method == refused.sealed_by.verification_method:
            refused.committed.result()  # raises why it was refused
        again = self.hand_over(refused.batch, view=refused.view)
        positions = again.committed.result()
        self._remember(again.pending)
        return self._merged(again.prepared, positions)

    def _keys(self) -> KeyHistory:
        with own_ledger(self._settings) as ledger:
            return ledger.keys()

    def _prepare(
        self, place: int, item: Incoming, view: View, signer: Signer
    ) -> Receipt | list[Pending]:
        try:
            if isinstance(item, IncomingSealed):
                return [_sealed(item)]
            found = find_receipt(self._reader, vocab.record_iri(item.record_id))
            if found is not None:
                return found
            record = item.record
            names = self._audience.names(self._reader, record, view=view)
            if item.called is not None and not isinstance(record, (Run, Notice)):
                record = about(names, record, item.called, finds_files=False)
            if isinstance(record, Approval | Waiver):
                require_separate(self._reader, record)
            return prepare_record(
                names,
                record,
                record_id=item.record_id,
                attachments=item.attachments,
                signer=signer,
                is_recorded=self._is_recorded,
            )
        except ProvgraphError as error:
            raise type(error)(f"records/{place}: {error}") from error

    def _graph(self, item: IncomingGraph) -> list[Pending]:
        signer = producer_signer(self._settings)
        foreign = Pending(
            iri=item.iri,
            graph_nq=item.graph_nq,
            seal=seal(item.graph_nq, signer=signer, created=item.imported.at),
        )
        record = prepare_record(
            self._reader,
            item.imported,
            record_id=item.imported.id,
            attachments={item.imported.source: item.source},
            signer=signer,
            is_recorded=self._is_recorded,
        )
        return [foreign, *record]

    def _is_recorded(self, iri: str) -> bool:
        if iri not in self._known:
            if self._reader.find(iri) is None:
                return False
            self._known.add(iri)
        return True

    def _merged(
        self, prepared: Sequence[Receipt | list[Pending]], positions: Sequence[Position]
    ) -> list[Taken]:
        rest = iter(positions)
        found = []
        for each in prepared:
            if isinstance(each, Receipt):
                found.append(Taken(receipt=each, is_new=False))
                continue
            # The record is the last of what was made of it.
            last = [next(rest) for _ in each][-1]
            # The smallest ledger that has it: whoever waits for that size reads what was written.
            receipt = Receipt(record=last.iri, position=last.index, ledger_size=last.index + 1)
            found.append(Taken(receipt=receipt, is_new=last.is_new))
        return found

    def _as_found(
        self, batch: Sequence[Incoming], prepared: Sequence[Receipt | list[Pending]]
    ) -> list[Taken]:
        with self._lock:
            again = [
                find_receipt(self._reader, vocab.record_iri(item.record_id))
                if isinstance(item, IncomingFacts)
                else None
                for item in batch
            ]
        # Some are there and some are not, or a sealed graph has another content: what is not there
        # is tried alone, so that its own error is told.
        retried = [each for each, known in zip(prepared, again, strict=True) if known is None]
        pending = [one for group in retried if isinstance(group, list) for one in group]
        positions = self._submit(pending)
        return self._merged(
            [known or each for each, known in zip(prepared, again, strict=True)], positions
        )


def _sealed(item: IncomingSealed) -> Pending:
    """Check a graph that its producer sealed.

    1. The seal verifies over these bytes.
    2. Every line is a canonical statement in one graph, whose name is an IRI of a record.
    3. What it says of our own classes conforms to their shapes (`ontology/shapes`).
    """
    # 1.
    verified = verify_seal(item.graph_nq, item.proof_nq, item.proof_value)
    # 2.
    statements = list(terms.parse_lines(item.graph_nq))
    names = {graph for _, _, _, graph in statements}
    if len(names) != 1:
        raise FormatError(f"expected the statements of one graph, found {len(names)} graphs")
    name = names.pop()[1:-1]
    prefix = f"{vocab.ID}record/"
    if not name.startswith(prefix) or vocab.record_iri(_last(name)) != name:
        raise FormatError(f"expected a graph named {prefix}<id>, found {name[:200]}")
    # 3.
    if wrong := shapes.problems(statements):
        raise FormatError(f"{name}: not of its shape: {'; '.join(wrong)[:2000]}")
    return Pending(
        iri=name,
        kind=RECORD,
        graph_nq=item.graph_nq,
        seal=Seal(
            graph_sha256=verified.graph_sha256,
            proof_nq=item.proof_nq,
            proof_value=item.proof_value,
            verification_method=verified.verification_method,
        ),
        attachments=item.attachments,
    )


def _last(iri: str) -> str:
    return unquote(iri.rsplit("/", 1)[-1])
