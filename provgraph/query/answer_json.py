"""Answers for programs: JSON with plain values, and the cells of CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any, Final

from provgraph import vocab
from provgraph.index.store import Row
from provgraph.query.answers import Answer, Proofs
from provgraph.query.contradictions import Contradiction
from provgraph.query.evidence import Evidence
from provgraph.query.seals import SealState
from provgraph.terms import Term, format_time, literal_parts

_NUMBERS: Final[Mapping[str, Callable[[str], Any]]] = {
    f"{vocab.XSD}integer": int,
    f"{vocab.XSD}double": float,
    f"{vocab.XSD}decimal": float,
    f"{vocab.XSD}boolean": lambda text: text == "true",
}


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer with everything that it says, for `json.dumps`."""
    made: dict[str, Any] = {
        "query": answer.query,
        "title": answer.title,
        "parameters": {
            name: native(terms[0]) if len(terms) == 1 else [native(term) for term in terms]
            for name, terms in answer.values.items()
        },
        "ledger_size": answer.ledger_size,
        "columns": list(answer.columns),
        "rows": [row_json(answer.columns, row) for row in answer.rows],
        "more": answer.more,
        "no_rows_mean": answer.empty,
        "labels": dict(answer.labels),
        "erased": [
            asdict(each) for each in dict.fromkeys(chain.from_iterable(answer.erased.values()))
        ],
        "erased_records": answer.erased_records,
    }
    if answer.proofs is not None:
        made |= _proofs(answer.proofs)
    return made


def row_json(columns: tuple[str, ...], row: Row) -> dict[str, Any]:
    """Return a row by its columns, with plain values."""
    return {name: native(term) for name, term in zip(columns, row, strict=True)}


def native(term: Term | None) -> Any:
    """Write a term for programs: IRIs and text as strings, numbers and booleans as themselves."""
    if term is None or term[0] != '"':
        return None if term is None else name_of(term)
    text, datatype, _ = literal_parts(term)
    convert = _NUMBERS.get(datatype)
    value = text if convert is None else convert(text)
    # JSON has no NaN; the text says what it was.
    return text if isinstance(value, float) and not math.isfinite(value) else value


def name_of(term: Term) -> str:
    """Return an IRI without its brackets, a blank node as it is."""
    return term[1:-1] if term.startswith("<") else str(term)


def csv_cell(term: Term | None) -> str:
    """Write a term as SPARQL 1.1 CSV does: its value without its type."""
    if term is None:
        return ""
    return literal_parts(term)[0] if term[0] == '"' else name_of(term)


def seal_json(state: SealState) -> dict[str, Any]:
    """Return what came of checking a record's seal."""
    return {
        "record": state.record,
        "position": state.position,
        "state": state.state,
        "kind": state.kind or None,
        "sealed_by": state.key or None,
        "sealed_at": None if state.at is None else format_time(state.at),
        "reason": state.reason or None,
    }


def contradiction_json(found: Contradiction) -> dict[str, Any]:
    """Return two statements that cannot both be right, with what their rule says."""
    return {**asdict(found), "meaning": found.meaning}


def _proofs(proofs: Proofs) -> dict[str, Any]:
    completeness = proofs.completeness
    return {
        "evidence": {
            "kind": proofs.evidence.kind,
            "meaning": proofs.evidence.meaning,
            "records": [*map(seal_json, proofs.seals), *_unchecked(proofs.evidence, proofs)],
            "is_cut": proofs.evidence.is_cut,
        },
        "completeness": {
            "is_complete": completeness.is_complete,
            "required": {name: asdict(each) for name, each in completeness.required.items()},
            "absent": [asdict(each) for each in completeness.absent],
            "is_cut": completeness.is_cut,
        },
        "contradictions": [contradiction_json(each) for each in proofs.contradictions],
        "contradictions_are_cut": proofs.is_scope_cut,
    }


def _unchecked(evidence: Evidence, proofs: Proofs) -> list[dict[str, Any]]:
    checked = {each.record for each in proofs.seals}
    return [
        {"record": record, "state": "not checked"}
        for record in evidence.records
        if record not in checked
    ]
