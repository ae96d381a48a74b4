"""What every release wrote, this one still reads and verifies."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provgraph.errors import UntrustedError
from provgraph.export.views import EARLIER_CONTEXTS, check_views
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.members import read_members, write_zip

RELEASES = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())
RELEASES = [path for path in RELEASES if (path / "expected.json").exists()]


def test_the_first_release_is_kept():
    assert RELEASES[0].name == "0.1.0"


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_its_ledger_verifies(release, tmp_path):
    expected = json.loads((release / "expected.json").read_text())
    shutil.copyfile(release / "ledger.db", tmp_path / "ledger.db")
    path = tmp_path / "ledger.db"
    clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731
    with Ledger.open(path, log_signer=None, clock=clock, read_only=True) as ledger:
        assert verify_ledger(ledger).size == expected["size"]
        assert ledger.origin == expected["origin"]
        assert ledger.root().hex() == expected["root"]
        assert [record.iri for record in ledger.records()] == expected["graphs"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_its_bundle_verifies(release):
    expected = json.loads((release / "expected.json").read_text())
    steps: list[int] = []
    bundle = verify_bundle(
        release / "bundle.zip",
        report=lambda step, _: steps.append(step),
        log_key=expected["logKey"],
    )
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert len(bundle.records) == expected["bundled"]
    assert check_views(bundle) == 2 * expected["bundled"] + 2


def test_the_contexts_of_all_releases_are_known():
    found = {
        hashlib.sha256(read_members(release / "bundle.zip")["context.jsonld"]).hexdigest()
        for release in RELEASES
    }
    assert found == EARLIER_CONTEXTS


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_its_bundle_is_refused_when_a_byte_is_changed(release, tmp_path):
    members = read_members(release / "bundle.zip")
    name = next(name for name in sorted(members) if name.endswith("/graph.nq"))
    members[name] = members[name].replace(b"e", b"f", 1)
    write_zip(tmp_path / "bundle.zip", members)
    with pytest.raises(UntrustedError, match=r"step 3: .*was changed"):
        verify_bundle(tmp_path / "bundle.zip", report=lambda *_: None)
