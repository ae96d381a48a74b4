from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from provgraph.errors import StorageError, UntrustedError
from provgraph.seal.keys import (
    generate_signer,
    load_or_create_signer,
    signer_from_seed,
    verify_ed25519,
)

# RFC 8032 section 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_rfc_8032_vector() -> None:
    signer = signer_from_seed(SEED)
    assert signer.public_key == PUBLIC
    assert signer.sign(b"\x72") == SIGNATURE
    verify_ed25519(PUBLIC, SIGNATURE, b"\x72", what="test")


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        (SIGNATURE, b"\x73"),
        (bytes([SIGNATURE[0] ^ 1]) + SIGNATURE[1:], b"\x72"),
        (SIGNATURE[:63], b"\x72"),
        (SIGNATURE + b"\0", b"\x72"),
        (b"", b"\x72"),
        (bytes(64), b"\x72"),
    ],
)
def test_wrong_signatures_are_refused(signature: bytes, data: bytes) -> None:
    with pytest.raises(UntrustedError, match="thing: "):
        verify_ed25519(PUBLIC, signature, data, what="thing")


def test_universal_forgery_under_a_low_order_key_is_refused() -> None:
    """R = neutral element, S = 0 verifies for any message under the key 01 00 …"""
    neutral = b"\x01" + bytes(31)
    with pytest.raises(UntrustedError, match="low order"):
        verify_ed25519(neutral, neutral + bytes(32), b"anything", what="test")


def test_signer_does_not_show_its_key() -> None:
    signer = generate_signer()
    assert repr(signer) == f"Signer({signer.verification_method.split('#')[0]})"


def test_key_is_made_once_with_safe_modes(tmp_path: Path) -> None:
    path = tmp_path / "home" / "keys" / "producer.pem"
    old_mask = os.umask(0)
    try:
        first = load_or_create_signer(path)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n") is True
    assert load_or_create_signer(path).public_key == first.public_key
    assert os.listdir(path.parent) == ["producer.pem"]


def test_openssl_reads_the_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    signer = load_or_create_signer(path)
    result = subprocess.run(
        ["openssl", "pkey", "-in", str(path), "-pubout", "-outform", "DER"],
        check=True,
        capture_output=True,
    )
    assert result.stdout[-32:] == signer.public_key


def test_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    signer = load_or_create_signer(path, passphrase=b"correct horse")
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n") is True
    again = load_or_create_signer(path, passphrase=b"correct horse")
    assert again.public_key == signer.public_key
    with pytest.raises(UntrustedError, match="wrong passphrase"):
        load_or_create_signer(path, passphrase=b"wrong")
    with pytest.raises(UntrustedError, match="encrypted; set PROVGRAPH_KEY_PASSPHRASE"):
        load_or_create_signer(path)


def test_passphrase_for_a_plain_key_is_refused(tmp_path: Path) -> None:
    load_or_create_signer(tmp_path / "key.pem")
    with pytest.raises(UntrustedError, match="is not encrypted"):
        load_or_create_signer(tmp_path / "key.pem", passphrase=b"x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    load_or_create_signer(path)
    path.chmod(mode)
    with pytest.raises(UntrustedError, match=f"mode 0{mode:o}.*chmod 600 {path}"):
        load_or_create_signer(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be opened"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be opened"),
        (b"x" * 5000, "far too long"),
    ],
)
def test_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(UntrustedError, match=message):
        load_or_create_signer(path)


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "X25519"], check=True, capture_output=True
    )
    path.write_bytes(made.stdout)
    with pytest.raises(
        UntrustedError, match=r"expected an Ed25519 or P-256 key in .*, found X25519"
    ):
        load_or_create_signer(path)


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="PROVGRAPH_HOME"):
        load_or_create_signer(tmp_path / "file" / "key.pem")


def test_processes_that_create_at_once_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "producer.pem"
    script = (
        "import sys, pathlib; from provgraph.seal.keys import load_or_create_signer;"
        "sys.stdin.read(1);"
        "print(load_or_create_signer(pathlib.Path(sys.argv[1])).public_key.hex())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("g")
        child.stdin.flush()
    outputs = {child.communicate(timeout=60)[0].strip() for child in children}
    assert outputs == {load_or_create_signer(path).public_key.hex()}
    assert os.listdir(path.parent) == ["producer.pem"]
