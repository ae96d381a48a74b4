from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.keys import load_or_create_signer
from provgraph.seal.mldsa import (
    generate_mldsa_signer,
    load_mldsa_signer,
    load_or_create_mldsa_signer,
    mldsa_signer_from_seed,
    verify_mldsa44,
)

SIGNER = mldsa_signer_from_seed(bytes(range(32)))
SIGNATURE = SIGNER.sign(b"data")


def verify(
    signature: bytes = SIGNATURE, data: bytes = b"data", key: bytes = SIGNER.public_key
) -> None:
    verify_mldsa44(key, signature, data, what="test")


def test_sizes_are_those_of_fips_204_and_signatures_are_randomised() -> None:
    assert (len(SIGNER.public_key), len(SIGNATURE)) == (1312, 2420)
    verify()
    other = SIGNER.sign(b"data")
    verify(other)
    assert other != SIGNATURE


def test_the_public_key_follows_from_the_seed() -> None:
    """FIPS 204 ML-DSA.KeyGen_internal: rho, the key's first 32 bytes, is SHAKE256(seed || 4 || 4)."""
    rho = hashlib.shake_256(bytes(range(32)) + b"\x04\x04").digest(32)
    assert SIGNER.public_key[:32] == rho
    assert mldsa_signer_from_seed(bytes(range(32))).public_key == SIGNER.public_key


def test_two_keys_differ_and_do_not_show_themselves() -> None:
    one, two = generate_mldsa_signer(), generate_mldsa_signer()
    assert len({one.public_key, two.public_key}) == 2
    assert repr(one) == f"MldsaSigner({one.public_key[:8].hex()}…)"


@pytest.mark.parametrize("place", [0, 32, 1000, 2339, 2419])
def test_a_flipped_bit_is_refused(place: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[place] ^= 1
    with pytest.raises(
        UntrustedError, match="test: the signature does not verify under the ML-DSA"
    ):
        verify(bytes(changed))


def test_other_data_and_another_key_are_refused() -> None:
    with pytest.raises(UntrustedError, match="does not verify"):
        verify(data=b"Data")
    with pytest.raises(UntrustedError, match="does not verify"):
        verify(key=generate_mldsa_signer().public_key)


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\0", bytes(2420)])
def test_signatures_of_another_length_or_of_zeros_are_refused(signature: bytes) -> None:
    with pytest.raises(UntrustedError):
        verify(signature)


@pytest.mark.parametrize("key", [b"", SIGNER.public_key[:-1], SIGNER.public_key + b"\0"])
def test_keys_of_another_length_are_refused(key: bytes) -> None:
    with pytest.raises(FormatError, match="expected 1312 bytes of ML-DSA-44 public key"):
        verify(key=key)


# ---- key files -----------------------------------------------------------------------------------
@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_key_file_round_trip(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "keys" / "log-mldsa.pem"
    made = load_or_create_mldsa_signer(path, passphrase=passphrase)
    again = load_or_create_mldsa_signer(path, passphrase=passphrase)
    assert again.public_key == made.public_key
    verify(again.sign(b"data"), key=made.public_key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    kind = "PRIVATE" if passphrase is None else "ENCRYPTED PRIVATE"
    assert path.read_text("ascii").startswith(f"-----BEGIN {kind} KEY-----\n") is True


def test_key_files_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    load_or_create_mldsa_signer(path)
    path.chmod(0o640)
    with pytest.raises(UntrustedError, match="mode 0640, so others on this machine may have read"):
        load_mldsa_signer(path)


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    load_or_create_signer(path)
    with pytest.raises(UntrustedError, match=r"expected an ML-DSA-44 key in .*Ed25519PrivateKey"):
        load_or_create_mldsa_signer(path)


def test_wrong_missing_and_superfluous_passphrases_are_refused(tmp_path: Path) -> None:
    closed, open_ = tmp_path / "closed.pem", tmp_path / "open.pem"
    load_or_create_mldsa_signer(closed, passphrase=b"a")
    load_or_create_mldsa_signer(open_)
    with pytest.raises(UntrustedError, match="wrong passphrase"):
        load_mldsa_signer(closed, passphrase=b"b")
    with pytest.raises(UntrustedError, match="is encrypted; set PROVGRAPH_KEY_PASSPHRASE"):
        load_mldsa_signer(closed)
    with pytest.raises(UntrustedError, match="is not encrypted, but"):
        load_mldsa_signer(open_, passphrase=b"a")
