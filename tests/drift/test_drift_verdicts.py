"""Verdicts over facts: what is named, what is cleared, what is left open, what is not known."""

import math

import numpy as np
import pytest
from ends import case, end, healthy, rows

from provgraph.drift.align import align
from provgraph.drift.facts import Case
from provgraph.drift.verdict import decide
from provgraph.frozen import replace


def damaged(seed, share=0.6):
    frame = rows(seed)
    gone = np.random.default_rng(seed).random(len(frame)) < share
    frame.loc[gone, ["x0", "x1"]] = np.nan
    return frame


def first(verdict):
    return verdict.candidates[0].category


def test_a_value_as_ever_is_no_drift_whatever_changed():
    verdict = decide(case(end("new", 0.899, settings={"train": {"alpha": 50.0}})))
    assert verdict.outcome == "NO_DRIFT"
    assert verdict.candidates == ()
    assert verdict.drop.smallest_visible < 0.06


def test_empty_cells_are_named_as_data_quality():
    verdict = decide(case(end("new", 0.70, train=damaged(81), test=damaged(82))))
    assert (verdict.outcome, first(verdict)) == ("ORIGIN", "data quality")
    assert verdict.candidates[0].status == "hypothesis"
    shown = "\n".join(verdict.candidates[0].evidence)
    assert "x0: empty 0.0% → 6" in shown or "x1: empty 0.0% → 6" in shown


def test_a_step_whose_output_parts_from_its_input_is_named():
    verdict = decide(case(end("new", 0.70, settings={"scale": {"method": "binary"}})))
    assert (verdict.outcome, first(verdict)) == ("ORIGIN", "preprocessing")
    assert verdict.candidates[0].factors == ("scale:settings",)


def test_another_protocol_is_named_when_the_standard_metric_stays():
    verdict = decide(case(end("new", 0.70, protocol={"threshold": "0.9"}, canonical=0.90)))
    assert (verdict.outcome, first(verdict)) == ("ORIGIN", "evaluation protocol")


def test_another_source_is_named_by_its_record():
    shifted = {role: rows(seed) for role, seed in (("train", 71), ("test", 72))}
    for frame in shifted.values():
        frame[[f"x{i}" for i in range(6)]] += 0.7
    verdict = decide(case(end("new", 0.70, source="B", **shifted)))
    assert first(verdict) == "data source"


def test_nothing_changed_and_a_drop_is_a_factor_that_was_not_recorded():
    last = healthy()[-1]
    after = replace(last, name="new", iri="urn:new", measure=replace(last.measure, value=0.6))
    verdict = decide(case(after))
    assert verdict.outcome == "UNRECORDED_FACTOR"
    assert verdict.summary.startswith("The drop is real and nothing recorded explains it.")


def test_a_commit_with_an_equal_syntax_tree_is_cleared():
    verdict = decide(case(end("new", 0.70, train=damaged(81), test=damaged(82), code=("c2", "s1"))))
    assert [(each.factor, each.reason) for each in verdict.cleared] == [
        ("code", "the commit differs, its syntax tree is the same: comments or layout only")
    ]
    assert "code" not in {each.category for each in verdict.candidates}


def test_settings_that_steer_only_the_computation_are_cleared():
    verdict = decide(case(end("new", 0.70, test=damaged(82), settings={"train": {"n_jobs": 8}})))
    assert [each.factor for each in verdict.cleared] == ["train:settings"]


def test_a_change_that_reaches_nothing_is_cleared():
    before = healthy()[-1]
    after = end("run-5", 0.70, settings={"scale": {"method": "standard", "note": "x"}})
    found = align(before, after)
    (factor,) = [each for each in found.factors if each.path == "scale:settings"]
    assert (factor.state, factor.is_exonerated) == ("changed", True)
    assert factor.reason.startswith("what was made with it is equal byte for byte")


def test_the_first_divergence_is_where_the_ends_part_and_healthy_ones_do_not():
    found = align(
        healthy()[-1], end("new", 0.7, settings={"train": {"alpha": 9.0}}), healthy()[:-1]
    )
    assert found.first_divergence == ("train:settings",)


def test_without_profiles_the_kind_of_data_change_is_left_open():
    history = tuple(end(f"bare-{i}", 0.9 + i / 500, profiled=False) for i in range(5))
    verdict = decide(case(end("new", 0.6, profiled=False), history))
    assert verdict.outcome in {"INSUFFICIENT_EVIDENCE", "UNRECORDED_FACTOR"}
    assert verdict.candidates[0].confidence <= 0.5
    assert "record column profiles of the data at both ends" in {a.action for a in verdict.advice}


def test_advice_is_ordered_by_what_it_would_settle():
    verdict = decide(case(end("new", 0.70, test=damaged(82), settings={"train": {"alpha": 40.0}})))
    settles = [each.settles for each in verdict.advice]
    assert settles == sorted(settles, reverse=True)
    assert any(each.action.startswith("replay with ") for each in verdict.advice)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_no_number_is_not_enough(value):
    verdict = decide(case(end("new", value)))
    assert verdict.outcome == "INSUFFICIENT_EVIDENCE"
    assert (
        verdict.summary == "Whether there is a drop cannot be tested: the metric is not a number."
    )


def test_no_metric_is_not_enough():
    verdict = decide(case(replace(end("new", 0.7), measure=None)))
    assert verdict.outcome == "INSUFFICIENT_EVIDENCE"
    assert (
        verdict.summary
        == "Whether there is a drop cannot be tested: no metric is recorded for new."
    )


def test_few_rows_are_not_enough_to_clear_or_accuse():
    def few(name, value):
        found = end(name, value)
        return replace(found, measure=replace(found.measure, n=12))

    history = tuple(few(f"few-{i}", v) for i, v in enumerate((0.9, 0.8, 1.0, 0.9)))
    verdict = decide(case(few("new", 0.72), history))
    assert verdict.outcome == "INSUFFICIENT_EVIDENCE"


def test_ends_that_share_nothing_say_so():
    other = end("other", 0.6)
    slots = {
        f"elsewhere/{path}": replace(slot, path=f"elsewhere/{path}")
        for path, slot in other.slots.items()
    }
    verdict = decide(
        Case(before=healthy()[-1], after=replace(other, slots=slots), history=healthy()[:-1])
    )
    assert "the two ends share no slot: nothing can be put side by side" in verdict.notes
    assert verdict.outcome == "INSUFFICIENT_EVIDENCE"


def test_renamed_columns_are_named_as_both():
    renamed = {
        "train": rows(61).rename(columns={"x0": "z0"}),
        "test": rows(62).rename(columns={"x0": "z0"}),
    }
    verdict = decide(case(end("new", 0.7, **renamed)))
    assert "train: columns lost x0; new z0 (a rename looks like both)" in verdict.notes


def test_the_same_facts_give_the_same_verdict():
    after = end("new", 0.70, train=damaged(81), test=damaged(82))
    assert decide(case(after)) == decide(case(after))


def test_candidates_are_ranked_and_their_confidences_are_no_more_than_one_together():
    verdict = decide(case(end("new", 0.70, train=damaged(81), test=damaged(82))))
    shares = [each.share for each in verdict.candidates]
    assert shares == sorted(shares, reverse=True)
    assert sum(each.confidence for each in verdict.candidates) == pytest.approx(1, abs=1e-6)
