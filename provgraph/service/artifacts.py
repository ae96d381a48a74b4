"""Recorded files hashed again at the places where they were recorded, and the result recorded.

What is read, and what is not, is for `provgraph.query.places` to say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from typing import Final

from provgraph import vocab
from provgraph.capture.identifiers import new_id
from provgraph.capture.sinks import Receipt
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError
from provgraph.ledger.sqlite import Ledger
from provgraph.query.places import CHANGED, GONE, UNREADABLE, Checked, Place
from provgraph.records import Agent, ArtifactFinding, Verification
from provgraph.service.home import utc_now
from provgraph.service.recording import write_record
from provgraph.settings import Settings

_WORSE: Final = (CHANGED, GONE, UNREADABLE)
# Findings that stand in the graph; all of them are in the attachment.
_MAX_FINDINGS: Final = 500

_PLACE: Final = re.compile(
    rf"^<{re.escape(vocab.ID)}content/([a-z0-9-]+)/([0-9a-f]+)>"
    rf" {re.escape(vocab.PROV_T['atLocation'])} <([^>]*)> <[^>]*> \.$".encode(),
    re.MULTILINE,
)


def recorded_places(ledger: Ledger, *, size: int) -> list[Place]:
    """Return every place at which a record below `size` says that bytes were, once each, sorted."""
    found: set[tuple[str, str, str]] = set()
    for record in ledger.records(0, size):
        if not record.is_erased:
            found.update(
                (match[1].decode(), match[2].decode(), match[3].decode())
                for match in _PLACE.finditer(record.graph_nq)
            )
    places = []
    for algorithm, value, location in sorted(found):
        try:
            places.append(Place(digest=Digest(algorithm, value), location=location))
        except FormatError:
            continue  # no digest that we could have written
    return places


def record_verification(
    settings: Settings,
    checked: list[Checked],
    *,
    ledger_size: int,
    root: bytes,
    started: datetime,
) -> Receipt:
    """Seal the result into the ledger: counts and what was wrong in the graph, all of it attached.

    Raises:
        StorageError: the ledger could not take it.
    """
    from provgraph import __version__

    details = json.dumps([as_json(each) for each in checked], ensure_ascii=True, indent=0).encode()
    wrong = [each for each in checked if each.state in _WORSE]
    digest = sha256_bytes(details)
    record = Verification(
        id=new_id(),
        ledger_size=ledger_size,
        root_hash=f"sha256:{root.hex()}",
        counts=dict(Counter(each.state for each in checked)),
        findings=tuple(
            ArtifactFinding(
                artifact=each.place.digest,
                location=each.place.location,
                state=each.state,
                found=each.found,
                reason=each.reason,
            )
            for each in wrong[:_MAX_FINDINGS]
        ),
        details=digest,
        software=Agent(name=f"provgraph {__version__}", kind="software"),
        at=started,
        ended_at=utc_now(),
    )
    return write_record(settings, record, record_id=record.id, attachments={digest: details})


def as_json(checked: Checked) -> dict[str, str | None]:
    """Return what was found at a place, for reports and the attachment."""
    return {
        "digest": str(checked.place.digest),
        "location": checked.place.location,
        "state": checked.state,
        "found": None if checked.found is None else str(checked.found),
        "reason": checked.reason,
    }
