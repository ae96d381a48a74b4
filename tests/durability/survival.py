"""What must hold of a home after anything that may happen to a machine.

Every record that was acknowledged is there, with the same graph; nothing is there in part; every tree
that was ever seen is a beginning of the one that is there; and recording goes on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import provgraph
from provgraph import vocab
from provgraph.capture import journal
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.published import verify_published
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.bundle import verify_bundle
from provgraph.service import home as service_home
from provgraph.service.asking import open_reader
from provgraph.service.recovery import recover
from provgraph.settings import load


@dataclass(slots=True)
class Acknowledged:
    """What the recorders said (`recorder.py`)."""

    records: dict[str, str] = field(default_factory=dict)  # IRI to SHA-256 of the graph
    trees: dict[int, str] = field(default_factory=dict)
    published: dict[int, str] = field(default_factory=dict)
    exported: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)  # runs

    @classmethod
    def of(cls, lines: Iterable[str]) -> Acknowledged:
        """Read what was said."""
        found = cls()
        for line in lines:
            _, kind, *words = line.split(" ")
            if kind in {"exported", "begun"}:
                (found.exported if kind == "exported" else found.begun).append(words[0])
                continue
            key, value = words
            if kind == "record":
                found.records[key] = value
            else:
                trees = {"tree": found.trees, "published": found.published}[kind]
                # Two recorders that see one size see one tree.
                assert trees.setdefault(int(key), value) == value, f"two histories at {key}"
        return found


class LostError(AssertionError):
    """An acknowledged record is not in the ledger, or not as it was."""


def require_ledger(ledger: Ledger, said: Acknowledged) -> None:
    """Hold a ledger against what was acknowledged."""
    for iri, sha256 in said.records.items():
        index = ledger.find(iri)
        if index is None:
            raise LostError(f"{iri} was acknowledged and is gone")
        if hashlib.sha256(ledger.graph(index)).hexdigest() != sha256:
            raise LostError(f"{iri} has another graph")
    size = verify_ledger(ledger).size
    for trees in (said.trees, said.published):
        for seen, root in trees.items():
            if seen > size or ledger.root(seen).hex() != root:
                raise LostError(f"the tree of {seen} entries that was seen is not a beginning")


def require_home(folder: Path, lines: Sequence[str], *, goes_on: bool = True) -> int:
    """Check a home in `folder`, and what was published and exported beside it.

    Returns how many entries its ledger has.
    """
    said = Acknowledged.of(lines)
    environ = {"PROVGRAPH_HOME": str(folder / "home"), "PROVGRAPH_STRICT": "on"}
    kept = {name: os.environ.get(name) for name in environ}
    os.environ |= environ
    try:
        settings = load()
        if said.records and not settings.ledger_path.exists():
            raise LostError("the ledger is gone")
        recover(settings)
        if settings.ledger_path.exists():
            with service_home.writable_ledger(settings) as ledger:
                require_ledger(ledger, said)
        _require_published(folder / "www", said)
        _require_bundles(folder, said)
        if goes_on:
            with provgraph.run("afterwards", owner="ada") as run:
                pass
            assert run.receipt is not None
            with service_home.writable_ledger(settings) as ledger:
                require_ledger(ledger, said)
        return run.receipt.ledger_size if goes_on and run.receipt else 0
    finally:
        service_home.close_ledger()
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def require_all_healed(folder: Path, lines: Sequence[str], *, kept_pages: bool = True) -> int:
    """Check that no journal is left and that the index is the ledger's.

    Where nothing was lost that only the kernel had (`kept_pages`), every run that had begun is in the
    ledger. Returns how many runs were sealed as abandoned.
    """
    settings = load({"PROVGRAPH_HOME": str(folder / "home")})
    assert [each.problem for each in recover(settings)] == []
    assert journal.paths(settings.journal_folder) == []
    abandoned = 0
    with open_reader(settings) as reader:
        for run in Acknowledged.of(lines).begun:
            if kept_pages and reader.ledger.find(vocab.record_iri(run)) is None:
                raise LostError(f"run {run} had begun and is not there")
        iris = set()
        for record in reader.ledger.records():
            assert reader.index.graph(record.iri) == record.graph_nq
            iris.add(record.iri)
            abandoned += b'status> "abandoned"' in record.graph_nq
        assert set(reader.index.graph_names()) == iris
    return abandoned


def _require_published(folder: Path, said: Acknowledged) -> None:
    """What the folder says is whole, and not less than was published."""
    if not (folder / "checkpoint").exists():
        if said.published:
            raise LostError("what was published is gone")
        return
    report = verify_published(folder)
    if said.published and report.size < max(said.published):
        raise LostError(f"{max(said.published)} entries were published, {report.size} are there")


def _require_bundles(folder: Path, said: Acknowledged) -> None:
    """A bundle that has its name is whole."""
    for name in ("bundle.zip", "bundle"):
        path = folder / name
        if path.exists():
            verify_bundle(path, report=lambda *_: None)
        elif name in said.exported:
            raise LostError(f"{name} was exported and is gone")
