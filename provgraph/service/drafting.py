"""The next trust file of a ledger, drafted from what this home knows; people read it before they sign."""

from __future__ import annotations

from collections.abc import Sequence

from provgraph.errors import UsageError
from provgraph.seal.entry import LOG
from provgraph.seal.keyevent import WITNESS
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.seal.note import NoteKey
from provgraph.seal.trustfile import ListedKey, TrustList
from provgraph.service.home import readable_ledger, steward_signer
from provgraph.service.keylist import sealed_by
from provgraph.settings import Settings


def draft_trust(
    settings: Settings, *, roots: Sequence[NoteKey], threshold: int | None, owner: str
) -> TrustList:
    """Return the successor of the trust file in force, or the first one, with every key known here.

    Roots and threshold that are not given stay as they were.

    Raises:
        UsageError: no roots, and no trust file in force to take them from.
        UntrustedError: the ledger's key events, or the trust file in force, do not count.
    """
    with readable_ledger(settings) as ledger:
        keys, counts = ledger.keys(), sealed_by(ledger)
        origin = ledger.origin
        log = verification_method(PublicKey(algorithm=ED25519, raw=ledger.log_key))
    now = keys.trust
    if now is None and not roots:
        raise UsageError(
            "expected the root keys of the first trust file; make them with `provgraph keys create"
            " root-1.pem --name root-1.example.org`, and give each as --root"
        )
    listed = {} if now is None else {(key.method, key.role): key for key in now.says.keys}
    steward = steward_signer(settings).verification_method
    for method, role in [(log, LOG), (steward, "steward"), *keys.methods(), *counts]:
        addition = keys.addition(method, role)
        if (method, role) in listed or role == WITNESS:
            continue  # a witness needs the name that it cosigns under: for people to add
        if any(other == method for other, _ in keys.methods()) and addition is None:
            continue  # it sealed in a role that it has not
        revoked = keys.revocation(method)
        listed[method, role] = ListedKey(
            method=method,
            role=role,
            owner=owner if addition is None or addition.owner is None else addition.owner,
            valid_from=None if addition is None else addition.valid_from,
            valid_until=None if addition is None else addition.valid_until,
            counts_before=None if revoked is None else revoked.counts_before,
        )
    kept = () if now is None else now.says.roots
    return TrustList(
        origin=origin,
        version=1 if now is None else now.version + 1,
        threshold=threshold or (now.says.threshold if now is not None and not roots else 1),
        roots=tuple(roots) or kept,
        keys=tuple(listed.values()),
    )
