"""What meets faults in a whole home: runs through the public API, bundles that are written, the index.

Each is a workload for `fault_child.py`, and a check of what it left for `fault_injection.py`.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import provgraph
from provgraph.errors import IndexUnavailableError, StorageError
from provgraph.ledger.fsck import verify_ledger
from provgraph.seal.bundle import verify_bundle
from provgraph.service import home as service_home
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle, save_bundle
from provgraph.service.recovery import recover
from provgraph.settings import Settings, load

Say = Callable[[str, object], None]
Said = list[list[Any]]

_EVERYTHING = "SELECT ?s WHERE { ?s ?p ?o } LIMIT 5"


@contextmanager
def _at(folder: Path) -> Iterator[Settings]:
    """Record in a home below a folder as users do: faults are logged, and never raised."""
    (folder / "temporary").mkdir(exist_ok=True)
    environ = {"PROVGRAPH_HOME": str(folder / "home"), "PROVGRAPH_STRICT": "off"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        for name, value in environ.items():
            patch.setenv(name, value)
        logging.disable(logging.CRITICAL)
        try:
            yield load()
        finally:
            service_home.close_ledger()
            logging.disable(logging.NOTSET)


def _record(number: int) -> list[str] | None:
    """Record a run; return its IRI and the hash of its graph where it was acknowledged."""
    with provgraph.run("train", owner="ada") as run:
        run.log_params(number=number)
    if run.receipt is None:
        return None
    with suppress(StorageError), service_home.writable_ledger(load()) as ledger:
        graph = ledger.graph(run.receipt.position)
        return [run.receipt.record, hashlib.sha256(graph).hexdigest()]
    return None


# ---- runs ------------------------------------------------------------------------------------------
def prepare_home(folder: Path) -> None:
    """Make a home with a few records."""
    with _at(folder):
        for number in range(3):
            _record(number)


def runs(folder: Path, say: Say) -> None:
    """Record; a fault of the disk must not reach the run."""
    with _at(folder):
        for number in range(3):
            found = _record(number)
            if found is not None:
                say("run", found)


def check_runs(folder: Path, said: Said) -> None:
    """Every record that was acknowledged is there, as it was; recording goes on."""
    with _at(folder) as settings:
        assert [each.problem for each in recover(settings) if each.problem is not None] == []
        after = _record(9)
        assert after is not None
        known = dict([after, *(value for kind, value in said if kind == "run")])
        with service_home.writable_ledger(settings) as ledger:
            for iri, sha256 in known.items():
                index = ledger.find(iri)
                assert index is not None, f"{iri} was acknowledged and is gone"
                assert hashlib.sha256(ledger.graph(index)).hexdigest() == sha256
            assert verify_ledger(ledger).size >= len(known)


# ---- bundles ---------------------------------------------------------------------------------------
# Made once, before any fault: what is tried is the writing.
_members: dict[str, bytes] = {}


def bundles(folder: Path, say: Say) -> None:
    """Write a bundle as a file, as a folder, and over the file."""
    if not _members:
        with _at(folder) as settings, open_reader(settings) as reader:
            _members.update(export_bundle(reader, "train"))
    for name in ("bundle.zip", "bundle", "bundle.zip"):
        with suppress(StorageError):
            save_bundle(_members, folder / name)
            say("exported", name)


def check_bundles(folder: Path, said: Said) -> None:
    """What has its name is whole, and what was said to be written is there."""
    for name in ("bundle.zip", "bundle"):
        if [kind for kind, value in said if value == name] or (folder / name).exists():
            verify_bundle(folder / name, report=lambda *_: None)


# ---- the index -------------------------------------------------------------------------------------
def index(folder: Path, say: Say) -> None:
    """Ask, which builds the index first, and again after one more record."""
    with _at(folder) as settings:
        for number in range(2):
            with suppress(StorageError, IndexUnavailableError), open_reader(settings) as reader:
                reader.index.select(_EVERYTHING)
                say("asked", reader.ledger_size)
            found = _record(number)
            if found is not None:
                say("run", found)


def check_index(folder: Path, said: Said) -> None:
    """The index is the ledger's, graph by graph, or is made so by whoever asks next."""
    check_runs(folder, said)
    with _at(folder) as settings, open_reader(settings) as reader:
        iris = set()
        for record in reader.ledger.records():
            assert reader.index.graph(record.iri) == record.graph_nq
            iris.add(record.iri)
        assert set(reader.index.graph_names()) == iris
