"""`provgraph verify` refuses the whole attack corpus (tests/attacks.py), each at its own step."""

import json
import os
import zipfile

import attacks
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provgraph.errors import FormatError, NotFoundError, ProvgraphError, UntrustedError
from provgraph.export.views import check_views
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.keys import generate_signer
from provgraph.seal.members import MANIFEST, read_members, write_folder, write_zip


def verify(path, **keys):
    bundle = verify_bundle(path, report=lambda *_: None, **keys)
    check_views(bundle)
    return bundle


def name_of(value):
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("attack", "step"), attacks.MEMBERS.items(), ids=name_of)
def test_a_falsified_bundle_is_refused(forge, tmp_path, attack, step):
    changed = attack(forge, forge.members)
    assert changed != forge.members
    write_zip(tmp_path / "b.zip", forge.signed(changed))
    with pytest.raises(UntrustedError) as caught:
        verify(tmp_path / "b.zip")
    assert str(caught.value).partition(": ")[0] == f"step {step}" or step is None


@pytest.mark.parametrize("attack", attacks.LISTS, ids=name_of)
def test_a_falsified_list_is_refused(forge, tmp_path, attack):
    write_zip(tmp_path / "b.zip", attack(forge, forge.members))
    with pytest.raises(UntrustedError, match=r"^step 3: "):
        verify(tmp_path / "b.zip")


@pytest.mark.parametrize(("attack", "says"), attacks.ZIPS.items(), ids=name_of)
def test_a_hostile_zip_is_refused(forge, tmp_path, attack, says):
    (tmp_path / "b.zip").write_bytes(attack(forge))
    with pytest.raises(UntrustedError, match=f"^step 1: .*{says}"):
        verify(tmp_path / "b.zip")


@pytest.mark.parametrize(("attack", "says"), attacks.FOLDERS.items(), ids=name_of)
def test_a_hostile_folder_is_refused(forge, tmp_path, attack, says):
    write_folder(tmp_path / "b", forge.members)
    attack(tmp_path / "b")
    with pytest.raises(UntrustedError, match=f"^step 1: .*{says}"):
        verify(tmp_path / "b")


def test_the_zips_are_made_from_one_that_verifies(forge, tmp_path):
    (tmp_path / "b.zip").write_bytes(attacks.true_zip(forge))
    assert len(verify(tmp_path / "b.zip").records) == len(forge.folders)


def test_a_hard_link_is_a_file_like_any(forge, tmp_path):
    """What counts is the bytes that were read; another name for them changes nothing."""
    write_folder(tmp_path / "b", forge.members)
    os.link(tmp_path / "b" / "charter", tmp_path / "elsewhere")
    assert len(verify(tmp_path / "b").records) == len(forge.folders)


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_the_true_bundle_verifies(forge, tmp_path, kind):
    path = tmp_path / ("b.zip" if kind == "zip" else "b")
    (write_zip if kind == "zip" else write_folder)(path, forge.members)
    bundle = verify(path)
    assert len(bundle.records) == len(forge.folders)
    assert bundle.root.endswith("cd" * 32)


def test_without_a_new_list_any_change_is_caught_by_the_list(forge, tmp_path):
    write_zip(tmp_path / "b.zip", attacks.changed_literal(forge, forge.members))
    with pytest.raises(UntrustedError, match=r"^step 3: .*graph\.nq was changed"):
        verify(tmp_path / "b.zip")


def test_pinned_keys_are_held_against_the_bundle(forge, tmp_path):
    write_zip(tmp_path / "b.zip", forge.members)
    rows = json.loads(forge.members["trust.json"])["keys"]
    log = next(row["id"] for row in rows if row["role"] == "log")
    producer = next(row["id"] for row in rows if row["role"] == "producer")
    right = verify(tmp_path / "b.zip", log_key=log, producer_keys=frozenset({producer}))
    assert right.is_pinned is True
    other = generate_signer().verification_method.partition("#")[0]
    with pytest.raises(UntrustedError, match=r"^step 2: expected the log key"):
        verify(tmp_path / "b.zip", log_key=other)
    with pytest.raises(UntrustedError, match=r"^step 8: .* is not among the expected keys"):
        verify(tmp_path / "b.zip", log_key=log, producer_keys=frozenset({other}))


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 64])
def test_what_is_no_zip_is_said_to_be_none(tmp_path, data):
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(UntrustedError, match="is no readable zip"):
        verify(tmp_path / "b.zip")


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="no bundle at"):
        verify(tmp_path / "absent.zip")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_flipped_bit_anywhere_verifies_or_escapes_as_another_error(forge, tmp_path, data):
    name = data.draw(st.sampled_from(sorted(forge.members)))
    content = forge.members[name]
    place = data.draw(st.integers(0, len(content) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    changed = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    write_zip(tmp_path / "b.zip", {**forge.members, name: changed})
    with pytest.raises((UntrustedError, FormatError)):
        verify(tmp_path / "b.zip")
    # The same with a list that the operator signed: never an unforeseen exception.
    if name != MANIFEST:
        write_zip(tmp_path / "b.zip", forge.signed({**forge.members, name: changed}))
        try:
            verify(tmp_path / "b.zip")
        except ProvgraphError as error:
            assert isinstance(error, UntrustedError | FormatError)


def test_members_read_back_as_written(forge, tmp_path):
    write_zip(tmp_path / "a.zip", forge.members)
    write_zip(tmp_path / "b.zip", dict(reversed(forge.members.items())))
    assert read_members(tmp_path / "a.zip") == forge.members
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_bundle_packed_again_by_another_tool_still_verifies(forge, tmp_path):
    write_folder(tmp_path / "b", forge.members)
    import shutil

    packed = shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path / "b")
    assert len(verify(tmp_path / "again.zip").records) == len(forge.folders)
    with zipfile.ZipFile(packed) as archive:
        assert "records/" in archive.namelist()
