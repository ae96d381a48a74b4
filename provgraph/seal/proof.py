"""The seal: a W3C Data Integrity proof over the canonical bytes of one graph.

Specifications: Verifiable Credential Data Integrity 1.0 section 4; Data Integrity EdDSA
Cryptosuites 1.0 section 3.2 (`eddsa-rdfc-2022`, Ed25519); Data Integrity ECDSA Cryptosuites 1.0
section 3.2 (`ecdsa-rdfc-2019`, here P-256 with SHA-256 only). The two differ in the key and in the
name of the suite, which is itself signed. The proof configuration is always the same five canonical
lines, so neither signing nor verifying needs an RDF or JSON-LD processor.

A proof set is several such proofs over one graph: each is checked for itself.

What it does not do: it judges no trust (whose key it is, and whether it was revoked), and does not
canonicalise: the graph's bytes come from `provgraph.terms`, or from outside and are then checked.
"""

from __future__ import annotations

import functools
import hashlib
import re
from datetime import datetime
from itertools import islice
from operator import lt
from typing import Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.frozen import dataclass
from provgraph.seal.keys import SIGNATURE_BYTES, Signer, verify_signature
from provgraph.seal.multikey import (
    ED25519,
    P256,
    base58_encode,
    multibase_decode,
    parse_verification_method,
)
from provgraph.terms import MAX_GRAPH_BYTES, Canonical, format_time, sha256_of

EDDSA_RDFC_2022: Final = "eddsa-rdfc-2022"
ECDSA_RDFC_2019: Final = "ecdsa-rdfc-2019"

# The kind of key that each cryptosuite takes, and the other way round.
_ALGORITHMS: Final = {EDDSA_RDFC_2022: ED25519, ECDSA_RDFC_2019: P256}
_SUITES: Final = {algorithm: suite for suite, algorithm in _ALGORITHMS.items()}

_SECURITY: Final = "https://w3id.org/security#"
_CONFIG: Final = (
    '_:c14n0 <http://purl.org/dc/terms/created> "{created}"'
    "^^<http://www.w3.org/2001/XMLSchema#dateTime> .\n"
    "_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
    f" <{_SECURITY}DataIntegrityProof> .\n"
    f'_:c14n0 <{_SECURITY}cryptosuite> "{{suite}}"^^<{_SECURITY}cryptosuiteString> .\n'
    f"_:c14n0 <{_SECURITY}proofPurpose> <{_SECURITY}assertionMethod> .\n"
    f"_:c14n0 <{_SECURITY}verificationMethod> <{{method}}> .\n"
)
# What stands before the time, which is in every proof another; what follows is in all of a key the same.
_BEGIN: Final = _CONFIG.partition("{created}")[0].encode()
_REST: Final = re.compile(
    re.escape(_CONFIG.partition("{created}")[2])
    .replace(re.escape("{suite}"), f"(?P<suite>{'|'.join(map(re.escape, _ALGORITHMS))})")
    .replace(re.escape("{method}"), "(?P<method>did:key:z[1-9A-Za-z]{1,128}#z[1-9A-Za-z]{1,128})")
)

# The five lines with the longest time and key are under 800 bytes.
_MAX_PROOF_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A proof as it was made: what goes into the ledger beside the graph."""

    graph_sha256: bytes
    proof_nq: bytes
    proof_value: str
    verification_method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofConfig:
    """What a proof configuration says: the signer's claim of time, the suite and the key."""

    created: datetime
    cryptosuite: str
    verification_method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSeal:
    """The facts that a signature was checked for. `created` is the signer's claim, no more."""

    graph_sha256: bytes
    proof_sha256: bytes
    cryptosuite: str
    verification_method: str
    public_key: bytes
    created: datetime


def proof_config(
    created: datetime, verification_method: str, *, cryptosuite: str = EDDSA_RDFC_2022
) -> bytes:
    """Return `proof.nq`: the proof without its value, as five canonical N-Quads lines."""
    return _CONFIG.format(
        created=format_time(created), suite=cryptosuite, method=verification_method
    ).encode()


def parse_proof_config(proof_nq: bytes) -> ProofConfig:
    """Read `proof.nq`; the inverse of `proof_config`, and of nothing else.

    Raises:
        FormatError: not exactly the five lines, or a time that is none.
    """
    if len(proof_nq) > _MAX_PROOF_BYTES:
        raise FormatError(
            f"expected a proof of at most {_MAX_PROOF_BYTES} bytes, found {len(proof_nq)}"
        )
    end = proof_nq.find(b'"', len(_BEGIN))
    said = _parse_rest(proof_nq[end:])
    created = _parse_time(proof_nq[len(_BEGIN) : end].decode("ascii", "replace"))
    if not proof_nq.startswith(_BEGIN) or said is None or created is None:
        raise FormatError(
            f"expected the five lines of a proof configuration ({' or '.join(_ALGORITHMS)}), with"
            f" the time as 2026-01-02T03:04:05Z and a did:key; found {proof_nq[:200]!r}"
        )
    return ProofConfig(created=created, cryptosuite=said[0], verification_method=said[1])


@functools.lru_cache(256)
def _parse_rest(rest: bytes) -> tuple[str, str] | None:
    """Read a proof configuration from the end of its time on: the suite and the key."""
    match = _REST.fullmatch(rest.decode("ascii", "replace"))
    return None if match is None else (match["suite"], match["method"])


def seal(graph_nq: bytes, *, signer: Signer, created: datetime) -> Seal:
    """Sign the canonical N-Quads of a graph, with the cryptosuite that the signer's key asks for.

    Raises:
        FormatError: the bytes are not sorted N-Quads lines.
    """
    if type(graph_nq) is not Canonical:
        require_sorted_lines(graph_nq)
    proof_nq = proof_config(
        created, signer.verification_method, cryptosuite=_SUITES[signer.algorithm]
    )
    graph_sha256 = sha256_of(graph_nq)
    # EdDSA Cryptosuites 1.0, 3.2.4, and ECDSA Cryptosuites 1.0, 3.2.4: the proof's hash is first.
    signature = signer.sign(hashlib.sha256(proof_nq).digest() + graph_sha256)
    return Seal(
        graph_sha256=graph_sha256,
        proof_nq=proof_nq,
        proof_value="z" + base58_encode(signature),
        verification_method=signer.verification_method,
    )


def verify_seal(
    graph_nq: bytes, proof_nq: bytes, proof_value: str, *, graph: str | None = None
) -> VerifiedSeal:
    """Check that a key signed exactly this graph.

    1. The graph's bytes are sorted lines (otherwise one graph would have several texts); with
       `graph`, all of them are in the graph of that IRI (a statement smuggled into another record).
    2. The proof configuration is exactly the five lines, of one of the two cryptosuites (EdDSA and
       ECDSA Cryptosuites 3.2.5: type and purpose are fixed, and the suite is signed too).
    3. The verification method is a did:key whose fragment is the key itself, of the kind that the
       suite takes (a key of one algorithm read as one of another), not weak, on its curve.
    4. The proof value is base58btc of 64 bytes, in its only spelling.
    5. The signature verifies over SHA-256(proof) || SHA-256(graph) (both specifications, 3.2.2).

    Raises:
        FormatError: steps 1 to 4, where the form is wrong.
        UntrustedError: step 3, an unfit key; step 5.
    """
    # 1.
    require_sorted_lines(graph_nq, graph=graph)
    return verify_sealed_hash(hashlib.sha256(graph_nq).digest(), proof_nq, proof_value)


def verify_sealed_hash(graph_sha256: bytes, proof_nq: bytes, proof_value: str) -> VerifiedSeal:
    """Check that a key signed a graph of this SHA-256: steps 2 to 5 of `verify_seal`.

    This is all that can be said of a graph that was erased.

    Raises:
        FormatError: steps 2 to 4, where the form is wrong.
        UntrustedError: step 3, an unfit key; step 5.
    """
    proof_sha256 = hashlib.sha256(proof_nq).digest()
    config = check_sealed_hashes(
        proof_sha256 + graph_sha256, proof_nq=proof_nq, proof_value=proof_value
    )
    return VerifiedSeal(
        graph_sha256=graph_sha256,
        proof_sha256=proof_sha256,
        cryptosuite=config.cryptosuite,
        verification_method=config.verification_method,
        public_key=parse_verification_method(config.verification_method).raw,
        created=config.created,
    )


def check_sealed_hashes(hash_data: bytes, *, proof_nq: bytes, proof_value: str) -> ProofConfig:
    """Check that the key in a proof signed SHA-256(proof) || SHA-256(graph), made by the caller.

    Raises:
        FormatError: steps 2 to 4 of `verify_seal`, where the form is wrong.
        UntrustedError: step 3, an unfit key; step 5.
    """
    # 2.
    config = parse_proof_config(proof_nq)
    # 3. (verify_signature refuses weak keys)
    key = parse_verification_method(config.verification_method)
    if key.algorithm != _ALGORITHMS[config.cryptosuite]:
        raise UntrustedError(
            f"expected a key for {config.cryptosuite} ({_ALGORITHMS[config.cryptosuite]}),"
            f" found {key.algorithm} in {config.verification_method}"
        )
    # 4.
    signature = multibase_decode(proof_value, length=SIGNATURE_BYTES, what="a proofValue")
    # 5.
    verify_signature(key, signature, hash_data, what="seal")
    return config


def require_sorted_lines(graph_nq: bytes, *, graph: str | None = None) -> list[bytes]:
    """Refuse bytes that are no canonical line order: LF after each line, sorted, none twice, UTF-8.

    Return the lines, without line feeds.

    Bytes compare as code points do, so no decoding is needed to compare. With `graph`, each line
    must end with that IRI: since a literal ends with a quote or its datatype, and a line feed stands
    in none, this is the name of the graph that the statement is in.

    Raises:
        FormatError: what is wrong, with the line.
    """
    if len(graph_nq) > MAX_GRAPH_BYTES:
        raise FormatError(
            f"expected a graph of at most {MAX_GRAPH_BYTES} bytes, found {len(graph_nq)}"
        )
    if not graph_nq.isascii():
        try:
            graph_nq.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"expected a graph in UTF-8: {error}") from None
    if not graph_nq.endswith(b" .\n") or b"\r" in graph_nq:
        raise FormatError("expected N-Quads lines that each end in ' .' and LF, without CR")
    lines = graph_nq.split(b"\n")
    lines.pop()
    if graph is not None:
        end = f" <{graph}> .".encode()
        # A line feed stands at its end only, so each line that ends so counts once.
        if b"\n" in end or graph_nq.count(end + b"\n") != len(lines):
            stray = next(line for line in lines if not line.endswith(end))
            raise FormatError(f"a statement lies outside the graph {graph}: {stray[:200]!r}")
    if lines[0] and all(map(lt, lines, islice(lines, 1, None))):
        return lines
    previous = b""
    for number, line in enumerate(lines, start=1):
        if line <= previous:
            raise FormatError(
                f"expected sorted N-Quads lines without duplicates; line {number} does not come"
                f" after the one before it: {line[:120]!r}"
            )
        previous = line
    return lines


def _parse_time(text: str) -> datetime | None:
    """Read a time in the only spelling that `format_time` writes."""
    try:
        created = datetime.fromisoformat(text)
        return created if format_time(created) == text else None
    except (ValueError, FormatError):
        return None
