"""How PROV-DM and PROV-O correspond: one table for both ways.

Specifications: PROV-DM, PROV-O, PROV-N (W3C Recommendations, 30 April 2013). A relation that has nothing
but its two ends is the plain property; one with an identifier, a time, a role or any other attribute is
a qualified relation as well.

What PROV-O cannot hold: two statements of one identifier, which become one, and one statement made
twice. Where the first argument of a relation is left out, PROV-O says it of a thing without a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provgraph import terms
from provgraph.frozen import dataclass
from provgraph.terms import Term
from provgraph.vocab import LABEL, PROV, A

Triple = tuple[Term, Term, Term]


def prov(name: str) -> Term:
    """Return a term of PROV-O."""
    return terms.iri(PROV + name)


UNNAMED: Final = "n"
"""Stands in a minted IRI before the number of what has no name in the document either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """How one kind of relation stands in PROV-O. Arguments are named as the package names them."""

    plain: str
    arguments: tuple[
        str, ...
    ]  # the first is the subject of the plain property, the second its object
    qualified: str | None = None  # local name of the qualified class
    properties: tuple[str, ...] = ()  # of the qualified node, for the arguments after the first
    ends: tuple[str | None, str | None] = (None, None)  # entity | activity | agent


RELATIONS: Final[Mapping[str, Relation]] = {
    "Usage": Relation(
        plain="used",
        arguments=("activity", "entity", "time"),
        qualified="Usage",
        properties=("entity", "atTime"),
        ends=("Activity", "Entity"),
    ),
    "Generation": Relation(
        plain="wasGeneratedBy",
        arguments=("entity", "activity", "time"),
        qualified="Generation",
        properties=("activity", "atTime"),
        ends=("Entity", "Activity"),
    ),
    "Invalidation": Relation(
        plain="wasInvalidatedBy",
        arguments=("entity", "activity", "time"),
        qualified="Invalidation",
        properties=("activity", "atTime"),
        ends=("Entity", "Activity"),
    ),
    "Start": Relation(
        plain="wasStartedBy",
        arguments=("activity", "trigger", "starter", "time"),
        qualified="Start",
        properties=("entity", "hadActivity", "atTime"),
        ends=("Activity", "Entity"),
    ),
    "End": Relation(
        plain="wasEndedBy",
        arguments=("activity", "trigger", "ender", "time"),
        qualified="End",
        properties=("entity", "hadActivity", "atTime"),
        ends=("Activity", "Entity"),
    ),
    "Communication": Relation(
        plain="wasInformedBy",
        arguments=("informed", "informant"),
        qualified="Communication",
        properties=("activity",),
        ends=("Activity", "Activity"),
    ),
    "Derivation": Relation(
        plain="wasDerivedFrom",
        arguments=("generatedEntity", "usedEntity", "activity", "generation", "usage"),
        qualified="Derivation",
        properties=("entity", "hadActivity", "hadGeneration", "hadUsage"),
        ends=("Entity", "Entity"),
    ),
    "Attribution": Relation(
        plain="wasAttributedTo",
        arguments=("entity", "agent"),
        qualified="Attribution",
        properties=("agent",),
        ends=("Entity", "Agent"),
    ),
    "Association": Relation(
        plain="wasAssociatedWith",
        arguments=("activity", "agent", "plan"),
        qualified="Association",
        properties=("agent", "hadPlan"),
        ends=("Activity", "Agent"),
    ),
    "Delegation": Relation(
        plain="actedOnBehalfOf",
        arguments=("delegate", "responsible", "activity"),
        qualified="Delegation",
        properties=("agent", "hadActivity"),
        ends=("Agent", "Agent"),
    ),
    "Influence": Relation(
        plain="wasInfluencedBy",
        arguments=("influencee", "influencer"),
        qualified="Influence",
        properties=("influencer",),
    ),
    "Specialization": Relation(
        plain="specializationOf",
        arguments=("specificEntity", "generalEntity"),
        ends=("Entity", "Entity"),
    ),
    "Alternate": Relation(
        plain="alternateOf", arguments=("alternate1", "alternate2"), ends=("Entity", "Entity")
    ),
    "Membership": Relation(
        plain="hadMember", arguments=("collection", "entity"), ends=("Entity", "Entity")
    ),
    "Mention": Relation(
        plain="mentionOf",
        arguments=("specificEntity", "generalEntity", "bundle"),
        properties=("asInBundle",),
        ends=("Entity", "Entity"),
    ),
}
ELEMENTS: Final = ("Entity", "Activity", "Agent")

# Kinds of derivation: a property of PROV-O of its own, a prov:type in PROV-DM.
DERIVATIONS: Final = {
    "wasRevisionOf": "Revision",
    "wasQuotedFrom": "Quotation",
    "hadPrimarySource": "PrimarySource",
}
INVERSES: Final = {
    "generated": "Generation",
    "invalidated": "Invalidation",
    "influenced": "Influence",
}
INFLUENCERS: Final = ("influencer", "entity", "activity", "agent")
TIMES: Final = {"startedAtTime": "startTime", "endedAtTime": "endTime"}
MOMENTS: Final = {"generatedAtTime": "Generation", "invalidatedAtTime": "Invalidation"}
# Attributes of PROV-DM that are properties of their own in PROV-O. A type or role that is no IRI
# keeps its PROV-DM name.
ATTRIBUTES: Final = {
    f"{PROV}type": A,
    f"{PROV}label": LABEL,
    f"{PROV}location": prov("atLocation"),
    f"{PROV}role": prov("hadRole"),
}
OF_ATTRIBUTE: Final = {value: Term(f"<{key}>") for key, value in ATTRIBUTES.items()}
CLASSES_OF: Final = {
    **dict.fromkeys(("Bundle", "Collection", "EmptyCollection", "Plan"), "Entity"),
    **dict.fromkeys(("Person", "Organization", "SoftwareAgent"), "Agent"),
    **{each: each for each in ELEMENTS},
}
