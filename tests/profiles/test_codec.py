"""One profile, one text: canonical JSON there and strictly back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from profile_strategies import TABLES

from provgraph.errors import FormatError
from provgraph.profiles.codec import MAX_READ_BYTES, decode, encode, number_text
from provgraph.profiles.profile import ColumnProfile, TableProfile

SMALL = TableProfile(
    rows=3,
    column_count=1,
    columns=(ColumnProfile(name="é", type="integer", nulls=1, distinct=2, mean=0.5),),
)
TEXT = (
    '{"column_count":1,"columns":[{"distinct":2,"mean":0.5,"name":"é","nulls":1,'
    '"type":"integer"}],"format":"profile-v1","rows":3}'
)


def test_the_form_is_what_the_documentation_shows():
    assert encode(SMALL).decode() == TEXT


@settings(max_examples=60)
@given(profile=TABLES)
def test_every_profile_comes_back(profile):
    data = encode(profile)
    assert encode(decode(data)) == data
    assert decode(data) == profile


# ECMA-262, Number::toString: what JSON.stringify of Node 20 prints.
@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_numbers_are_written_as_ecmascript_does(number, text):
    assert number_text(number) == text


def _changed(**changes: object) -> bytes:
    plain = json.loads(TEXT)
    plain.update(changes)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        TEXT.encode() + b"\n",
        TEXT.replace('"rows":3', '"rows": 3').encode(),
        TEXT.replace('"rows":3', '"rows":3,"rows":3').encode(),
        TEXT.replace('"mean":0.5', '"mean":0.50').encode(),
        TEXT.replace('"mean":0.5', '"mean":NaN').encode(),
        TEXT.replace('"mean":0.5', '"mean":1e999').encode(),
        _changed(format="profile-v2"),
        _changed(rows="3"),
        _changed(rows=True),
        _changed(colour="red"),
        _changed(columns=[{"name": "a", "type": "colour"}]),
        _changed(columns=[{"name": "a"}]),
        _changed(columns=[{"name": "a", "type": "float", "quantiles": {"count": 1, "error": 0}}]),
        b"[" * 100_000,
        b" " * (MAX_READ_BYTES + 1),
    ],
    ids=[
        "empty",
        "no-object",
        "no-utf-8",
        "trailing-newline",
        "space",
        "key-twice",
        "trailing-zero",
        "nan",
        "infinite",
        "later-version",
        "text-for-number",
        "bool-for-number",
        "unknown-field",
        "unknown-type",
        "field-missing",
        "sketch-without-values",
        "deep",
        "too-large",
    ],
)
def test_what_encode_would_not_write_is_refused(data):
    with pytest.raises(FormatError):
        decode(data)


def test_a_number_that_is_none_is_not_written():
    column = ColumnProfile(name="a", type="float", mean=float("nan"))
    with pytest.raises(FormatError, match="finite"):
        encode(TableProfile(rows=1, column_count=1, columns=(column,)))
