"""HOWTO-VERIFY.txt does what it says: its lines run with coreutils and openssl, and catch changes."""

import os
import re
import shutil
import subprocess

import pytest

from provgraph.seal.members import write_folder

TOOLS = ("bash", "openssl", "xxd", "sha256sum", "base64", "awk", "sed")


@pytest.fixture
def unpacked(forge, tmp_path):
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"needs {', '.join(lacking)}")
    assert lacking == []
    write_folder(tmp_path / "b", forge.members)
    return tmp_path / "b"


def follow(folder):
    """Paste every line of the instructions into bash, in the bundle's folder."""
    text = (folder / "HOWTO-VERIFY.txt").read_text()
    lines = [line[5:] for line in text.splitlines() if line.startswith("     ")]
    script = "\n".join(line for line in lines if not re.match(r"(log|producer) +did:", line))
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout


def test_the_lines_verify_the_true_bundle(forge, unpacked):
    output = follow(unpacked)
    count = len(forge.folders)
    assert output.splitlines()[:2] == ["unchanged", "complete"]
    assert output.count("Signature Verified Successfully") == 3 + count
    assert "attestation Signature Verified Successfully" in output.splitlines()
    assert output.splitlines()[-3:] == ["attested", "all attested", "same in both"]
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
