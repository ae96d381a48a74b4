"""What users say of data and models beyond their bytes, brought into the types of records.

    run.use("calls.csv", consent=provgraph.Consent(basis="consent", purpose="better service",
            expires="2026-12-31", reference="form 7"))

No constructor here checks anything, so that a wrong date costs one fact and not a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final

from provgraph import data_facts
from provgraph.capture.values import judge, metric_value, plain_name, plain_text, whole_number
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass
from provgraph.records import Agent, Entity, Feature, Labelling, Quality

_LAST_MOMENT: Final = time(23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The legal basis on which personal data may be used: consent, a contract, a law.

    Args (all but basis may be left out):
        basis: consent, contract, legal obligation, vital interest, public interest, legitimate
            interest; or an article such as `Art. 6(1)(b) GDPR`; or any text.
        purpose: what the data was collected for.
        given: since when it holds, a date or time.
        expires: until when, a date (the whole day counts) or time.
        reference: what the form or contract is called; `provgraph.retract("form 7", …)` withdraws it.
    """

    basis: str = "consent"
    purpose: str | None = None
    given: date | datetime | str | None = None
    expires: date | datetime | str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntendedUse:
    """What a model is meant for.

    Args (all but purpose may be left out):
        purpose: in words.
        commercial: whether for commercial advantage.
        distributed: whether the model is given to others, and not only used or served.
        out_of_scope: what it is not to be used for.
    """

    purpose: str
    commercial: bool | None = None
    distributed: bool | None = None
    out_of_scope: str | None = None


def read_consent(value: Any) -> dict[str, Any]:
    """Return the fields of an `Entity` that a consent argument means: text, or legal bases.

    Raises:
        CaptureError: a date is none.
    """
    if value is None:
        return {}
    if isinstance(value, Consent):
        return {"legal_bases": (_legal_basis(value),)}
    if isinstance(value, list | tuple) and all(isinstance(each, Consent) for each in value):
        return {"legal_bases": tuple(_legal_basis(each) for each in value)}
    return {"consent": plain_text(value)}


def read_intended_use(value: Any) -> data_facts.IntendedUse:
    """Read an intended use, or a purpose in words.

    Raises:
        CaptureError: neither.
    """
    if not isinstance(value, IntendedUse):
        return data_facts.IntendedUse(purpose=plain_text(value))
    return data_facts.IntendedUse(
        purpose=plain_text(value.purpose),
        is_commercial=read_yes_or_no(value.commercial, "commercial"),
        is_distributed=read_yes_or_no(value.distributed, "distributed"),
        out_of_scope=_text(value.out_of_scope),
    )


def read_yes_or_no(value: Any, what: str) -> bool | None:
    """Read a boolean.

    Raises:
        CaptureError: another value: what "no" and "" mean is not for us to guess.
    """
    if value is None or value is True or value is False:
        return value
    raise CaptureError(f"{what}: expected True or False, found {plain_text(value)!r:.80}")


def read_feature(
    name: Any,
    *,
    definition: Any,
    version: Any,
    reason: Any,
    by: Any,
    columns: Any,
    source: Entity | None,
    made: Entity | None,
) -> Feature:
    """Read a feature definition.

    Raises:
        CaptureError: a part that cannot be written as text.
    """
    listed = [columns] if isinstance(columns, str) else list(columns or ())
    return Feature(
        name=plain_name(name),
        version=_text(version),
        definition=_text(definition),
        reason=_text(reason),
        by=_agent(by),
        columns=tuple(plain_text(column) for column in listed),
        source=source,
        made=made,
    )


def read_labelling(data: Entity | None, said: Mapping[str, Any], at: datetime | None) -> Labelling:
    """Read how labels came about.

    Raises:
        CaptureError: a number that is none, or an argument that nobody knows.
    """
    unknown = sorted(set(said) - _LABELS)
    if unknown:
        known = ", ".join(sorted(_LABELS))
        raise CaptureError(f"labels: unknown argument {unknown[0]!r}; there are {known}")
    by = said.get("by")
    people: list[Any] = [] if by is None else [by]
    if isinstance(by, Iterable) and not isinstance(by, str):
        people = list(by)
    count, agreement = said.get("count"), said.get("agreement")
    return Labelling(
        data=data,
        by=tuple(Agent(name=plain_text(each)) for each in people),
        guideline=_text(said.get("guideline")),
        guideline_version=_text(said.get("guideline_version")),
        agreement=None if agreement is None else metric_value(agreement),
        agreement_method=_text(said.get("agreement_method")),
        count=None if count is None else whole_number(count, "count"),
        at=at,
    )


def read_quality(
    data: Entity | None,
    *,
    metric: Any,
    value: Any,
    at: datetime | None,
    column: Any = None,
    n: Any = None,
    threshold: Any = None,
    implementation: Any = None,
) -> Quality:
    """Read a measured quality of data.

    Raises:
        CaptureError: the value is no number, or the threshold no comparison.
    """
    name, measured = plain_name(metric), metric_value(value)
    bound, is_met = judge(name, measured, threshold)
    return Quality(
        data=data,
        metric=name,
        value=measured,
        column=_text(column),
        n=None if n is None else whole_number(n, "n"),
        threshold=bound,
        threshold_met=is_met,
        implementation=_text(implementation),
        at=at,
    )


def _legal_basis(said: Consent) -> data_facts.LegalBasis:
    return data_facts.LegalBasis(
        basis=plain_text(said.basis),
        purpose=_text(said.purpose),
        given_at=_time(said.given, "given", day_ends=False),
        expires_at=_time(said.expires, "expires", day_ends=True),
        reference=_text(said.reference),
    )


def _time(value: Any, what: str, *, day_ends: bool) -> datetime | None:
    """Read a date or time; of a date the first or the last moment, without a zone in UTC."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            text = value.strip()
            value = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        if isinstance(value, datetime):
            return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            moment = _LAST_MOMENT if day_ends else time(0, tzinfo=UTC)
            return datetime.combine(value, moment)
    except ValueError:
        pass
    raise CaptureError(
        f"{what}: expected a date such as 2026-12-31 or a time, found {plain_text(value)!r:.80}"
    )


def _agent(name: Any) -> Agent | None:
    return None if name is None else Agent(name=plain_text(name))


def _text(value: Any) -> str | None:
    return None if value is None else plain_text(value)


_LABELS: Final = frozenset(
    {"by", "guideline", "guideline_version", "agreement", "agreement_method", "count"}
)
