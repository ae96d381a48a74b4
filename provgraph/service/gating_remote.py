"""A gate on a server: where records go to one, its ledger decides, and whoever asks reads its verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from provgraph.digests import Digest
from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.gates.verdict import Finding, Verdict, WaiverStanding
from provgraph.outgoing import send
from provgraph.query.promotion import Unanswered
from provgraph.service.delivery import TOKEN_VARIABLE
from provgraph.settings import Settings

_TIMEOUT_S: Final = 120.0
_MAX_BYTES: Final = 64 * 1024 * 1024


def ask_server(
    settings: Settings, model: str, *, profile: str, stage: str | None, is_recorded: bool
) -> tuple[Verdict, str | None]:
    """Have a server judge a model; return its verdict, and the IRI of the decision it recorded.

    Raises:
        UsageError: it refused the question.
        UnreachableError: it did not answer.
        FormatError: what it said is no verdict.
        UntrustedError: its verdict is not what follows from its findings.
    """
    address = f"{settings.server.rstrip('/')}/gate"
    headers = {"Accept": "application/json"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    given = {"model": model, "profile": profile, **({"stage": stage} if stage else {})}
    body = None
    if is_recorded:
        headers["Content-Type"] = "application/json"
        body = json.dumps(given).encode()
    reply = send(
        "POST" if is_recorded else "GET",
        address,
        query="" if is_recorded else urlencode(given),
        body=body,
        headers=headers,
        timeout_s=_TIMEOUT_S,
        max_bytes=_MAX_BYTES,
    )
    try:
        value: dict[str, Any] = json.loads(reply.body)
        if reply.status not in {200, 201}:
            raise UsageError(f"{address} answered {reply.status}: {str(value['detail'])[:500]}")
        verdict = _verdict(value)
        decision = value["decision"]
    except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
        raise FormatError(f"{address}: its answer is no verdict: {error!r}") from None
    if (verdict.verdict, verdict.passes) != (value["verdict"], value["passes"]):
        raise UntrustedError(f"{address}: its verdict does not follow from what it found")
    if verdict.asked != model or verdict.profile != profile or verdict.stage != stage:
        raise UntrustedError(f"{address}: its verdict is about something else")
    return verdict, None if decision is None else str(decision)


def _verdict(value: Mapping[str, Any]) -> Verdict:
    return Verdict(
        asked=str(value["model"]),
        model=value["content"],
        profile=str(value["profile"]),
        profile_version=str(value["profile_version"]),
        profile_digest=Digest.parse(value["profile_digest"]),
        stage=value["stage"],
        findings=tuple(
            Finding(
                requirement=str(each["requirement"]),
                title=str(each["title"]),
                source=str(each["source"]),
                severity=str(each["severity"]),
                state=str(each["state"]),
                reasons=tuple(map(str, each["reasons"])),
                evidence=tuple(map(str, each["evidence"])),
                waiver=each["waiver"],
            )
            for each in value["requirements"]
        ),
        unanswered=tuple(Unanswered(**each) for each in value["not_answered_by_records"]),
        waivers=tuple(WaiverStanding(**each) for each in value["waivers"]),
        ledger_size=value["ledger_size"],
        at=datetime.fromisoformat(value["at"]),
    )
