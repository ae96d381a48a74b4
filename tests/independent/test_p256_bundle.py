"""A ledger whose producer went over to a P-256 key: its bundle verifies with everything there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from foreign_programs import run_go
from secured_documents import documents, graph_of, verify, verify_graphs

from provgraph.errors import UntrustedError
from provgraph.export.views import check_views
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.keys import load_or_create_signer
from provgraph.seal.multikey import P256, base58_encode
from provgraph.seal.proof import verify_seal
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle, save_bundle
from provgraph.settings import load

# Of the group of P-256 (SEC 2 version 2.0, section 2.4.2).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PREPARE = """
import pathlib, provgraph
with provgraph.run("prepare") as run:
    pathlib.Path("train.csv").write_text("id,plan\\n1,a\\n")
    run.generate("train.csv", role="train")
"""
TRAIN = """
import pathlib, provgraph
with provgraph.run("train") as run:
    run.use("train.csv", role="train")
    pathlib.Path("churn.bin").write_bytes(b"weights")
    run.generate("churn.bin", role="model", name="churn", version="1")
"""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked bundle of records sealed with Ed25519, and later ones with P-256. Read only."""
    folder = tmp_path_factory.mktemp("p256")
    home = {"PROVGRAPH_HOME": str(folder / "home")}
    record(PREPARE, folder, home)
    producer = folder / "home" / "keys" / "producer.pem"
    producer.unlink()
    load_or_create_signer(producer, algorithm=P256)
    record(TRAIN, folder, home)
    with open_reader(load(home)) as reader:
        save_bundle(export_bundle(reader, "churn:1"), folder / "bundle")
    return folder / "bundle"


def record(script: str, folder: Path, home: dict[str, str]) -> None:
    """Run a script in a process of its own: a process reads its key once."""
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=folder, env={**os.environ, **home}, check=True)


def suites(bundle: Path) -> dict[str, str]:
    return {name: each["proof"]["cryptosuite"] for name, each in documents(bundle).items()}


def test_it_holds_both_suites(mixed: Path) -> None:
    assert set(suites(mixed).values()) == {"eddsa-rdfc-2022", "ecdsa-rdfc-2019"}


def test_with_provgraph(mixed: Path) -> None:
    said: list[int] = []
    verified = verify_bundle(mixed, report=lambda step, _: said.append(step))
    assert said == [*range(1, 10)]
    assert sorted(signer[:11] for signer in verified.signers) == ["did:key:z6M", "did:key:zDn"]
    assert check_views(verified) == 2 * len(verified.records) + 2


@pytest.mark.usefixtures("node")
def test_with_node(mixed: Path) -> None:
    found = documents(mixed)
    assert verify([*found.items()]) == dict.fromkeys(found, "")
    cases = [(name, document, graph_of(mixed, name)) for name, document in found.items()]
    assert verify_graphs(cases) == dict.fromkeys(found, "")


def test_with_go(tlogcheck: Path, mixed: Path) -> None:
    status, said = run_go(tlogcheck, "bundle", str(mixed))
    count = len(documents(mixed))
    assert (status, said) == (0, f'{{"records":{count},"size":{count}}}\n')


def test_the_twin_of_a_signature_is_no_entry(tlogcheck: Path, mixed: Path, tmp_path: Path) -> None:
    """(r, n - s) is a second valid seal over the same graph; the ledger holds the first one."""
    copied = Path(shutil.copytree(mixed, tmp_path / "bundle"))
    name = next(name for name, suite in suites(copied).items() if suite == "ecdsa-rdfc-2019")
    folder = copied / "records" / name
    signature = (folder / "signature.bin").read_bytes()
    s = int.from_bytes(signature[32:], "big")
    twin = signature[:32] + (ORDER - s).to_bytes(32, "big")
    value = "z" + base58_encode(twin)
    graph_nq, proof_nq = ((folder / f"{part}.nq").read_bytes() for part in ("graph", "proof"))
    assert verify_seal(graph_nq, proof_nq, value).cryptosuite == "ecdsa-rdfc-2019"
    (folder / "signature.bin").write_bytes(twin)
    entry = (folder / "entry.json").read_bytes()
    old = ("z" + base58_encode(signature)).encode()
    (folder / "entry.json").write_bytes(entry.replace(old, value.encode()))
    assert run_go(tlogcheck, "bundle", str(copied)) == (
        1,
        f"{name}: invalid transparency proof\n",
    )
    with pytest.raises(UntrustedError, match=r"^step 3: .* was changed after the bundle was made"):
        verify_bundle(copied, report=lambda _step, _text: None)


def seal_lines(bundle: Path) -> str:
    """Step 3 of HOWTO-VERIFY, as a reader would paste it."""
    text = (bundle / "HOWTO-VERIFY.txt").read_text("utf-8")
    (step,) = re.findall(r"^3\. EVERY RECORD.*?\n\n(.*?)^4\. ", text, re.MULTILINE | re.DOTALL)
    return str(step)


def test_with_openssl(mixed: Path) -> None:
    lines = seal_lines(mixed)
    assert "zDn*)" in lines
    done = subprocess.run(["bash", "-eu", "-c", lines], cwd=mixed, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == [
        f"records/{name} Signature Verified Successfully" for name in sorted(suites(mixed))
    ]


def test_a_changed_graph_with_openssl(mixed: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(mixed, tmp_path / "bundle"))
    for name in suites(copied):
        path = copied / "records" / name / "graph.nq"
        path.write_bytes(path.read_bytes().replace(b"Bundle>", b"bundle>", 1))
    done = subprocess.run(
        ["bash", "-c", seal_lines(copied)], cwd=copied, capture_output=True, check=False
    )
    assert done.stdout.decode().splitlines() == [
        f"records/{name} Signature Verification Failure" for name in sorted(suites(copied))
    ]


def test_a_bundle_of_ed25519_only_says_nothing_of_p256(bundle: Path) -> None:
    assert "zDn*)" not in seal_lines(bundle)
