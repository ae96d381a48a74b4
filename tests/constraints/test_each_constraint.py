"""Each constraint of PROV-CONSTRAINTS: a document that holds to it, and one that breaks it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from provgraph.constraints import Finding, check
from provgraph.constraints.documents import read_document


class Case(NamedTuple):
    number: int
    holds: str
    breaks: str


def findings(text: str) -> list[Finding]:
    document = f"document\nprefix ex <http://example.org/>\n{text}\nendDocument"
    return check(read_document(document.encode(), "provn"))


EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"

# What no document may say, whatever its clocks.
IMPOSSIBLE = (
    Case(
        22,
        f"activity(ex:a, {EARLY}, -) activity(ex:a, -, {LATE})",
        f"activity(ex:a, {EARLY}, -) activity(ex:a, {LATE}, -)",
    ),
    Case(
        23,
        "wasGeneratedBy(ex:g; ex:e, ex:a, -) wasGeneratedBy(ex:g; ex:e, -, -)",
        "wasGeneratedBy(ex:g; ex:e, ex:a, -) wasGeneratedBy(ex:g; ex:e, ex:b, -)",
    ),
    Case(
        24,
        "wasGeneratedBy(ex:g; ex:e, ex:a, -) wasGeneratedBy(ex:h; ex:e, ex:b, -)",
        "wasGeneratedBy(ex:g; ex:e, ex:a, -) wasGeneratedBy(ex:h; ex:e, ex:a, -)",
    ),
    Case(
        25,
        "wasInvalidatedBy(ex:i; ex:e, ex:a, -) wasInvalidatedBy(ex:j; ex:e, ex:b, -)",
        "wasInvalidatedBy(ex:i; ex:e, ex:a, -) wasInvalidatedBy(ex:j; ex:e, ex:a, -)",
    ),
    Case(
        26,
        "wasStartedBy(ex:s; ex:a, -, ex:b, -) wasStartedBy(ex:t; ex:a, -, ex:c, -)",
        "wasStartedBy(ex:s; ex:a, -, ex:b, -) wasStartedBy(ex:t; ex:a, -, ex:b, -)",
    ),
    Case(
        27,
        "wasEndedBy(ex:s; ex:a, -, ex:b, -) wasEndedBy(ex:t; ex:a, -, ex:c, -)",
        "wasEndedBy(ex:s; ex:a, -, ex:b, -) wasEndedBy(ex:t; ex:a, -, ex:b, -)",
    ),
    Case(
        28,
        f"activity(ex:a, {EARLY}, -) wasStartedBy(ex:a, ex:e, ex:b, {EARLY})",
        f"activity(ex:a, {EARLY}, -) wasStartedBy(ex:a, ex:e, ex:b, {LATE})",
    ),
    Case(
        29,
        f"activity(ex:a, -, {LATE}) wasEndedBy(ex:a, ex:e, ex:b, {LATE})",
        f"activity(ex:a, -, {LATE}) wasEndedBy(ex:a, ex:e, ex:b, {EARLY})",
    ),
    Case(
        42,
        "entity(ex:e) entity(ex:f) wasDerivedFrom(ex:e, ex:f)",
        "entity(ex:e) entity(ex:f) wasDerivedFrom(ex:e, ex:f) wasDerivedFrom(ex:f, ex:e)",
    ),
    Case(
        50,
        "used(ex:a, ex:e, -) entity(ex:e)",
        "used(ex:a, ex:e, -) activity(ex:e, -, -)",
    ),
    Case(
        51,
        "wasDerivedFrom(ex:e, ex:f, ex:a, ex:g, ex:u)",
        "wasDerivedFrom(ex:e, ex:f, -, ex:g, -)",
    ),
    Case(
        52,
        "specializationOf(ex:e, ex:f) specializationOf(ex:f, ex:h)",
        "specializationOf(ex:e, ex:f) specializationOf(ex:f, ex:e)",
    ),
    Case(
        53,
        "used(ex:u; ex:a, ex:e, -) wasDerivedFrom(ex:d; ex:e, ex:f, -, -, -)",
        "used(ex:u; ex:a, ex:e, -) wasGeneratedBy(ex:u; ex:e, ex:a, -)",
    ),
    Case(
        54,
        "entity(ex:e) used(ex:u; ex:a, ex:e, -)",
        "entity(ex:u) used(ex:u; ex:a, ex:e, -)",
    ),
    Case(
        55,
        "entity(ex:x) agent(ex:x)",
        "entity(ex:x) activity(ex:x, -, -)",
    ),
    Case(
        56,
        "entity(ex:c, [prov:type='prov:Collection']) hadMember(ex:c, ex:e)",
        "entity(ex:c, [prov:type='prov:EmptyCollection']) hadMember(ex:c, ex:e)",
    ),
)

# Two events in the order that a constraint asks, and the other way round.
ORDERED = {
    30: "activity(ex:a, {0}, {1})",
    31: "wasStartedBy(ex:s; ex:a, -, ex:b, {same}) wasStartedBy(ex:t; ex:a, -, ex:c, {1})",
    32: "wasEndedBy(ex:s; ex:a, -, ex:b, {same}) wasEndedBy(ex:t; ex:a, -, ex:c, {1})",
    33: "activity(ex:a, {0}, -) used(ex:a, ex:e, {1})",
    34: "activity(ex:a, {0}, -) wasGeneratedBy(ex:e, ex:a, {1})",
    35: "activity(ex:a, {0}, -) activity(ex:b, -, {1}) wasInformedBy(ex:b, ex:a)",
    36: "wasGeneratedBy(ex:e, ex:a, {0}) wasInvalidatedBy(ex:e, ex:b, {1})",
    37: "wasGeneratedBy(ex:e, ex:a, {0}) used(ex:b, ex:e, {1})",
    38: "used(ex:a, ex:e, {0}) wasInvalidatedBy(ex:e, ex:b, {1})",
    39: "wasGeneratedBy(ex:e, ex:a, {same}) wasGeneratedBy(ex:e, ex:b, {1})",
    40: "wasInvalidatedBy(ex:e, ex:a, {same}) wasInvalidatedBy(ex:e, ex:b, {1})",
    41: "used(ex:u; ex:a, ex:f, {0}) wasGeneratedBy(ex:g; ex:e, ex:a, {1})"
    " wasDerivedFrom(ex:e, ex:f, ex:a, ex:g, ex:u)",
    42: "wasGeneratedBy(ex:f, -, {0}) wasGeneratedBy(ex:e, -, {1}) wasDerivedFrom(ex:e, ex:f)",
    43: "wasGeneratedBy(ex:e, -, {0}) wasStartedBy(ex:a, ex:e, -, {1})",
    44: "wasGeneratedBy(ex:e, -, {0}) wasEndedBy(ex:a, ex:e, -, {1})",
    45: "wasGeneratedBy(ex:f, -, {0}) wasGeneratedBy(ex:e, -, {1}) specializationOf(ex:e, ex:f)",
    46: "wasInvalidatedBy(ex:e, -, {0}) wasInvalidatedBy(ex:f, -, {1}) specializationOf(ex:e, ex:f)",
    47: "activity(ex:a, {0}, -) wasInvalidatedBy(ex:g, -, {1}) wasAssociatedWith(ex:a, ex:g, -)",
    48: "wasGeneratedBy(ex:g, -, {0}) wasGeneratedBy(ex:e, -, {1}) wasAttributedTo(ex:e, ex:g)",
    49: "wasGeneratedBy(ex:g, -, {0}) wasInvalidatedBy(ex:h, -, {1}) actedOnBehalfOf(ex:h, ex:g)",
}

# Cycles through a derivation, the one strict edge: each goes over the constraint that it is named
# after, and without its last statement it holds. No other constraint can stand on such a cycle alone:
# nothing but others of their kind follows ends and invalidations, and a usage only leads on through
# a derivation, which is strict by itself.
CYCLES = {
    34: (
        "wasDerivedFrom(ex:e, ex:f) wasStartedBy(ex:a, ex:e, -, -)",
        "wasGeneratedBy(ex:f, ex:a, -)",
    ),
    45: (
        "entity(ex:e) entity(ex:f) wasDerivedFrom(ex:e, ex:f)",
        "specializationOf(ex:f, ex:m) specializationOf(ex:m, ex:e)",
    ),
    48: (
        "wasGeneratedBy(ex:e, -, -) wasDerivedFrom(ex:e, ex:f) wasGeneratedBy(ex:f, -, -)",
        "wasAttributedTo(ex:f, ex:e)",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE, ids=lambda case: case.number)
def test_an_impossible_document_is_named_by_its_constraint(case: Case) -> None:
    assert findings(case.holds) == []
    found = [each for each in findings(case.breaks) if each.is_violation]
    assert case.number in {number for each in found for number in each.constraints}
    assert all(each.statements for each in found)


@pytest.mark.parametrize("number", ORDERED)
def test_clocks_that_contradict_an_order_are_told_under_its_constraint(number: int) -> None:
    text = ORDERED[number]
    assert findings(text.format(EARLY, LATE, same=LATE)) == []
    (found,) = findings(text.format(LATE, EARLY, same=LATE))
    assert (found.constraints, found.is_violation) == ((number,), False)
    assert LATE[:10] in found.message
    assert EARLY[:10] in found.message


@pytest.mark.parametrize("number", CYCLES)
def test_a_derivation_that_would_precede_itself_is_a_violation(number: int) -> None:
    fine, last = CYCLES[number]
    assert [each for each in findings(fine) if each.is_violation] == []
    (found,) = findings(f"{fine} {last}")
    assert found.is_violation
    assert {42, number} <= set(found.constraints)
    assert "would come before itself" in found.message


def test_times_with_and_without_a_zone_are_not_compared() -> None:
    assert findings("activity(ex:a, 2026-01-02T00:00:00, 2026-01-01T00:00:00Z)") == []
    (found,) = findings("activity(ex:a, 2026-01-02T00:00:00, 2026-01-01T00:00:00)")
    assert found.constraints == (30,)


def test_fractions_of_a_second_are_ordered_as_times() -> None:
    text = "activity(ex:a, 2026-01-01T00:00:00Z, 2026-01-01T00:00:00.5Z)"
    assert findings(text) == []


def test_bundles_are_checked_apart() -> None:
    apart = """
      bundle ex:b1
        entity(ex:x)
      endBundle
      bundle ex:b2
        activity(ex:x, -, -)
      endBundle"""
    assert findings(apart) == []
    (found,) = findings("entity(ex:x)\nbundle ex:b\n entity(ex:y) activity(ex:y, -, -)\nendBundle")
    assert found.bundle == "http://example.org/b"


def test_a_chain_of_5_000_derivations_is_no_recursion() -> None:
    from provgraph.constraints import Document, Statement

    chain = [
        Statement(kind="wasDerivedFrom", arguments=(f"urn:e{place + 1}", f"urn:e{place}"))
        for place in range(5_000)
    ]
    made = [Statement(kind="entity", id=f"urn:e{place}") for place in range(5_001)]
    assert check(Document(bundles={"": (*made, *chain)})) == []
    back = Statement(kind="wasDerivedFrom", arguments=("urn:e0", "urn:e5000"))
    (found,) = check(Document(bundles={"": (*made, *chain, back)}))
    assert found.constraints == (42,)
