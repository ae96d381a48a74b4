"""Every parser of a stranger's bytes, with true samples to falsify, for Hypothesis and for atheris.

`PARSERS[name].parse(data)` may return, or raise FormatError, UntrustedError or NotFoundError; anything
else is a fault. `mutate` makes from true bytes what a forger or a bad disk would.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import key_samples

from provgraph import vocab
from provgraph.convert.prov import convert
from provgraph.errors import FormatError, NotFoundError, UntrustedError
from provgraph.export.tokens import require_statements_only
from provgraph.export.views import check_views
from provgraph.records import Agent, Tombstone
from provgraph.seal import cosignature, jcs, keyevent, note, tiles, tombstone, trustfile
from provgraph.seal.attestation import (
    DSSE,
    PAYLOAD_TYPE,
    SIGSTORE,
    Attested,
    attest,
    check_attestation,
)
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.charter import new_charter, open_charter
from provgraph.seal.dsse import open_envelope, open_sigstore_bundle
from provgraph.seal.entry import TOMBSTONE, Entry, parse_entry
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.merkle import leaf_hash, tree_root
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.multikey import (
    ED25519,
    PublicKey,
    base58_decode,
    decode_multikey,
    encode_multikey,
    multibase_decode,
    parse_verification_method,
    public_pem,
)
from provgraph.seal.note import (
    Checkpoint,
    Cosigner,
    NoteKey,
    add_signature,
    open_checkpoint,
    open_note,
)
from provgraph.seal.proof import parse_proof_config, seal, verify_seal
from provgraph.seal.tlogproof import TlogProof, parse_tlog_proof, verify_tlog_proof
from provgraph.seal.witnessed import add_cosignatures, parse_witness_keys
from provgraph.terms import literal_parts, parse_lines
from provgraph.witness.protocol import new_submission, parse_size, parse_submission

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "0.1.0" / "bundle.zip"
EXPECTED = (FormatError, UntrustedError, NotFoundError)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Parser:
    """A parser, and bytes that it takes."""

    parse: Callable[[bytes], object]
    samples: tuple[bytes, ...]


def of_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """As an argument of the command line, which may hold bytes that are no text."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


LOG, SECOND = signer_from_seed(b"\x21" * 32), mldsa_signer_from_seed(b"\x22" * 32)
CHARTER = new_charter(
    log_signer=LOG, mldsa_key=SECOND.public_key, created=NOW, namespace="example.org"
)
OLD_CHARTER = new_charter(log_signer=LOG, created=NOW, namespace=None)
OPENED = open_charter(CHARTER)
KEYS = OPENED.log_keys
GRAPH = key_samples.key_add_graph(key_samples.PRODUCER, "producer")
SEAL = seal(GRAPH, signer=LOG, created=NOW)
ENTRY = Entry(
    kind="record",
    graph="urn:x:1",
    graph_sha256=hashlib.sha256(GRAPH).hexdigest(),
    proof_sha256=hashlib.sha256(SEAL.proof_nq).hexdigest(),
    proof_value=SEAL.proof_value,
    verification_method=SEAL.verification_method,
    salt="0" * 32,
)
TOMBSTONE_GRAPH = convert(
    Tombstone(
        id="3",
        record="urn:x:1",
        entry_index=0,
        leaf_hash="sha256:" + "ab" * 32,
        graph_digest="sha256:" + ENTRY.graph_sha256,
        by=Agent(name="ada"),
        reason="asked for by the person",
        at=NOW,
    ),
    record_id="tombstone-1",
    context=key_samples.CONTEXT,
).canonical
LEAVES = [leaf_hash(ENTRY.encode()), leaf_hash(b"another")]
CHECKPOINT = Checkpoint(origin=OPENED.origin, size=2, root=tree_root(LEAVES))
NOTE = note.sign_checkpoint(
    CHECKPOINT, LOG, Cosigner(name=OPENED.origin, signer=SECOND, clock=lambda: NOW)
)
WITNESS = Cosigner(
    name="witness.example.org", signer=signer_from_seed(b"\x23" * 32), clock=lambda: NOW
)
PROOF = TlogProof(index=0, hashes=(LEAVES[1],), checkpoint=NOTE)
ATTESTED = [Attested(position=0, graph="urn:x:1", sha256=ENTRY.graph_sha256)]
ATTESTATION = attest(CHECKPOINT, ATTESTED, log_signer=LOG)
LOG_KEY = PublicKey(algorithm=ED25519, raw=LOG.public_key)
TRUST = key_samples.signed_by(
    key_samples.trust_list(key_samples.listed(key_samples.PRODUCER, "producer")).encode(), 0, 1
)
TURTLE = (
    f'@prefix pg: <{vocab.PG}> .\n\n<urn:a:b> a pg:Run ;\n\tpg:x "q\\"x"@en , 1.5 , true .\n'
).encode()


def check_seal(data: bytes) -> object:
    """All three parts of a seal, parted by NUL."""
    graph_nq, _, rest = data.partition(b"\0")
    proof_nq, _, value = rest.partition(b"\0")
    return verify_seal(graph_nq, proof_nq, value.decode("utf-8", "replace"))


def check_proof(data: bytes) -> object:
    proof = parse_tlog_proof(data)
    proof.encode()
    return verify_tlog_proof(proof, entry=ENTRY.encode(), keys=KEYS)


def check_both(data: bytes) -> object:
    members = {DSSE: data, SIGSTORE: ATTESTATION[SIGSTORE]}
    return check_attestation(members, CHECKPOINT, ATTESTED, log_key=LOG.public_key)


def read_trust(data: bytes) -> object:
    trusted = trustfile.open_trust(data)
    return trustfile.require_roots(trusted, [key_samples.root_key(0)])


def read_literals(data: bytes) -> object:
    return [
        literal_parts(term) for row in parse_lines(data) for term in row if term.startswith('"')
    ]


def read_tombstone(data: bytes) -> object:
    return tombstone.read_claim(data, position=3, entry=replace(ENTRY, kind=TOMBSTONE))


def read_zip(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.zip"
        path.write_bytes(data)
        bundle = verify_bundle(path, report=lambda _step, _text: None)
        return check_views(bundle)


def text(value: str) -> tuple[bytes, ...]:
    return (value.encode(),)


PARSERS = {
    "note": Parser(lambda data: open_note(data, KEYS), (NOTE, CHARTER)),
    "checkpoint": Parser(lambda data: open_checkpoint(data, *KEYS), (NOTE,)),
    "checkpoint text": Parser(note.parse_checkpoint, (CHECKPOINT.encode(),)),
    "charter": Parser(open_charter, (CHARTER, OLD_CHARTER)),
    "verifier key": Parser(
        of_text(note.parse_vkey),
        tuple(key.vkey.encode() for key in KEYS)
        + text(NoteKey(name="example.org/log", public_key=LOG.public_key).vkey),
    ),
    "cosignature": Parser(
        lambda data: cosignature.split_time(data, what="fuzz"), (bytes(72), bytes(2428))
    ),
    "base64": Parser(of_text(note.decode_base64), (b"AAECAw==",)),
    "proof file": Parser(check_proof, (PROOF.encode(),)),
    "proof configuration": Parser(parse_proof_config, (SEAL.proof_nq,)),
    "seal": Parser(check_seal, (b"\0".join([GRAPH, SEAL.proof_nq, SEAL.proof_value.encode()]),)),
    "entry": Parser(parse_entry, (ENTRY.encode(),)),
    "canonical JSON": Parser(jcs.parse_canonical, (ENTRY.encode(), b'[1,true,"\\u0000"]')),
    "plain JSON": Parser(jcs.parse_plain, (b'{"a": [1, {"b": "c"}], "d": true}\n',)),
    "envelope": Parser(
        lambda data: open_envelope(data, payload_type=PAYLOAD_TYPE, key=LOG_KEY),
        (ATTESTATION[DSSE],),
    ),
    "Sigstore bundle": Parser(
        lambda data: open_sigstore_bundle(data, key=LOG_KEY), (ATTESTATION[SIGSTORE],)
    ),
    "attestation": Parser(check_both, (ATTESTATION[DSSE],)),
    "submission to a witness": Parser(
        parse_submission,
        (new_submission(old_size=1, proof=[LEAVES[0], LEAVES[1]], note=NOTE).encode(),),
    ),
    "size of a witness": Parser(parse_size, (b"17\n",)),
    "answer of a witness": Parser(
        lambda data: add_cosignatures(NOTE, data, [WITNESS.key]),
        (add_signature(NOTE, WITNESS)[len(NOTE) :],),
    ),
    "witness keys": Parser(
        of_text(lambda value: parse_witness_keys(value.split())), text(WITNESS.key.vkey)
    ),
    "tile": Parser(lambda data: tiles.decode_tile(data, width=2), (b"".join(LEAVES),)),
    "entry bundle": Parser(
        lambda data: tiles.decode_bundle(data, width=2),
        (tiles.encode_bundle([ENTRY.encode(), b"another"]),),
    ),
    "base58": Parser(of_text(base58_decode), text(encode_multikey(LOG_KEY)[1:])),
    "multibase": Parser(
        of_text(lambda value: multibase_decode(value, length=64, what="fuzz")),
        text(SEAL.proof_value),
    ),
    "multikey": Parser(
        of_text(lambda value: public_pem(decode_multikey(value))),
        text(encode_multikey(LOG_KEY)) + text(key_samples.method(key_samples.HARDWARE)[8:57]),
    ),
    "verification method": Parser(
        of_text(parse_verification_method), text(SEAL.verification_method)
    ),
    "trust file": Parser(read_trust, (TRUST,)),
    "key event": Parser(lambda data: keyevent.parse_key_event("key-add", data), (GRAPH,)),
    "key revocation": Parser(
        lambda data: keyevent.parse_key_event("key-revoke", data),
        (key_samples.key_revoke_graph(key_samples.PRODUCER, "compromised", counts_before=3),),
    ),
    "tombstone": Parser(read_tombstone, (TOMBSTONE_GRAPH,)),
    "graph": Parser(read_literals, (GRAPH,)),
    "view": Parser(
        lambda data: require_statements_only(data.decode("utf-8", "replace"), vocab.PREFIXES),
        (TURTLE,),
    ),
    "bundle": Parser(read_zip, (GOLDEN.read_bytes(),)),
}

# Whatever else a falsified sample of these is, it does not verify.
SIGNED = (
    "checkpoint",
    "charter",
    "proof file",
    "seal",
    "envelope",
    "attestation",
    "verification method",
    "verifier key",
)

# What parsers stumble over: ends, signs that part things, numbers at limits, other alphabets.
WORDS = (
    *(b"", b"\0", b"\n", b"\n\n", b"\r\n", b" ", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(
        "— ".encode(),
        "\u2028".encode(),
        "\u202e".encode(),
        "\uff11".encode(),
        "\U0010ffff".encode(),
    ),
    *(b"0", b"-1", b"1e400", b"9" * 25, b"9" * 5000, b"18446744073709551616", b"1.0", b"NaN"),
    *(b"[" * 2000, b'{"a":' * 2000, b'"', b"\\", b"\\ud800", b"null", b"true", b"=", b"+", b"#"),
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\xff" * 8),
)


def mutate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Change true bytes once to four times: bits, cuts, repeats, words, and parts of another."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        size = len(changed)
        start = chance.randint(0, size)
        stop = min(size, start + chance.choice((0, 1, 2, 4, 32, 64, size)))
        kind = chance.randrange(7)
        if kind == 0 and start < size:
            changed[start] ^= 1 << chance.randrange(8)
        elif kind == 1 and start < size:
            changed[start] = chance.randrange(256)
        elif kind == 2:
            del changed[start:stop]
        elif kind == 3:
            changed[start:start] = changed[start:stop]
        elif kind == 4:
            changed[start:stop] = chance.choice(WORDS)
        elif kind == 5:
            at = chance.randint(0, len(other))
            changed[start:stop] = other[at : at + chance.choice((1, 4, 32, len(other)))]
        else:
            # Places of structure: the ends of lines and fields.
            marks = [at for at, byte in enumerate(changed[:5000]) if byte in b'\n" :,{}+#']
            if marks:
                at = chance.choice(marks)
                changed[at : at + chance.randint(0, 2)] = chance.choice(WORDS)
    return bytes(changed)


def cases(name: str, *, seed: int, count: int) -> Iterator[bytes]:
    """Yield falsified samples of a parser, the same for the same seed."""
    chance = random.Random(f"{name} {seed}")
    samples = PARSERS[name].samples
    for _ in range(count):
        yield mutate(chance, chance.choice(samples), chance.choice(samples))
