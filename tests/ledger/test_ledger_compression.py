from __future__ import annotations

import hashlib
import os
import random
import sys
import zlib
from pathlib import Path

import pytest
from isal import isal_zlib
from ledger_samples import converted_run

from provgraph.errors import LedgerError
from provgraph.ledger import compression
from provgraph.ledger.compression import decode, encode

DICTIONARY = Path(compression.__file__).with_name("dictionary_v1.bin").read_bytes()


@pytest.mark.parametrize("data", [b"", b"a", b"a" * 10_000, os.urandom(500), bytes(100)])
def test_round_trip(data: bytes) -> None:
    assert decode(encode(data), max_bytes=len(data)) == data


def test_what_deflate_cannot_shrink_is_stored() -> None:
    data = os.urandom(100)
    assert encode(data) == b"\x00" + data


def test_dictionary_halves_what_a_small_record_takes() -> None:
    graph = b"".join(converted_run(0).canonical.splitlines(keepends=True)[:10])
    assert len(encode(graph)) < 0.75 * len(zlib.compress(graph, 9))


def test_dictionary_is_the_frozen_one() -> None:
    """Ledgers out there were written with these bytes; a new dictionary needs a new format byte."""
    data = Path(compression.__file__).with_name("dictionary_v1.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() == compression.DICTIONARY_V1_SHA256
    assert 8_000 < len(data) < 24_000


def test_blob_of_version_1_stays_readable() -> None:
    assert decode(bytes.fromhex(FROZEN_BLOB), max_bytes=1000) == FROZEN_TEXT


FROZEN_TEXT = b'<urn:s> <http://www.w3.org/2000/01/rdf-schema#label> "frozen" <urn:g> .\n'
FROZEN_BLOB = "01b3292dcab382655a8c80c07516485a517e556a9e92025837f8001600"


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "format 0 or 1, found nothing"),
        (b"\x02abc", "format 0 or 1, found 02"),
        (b"\x01\xff\xff", "damaged"),
        (encode(b"a" * 1000)[:-1], "cut short"),
        (encode(b"a" * 1000) + b"\x00", "bytes follow"),
    ],
)
def test_damaged_blobs_are_refused(blob: bytes, message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        decode(blob, max_bytes=1000)


def test_inflating_stops_at_the_limit() -> None:
    bomb = encode(bytes(10_000_000))
    assert len(bomb) < 50_000
    with pytest.raises(LedgerError, match="more than 1000 bytes"):
        decode(bomb, max_bytes=1000)
    with pytest.raises(LedgerError, match="more than 2 bytes"):
        decode(b"\x00abc", max_bytes=2)


def test_isal_and_zlib_read_each_other() -> None:
    """Whoever has not got ISA-L reads what it wrote, and the other way round."""
    template = zlib.compressobj(3, zlib.DEFLATED, -15, zdict=DICTIONARY)
    for seed in range(30):
        data = bytes(random.Random(seed).choices(DICTIONARY[:200], k=seed * 997))
        compressor = template.copy()
        by_zlib = b"\x01" + compressor.compress(data) + compressor.flush()
        written = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15, zdict=DICTIONARY)
        blob = b"\x01" + written.compress(data) + written.flush()
        assert decode(blob, max_bytes=len(data)) == decode(by_zlib, max_bytes=len(data)) == data


def test_without_isal_the_same_is_written_by_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    compression._new_compressor.cache_clear()
    try:
        graph = converted_run(0).canonical
        compressor = zlib.compressobj(3, zlib.DEFLATED, -15, zdict=DICTIONARY)
        assert encode(graph) == b"\x01" + compressor.compress(graph) + compressor.flush()
    finally:
        compression._new_compressor.cache_clear()


def test_isal_is_used_where_it_is() -> None:
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15, zdict=DICTIONARY)
    graph = converted_run(0).canonical
    assert encode(graph) == b"\x01" + compressor.compress(graph) + compressor.flush()
