"""Reads back what a home's ledger says, so that tests can state it exactly.

`Facts` is one record's graph: statements as plain texts, predicates by their local names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from provgraph import vocab
from provgraph.capture.sinks import Receipt
from provgraph.digests import Digest
from provgraph.ledger.fsck import LedgerReport, verify_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.service.home import readable_ledger
from provgraph.settings import Settings, load
from provgraph.terms import Term, literal_parts, parse_lines

TYPE = f"{vocab.RDF}type"
SPELLED = {prefix: iri for prefix, iri in vocab.PREFIXES.items() if prefix != "pg"}


class Facts:
    """One record's graph."""

    def __init__(self, canonical: bytes) -> None:
        self.canonical = canonical
        self.statements = [(s[1:-1], p[1:-1], o) for s, p, o, _ in parse_lines(canonical)]

    @property
    def run(self) -> str:
        """IRI of the run that the record is about."""
        (run,) = self.all("Run")
        return run

    def all(self, kind: str) -> list[str]:
        """IRIs of the things of one of our classes."""
        return [s for s, p, o in self.statements if p == TYPE and o == f"<{vocab.PG}{kind}>"]

    def of(self, subject: str, predicate: str) -> list[str]:
        """Values of `name` (ours) or `prefix:name`, as texts without type, sorted as the graph is."""
        wanted = full(predicate)
        return [plain(o) for s, p, o in self.statements if (s, p) == (subject, wanted)]

    def one(self, subject: str, predicate: str) -> str | None:
        """The only value, None where there is none."""
        values = self.of(subject, predicate)
        assert len(values) <= 1, (subject, predicate, values)
        return values[0] if values else None

    def parts(self, subject: str, predicate: str, *fields: str) -> list[tuple[str | None, ...]]:
        """Fields of the nodes that a property leads to, one tuple each."""
        nodes = self.of(subject, predicate)
        return [tuple(self.one(node, field) for field in fields) for node in nodes]

    def missing(self, subject: str | None = None) -> dict[str, str]:
        """What is said to be missing of the run (or another thing): field to reason."""
        listed = self.parts(subject or self.run, "missing", "field", "reason")
        found = {str(field): str(reason) for field, reason in listed}
        assert len(found) == len(listed), listed
        return found

    def missing_reason(self, field: str) -> str:
        """Why a field of the run is missing; other fields may be missing more than once."""
        listed = self.parts(self.run, "missing", "field", "reason")
        (reason,) = [reason for each, reason in listed if each == field]
        return str(reason)

    def values(self, node_of: str, base: str, subject: str | None = None) -> dict[str, str]:
        """Parameters or metrics of a run by name: `values("parameters", vocab.PARAM)`."""
        found: dict[str, str] = {}
        for node in self.of(subject or self.run, node_of):
            for s, p, o in self.statements:
                if s == node and p.startswith(base):
                    label = self.one(p, "rdfs:label")
                    found[p.removeprefix(base) if label is None else label] = plain(o)
        return found

    def parameters(self, subject: str | None = None) -> dict[str, str]:
        """Parameters of the run or of a step."""
        return self.values("parameters", vocab.PARAM, subject)

    def metrics(self, subject: str | None = None) -> dict[str, str]:
        """Last values of the metrics of the run or of a step."""
        return self.values("metrics", vocab.METRIC, subject)

    def tags(self) -> dict[str, str]:
        """Tags of the run."""
        found = {}
        for s, p, o in self.statements:
            if s == self.run and p.startswith(vocab.TAG):
                label = self.one(p, "rdfs:label")
                found[p.removeprefix(vocab.TAG) if label is None else label] = plain(o)
        return found

    def step(self, name: str) -> str:
        """IRI of the only step of that name."""
        (found,) = [each for each in self.all("Step") if self.one(each, "rdfs:label") == name]
        return found


def full(predicate: str) -> str:
    prefix, colon, name = predicate.partition(":")
    return SPELLED[prefix] + name if colon else vocab.PG + predicate


def plain(term: Term) -> str:
    return term[1:-1] if term.startswith("<") else literal_parts(term)[0]


def settings() -> Settings:
    return load(os.environ)


def ledger() -> Ledger:
    """The ledger of the test's home, for reading; closed when it is collected."""
    return readable_ledger(settings())


def facts_at(position: int) -> Facts:
    with ledger() as opened:
        return Facts(opened.graph(position))


def facts_of(receipt: Receipt | None) -> Facts:
    assert receipt is not None
    return facts_at(receipt.position)


def records(kind: str = "Record") -> list[Facts]:
    """All records of a home whose class ends so: `RunRecord`, `DeploymentRecord`, …"""
    with ledger() as opened:
        found = [Facts(each.graph_nq) for each in opened.records()]
    return [
        each
        for each in found
        if any(p == TYPE and o.endswith(f"{kind}>") for _, p, o in each.statements)
    ]


def runs() -> list[Facts]:
    return records("RunRecord")


def attachment(digest_iri: str) -> bytes:
    algorithm, value = digest_iri.removeprefix(f"{vocab.ID}content/").split("/")
    with ledger() as opened:
        return opened.attachment(Digest(algorithm, value))


def verified() -> LedgerReport:
    """Check every byte of the ledger; raises where one is wrong."""
    with ledger() as opened:
        return verify_ledger(opened)


def journals() -> list[Path]:
    """Journals that lie in the home."""
    folder = settings().journal_folder
    return sorted(folder.iterdir()) if folder.exists() else []


def all_bytes(folder: Path) -> bytes:
    """Every byte of every file below a folder, one after the other."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"\n".join(path.read_bytes() for path in files)


def python(
    code: str, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[str]:
    """Start code in a fresh interpreter with the test's home; stdout and stderr are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
            **(env or {}),
        },
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(code: str, **options: object) -> str:
    """Run code to its end, which must be a success, and return what it printed."""
    process = python(code, **options)  # type: ignore[arg-type]
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), err
    return out
