"""No parser of a stranger's bytes lets another exception out, whatever it is given.

True bytes are falsified in thousands of ways (parsers.py); atheris goes on from there, guided by what
it covers, in `make soak`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import parsers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provgraph.errors import FormatError, NotFoundError, UntrustedError
from provgraph.ledger.published import verify_published
from provgraph.seal.members import read_members, write_folder, write_zip
from provgraph.seal.note import parse_vkey

NAMES = sorted(parsers.PARSERS)
COUNT = 400
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def outcome(parse: Callable[[bytes], object], data: bytes) -> bool:
    """Whether the parser takes it; any exception but the three ends the test."""
    try:
        parse(data)
    except parsers.EXPECTED:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_the_true_samples_are_taken(name: str) -> None:
    parser = parsers.PARSERS[name]
    assert [outcome(parser.parse, data) for data in parser.samples] == [True] * len(parser.samples)


@pytest.mark.parametrize("name", NAMES)
def test_falsified_samples_are_taken_or_refused(name: str) -> None:
    parser = parsers.PARSERS[name]
    count = COUNT // 8 if name == "bundle" else COUNT
    taken = [
        data for data in parsers.cases(name, seed=1, count=count) if outcome(parser.parse, data)
    ]
    if name in parsers.SIGNED:
        assert set(taken) <= set(parser.samples)
    assert len(taken) < count


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bundle"])
@QUICK
@given(data=st.binary(max_size=200))
def test_bytes_that_were_never_true_are_taken_or_refused(name: str, data: bytes) -> None:
    outcome(parsers.PARSERS[name].parse, data)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "bundle"])
@QUICK
@given(data=st.data())
def test_pieces_of_samples_in_any_order_are_taken_or_refused(
    name: str, data: st.DataObject
) -> None:
    sample = data.draw(st.sampled_from(parsers.PARSERS[name].samples))
    lines = sample.splitlines(keepends=True)
    pieces = st.sampled_from([*lines, *parsers.WORDS, sample[: len(sample) // 2], sample])
    outcome(parsers.PARSERS[name].parse, b"".join(data.draw(st.lists(pieces, max_size=8))))


@pytest.mark.parametrize(
    "piece", [b"A", b"1", b"\n", b"[", b'"\\', b"<", b" ", b"\xe2\x80\x94 ", b"z"]
)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "bundle"])
def test_a_megabyte_of_one_thing_is_read_once(name: str, piece: bytes) -> None:
    """In the room of a true sample's middle; what costs the square of it would not end."""
    for sample in parsers.PARSERS[name].samples:
        at = len(sample) // 2
        outcome(
            parsers.PARSERS[name].parse,
            sample[:at] + piece * (1_000_000 // len(piece)) + sample[at:],
        )


# ---- whole files and folders -----------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(40))
def test_a_falsified_member_is_taken_or_refused_by_every_step(
    forge: object, tmp_path: Path, seed: int
) -> None:
    """The list of files is signed again, so that what was falsified is parsed."""
    chance = random.Random(seed)
    members = forge.members
    changed = dict(members)
    for name in chance.sample(sorted(set(members) - {"MANIFEST"}), chance.choice((1, 1, 2))):
        changed[name] = parsers.mutate(chance, members[name], chance.choice([*members.values()]))
    place = tmp_path / ("b.zip" if seed % 2 else "b")
    (write_zip if seed % 2 else write_folder)(place, forge.signed(changed))

    def parse(_: bytes) -> object:
        bundle = parsers.verify_bundle(place, report=lambda _step, _text: None)
        return parsers.check_views(bundle)

    is_taken = outcome(parse, b"")
    # Words of the exporter, and files in which one thing can be spelled in several ways.
    differ = {name.rpartition("/")[2] for name in members if members[name] != changed[name]}
    assert is_taken is False or differ <= {
        *("HOWTO-VERIFY.txt", "ro-crate-metadata.json", "bundle.json", "trust.json"),
        *("record.jsonld", "record.ttl", "lineage.jsonld", "lineage.trig"),
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_falsified_published_folder_is_refused(
    published: Path, tmp_path: Path, seed: int
) -> None:
    import shutil

    chance = random.Random(seed)
    folder = Path(shutil.copytree(published, tmp_path / "log"))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    path = chance.choice(files)
    true = path.read_bytes()
    false = parsers.mutate(chance, true, chance.choice(files).read_bytes())
    path.write_bytes(false)
    assert outcome(lambda _: verify_published(folder), b"") is (false == true)


@pytest.fixture(scope="module")
def published(forge: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from provgraph.ledger.tiles import publish
    from provgraph.service.asking import open_reader

    folder = tmp_path_factory.mktemp("published") / "log"
    with open_reader(forge.settings) as reader:
        publish(reader.ledger, folder, note=forge.members["checkpoint"])
    return folder


@pytest.mark.parametrize("name", ["absent.zip", "absent/b", "a\0b", "x" * 5000])
def test_a_bundle_that_is_not_there_is_said_to_be_none(tmp_path: Path, name: str) -> None:
    with pytest.raises((NotFoundError, FormatError)):
        read_members(tmp_path / name)
    with pytest.raises((NotFoundError, UntrustedError)):
        parsers.verify_bundle(tmp_path / name, report=lambda _step, _text: None)


# ---- what fell out ---------------------------------------------------------------------------------
def test_a_verifier_key_that_is_no_text_is_refused() -> None:
    """An argument of the command line with bytes that are no UTF-8 (a lone surrogate)."""
    (key,) = parsers.PARSERS["verifier key"].samples[-1:]
    with pytest.raises(FormatError, match="expected a key name without spaces"):
        parse_vkey("\udce5" + key.decode())
