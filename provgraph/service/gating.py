"""`provgraph gate` and `provgraph.gate`: may this model go on, by this profile, for this stage.

Only what is wrong with the question itself raises: an unknown profile, a profile with a typo. Everything
else that goes wrong, down to a ledger that cannot be opened, is a verdict that fails and says why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from provgraph.capture.identifiers import new_id
from provgraph.capture.sinks import Receipt
from provgraph.errors import FormatError, NotFoundError, ProvgraphError, UntrustedError, UsageError
from provgraph.gates.judging import OWN, judge
from provgraph.gates.sight import Sight
from provgraph.gates.verdict import FAILED, UNKNOWN, Finding, Verdict
from provgraph.governance import GateDecision, Judgement
from provgraph.query.promotion import Profile
from provgraph.query.requirements import read_profile
from provgraph.records import Agent, Entity, Missing
from provgraph.service.asking import Reader, open_reader
from provgraph.service.home import utc_now
from provgraph.service.recording import write_record
from provgraph.service.things import content_digest
from provgraph.settings import Settings, load


def gate(
    model: Any,
    *,
    profile: str = "minimal",
    stage: str | None = None,
    record: bool = False,
    by: str | None = None,
) -> Verdict:
    """Judge a model by a profile; `verdict.passes` says whether it may go on.

    Args:
        model: `name:version`, name, digest, path or IRI.
        profile: the name of a profile, or a path to one of your own.
        stage: the stage that it is to be promoted to, such as production.
        record: seal the decision into the ledger.
        by: who asks, for the record.

    Raises:
        UsageError: the profile is not known, or not in its form.
        StorageError: the decision could not be recorded.
    """
    settings = load(os.environ)
    verdict, _ = decide(
        settings,
        os.fsdecode(model) if isinstance(model, os.PathLike) else str(model),
        profile=profile_of(settings, profile),
        stage=stage,
        is_recorded=record,
        by=by,
        now=utc_now(),
    )
    return verdict


def profiles_folder(settings: Settings) -> Path:
    """Return where a home has profiles of its own, each `<id>.toml`."""
    return settings.home / "profiles"


def profile_of(settings: Settings, text: str) -> Profile:
    """Read a profile by name or path.

    Raises:
        UsageError: it is not known, or not in its form.
    """
    try:
        return read_profile(text, folder=profiles_folder(settings))
    except FormatError as error:
        raise UsageError(str(error)) from None


def decide(
    settings: Settings,
    model: str,
    *,
    profile: Profile,
    stage: str | None,
    is_recorded: bool,
    by: str | None,
    now: datetime,
) -> tuple[Verdict, str | None]:
    """Judge a model; record the decision where that is asked, and return its IRI.

    Where records go to a server, it decides, by its own file of the profile, in the caller's name.

    Raises:
        StorageError: the decision could not be recorded.
    """
    try:
        if settings.server:
            from provgraph.service.gating_remote import ask_server

            verdict, record = ask_server(
                settings, model, profile=profile.id, stage=stage, is_recorded=is_recorded
            )
            if verdict.profile_digest != profile.digest:
                raise UntrustedError(
                    f"the profile {profile.id} of {settings.server} is another one than here:"
                    f" expected {profile.digest}, found {verdict.profile_digest}"
                )
            return verdict, record
        with open_reader(settings) as reader:
            verdict = judged_by(reader, model, profile=profile, stage=stage, now=now)
    except Exception as error:
        verdict = refused(error, model, profile=profile, stage=stage, now=now)
    receipt = record_decision(settings, verdict, by=by) if is_recorded else None
    return verdict, None if receipt is None else receipt.record


def judged_by(
    reader: Reader, model: str, *, profile: Profile, stage: str | None, now: datetime
) -> Verdict:
    """Judge a model with an open reader.

    Raises:
        NotFoundError: nothing here goes by that.
        UsageError: it names several things.
    """
    sight = Sight(
        model=reader.content(model),
        ask=reader.index.select,
        asked=reader.asked,
        entries=reader.entries,
        keys=reader.ledger.keys(),
        now=now,
    )
    return judge(sight, profile, asked=model, stage=stage)


def refused(
    error: Exception, model: str, *, profile: Profile, stage: str | None, now: datetime
) -> Verdict:
    """Return the verdict of a gate that could not look: it fails."""
    said = str(error) if isinstance(error, ProvgraphError) else f"{type(error).__name__}: {error}"
    finding = Finding(
        requirement=f"{OWN}model",
        title="the model is known here, and can be looked at",
        source="provgraph: every gate",
        severity="error",
        state=FAILED if isinstance(error, NotFoundError) else UNKNOWN,
        reasons=(said,),
    )
    return Verdict(
        asked=model,
        model=None,
        profile=profile.id,
        profile_version=profile.version,
        profile_digest=profile.digest,
        stage=stage,
        findings=(finding,),
        unanswered=profile.unanswered,
        waivers=(),
        ledger_size=None,
        at=now,
    )


def record_decision(settings: Settings, verdict: Verdict, *, by: str | None) -> Receipt | None:
    """Seal a gate's decision into the ledger; of a model that is not known there is none.

    Raises:
        StorageError: the ledger could not take it.
    """
    if verdict.model is None:
        return None
    decision = decision_of(verdict, by=by)
    return write_record(settings, decision, record_id=decision.id)


def decision_of(verdict: Verdict, *, by: str | None) -> GateDecision:
    """Return a verdict as the record that it becomes."""
    assert verdict.model is not None, "a decision is about a model"
    digest = content_digest(verdict.model)
    entity = (
        Entity(kind="model", uri=verdict.model)
        if digest is None
        else Entity(kind="model", digest=digest)
    )
    return GateDecision(
        id=new_id(),
        model=entity,
        profile=verdict.profile,
        profile_version=verdict.profile_version,
        profile_digest=verdict.profile_digest,
        stage=verdict.stage,
        verdict=verdict.verdict,
        judgements=tuple(map(_judgement, verdict.findings)),
        ledger_size=verdict.ledger_size,
        by=None if by is None else Agent(name=by),
        at=verdict.at,
        missing=()
        if by is not None
        else (Missing(field="by", reason="nobody was named; pass by="),),
    )


def _judgement(each: Finding) -> Judgement:
    warning = "warning: " if each.severity == "warning" and each.state != "met" else ""
    iris = tuple(iri for iri in each.evidence if "://" in iri or iri.startswith("urn:"))
    return Judgement(
        requirement=each.requirement,
        state=each.state,
        reason=f"{warning}{each.reason}" if each.reason else None,
        # All of them are in the verdict; a record names the first.
        evidence=iris[:20],
        waiver=each.waiver,
    )


def template() -> str:
    """Return the text that a profile of one's own begins with."""
    from provgraph import resources

    return resources.read_text("ontology", "templates", "profile.toml")


def exit_code(verdict: Mapping[str, Any] | Verdict) -> int:
    """Return what the command line gives back: 0 passes, 1 does not."""
    passes = verdict.passes if isinstance(verdict, Verdict) else verdict["passes"]
    return 0 if passes is True else 1
