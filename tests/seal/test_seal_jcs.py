from __future__ import annotations

import pytest

from provgraph.errors import FormatError
from provgraph.seal.jcs import encode, parse_canonical


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({}, b"{}"),
        ([], b"[]"),
        ({"b": 1, "a": [True, False, "x"]}, b'{"a":[true,false,"x"],"b":1}'),
        (-(2**53) + 1, b"-9007199254740991"),
        ('€$\u000f\nA\'B"\\\\"/', b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
        ("\b\t\n\f\r\x1f\x7f", b'"\\b\\t\\n\\f\\r\\u001f\x7f"'),
        ("\u2028<>&", '"\u2028<>&"'.encode()),
    ],
)
def test_canonical_bytes(value: object, data: bytes) -> None:
    assert encode(value) == data  # type: ignore[arg-type]
    assert parse_canonical(data) == value


def test_keys_sort_by_utf16_units() -> None:
    """RFC 8785 section 3.2.3: U+1F600 (D83D DE00) comes before U+FB33, unlike by code point."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    data = encode(dict.fromkeys(keys, 1))
    found = list(parse_canonical(data))  # type: ignore[arg-type]
    assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":01}',
        b'{"a":-0}',
        b'{"a":null}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":9007199254740992}',
        b'"\\u0041"',
        b'"\\/"',
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_other_spellings_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_canonical(data)


@pytest.mark.parametrize("value", [1.5, None, 2**53, -(2**53), {"a": b"x"}, "\ud800"])
def test_values_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(FormatError):
        encode(value)  # type: ignore[arg-type]


def test_deep_nesting_is_refused() -> None:
    value: list[object] = []
    for _ in range(40):
        value = [value]
    with pytest.raises(FormatError, match="32 levels"):
        encode(value)  # type: ignore[arg-type]
