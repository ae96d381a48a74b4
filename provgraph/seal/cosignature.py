r"""What a cosigner of a checkpoint signs: the two messages of C2SP tlog-cosignature.

Specification: C2SP tlog-cosignature. Both forms state a time, and travel as a timestamped signature:
the time as big-endian uint64 (POSIX seconds; 0 means that none is stated), then the signature.

Ed25519 (type 0x04) signs `cosignature/v1\ntime <t>\n` and the checkpoint's text. ML-DSA-44 (0x06)
signs a binary message that names the cosigner, the log, and the range of leaves under the root; here
the range is always the whole tree. Pure functions over bytes.
"""

from __future__ import annotations

from typing import Final

from provgraph.errors import FormatError, UntrustedError

TIME_BYTES: Final = 8
MAX_TIME_S: Final = 2**63 - 1

_ED25519_HEADER: Final = b"cosignature/v1\n"
_MLDSA_LABEL: Final = b"subtree/v1\n\0"
_MAX_NAME_BYTES: Final = 255


def ed25519_message(body: bytes, *, time_s: int) -> bytes:
    """Return what an Ed25519 cosigner signs: two lines, then the whole text of the checkpoint."""
    return _ED25519_HEADER + f"time {time_s}\n".encode() + body


def mldsa44_message(*, cosigner: str, time_s: int, origin: str, size: int, root: bytes) -> bytes:
    """Return what an ML-DSA-44 cosigner signs: the structure `cosigned_message`.

    Raises:
        FormatError: a name or origin over 255 bytes, or a time before 1970: the structure cannot
            hold them.
    """
    return b"".join(
        (
            _MLDSA_LABEL,
            _opaque(cosigner, what="a cosigner's name"),
            _time(time_s),
            _opaque(origin, what="a log's origin"),
            _uint64(0),
            _uint64(size),
            root,
        )
    )


def join_time(time_s: int, signature: bytes) -> bytes:
    """Return a timestamped signature.

    Raises:
        FormatError: a time before 1970 or after the last that the format knows.
    """
    return _time(time_s) + signature


def split_time(blob: bytes, *, what: str) -> tuple[int, bytes]:
    """Return the time and the signature of a timestamped signature.

    Raises:
        UntrustedError: too short, or a time that the specification forbids.
    """
    time_s = int.from_bytes(blob[:TIME_BYTES], "big")
    if len(blob) <= TIME_BYTES or time_s > MAX_TIME_S:
        raise UntrustedError(f"{what}: expected a time up to {MAX_TIME_S} s and a signature")
    return time_s, blob[TIME_BYTES:]


def _time(time_s: int) -> bytes:
    if not 0 <= time_s <= MAX_TIME_S:
        raise FormatError(f"expected a time of 0 to {MAX_TIME_S} s since 1970, found {time_s}")
    return _uint64(time_s)


def _uint64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _opaque(text: str, *, what: str) -> bytes:
    """Write `opaque <1..2^8-1>` of the TLS presentation language (RFC 8446 section 3.4)."""
    data = text.encode()
    if not 0 < len(data) <= _MAX_NAME_BYTES:
        raise FormatError(
            f"expected {what} of 1 to {_MAX_NAME_BYTES} bytes, found {len(data)}: {text[:80]!r}"
        )
    return bytes([len(data)]) + data
