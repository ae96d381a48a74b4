"""Evaluations to PROV-O: one measured quality of a model, derived from the model and the data."""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Sheet
from provgraph.records import Evaluation, Observation
from provgraph.terms import Term
from provgraph.vocab import PROV_T, A, C, P


def write_evaluation(sheet: Sheet, run: Term | None, evaluation: Evaluation) -> None:
    """Write an evaluation; without a run it is not said what made it."""
    node = sheet.node("evaluation")
    sheet.add(node, A, PROV_T["Entity"])
    sheet.add(node, A, C["Evaluation"])
    sheet.add(node, PROV_T["wasGeneratedBy"], run)
    for predicate, entity in ((P["model"], evaluation.model), (P["data"], evaluation.data)):
        if entity is not None:
            other = sheet.entity(entity)
            sheet.add(node, predicate, other)
            sheet.add(node, PROV_T["wasDerivedFrom"], other)
    write_measurement(sheet, node, evaluation)
    if evaluation.interval is not None:
        sheet.real(node, P["intervalLevel"], evaluation.interval_level)
        sheet.text(node, P["intervalMethod"], evaluation.interval_method)
    sheet.text(node, P["slice"], evaluation.slice)
    sheet.text(node, P["implementation"], evaluation.implementation)
    sheet.text(node, P["test"], evaluation.test)
    sheet.text(node, P["dataRole"], evaluation.role)
    sheet.time(node, PROV_T["generatedAtTime"], evaluation.at)
    if evaluation.standard:
        metrics = sheet.node("metrics")
        sheet.add(node, P["standardMetrics"], metrics)
        sheet.add(metrics, A, C["MetricSet"])
        sheet.named_values(metrics, vocab.METRIC, evaluation.standard)
    if evaluation.outcomes is not None:
        sheet.add(node, P["outcomes"], terms.iri(vocab.content_iri(evaluation.outcomes)))
    if evaluation.predictions is not None:
        sheet.add(node, P["columnProfile"], terms.iri(vocab.profile_iri(evaluation.predictions)))


def write_measurement(sheet: Sheet, node: Term, measured: Evaluation | Observation) -> None:
    """Write the value, and what is needed to judge it."""
    sheet.text(node, P["metricName"], measured.metric)
    sheet.add(node, P["value"], terms.real(measured.value))
    if measured.interval is not None:
        sheet.add(node, P["intervalLow"], terms.real(measured.interval[0]))
        sheet.add(node, P["intervalHigh"], terms.real(measured.interval[1]))
    sheet.number(node, P["sampleSize"], measured.n)
    sheet.text(node, P["threshold"], measured.threshold)
    if measured.threshold_met is not None:
        sheet.add(node, P["thresholdMet"], terms.boolean(measured.threshold_met))
