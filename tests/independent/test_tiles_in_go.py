"""Go computes the same tiles (x/mod, sumdb/tlog), and verifies the log's ML-DSA-44 signature.

That the tiles themselves are right is in test_log_in_go.py; here is what x/mod has no word for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from foreign_programs import HERE, build_go, run_go

from provgraph.seal.keys import signer_from_seed
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.note import Checkpoint, Cosigner, sign_checkpoint
from provgraph.seal.tiles import new_tiles

TIME_S = 1_700_000_000
ORIGIN = "provgraph.local/0123456789abcdef"
COSIGNER = Cosigner(
    name=ORIGIN,
    signer=mldsa_signer_from_seed(b"\x07" * 32),
    clock=lambda: datetime.fromtimestamp(TIME_S, UTC),
)
NOTE = sign_checkpoint(
    Checkpoint(origin=ORIGIN, size=123_456_789, root=bytes(range(32))),
    signer_from_seed(b"\x08" * 32),
    COSIGNER,
)


@pytest.fixture(scope="session")
def tilecheck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of go_tiles/, built."""
    # filippo.io/mldsa asks for that version.
    folder = tmp_path_factory.mktemp("go_tiles")
    return build_go(folder, source=HERE / "go_tiles", oldest=(1, 25))


def check(tilecheck: Path, folder: Path, note: bytes, vkey: str) -> tuple[int, str]:
    (folder / "checkpoint").write_bytes(note)
    return run_go(tilecheck, "cosignature", str(folder / "checkpoint"), vkey)


def test_the_signature_verifies_in_another_implementation(tilecheck: Path, tmp_path: Path) -> None:
    assert check(tilecheck, tmp_path, NOTE, COSIGNER.key.vkey) == (0, f"{TIME_S}\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n123456789\n", b"\n123456788\n"),
        (b"AAECAwQF", b"AAECAwQG"),
        (b"abcdef\n123", b"abcdee\n123"),
    ],
)
def test_a_changed_checkpoint_is_refused(
    tilecheck: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    assert NOTE.count(old) == 1
    changed = NOTE.replace(old, new)
    assert check(tilecheck, tmp_path, changed, COSIGNER.key.vkey) == (
        1,
        "mldsa: invalid signature\n",
    )


def test_another_key_is_refused(tilecheck: Path, tmp_path: Path) -> None:
    other = Cosigner(name=ORIGIN, signer=mldsa_signer_from_seed(b"\x09" * 32), clock=COSIGNER.clock)
    assert check(tilecheck, tmp_path, NOTE, other.key.vkey) == (1, "no signature of that key\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (0, 0),
        (0, 1),
        (0, 256),
        (1, 256),
        (255, 257),
        (256, 257),
        (0, 70_000),
        (69_999, 70_000),
        (65_535, 65_536),
        (65_536, 65_537),
        (1_000_000, 1_070_000),
        (255_999, 257_001),
        (256**3 - 1, 256**3 + 1),
    ],
)
def test_go_names_the_same_tiles(tilecheck: Path, old: int, new: int) -> None:
    status, said = run_go(tilecheck, "tiles", str(old), str(new))
    assert (status, sorted(said.splitlines())) == (
        0,
        sorted(tile.path for tile in new_tiles(old, new)),
    )
