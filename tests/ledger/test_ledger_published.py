"""Reading a published folder: nothing is believed that does not hash up to the signed root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_samples import LOG_SEED, MLDSA_SEED, PRODUCER_SEED, clock, small

from provgraph.errors import NotFoundError, ProvgraphError, UntrustedError
from provgraph.ledger.published import PublishedLog, open_published, verify_published
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.tiles import publish
from provgraph.seal.keys import generate_signer, signer_from_seed
from provgraph.seal.merkle import leaf_hash, verify_inclusion
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.note import Checkpoint, Cosigner, NoteKey, sign_checkpoint
from provgraph.seal.tiles import encode_bundle

SIZE = 600
LOG, PRODUCER = signer_from_seed(LOG_SEED), signer_from_seed(PRODUCER_SEED)
MLDSA = mldsa_signer_from_seed(MLDSA_SEED)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """600 entries, published at 260 and at 600 into the folder `www` beside it."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with Ledger.open(path, log_signer=LOG, mldsa_signer=MLDSA, clock=clock) as opened:
        for start, stop in ((0, 260), (260, SIZE)):
            opened.append([small(number, signer=PRODUCER) for number in range(start, stop)])
            publish(
                opened,
                path.with_name("www"),
                note=opened.cosigned_checkpoint(mldsa_signer=MLDSA, clock=clock),
            )
        yield opened


@pytest.fixture
def www(ledger: Ledger, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(ledger.path.with_name("www"), tmp_path / "www"))


@pytest.fixture
def log(www: Path, ledger: Ledger) -> PublishedLog:
    return open_published(www, keys=ledger.charter.log_keys)


def test_everything_is_there(ledger: Ledger, log: PublishedLog) -> None:
    assert log.charter == ledger.charter
    assert log.note == ledger.checkpoint()
    assert log.checkpoint == Checkpoint(origin=ledger.origin, size=SIZE, root=ledger.root())
    assert list(log.entries()) == list(ledger.entries(0, SIZE))
    assert [log.entry(index) for index in (0, 255, 256, 511, 512, 599)] == [
        ledger.entry(index) for index in (0, 255, 256, 511, 512, 599)
    ]


def test_proofs_are_those_of_the_ledger(ledger: Ledger, log: PublishedLog) -> None:
    for index in (0, 1, 255, 256, 511, 512, 598, 599):
        proof = log.inclusion_proof(index)
        assert proof == ledger.inclusion_proof(index, SIZE)
        verify_inclusion(
            leaf=leaf_hash(log.entry(index)),
            index=index,
            size=SIZE,
            proof=proof,
            root=log.checkpoint.root,
        )
    assert [log.root(size) for size in range(SIZE + 1)] == [
        ledger.root(size) for size in range(SIZE + 1)
    ]


def test_questions_outside_the_log_are_not_found(log: PublishedLog, tmp_path: Path) -> None:
    for question in (
        lambda: log.entry(SIZE),
        lambda: log.entry(-1),
        lambda: log.inclusion_proof(SIZE),
        lambda: log.root(SIZE + 1),
        lambda: open_published(tmp_path / "nowhere"),
    ):
        with pytest.raises(NotFoundError):
            question()


def test_a_partial_tile_that_made_way_for_the_full_one_is_found_there(
    www: Path, ledger: Ledger
) -> None:
    """A reader may hold a checkpoint from before the publisher removed its partial tiles."""
    missing = 256 - (SIZE - 512)
    later = {"0": b"\0" * 32 * missing, "entries": encode_bundle([b"later"] * missing)}
    for level, data in later.items():
        partial = www / "tile" / level / "002.p"
        full = (partial / str(SIZE - 512)).read_bytes() + data
        shutil.rmtree(partial)
        (www / "tile" / level / "002").write_bytes(full)
    assert list(open_published(www).entries()) == list(ledger.entries(0, SIZE))
    assert verify_published(www).size == SIZE


# ---- what is refused -----------------------------------------------------------------------------
NAMES = [
    "charter",
    "checkpoint",
    "tile/0/000",
    "tile/0/001",
    "tile/0/002.p/88",
    "tile/1/000.p/2",
    "tile/entries/000",
    "tile/entries/001",
    "tile/entries/002.p/88",
]


def test_the_names_are_all_that_the_checkpoint_needs(www: Path) -> None:
    for name in [path for path in www.rglob("*") if path.is_file()]:
        if name.relative_to(www).as_posix() not in NAMES:
            name.unlink()
    assert verify_published(www).size == SIZE


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_in_any_file_is_found(www: Path, name: str) -> None:
    data = (www / name).read_bytes()
    for place in sorted({0, 1, 2, 3, 31, 32, len(data) // 3, len(data) // 2, len(data) - 1}):
        changed = bytearray(data)
        changed[place] ^= 1
        (www / name).write_bytes(changed)
        with pytest.raises(UntrustedError):
            verify_published(www)
    (www / name).write_bytes(data)
    assert verify_published(www).size == SIZE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "longer", "huge", "link", "fifo", "folder"])  # fmt: skip
def test_a_file_that_is_not_what_it_should_be_is_refused(
    www: Path, tmp_path: Path, name: str, how: str
) -> None:
    path = www / name
    data = path.read_bytes()
    path.unlink()
    if how == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "huge":
        with path.open("wb") as file:
            file.truncate(10**9)
    elif how != "missing":
        path.write_bytes({"empty": b"", "cut": data[:-1], "longer": data + b"\0"}[how])
    with pytest.raises(UntrustedError):
        verify_published(www)


def test_swapped_tiles_are_refused(www: Path) -> None:
    one, two = (www / "tile/0/000", www / "tile/0/001")
    one.rename(www / "x")
    two.rename(one)
    (www / "x").rename(two)
    with pytest.raises(UntrustedError, match=r"tile/0/00\d: its hashes are not those under"):
        verify_published(www)


def test_swapped_bundles_are_refused(www: Path) -> None:
    one, two = (www / "tile/entries/000", www / "tile/entries/001")
    one.rename(www / "x")
    two.rename(one)
    (www / "x").rename(two)
    with pytest.raises(UntrustedError, match="tile/entries/000: its entries are not those"):
        verify_published(www)


def test_one_entry_is_checked_without_reading_the_rest(www: Path, ledger: Ledger) -> None:
    for name in ("tile/0/001", "tile/entries/001", "tile/entries/002.p/88"):
        (www / name).write_bytes(b"")
    log = open_published(www)
    assert log.entry(7) == ledger.entry(7)
    with pytest.raises(UntrustedError):
        log.entry(300)


def test_a_checkpoint_of_the_log_key_over_other_tiles_is_refused(www: Path, ledger: Ledger) -> None:
    cosigner = Cosigner(name=ledger.origin, signer=MLDSA, clock=clock)
    for forged in (
        Checkpoint(origin=ledger.origin, size=SIZE, root=ledger.root(599)),
        Checkpoint(origin=ledger.origin, size=599, root=ledger.root()),
        Checkpoint(origin=ledger.origin, size=0, root=ledger.root()),
        Checkpoint(origin=ledger.origin, size=2**63 - 1, root=ledger.root()),
    ):
        (www / "checkpoint").write_bytes(sign_checkpoint(forged, LOG, cosigner))
        with pytest.raises(UntrustedError, match=r"do not make the root|is missing, and"):
            open_published(www)


def test_a_checkpoint_without_the_second_signature_is_refused(www: Path, ledger: Ledger) -> None:
    head = Checkpoint(origin=ledger.origin, size=SIZE, root=ledger.root())
    (www / "checkpoint").write_bytes(sign_checkpoint(head, LOG))
    with pytest.raises(UntrustedError, match="expected a signature of type 0x06"):
        open_published(www)


def test_an_entry_of_another_form_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    """Signed by the log, whole as a tree, and no entry of ours."""
    www = tmp_path / "odd"
    entry = b'{"version":2}'
    root = leaf_hash(entry)
    cosigner = Cosigner(name=ledger.origin, signer=MLDSA, clock=clock)
    (www / "tile/0/000.p").mkdir(parents=True)
    (www / "tile/entries/000.p").mkdir(parents=True)
    (www / "charter").write_bytes(ledger.charter.note)
    (www / "tile/0/000.p/1").write_bytes(root)
    (www / "tile/entries/000.p/1").write_bytes(encode_bundle([entry]))
    head = Checkpoint(origin=ledger.origin, size=1, root=root)
    (www / "checkpoint").write_bytes(sign_checkpoint(head, LOG, cosigner))
    assert open_published(www).entry(0) == entry
    with pytest.raises(UntrustedError, match="entry 0: expected an entry with the members"):
        verify_published(www)


def test_other_keys_than_the_readers_own_are_refused(www: Path, ledger: Ledger) -> None:
    stranger = NoteKey(name=ledger.origin, public_key=generate_signer().public_key)
    ours, second = ledger.charter.log_keys
    for keys in ([stranger], [ours], [ours, stranger], [second], []):
        with pytest.raises(UntrustedError, match="its charter names other keys than"):
            open_published(www, keys=keys)
    assert open_published(www, keys=[second, ours]).checkpoint.size == SIZE


def test_a_folder_made_whole_under_other_keys_is_refused_by_who_knows_the_right_ones(
    tmp_path: Path, ledger: Ledger
) -> None:
    path = tmp_path / "forged.db"
    with Ledger.open(path, log_signer=generate_signer(), clock=clock) as forged:
        forged.append([small(0, signer=PRODUCER)])
        publish(forged, tmp_path / "www", note=forged.checkpoint())
    assert verify_published(tmp_path / "www").size == 1
    with pytest.raises(UntrustedError, match="its charter names other keys than"):
        verify_published(tmp_path / "www", keys=ledger.charter.log_keys)


# ---- checkpoints seen before ---------------------------------------------------------------------
def test_what_was_seen_before_is_a_prefix(www: Path, ledger: Ledger) -> None:
    for size in (0, 1, 255, 256, 260, 599, SIZE):
        seen = Checkpoint(origin=ledger.origin, size=size, root=ledger.root(size))
        assert open_published(www, seen=seen).checkpoint.size == SIZE


SEEN: dict[str, Callable[[Ledger], Checkpoint]] = {
    "it was rolled back": lambda ledger: Checkpoint(
        origin=ledger.origin, size=SIZE + 1, root=ledger.root()
    ),
    "it has two histories": lambda ledger: Checkpoint(
        origin=ledger.origin, size=260, root=ledger.root(261)
    ),
    "expected the log provgraph.local/other": lambda ledger: Checkpoint(
        origin="provgraph.local/other", size=260, root=ledger.root(260)
    ),
}


@pytest.mark.parametrize("message", SEEN)
def test_what_contradicts_a_checkpoint_seen_before_is_refused(
    www: Path, ledger: Ledger, message: str
) -> None:
    with pytest.raises(UntrustedError, match=message):
        open_published(www, seen=SEEN[message](ledger))
    with pytest.raises(UntrustedError, match=message):
        verify_published(www, seen=SEEN[message](ledger))


def test_a_folder_rolled_back_to_an_earlier_state_is_refused(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Whole and signed, as it was at 260 entries; the reader has seen 600."""
    path = tmp_path / "ledger.db"
    with Ledger.open(path, log_signer=LOG, mldsa_signer=MLDSA, clock=clock) as other:
        other.append([small(number, signer=PRODUCER) for number in range(260)])
        note = other.cosigned_checkpoint(mldsa_signer=MLDSA, clock=clock)
        publish(other, tmp_path / "www", note=note)
        early = Path(shutil.copytree(tmp_path / "www", tmp_path / "early"))
        other.append([small(number, signer=PRODUCER) for number in range(260, 300)])
        note = other.cosigned_checkpoint(mldsa_signer=MLDSA, clock=clock)
        publish(other, tmp_path / "www", note=note)
    seen = open_published(tmp_path / "www").checkpoint
    assert verify_published(early).size == 260
    with pytest.raises(UntrustedError, match="had 300 entries before and has 260 now"):
        verify_published(early, seen=seen)


def test_no_other_error_leaves_the_reader(www: Path) -> None:
    """Every name in the folder with every kind of wrong content."""
    for name in NAMES:
        data = (www / name).read_bytes()
        for content in (
            b"",
            b"\0",
            b"\xff" * 100,
            data * 2,
            data[::-1],
            b"\n\n" + data,
            b"a\n" * 50,
        ):
            (www / name).write_bytes(content)
            try:
                verify_published(www)
            except ProvgraphError:
                continue
            raise AssertionError(name)
        (www / name).write_bytes(data)
    assert verify_published(www).size == SIZE
