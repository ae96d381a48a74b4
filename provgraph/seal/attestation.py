"""The attestation of a bundle: in words that supply-chain tools know, what stands in the ledger.

Specification: in-toto Attestation Framework, Statement v1, in a DSSE envelope and the same in a
Sigstore bundle v0.3 (`provgraph.seal.dsse`). One statement covers a whole bundle. Its subjects are the
graphs; its predicate says at which places of which tree they stand.

The log key signs it, when the bundle is made. Producers have signed their own graphs long before,
each with a proof in W3C's form, and their private keys are elsewhere by then; what the log's operator
can attest is what he answers for anyway: these graphs stand in this ledger under this checkpoint.

What it does not do: speak for producers, or say that a record is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.frozen import dataclass
from provgraph.seal import jcs
from provgraph.seal.dsse import (
    open_envelope,
    open_sigstore_bundle,
    sign_envelope,
    wrap_for_sigstore,
)
from provgraph.seal.keys import Signer
from provgraph.seal.multikey import ED25519, PublicKey
from provgraph.seal.note import Checkpoint
from provgraph.vocab import BASE

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = f"{BASE}attestation/v1"

DSSE: Final = "attestation.dsse.json"
SIGSTORE: Final = "attestation.sigstore.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A graph in a bundle: its place in the ledger, its name and its SHA-256 in hex."""

    position: int
    graph: str
    sha256: str


def statement(checkpoint: Checkpoint, graphs: Sequence[Attested]) -> bytes:
    """Return the in-toto Statement over the graphs of a bundle, as RFC 8785 JSON.

    A subject's `name` is the file in the bundle, so that its digest can be checked with sha256sum;
    its `uri` is the graph. The predicate's `graphs` are in the order of the subjects.
    """
    ordered = sorted(graphs, key=lambda each: each.position)
    return jcs.encode(
        {
            "_type": STATEMENT_TYPE,
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "origin": checkpoint.origin,
                "ledgerSize": checkpoint.size,
                "ledgerRoot": checkpoint.root.hex(),
                "graphs": [{"position": each.position, "sha256": each.sha256} for each in ordered],
            },
            "subject": [
                {
                    "name": f"records/{each.position:06d}/graph.nq",
                    "uri": each.graph,
                    "digest": {"sha256": each.sha256},
                }
                for each in ordered
            ],
        }
    )


def attest(
    checkpoint: Checkpoint, graphs: Sequence[Attested], *, log_signer: Signer
) -> dict[str, bytes]:
    """Return the two members of a bundle that attest its graphs; the same every time."""
    payload = statement(checkpoint, graphs)
    envelope = sign_envelope(payload, payload_type=PAYLOAD_TYPE, signer=log_signer)
    key = PublicKey(algorithm=ED25519, raw=log_signer.public_key)
    return {DSSE: envelope, SIGSTORE: wrap_for_sigstore(envelope, key=key)}


def check_attestation(
    members: Mapping[str, bytes],
    checkpoint: Checkpoint,
    graphs: Sequence[Attested],
    *,
    log_key: bytes,
) -> bool:
    """Check a bundle's attestation against what was verified; return whether there is one.

    Bundles of 0.1.0 have none.

    1. Both members are there, or neither, and they hold the same envelope.
    2. The envelope is signed by the log key.
    3. It says exactly what this bundle shows: these graphs, at these places, under this checkpoint
       (an attestation of another bundle, of fewer graphs, or of more).

    Raises:
        FormatError: a member is malformed.
        UntrustedError: any step.
    """
    found = {DSSE, SIGSTORE} & set(members)
    if not found:
        return False
    # 1.
    if found != {DSSE, SIGSTORE}:
        raise UntrustedError(f"expected {DSSE} and {SIGSTORE}, found only {', '.join(found)}")
    key = PublicKey(algorithm=ED25519, raw=log_key)
    try:
        if open_sigstore_bundle(members[SIGSTORE], key=key) != members[DSSE]:
            raise UntrustedError(f"{SIGSTORE} holds another envelope than {DSSE}")
        # 2.
        payload = open_envelope(members[DSSE], payload_type=PAYLOAD_TYPE, key=key)
    except FormatError as error:
        raise FormatError(f"attestation: {error}") from None
    # 3.
    if payload != statement(checkpoint, graphs):
        raise UntrustedError(
            f"{DSSE} attests other graphs, places or another checkpoint than the bundle shows"
        )
    return True
