"""RFC 3161 time-stamps over a checkpoint: a time from outside, by an authority that sees only a hash.

Specifications: RFC 3161, RFC 5816; ASN.1, signature and certificate chain by `rfc3161-client`, which is
an extra (`pip install 'provgraph[timestamp]'`). The token is over the SHA-256 (or 512) of the
checkpoint's text, the three lines that name the tree, so that cosignatures added later change nothing:
all that the tree holds existed at that time. `openssl ts -verify` checks the same bytes.

A token says who signed it; whether that authority is to be believed is for the reader, who brings its
root certificates. Certificates count as they were at the time that the token states.

What it does not do: look whether a certificate was revoked, or speak HTTP.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provgraph.errors import FormatError, UntrustedError, UsageError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

MEMBER: Final = "checkpoint.tsr"
"""The token's name in a bundle."""

MAX_TOKEN_BYTES: Final = 64 * 1024
QUERY_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"

_MAX_CA_BYTES: Final = 1024 * 1024
_HASHES: Final = {
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*")
_REASON = re.compile(r'data: "(?:Verify error: )?([^"]+)"')
# Tags of DER (X.690) on the way to the certificates of a token.
_SEQUENCE: Final = 0x30
_CONTEXT_0: Final = 0xA0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """What a token states: when, and who says so."""

    at: datetime
    authority: str  # subject of the certificate that signed
    is_trusted: bool  # whether signature and chain were checked against the reader's roots


@dataclass(frozen=True, slots=True)
class Roots:
    """Certificates of the authorities that a reader trusts."""

    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A request for a token; the nonce must come back in it."""

    data: bytes
    nonce: int


def new_query(text: bytes) -> Query:
    """Ask for a token over a checkpoint's text.

    Raises:
        UsageError: the extra is not installed.
    """
    _require_library()
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    builder = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256)
    request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    assert request.nonce is not None, "one was asked for"
    return Query(data=request.as_bytes(), nonce=request.nonce)


def read_timestamp(
    token: bytes, text: bytes, *, roots: Roots | None = None, nonce: int | None = None
) -> Timestamp:
    """Check a token (a whole TimeStampResp) over a checkpoint's text.

    1. It is a granted answer in DER, with one signer, whose certificate it carries.
    2. It is over this very text (a token over another checkpoint says nothing of this one).
    3. With `nonce`: it answers that query (an old answer played back).
    4. With `roots`: it is signed by a certificate for time-stamping, valid at that time, that one of
       them vouches for.

    Raises:
        FormatError: step 1.
        UntrustedError: steps 2 to 4.
        UsageError: the extra is not installed.
    """
    _require_library()
    # 1.
    response, signer = _opened(token)
    info = response.tst_info
    # 2.
    algorithm = info.message_imprint.hash_algorithm.dotted_string
    if algorithm not in _HASHES:
        raise UntrustedError(
            f"time-stamp: expected a token over a SHA-256 or SHA-512, found {algorithm}"
        )
    expected = _HASHES[algorithm](text).digest()
    if info.message_imprint.message != expected:
        raise UntrustedError(
            f"time-stamp: expected a token over the checkpoint, digest {expected.hex()}, found one over"
            f" {info.message_imprint.message.hex()[:128]}"
        )
    # 3.
    if nonce is not None and info.nonce != nonce:
        raise UntrustedError("time-stamp: the answer is to another query: its nonce is not ours")
    # 4.
    if roots is not None:
        _require_trusted(response, expected, roots)
    return Timestamp(
        at=info.gen_time.astimezone(UTC),
        authority=signer.subject.rfc4514_string(),
        is_trusted=roots is not None,
    )


def parse_roots(data: bytes, *, what: str) -> Roots:
    """Read certificates in PEM, one after the other.

    Raises:
        UsageError: no certificate, or something else.
    """
    _require_library()
    from cryptography.x509 import load_pem_x509_certificate

    blocks = _PEM.findall(data) if len(data) <= _MAX_CA_BYTES else []
    try:
        roots = tuple(load_pem_x509_certificate(block) for block in blocks)
    except ValueError as error:
        raise UsageError(f"{what}: expected certificates in PEM: {error}") from None
    if not roots:
        raise UsageError(f"{what}: expected certificates in PEM, found none")
    return Roots(roots)


def _require_library() -> None:
    try:
        import rfc3161_client  # noqa: F401 - only whether it is there
    except ImportError:
        raise UsageError(
            "time-stamps need another package: pip install 'provgraph[timestamp]'"
        ) from None


def _opened(token: bytes) -> tuple[TimeStampResponse, Certificate]:
    """Decode a token; return it with the certificate of its signer."""
    from cryptography.x509 import load_der_x509_certificate
    from rfc3161_client import PKIStatus, decode_timestamp_response

    if len(token) > MAX_TOKEN_BYTES:
        raise FormatError(
            f"time-stamp: expected at most {MAX_TOKEN_BYTES} bytes, found {len(token)}"
        )
    try:
        response = decode_timestamp_response(_with_sorted_certificates(token))
        status = PKIStatus(response.status)
        if status != PKIStatus.GRANTED:
            said = ", ".join(response.status_string)[:200]
            raise FormatError(
                f"time-stamp: the authority did not grant one: {status.name} {said}".rstrip()
            )
        (signer_info,) = response.signed_data.signer_infos
        wanted = signer_info.issuer, signer_info.serial_number
        with warnings.catch_warnings():
            # What cryptography warns about (a serial number below 1) is against RFC 5280.
            warnings.simplefilter("error")
            certificates = map(load_der_x509_certificate, response.signed_data.certificates)
            (signer,) = [
                each for each in certificates if (each.issuer, each.serial_number) == wanted
            ]
        _ = (response.tst_info.gen_time, response.tst_info.message_imprint, signer.subject)
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(
            f"time-stamp: expected a token of RFC 3161 in DER with its signer's certificate: {error}"
        ) from None
    return response, signer


def _require_trusted(response: TimeStampResponse, digest: bytes, roots: Roots) -> None:
    from rfc3161_client import VerificationError, VerifierBuilder

    try:
        VerifierBuilder(roots=list(roots.certificates)).build().verify(response, digest)
    except (VerificationError, ValueError) as error:
        # OpenSSL's reason, out of the dump of its error stack.
        found = _REASON.search(str(error))
        reason = found[1] if found is not None else str(error)
        raise UntrustedError(
            f"time-stamp: no authority that you trust signed it: {reason}"
        ) from None


def _with_sorted_certificates(token: bytes) -> bytes:
    """Put the certificates of a token in the order of DER, which OpenSSL's authority does not keep.

    They stand outside of what is signed, and sorting changes no length. Whatever else is not in DER is
    left for the parser to refuse.
    """
    try:
        start, end = _inside(token, 0, len(token), _SEQUENCE)  # TimeStampResp
        _, start = _element(token, start, end)  # PKIStatusInfo
        start, end = _inside(token, start, end, _SEQUENCE)  # ContentInfo
        _, start = _element(token, start, end)  # its type
        start, end = _inside(token, start, end, _CONTEXT_0)
        start, end = _inside(token, start, end, _SEQUENCE)  # SignedData
        for _ in ("version", "digestAlgorithms", "encapContentInfo"):
            _, start = _element(token, start, end)
        start, end = _inside(token, start, end, _CONTEXT_0)  # certificates
        certificates = []
        place = start
        while place < end:
            _, after = _element(token, place, end)
            certificates.append(token[place:after])
            place = after
    except ValueError:
        return token
    return token[:start] + b"".join(sorted(certificates)) + token[end:]


def _inside(data: bytes, place: int, end: int, tag: int) -> tuple[int, int]:
    """Return where the content of the element at a place begins and ends."""
    content, after = _element(data, place, end)
    if data[place] != tag:
        raise ValueError("another tag")
    return content, after


def _element(data: bytes, place: int, end: int) -> tuple[int, int]:
    """Return where the content of the element at a place begins, and where the next one does."""
    if place + 2 > end:
        raise ValueError("cut off")
    length, content = data[place + 1], place + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or content + count > end:
            raise ValueError("no length of DER")
        length = int.from_bytes(data[content : content + count], "big")
        content += count
    if content + length > end:
        raise ValueError("cut off")
    return content, content + length
