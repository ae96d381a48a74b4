"""HOWTO-VERIFY.txt does what it says: its lines run with coreutils and openssl, and catch changes."""

import pytest
from howto import follow, require_tools

from provgraph.seal.members import write_folder


@pytest.fixture
def unpacked(forge, tmp_path):
    require_tools()
    write_folder(tmp_path / "b", forge.members)
    return tmp_path / "b"


def test_the_lines_verify_the_true_bundle(forge, unpacked):
    output = follow(unpacked)
    count = len(forge.folders)
    assert output.splitlines()[:2] == ["unchanged", "complete"]
    assert output.count("Signature Verified Successfully") == 3 + count
    assert "attestation Signature Verified Successfully" in output.splitlines()
    said = ["attested", "all attested", "under this checkpoint", "and nothing else", "same in both"]
    assert output.splitlines()[-5:] == said
    assert output.count(" in the tree") == count
    assert output.count("NOT IN THE TREE") == 0


def test_a_changed_graph_fails_three_of_the_checks(forge, unpacked):
    path = unpacked / forge.folders[-1] / "graph.nq"
    path.write_bytes(path.read_bytes().replace(b"0.8", b"0.9", 1))
    output = follow(unpacked)
    assert output.splitlines()[0] != "unchanged"
    assert output.count("Signature Verified Successfully") == 2 + len(forge.folders)
    assert output.count("graph.nq WRONG") == 1


def test_an_added_file_is_seen(unpacked):
    (unpacked / "report.html").write_text("all is well")
    assert "complete" not in follow(unpacked).splitlines()


def test_a_changed_entry_is_not_in_the_tree(forge, unpacked):
    path = unpacked / forge.folders[-1] / "entry.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    assert follow(unpacked).count(f"{forge.folders[-1]} NOT IN THE TREE") == 1


def test_a_key_in_two_roles_is_one_key(forge, unpacked):
    """A small home may give one key two roles; then two files hold it."""
    (key,) = (unpacked / "keys").glob("producer-*.pem")
    (unpacked / "keys" / key.name.replace("producer-", "steward-")).write_bytes(key.read_bytes())
    output = follow(unpacked)
    assert output.count("Signature Verified Successfully") == 3 + len(forge.folders)
