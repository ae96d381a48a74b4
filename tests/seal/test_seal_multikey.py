from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal import multikey
from provgraph.seal.multikey import (
    PublicKey,
    base58_decode,
    base58_encode,
    decode_multikey,
    did_key,
    encode_multikey,
    multibase_decode,
    parse_verification_method,
    require_strong_ed25519,
    verification_method,
)

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P

# draft-msporny-base58 section 5
BASE58_VECTORS = [
    (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
    (
        b"The quick brown fox jumps over the lazy dog.",
        "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
    ),
    (bytes.fromhex("0000287fb4cd"), "11233QC4"),
    (b"", ""),
    (b"\0", "1"),
]


@pytest.mark.parametrize(("data", "text"), BASE58_VECTORS)
def test_base58_vectors(data: bytes, text: str) -> None:
    assert base58_encode(data) == text
    assert base58_decode(text) == data


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "2NEp o7", "2NEp\n", "é", "1" * 129])
def test_base58_refuses_other_characters_and_long_text(text: str) -> None:
    with pytest.raises(FormatError, match="base58"):
        base58_decode(text)


ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@given(st.text(ALPHABET, max_size=128))
def test_base58_is_decoded_as_digit_by_digit(text: str) -> None:
    number = 0
    for character in text:
        number = 58 * number + ALPHABET.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    size = (number.bit_length() + 7) // 8
    assert base58_decode(text) == bytes(zeros) + number.to_bytes(size, "big")


@given(
    st.text(ALPHABET, max_size=60), st.characters(exclude_characters=ALPHABET), st.text(ALPHABET)
)
def test_any_other_character_anywhere_is_named(before: str, wrong: str, after: str) -> None:
    with pytest.raises(FormatError, match="expected a base58btc character") as caught:
        base58_decode(f"{before}{wrong}{after[:60]}")
    assert f"found {wrong!r} in" in str(caught.value)


def test_ed25519_multikey_and_did() -> None:
    raw = bytes(range(32))
    key = PublicKey(algorithm="Ed25519", raw=raw)
    text = encode_multikey(key)
    assert base58_decode(text[1:]) == b"\xed\x01" + raw
    assert text.startswith("z6Mk") is True
    assert decode_multikey(text) == key
    assert did_key(key) == f"did:key:{text}"
    assert parse_verification_method(verification_method(key)) == key


def test_p256_multikey_of_w3c_document() -> None:
    text = "zDnaegE6RR3atJtHKwTRTWHsJ3kNHqFwv7n9YjTgmU7TyfU76"
    key = decode_multikey(text)
    assert (key.algorithm, len(key.raw), key.raw[0] in (2, 3)) == ("P-256", 33, True)
    assert encode_multikey(key) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a Multikey"),
        ("u7QEA", "expected a Multikey"),
        (
            "z" + base58_encode(b"\xed\x01" + b"k" * 31),
            "expected 32 bytes of Ed25519 key, found 31",
        ),
        (
            "z" + base58_encode(b"\xed\x01" + b"k" * 33),
            "expected 32 bytes of Ed25519 key, found 33",
        ),
        ("z" + base58_encode(b"\x80\x24" + b"k" * 32), "expected 33 bytes of P-256 key, found 32"),
        ("z" + base58_encode(b"\xec\x01" + b"k" * 32), "Ed25519 or P-256"),
    ],
)
def test_multikey_refuses(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode_multikey(text)


def test_verification_method_must_name_its_own_key() -> None:
    one = encode_multikey(PublicKey(algorithm="Ed25519", raw=b"1" * 32))
    two = encode_multikey(PublicKey(algorithm="Ed25519", raw=b"2" * 32))
    for text in (
        f"did:key:{one}#{two}",
        f"did:key:{one}",
        f"did:web:{one}#{one}",
        f"did:key:{one}#",
    ):
        with pytest.raises(FormatError):
            parse_verification_method(text)


def test_multibase_refuses_another_length() -> None:
    with pytest.raises(FormatError, match="of 64 bytes, found 3"):
        multibase_decode("z" + base58_encode(b"abc"), length=64, what="a proofValue")


def _add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    y3 = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P
    return x3, y3


def _x_of(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for candidate in (root, root * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square:
            return candidate
    return None


def test_low_order_list_is_the_torsion_group_by_arithmetic() -> None:
    """Every y in the list is a point that 8 kills, and all eight points are there."""
    points = set()
    for y in multikey._LOW_ORDER_Y:
        x = _x_of(y % P)
        assert x is not None
        for point in {(x, y % P), (-x % P, y % P)}:
            total = (0, 1)
            for _ in range(8):
                total = _add(total, point)
            assert total == (0, 1)
            points.add(point)
    assert len(points) == 8


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", sorted(multikey._LOW_ORDER_Y))
def test_every_low_order_encoding_is_refused(y: int, sign: int) -> None:
    raw = (y | sign << 255).to_bytes(32, "little")
    with pytest.raises(UntrustedError, match="low order"):
        require_strong_ed25519(raw)


@pytest.mark.parametrize("y", [P + 2, P + 18, 2**255 - 1])
def test_unreduced_y_is_refused(y: int) -> None:
    with pytest.raises(UntrustedError, match="not canonical"):
        require_strong_ed25519(y.to_bytes(32, "little"))


def test_ordinary_key_is_accepted_and_short_one_refused() -> None:
    require_strong_ed25519((5).to_bytes(32, "little"))
    with pytest.raises(FormatError, match="found 31"):
        require_strong_ed25519(b"k" * 31)
