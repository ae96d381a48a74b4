"""What an auditor asks of data and models beyond their bytes: legal basis, purpose, intended use.

Parts of `provgraph.records.Entity`. Vocabularies: W3C Data Privacy Vocabulary (DPV 2) for legal
bases and purposes; a basis that DPV knows is also written as its IRI, see `provgraph.convert.data`.
"""

from __future__ import annotations

from datetime import datetime

from provgraph.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis:
    """Why personal data in a dataset may be used, for which purpose, and until when."""

    basis: str  # consent | contract | legal-obligation | …, an article, or any text
    purpose: str | None = None  # for which the data was collected
    given_at: datetime | None = None
    expires_at: datetime | None = None
    reference: str | None = None  # what the form or register entry is called; withdrawn by it


@dataclass(frozen=True, slots=True, kw_only=True)
class IntendedUse:
    """What a model is meant for, by who answers for it. None means that nobody said."""

    purpose: str
    is_commercial: bool | None = None
    is_distributed: bool | None = None  # given to others, and not only used or served
    out_of_scope: str | None = None
