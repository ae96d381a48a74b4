"""Keys in a PKCS#11 token, against SoftHSM: the real module, the real signatures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provgraph.errors import StorageError, UsageError
from provgraph.seal.multikey import ED25519, P256, parse_verification_method
from provgraph.seal.pkcs11 import TokenKey, open_pkcs11_signer, parse_pkcs11_uri
from provgraph.seal.proof import seal, verify_seal

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
PIN = "1234"
GRAPH = b'<urn:s> <urn:p> "a" <urn:g> .\n'


@pytest.fixture(scope="session")
def module() -> str:
    found = next((path for path in MODULES if Path(path).exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("softhsm2 is not installed, and this is the check that needs it")
        pytest.skip("softhsm2 is not installed (apt-get install softhsm2)")
    return found


@pytest.fixture(scope="session")
def token(module: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token with one key of each kind, and one of a kind that seals nothing."""
    import pkcs11

    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\n", "utf-8")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(config)
    for label in ("lineage", "locked"):
        subprocess.run(
            [
                *("softhsm2-util", "--init-token", "--free", "--label", label),
                *("--pin", PIN, "--so-pin", "5678"),
            ],
            check=True,
            capture_output=True,
        )
    library = pkcs11.lib(module)
    library.reinitialize()
    with library.get_token(token_label="lineage").open(rw=True, user_pin=PIN) as session:
        for label, curve in (("p256", "secp256r1"), ("p384", "secp384r1")):
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC,
                {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(curve)},
                local=True,
            )
            parameters.generate_keypair(store=True, label=label)
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS,
            {
                pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(
                    "1.3.101.112"
                )
            },
            local=True,
        )
        parameters.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="ed25519"
        )
    yield f"?module-path={module}"
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.mark.parametrize(("label", "algorithm"), [("ed25519", ED25519), ("p256", P256)])
def test_a_key_in_a_token_seals(token: str, label: str, algorithm: str) -> None:
    signer = open_pkcs11_signer(f"pkcs11:token=lineage;object={label}{token}", pin=PIN)
    assert signer.algorithm == algorithm
    made = seal(GRAPH, signer=signer, created=datetime(2026, 1, 2, tzinfo=UTC))
    verified = verify_seal(GRAPH, made.proof_nq, made.proof_value)
    assert verified.public_key == signer.public_key
    assert parse_verification_method(verified.verification_method).algorithm == algorithm


@pytest.mark.parametrize(
    ("place", "pin", "message"),
    [
        ("token=lineage;object=nobody", PIN, "NoSuchKey"),
        ("token=elsewhere;object=p256", PIN, "NoSuchToken"),
        ("token=locked;object=p256", "9999", "PinIncorrect"),
        ("token=lineage;object=p256", None, "asks for its PIN"),
    ],
)
def test_what_cannot_be_opened_is_named(token: str, place, pin, message) -> None:
    with pytest.raises(StorageError, match=message):
        open_pkcs11_signer(f"pkcs11:{place}{token}", pin=pin)


def test_a_key_of_another_curve_is_refused(token: str) -> None:
    from provgraph.errors import UntrustedError

    with pytest.raises(UntrustedError, match="expected an Ed25519 or P-256 key"):
        open_pkcs11_signer(f"pkcs11:token=lineage;object=p384{token}", pin=PIN)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(StorageError, match="cannot open the key"):
        open_pkcs11_signer("pkcs11:token=a;object=b?module-path=/nowhere.so", pin=PIN)


_RECORD = """
import os, provgraph
def record(name):
    with provgraph.run(name, owner="ada@example.org") as run:
        run.log_params(depth=6)
    return run.receipt.position
first = record("one")
child = os.fork()
if child == 0:
    record("in a child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(first, record("two"))
"""


def test_a_home_whose_producer_key_is_in_a_token_records_also_after_a_fork(
    token: str, home: Path, monkeypatch, capsys
) -> None:
    from provgraph.cli.main import main

    monkeypatch.setenv("PROVGRAPH_PRODUCER_KEY", f"pkcs11:token=lineage;object=p256{token}")
    monkeypatch.setenv("PROVGRAPH_PKCS11_PIN", PIN)
    done = subprocess.run(
        [sys.executable, "-c", _RECORD],
        env={**os.environ, "PROVGRAPH_STRICT": "on"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, last = map(int, done.stdout.split())
    assert last == first + 2
    assert (home / "keys" / "producer.pem").exists() is False
    assert main(["fsck"]) == 0
    assert main(["keys", "list"]) == 0
    assert "PKCS#11" in capsys.readouterr().out
    assert main(["keys", "rotate", "producer"]) == 2
    assert "change the setting producer_key" in capsys.readouterr().err


# ---- URIs ------------------------------------------------------------------------------------------
def test_a_uri_is_read() -> None:
    uri = "pkcs11:token=The%20HSM;object=seal;id=%01%ff;type=private?module-path=/usr/lib/x.so"
    assert parse_pkcs11_uri(uri) == TokenKey(
        module="/usr/lib/x.so", token="The HSM", label="seal", id=b"\x01\xff"
    )


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pkcs11:token=a;object=b", "module-path"),
        ("pkcs11:object=b?module-path=/x", "expected pkcs11:token"),
        ("pkcs11:token=a?module-path=/x", "expected object="),
        ("pkcs11:token=a;object=b?module-path=/x&pin-value=1234", "expected no PIN"),
        ("pkcs11:token=a;object=b?module-path=/x&pin-source=/y", "expected no PIN"),
        ("pkcs11:token=a;token=c;object=b?module-path=/x", "once each"),
        ("pkcs11:token=a;object=%zz?module-path=/x", "once each"),
        ("pkcs11:token=a;object=b;serial=1?module-path=/x", "serial, which is not understood"),
    ],
)
def test_other_uris_are_refused(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_pkcs11_uri(uri)
