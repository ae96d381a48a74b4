"""What people decide in the demo: who answers for the model, who judged it, what is let pass and why.

The gate that decides here is the demo's own, so that each question about governance has an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import provgraph

Say = Callable[[str], None]

OWNER = "ada@example.org"
VALIDATOR = "grace@example.org"
STEWARD = "dpo@example.org"


def judge_before_release(model: str, say: Say) -> None:
    """Register and validate the model, and let it past a gate with a waiver."""
    now = datetime.now(UTC)
    name = model.partition(":")[0]
    provgraph.register(
        name,
        owner=OWNER,
        tier="1",
        risk="high-risk",
        review_by=now + timedelta(days=180),
        by=VALIDATOR,
    )
    provgraph.assess_change(
        model,
        substantial=True,
        predetermined=False,
        reason="another kind of model than 0.1",
        by=VALIDATOR,
    )
    provgraph.validate(
        model,
        by=VALIDATOR,
        verdict="conditional",
        meaning="sound; tested on rows that training never saw",
        independent=True,
        conditions="a radiologist decides",
        valid_until=now + timedelta(days=365),
    )
    waiver = provgraph.waive(
        model,
        "drift-monitor",
        by=VALIDATOR,
        reason="the pilot is watched by hand until release 1.1",
        expires=now + timedelta(days=60),
        stage="pilot",
    )
    judgements = [{"requirement": "validation", "state": "met"}]
    if waiver is not None:
        judgements.append(
            {
                "requirement": "drift-monitor",
                "state": "waived",
                "reason": "nothing watches the inputs",
                "waiver": waiver.record.replace("/record/", "/waiver/"),
            }
        )
    provgraph.gate_decision(
        model,
        profile="pilot-rules",
        profile_version="1",
        stage="pilot",
        verdict="waived",
        judgements=judgements,
        by="ci@example.org",
    )
    say("registered, validated with a condition, and past the gate with a waiver that expires")


def withdraw_consent(folder: Path, model: str, say: Say) -> None:
    """Some patients of the south clinic withdraw their consent; the model is to be trained again."""
    withdrawal = provgraph.withdraw(
        folder / "south.csv",
        consent=True,
        scope="two patients of the south clinic",
        reason="they withdrew their consent to research use",
        ground="GDPR Art. 7(3)",
        by=STEWARD,
    )
    if withdrawal is None:
        return
    provgraph.remediate(
        model,
        withdrawal=withdrawal,
        state="retrain",
        reason="without their rows, for release 1.1",
        due=datetime.now(UTC) + timedelta(days=30),
        by=OWNER,
    )
    say(
        "two patients withdraw their consent: all that was made from south.csv is affected, and open"
    )
