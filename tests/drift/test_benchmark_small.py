"""The small set of the benchmark: the oracle measures the truth, and the engine names it.

Three cases of one pipeline (iris, which scikit-learn ships), from the same generator as the full set. That
each is right is no figure: those are in docs/benchmarks.md.
"""

import pytest

from provgraph.drift.verdict import decide
from tests.bench.drift.cases import case_of
from tests.bench.drift.oracle import measure
from tests.bench.drift.scenarios import draw_scenario


@pytest.mark.parametrize("number", [330])
def test_a_measured_fault_is_named(number):
    scenario = draw_scenario(number)
    truth = measure(scenario)
    assert (truth.is_kept, [fault.type for fault in scenario.faults]) == (True, ["null_burst"])
    verdict = decide(case_of(scenario))
    assert verdict.candidates[0].category == "data quality"


def test_a_healthy_case_is_not_accused():
    scenario = draw_scenario(69)
    assert measure(scenario).why == "healthy"
    assert decide(case_of(scenario)).outcome in {"NO_DRIFT", "INSUFFICIENT_EVIDENCE"}


def test_a_fault_that_does_no_harm_drops_out():
    scenario = draw_scenario(330)
    harmless = type(scenario)(
        **{name: getattr(scenario, name) for name in scenario.__dataclass_fields__}
        | {"drifted": scenario.baseline}
    )
    assert measure(harmless).is_kept is False
