"""`provgraph.ask`: the written-down questions from Python, such as in a notebook.

    answer = provgraph.ask("Q19", dataset="customers.csv")
    for row in answer:
        print(row["kind"], row["label"], row["owner"])
    answer.ledger_size, answer.evidence, answer.completeness, answer.contradictions

It asks the ledger of this machine (`PROVGRAPH_HOME`); a server is asked at its `/queries/<name>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provgraph.query.answer_json import answer_json, row_json
from provgraph.query.answers import Answer, Proofs
from provgraph.query.completeness import Completeness
from provgraph.query.contradictions import Contradiction
from provgraph.query.evidence import Evidence
from provgraph.query.seals import SealState
from provgraph.service.asking import open_reader
from provgraph.settings import Settings, load


@dataclass(frozen=True, slots=True, eq=False)
class AnswerRows(Sequence[dict[str, Any]]):
    """Rows as dictionaries of plain values, and what they are worth."""

    answer: Answer

    def __len__(self) -> int:
        """Return the number of rows. None does not mean that all is well: see `no_rows_mean`."""
        return len(self.answer.rows)

    def __getitem__(self, place: Any) -> Any:
        """Return a row, or for a slice a list of rows."""
        rows = self.answer.rows[place]
        if isinstance(place, slice):
            return [row_json(self.answer.columns, row) for row in rows]
        return row_json(self.answer.columns, rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows."""
        return (row_json(self.answer.columns, row) for row in self.answer.rows)

    def __repr__(self) -> str:
        """Say what was asked, and how much came of it."""
        said = f"{len(self)} rows" if len(self) else f"no rows: {self.answer.empty}"
        return f"<{self.answer.query} {self.answer.title}; {said}; ledger size {self.ledger_size}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.answer.columns

    @property
    def labels(self) -> Mapping[str, str]:
        """What people call the IRIs in the rows."""
        return self.answer.labels

    @property
    def ledger_size(self) -> int:
        """The ledger size that the answer holds for: `ask(…, as_of=this)` gives it again."""
        return self.answer.ledger_size

    @property
    def no_rows_mean(self) -> str:
        """What it means that there are no rows: never that all is well."""
        return self.answer.empty

    @property
    def evidence(self) -> Evidence:
        """The records that the rows rest on."""
        return self._proofs.evidence

    @property
    def seals(self) -> tuple[SealState, ...]:
        """What came of checking the seals of these records."""
        return self._proofs.seals

    @property
    def completeness(self) -> Completeness:
        """Which required facts are there, absent with reason, or missing."""
        return self._proofs.completeness

    @property
    def contradictions(self) -> tuple[Contradiction, ...]:
        """Statements about the things in the rows that cannot both be right."""
        return self._proofs.contradictions

    def to_json(self) -> dict[str, Any]:
        """Return all of it for `json.dumps`, as `provgraph query --json` prints it."""
        return answer_json(self.answer)

    @property
    def _proofs(self) -> Proofs:
        assert self.answer.proofs is not None, "ask() asks with proofs"
        return self.answer.proofs


def ask(
    question: str,
    *,
    as_of: str | int | datetime | None = None,
    settings: Settings | None = None,
    **parameters: object,
) -> AnswerRows:
    """Answer a written-down question: `ask("Q19", dataset="customers.csv")`.

    Args:
        question: id or name, such as `Q19` or `impact`; `provgraph query` lists them.
        as_of: answer from the ledger as it was, at a size or a time.
        settings: of another home than that of the environment.
        parameters: what the question asks for; things by name, digest, path or IRI.

    Raises:
        QueryError: there is no such question.
        UsageError: a parameter is unknown, missing or of another type.
        NotFoundError: a thing is not known here, or nothing is recorded yet.
    """
    with open_reader(settings or load()) as reader:
        if as_of is None:
            return AnswerRows(reader.ask(question, parameters, with_proofs=True))
        with reader.as_of(as_of) as then:
            return AnswerRows(then.ask(question, parameters, with_proofs=True))
