"""Asking a home that nobody can write any more: an archive, another user's folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from disks import mounted

from provgraph.capture.journal import fallback_folder
from provgraph.errors import IndexUnavailableError
from provgraph.service.home import index_folder
from provgraph.settings import load

PROGRAM = "import sys; from provgraph.cli.main import main; sys.exit(main())"


@pytest.fixture
def archive(story_folder, tmp_path):
    """A copy of the story's home on a read-only disk, and an empty temporary folder."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for disk in mounted(tmp_path / "disk"):
        home = disk.folder / "home"
        shutil.copytree(story_folder, home, ignore=shutil.ignore_patterns("index*"))
        disk.remount("ro")
        yield home, temporary


def ask(archive, *arguments: str) -> subprocess.CompletedProcess[str]:
    home, temporary = archive
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={"PROVGRAPH_HOME": str(home), "TMPDIR": str(temporary), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lineage", "churn:2"], "by run train"),
        (["query", "Q13", "--param", "experiment=spring"], "chosen: best on the whole"),
        (["sparql", "ASK { ?s ?p ?o }"], "true"),
        (["reindex"], "indexed 13 ledger entries into "),
        (["fsck"], "all 13 entries"),
        (["export", "churn:2", "--format", "turtle"], "prov:wasDerivedFrom"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_read_only_home_can_be_asked_with_its_index_elsewhere(archive, arguments, says):
    done = ask(archive, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(says) >= 1


def test_a_folder_that_somebody_else_made_is_not_used(archive, monkeypatch):
    # Whoever could put an index there could answer in our name.
    home, temporary = archive
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    settings = load({"PROVGRAPH_HOME": str(home)})
    folder = fallback_folder(settings.index_folder)
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(IndexUnavailableError, match="is not a folder of this user alone"):
        index_folder(settings)
    folder.rmdir()
    assert index_folder(settings) == folder / "index"
    assert settings.index_folder == home / "index"
