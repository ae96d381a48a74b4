"""A verdict for programs: JSON, JUnit XML for test reports, SARIF 2.1.0 for code scanning.

JUnit: the schema of Jenkins' xunit plugin; a requirement is a test case, one that is not met a failure
(or, where nobody knows, an error), a waived or warning one is skipped with its reason. SARIF: OASIS,
https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; a requirement is a rule.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from provgraph.gates.verdict import MET, MISSING, UNKNOWN, WAIVED, Finding, Verdict
from provgraph.terms import format_time

# What XML 1.0 cannot hold at all.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict for `json.dumps`."""
    return {
        "verdict": verdict.verdict,
        "passes": verdict.passes,
        "model": verdict.asked,
        "content": verdict.model,
        "profile": verdict.profile,
        "profile_version": verdict.profile_version,
        "profile_digest": str(verdict.profile_digest),
        "stage": verdict.stage,
        "ledger_size": verdict.ledger_size,
        "at": format_time(verdict.at),
        "requirements": [
            {
                "requirement": each.requirement,
                "title": each.title,
                "source": each.source,
                "severity": each.severity,
                "state": each.state,
                "blocks": each.blocks,
                "reasons": list(each.reasons),
                "evidence": list(each.evidence),
                "waiver": each.waiver,
            }
            for each in verdict.findings
        ],
        "waivers": [asdict(each) for each in verdict.waivers],
        "not_answered_by_records": [asdict(each) for each in verdict.unanswered],
    }


def to_junit(verdict: Verdict) -> str:
    """Return a verdict as JUnit XML."""
    errors = [each for each in verdict.failures if each.state in {MISSING, UNKNOWN}]
    failures = [each for each in verdict.failures if each not in errors]
    skipped = [each for each in verdict.findings if not each.blocks and each.state != MET]
    name = f"{verdict.profile} {verdict.profile_version}"
    counts = (
        f'tests="{len(verdict.findings)}" failures="{len(failures)}" errors="{len(errors)}"'
        f' skipped="{len(skipped)}"'
    )
    begin = (
        f"<testsuite name={_attribute(f'gate {name}')} {counts}"
        f' timestamp="{verdict.at:%Y-%m-%dT%H:%M:%S}">'
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {counts}>",
        begin,
        "<properties>",
        *(
            f"<property name={_attribute(key)} value={_attribute(value)}/>"
            for key, value in (
                ("model", verdict.asked),
                ("verdict", verdict.verdict),
                ("stage", verdict.stage or ""),
                ("ledger_size", str(verdict.ledger_size)),
                ("profile_digest", str(verdict.profile_digest)),
            )
        ),
        "</properties>",
    ]
    for each in verdict.findings:
        lines.append(
            f"<testcase classname={_attribute(f'{verdict.asked} {verdict.profile}')}"
            f" name={_attribute(f'{each.requirement}: {each.title}')}>"
        )
        if each.blocks:
            tag = "error" if each in errors else "failure"
            lines.append(
                f"<{tag} type={_attribute(each.state)} message={_attribute(each.reason)}>"
                f"{_text(_whole(each))}</{tag}>"
            )
        elif each.state != MET:
            lines.append(f"<skipped message={_attribute(f'{each.state}: {each.reason}')}/>")
        lines.append("</testcase>")
    lines += ["</testsuite>", "</testsuites>", ""]
    return "\n".join(lines)


def to_sarif(verdict: Verdict, *, version: str) -> dict[str, Any]:
    """Return a verdict as a SARIF log; requirements that are met are results of kind pass."""
    rules = [
        {
            "id": each.requirement,
            "shortDescription": {"text": each.title},
            "fullDescription": {"text": f"{each.title}. Source: {each.source}"},
            "defaultConfiguration": {"level": each.severity},
            "properties": {"source": each.source},
        }
        for each in verdict.findings
    ]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "provgraph gate", "version": version, "rules": rules}},
                "invocations": [
                    {"executionSuccessful": True, "endTimeUtc": f"{verdict.at:%Y-%m-%dT%H:%M:%SZ}"}
                ],
                "results": [
                    _result(verdict, each, place) for place, each in enumerate(verdict.findings)
                ],
                "properties": {
                    "verdict": verdict.verdict,
                    "profile": verdict.profile,
                    "profileVersion": verdict.profile_version,
                    "profileDigest": str(verdict.profile_digest),
                    "ledgerSize": verdict.ledger_size,
                    "notAnsweredByRecords": [asdict(each) for each in verdict.unanswered],
                },
            }
        ],
    }


def _result(verdict: Verdict, each: Finding, place: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ruleId": each.requirement,
        "ruleIndex": place,
        "message": {"text": f"{each.state}: {each.reason or each.title}"},
        # Code scanning wants a place in the repository; a model has none but its name.
        "locations": [
            {
                "logicalLocations": [
                    {"fullyQualifiedName": verdict.asked or "model", "kind": "resource"}
                ]
            }
        ],
        "properties": {"state": each.state, "evidence": list(each.evidence)},
    }
    if each.state == MET:
        return {**made, "kind": "pass", "level": "none"}
    made |= {"kind": "fail", "level": each.severity}
    if each.state == WAIVED:
        justification = each.reasons[0] if each.reasons else each.state
        made["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": justification}
        ]
    return made


def _whole(each: Finding) -> str:
    lines = [
        *each.reasons,
        f"Source: {each.source}",
        *(f"Evidence: {iri}" for iri in each.evidence),
    ]
    return "\n".join(lines)


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("?", text))


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))
