"""What the independent checks share: a recorded pipeline, its bundles, and the programs ready to run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import foreign_programs
import pytest
import recorded_runs
import whole_log

from provgraph.seal.members import write_folder

# Other languages' folders, with other people's packages in them.
collect_ignore = ["node", "go", "go_tiles", "python"]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """Unpacked bundles by model, all of one ledger."""
    folder = tmp_path_factory.mktemp("independent")
    work = folder / "work"
    work.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(folder / "home"))
        patch.chdir(work)
        # As a script outside any checkout: otherwise the state of this one is a record more.
        (work / "pipeline.py").write_text("")
        patch.setattr(sys.modules["__main__"], "__file__", str(work / "pipeline.py"), raising=False)
        recorded_runs.record(work)
        found = {}
        for number, model in enumerate((recorded_runs.MODEL, recorded_runs.MODEL_WITH_DOUBLE)):
            found[model] = folder / f"bundle-{number}"
            write_folder(found[model], recorded_runs.export(model))
        yield found


@pytest.fixture
def bundle(bundles: Mapping[str, Path]) -> Path:
    """The unpacked bundle of a model whose records hold no double. Read only."""
    return bundles[recorded_runs.MODEL]


@pytest.fixture
def bundle_with_double(bundles: Mapping[str, Path]) -> Path:
    """The unpacked bundle of a model whose record holds a double. Read only."""
    return bundles[recorded_runs.MODEL_WITH_DOUBLE]


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> whole_log.WholeLog:
    """A hundred entries, with all checkpoints and proofs."""
    return whole_log.make(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="session")
def node() -> None:
    """Node, with its packages."""
    foreign_programs.ready_node()


@pytest.fixture(scope="session")
def pymerkle() -> None:
    """Pymerkle, ready to run."""
    foreign_programs.ready_pymerkle()


@pytest.fixture(scope="session")
def in_toto() -> None:
    """The packages securesystemslib and in-toto-attestation, ready to run."""
    foreign_programs.ready_in_toto()


@pytest.fixture(scope="session")
def tlogcheck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of go/, built."""
    return foreign_programs.build_go(tmp_path_factory.mktemp("go"))
