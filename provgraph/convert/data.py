"""Facts about data and models in a record's graph: use terms, legal bases, labels, features, quality.

Aligned to W3C DQV (quality measurements), DPV 2 (legal bases) and ODRL (use terms), see
`ontology/alignments.ttl`. What is said of a thing hangs on the thing's own name, so that what its run
said and what its steward said later stand side by side; the graph tells who said it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from provgraph import terms, vocab
from provgraph.data_facts import IntendedUse, LegalBasis
from provgraph.digests import sha256_bytes
from provgraph.frozen import as_dict
from provgraph.records import Agent, Entity, Feature, Labelling, Quality
from provgraph.vocab import LABEL, PROV_T, A, C, P

if TYPE_CHECKING:
    from provgraph.convert.entities import Sheet
    from provgraph.terms import Term

# DPV 2: https://w3id.org/dpv#LegalBasis. Spellings are compared without case, blanks and hyphens.
_DPV_BASES: Final = {
    "consent": "Consent",
    "contract": "Contract",
    "legalobligation": "LegalObligation",
    "vitalinterest": "VitalInterest",
    "publicinterest": "PublicInterest",
    "legitimateinterest": "LegitimateInterest",
}
# `Art. 6(1)(b) GDPR` and its likes; the terms of DPV's GDPR extension are called `A6-1-b`, `A9-2-a`.
_ARTICLE: Final = re.compile(
    r"(?:(?:Article|Art\.?)\s*|A)(6|9)[\s(.-]*(1|2)[\s).(-]*([a-j])\)?(?:\s*(?:EU\s*)?GDPR)?",
    re.IGNORECASE,
)
_ARTICLES: Final = frozenset({*(f"6-1-{x}" for x in "abcdef"), *(f"9-2-{x}" for x in "abcdefghij")})


def write_facts(sheet: Sheet, thing: Term, entity: Entity) -> None:
    """Write what is said of a thing itself, beside its name and bytes."""
    sheet.source(thing, entity.source)
    if entity.licence is not None:
        sheet.licence(thing, entity.licence)
    sheet.text(thing, P["useTerms"], entity.use_terms)
    sheet.text(thing, P["collected"], entity.collected)
    sheet.text(thing, P["collector"], entity.collector)
    sheet.text(thing, P["collectionMethod"], entity.collection_method)
    sheet.text(thing, P["consent"], entity.consent)
    if entity.vendor is not None:
        vendor = sheet.agent(Agent(name=entity.vendor, kind="organization"))
        sheet.add(thing, vocab.PUBLISHER, vendor)
    sheet.boolean(thing, P["hasPersonalData"], value=entity.has_personal_data)
    for basis in entity.legal_bases:
        _legal_basis(sheet, thing, basis)
    if entity.intended_use is not None:
        _intended_use(sheet, thing, entity.intended_use)


def write_labellings(sheet: Sheet, labellings: Iterable[Labelling], *, of: Term | None) -> None:
    """Write how labels came about; `of` is the data where a labelling does not name its own."""
    for labelling in labellings:
        node = sheet.node("labelling")
        sheet.add(node, A, PROV_T["Entity"])
        sheet.add(node, A, C["Labelling"])
        sheet.add(node, P["data"], of if labelling.data is None else sheet.entity(labelling.data))
        for agent in labelling.by:
            sheet.add(node, PROV_T["wasAttributedTo"], sheet.agent(agent))
        sheet.text(node, P["guideline"], labelling.guideline)
        sheet.text(node, P["guidelineVersion"], labelling.guideline_version)
        sheet.real(node, P["agreement"], labelling.agreement)
        sheet.text(node, P["agreementMethod"], labelling.agreement_method)
        sheet.number(node, P["labelCount"], labelling.count)
        sheet.time(node, PROV_T["generatedAtTime"], labelling.at)


def write_qualities(
    sheet: Sheet, activity: Term, qualities: Iterable[Quality], *, of: Term | None
) -> None:
    """Write measured qualities of data; `of` is the data where a measurement does not name its own."""
    for quality in qualities:
        node = sheet.node("quality")
        sheet.add(node, A, PROV_T["Entity"])
        sheet.add(node, A, C["QualityMeasurement"])
        sheet.add(node, PROV_T["wasGeneratedBy"], activity)
        sheet.add(node, P["data"], of if quality.data is None else sheet.entity(quality.data))
        sheet.text(node, P["metricName"], quality.metric)
        sheet.real(node, P["value"], quality.value)
        sheet.text(node, P["column"], quality.column)
        sheet.number(node, P["sampleSize"], quality.n)
        sheet.text(node, P["threshold"], quality.threshold)
        sheet.boolean(node, P["thresholdMet"], value=quality.threshold_met)
        sheet.text(node, P["implementation"], quality.implementation)
        sheet.time(node, PROV_T["generatedAtTime"], quality.at)


def write_features(sheet: Sheet, activity: Term, features: Sequence[Feature]) -> None:
    """Write the features that a run or step used, with the definitions that it gives.

    A definition is named by its content and stands below its version, as the bytes of a model do. A
    feature that is only named is the version, or whatever version its name means.
    """
    for feature in features:
        if feature.definition is None:
            names = (feature.name,) if feature.version is None else (feature.name, feature.version)
            iri = vocab.named_iri("feature", sheet.context.namespace, *names)
            sheet.add(activity, P["feature"], terms.iri(iri))
            continue
        defined = sheet.entity(
            Entity(
                kind="feature",
                uri=feature_iri(feature),
                name=feature.name,
                version=feature.version,
            )
        )
        sheet.add(activity, P["feature"], defined)
        sheet.add(activity, PROV_T["used"], defined)
        sheet.text(defined, P["definition"], feature.definition)
        sheet.text(defined, P["reason"], feature.reason)
        if feature.by is not None:
            sheet.add(defined, PROV_T["wasAttributedTo"], sheet.agent(feature.by))
        for column in feature.columns:
            sheet.text(defined, P["sourceColumn"], column)
        if feature.source is not None:
            sheet.add(defined, P["data"], sheet.entity(feature.source))
        if feature.made is not None:
            sheet.add(sheet.entity(feature.made), P["feature"], defined)


def feature_iri(feature: Feature) -> str:
    """Name a feature by its content: name, definition and source columns."""
    content = [feature.name, feature.definition, sorted(feature.columns)]
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return f"{vocab.ID}feature-definition/{sha256_bytes(text).value}"


def basis_concept(basis: str) -> str | None:
    """Return the IRI of the DPV concept that a legal basis names, None where it names none."""
    if basis.startswith((vocab.DPV, vocab.DPV_GDPR)):
        return basis
    if (match := _ARTICLE.fullmatch(basis.strip())) is not None:
        article = f"{match[1]}-{match[2]}-{match[3].lower()}"
        return f"{vocab.DPV_GDPR}A{article}" if article in _ARTICLES else None
    name = _DPV_BASES.get(re.sub(r"[\s_-]", "", basis.casefold()))
    return None if name is None else vocab.DPV + name


def _legal_basis(sheet: Sheet, thing: Term, basis: LegalBasis) -> None:
    """Write a legal basis, named by its content: what a thousand runs say of one dataset is one."""
    facts = json.dumps(as_dict(basis), sort_keys=True, default=str, ensure_ascii=False)
    digest = sha256_bytes(facts.encode("utf-8", "replace"))
    node = terms.iri(f"{vocab.LEGAL_BASES}{digest.value}")
    sheet.add(thing, P["legalBasis"], node)
    sheet.add(node, A, PROV_T["Entity"])
    sheet.add(node, A, C["LegalBasis"])
    sheet.text(node, P["basis"], basis.basis)
    concept = basis_concept(basis.basis)
    if concept is not None:
        sheet.add(node, vocab.LEGAL_BASIS, terms.iri(terms.to_iri(concept)))
    sheet.text(node, P["purpose"], basis.purpose)
    sheet.time(node, P["givenAt"], basis.given_at)
    sheet.time(node, P["expiresAt"], basis.expires_at)
    if basis.reference is not None:
        sheet.text(node, LABEL, basis.reference)
        sheet.text(node, P["reference"], basis.reference)
        sheet.named("legal-basis", basis.reference, "", node)


def _intended_use(sheet: Sheet, thing: Term, use: IntendedUse) -> None:
    node = sheet.node("use")
    sheet.add(thing, P["intendedUse"], node)
    sheet.add(node, A, PROV_T["Entity"])
    sheet.add(node, A, C["IntendedUse"])
    sheet.text(node, P["purpose"], use.purpose)
    sheet.boolean(node, P["isCommercial"], value=use.is_commercial)
    sheet.boolean(node, P["isDistributed"], value=use.is_distributed)
    sheet.text(node, P["outOfScope"], use.out_of_scope)
