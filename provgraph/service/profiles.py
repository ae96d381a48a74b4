"""Reading column profiles back out of a ledger."""

from __future__ import annotations

from provgraph import vocab
from provgraph.digests import Digest
from provgraph.errors import FormatError, NotFoundError
from provgraph.ledger.reading import LedgerReader
from provgraph.profiles.codec import decode
from provgraph.profiles.profile import TableProfile

_PREFIX = f"{vocab.ID}profile/"


def profile_named(ledger: LedgerReader, iri: str) -> TableProfile | None:
    """Return the profile of an IRI `…/id/profile/<hex>`; None where it was erased or never came.

    Raises:
        FormatError: the stored bytes are no profile of this version.
    """
    if not iri.startswith(_PREFIX):
        return None
    try:
        return decode(ledger.attachment(Digest("sha256", iri.removeprefix(_PREFIX))))
    except NotFoundError:
        return None


def profiles_in(ledger: LedgerReader, iris: list[str]) -> list[tuple[str, TableProfile]]:
    """Return those of some profiles that can be read, each with its IRI."""
    found = []
    for iri in iris:
        try:
            profile = profile_named(ledger, iri)
        except FormatError:  # of a later version
            continue
        if profile is not None:
            found.append((iri, profile))
    return found
