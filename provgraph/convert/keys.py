"""Decisions about keys as PROV-O: an act by somebody that made a key count, or ended that.

The key is a prov:Entity named as proofs name it (`did:key:<multikey>#<multikey>`); it was generated
by the act that added it and invalidated by the one that revoked it, attributed to its owner, and a
revision of the key that it replaces. `provgraph.seal.keyevent` reads these graphs back, strictly.
"""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import KeyAddition, KeyDecision, KeyRevocation
from provgraph.terms import Term
from provgraph.vocab import LABEL, PROV_T, A, C, P


def key_addition(record: KeyAddition, record_iri: str, context: Context) -> Sheet:
    """Write that a key may seal in a role."""
    sheet, act = _act("KeyAddition", record, record_iri, context)
    key = _key(sheet, record.key)
    sheet.add(key, PROV_T["wasGeneratedBy"], act)
    sheet.text(key, P["keyRole"], record.role)
    if record.owner is not None:
        sheet.add(key, PROV_T["wasAttributedTo"], sheet.agent(record.owner))
    sheet.time(key, P["validFrom"], record.valid_from)
    sheet.time(key, P["validUntil"], record.valid_until)
    if record.replaces is not None:
        sheet.add(key, PROV_T["wasRevisionOf"], terms.iri(record.replaces))
    return sheet


def key_revocation(record: KeyRevocation, record_iri: str, context: Context) -> Sheet:
    """Write that a key counts no more."""
    sheet, act = _act("KeyRevocation", record, record_iri, context)
    key = _key(sheet, record.key)
    sheet.add(key, PROV_T["wasInvalidatedBy"], act)
    sheet.text(act, P["revocationReason"], record.revocation_reason)
    sheet.number(act, P["countsBefore"], record.counts_before)
    return sheet


def _act(
    act_class: str, record: KeyDecision, record_iri: str, context: Context
) -> tuple[Sheet, Term]:
    kind = {"KeyAddition": "key-addition", "KeyRevocation": "key-revocation"}[act_class]
    home = vocab.activity_iri(kind, record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("KeyEventRecord")
    act = terms.iri(home)
    sheet.add(act, A, PROV_T["Activity"])
    sheet.add(act, A, C[act_class])
    sheet.time(act, PROV_T["startedAtTime"], record.at)
    sheet.time(act, PROV_T["endedAtTime"], record.at)
    if record.by is not None:
        sheet.add(act, PROV_T["wasAssociatedWith"], sheet.agent(record.by))
    sheet.text(act, P["reason"], record.reason)
    sheet.missing(act, record.missing)
    return sheet, act


def _key(sheet: Sheet, method: str) -> Term:
    multikey = method.partition("#")[2]
    key = terms.iri(method)
    sheet.add(key, A, PROV_T["Entity"])
    sheet.add(key, A, C["Key"])
    sheet.text(key, LABEL, multikey)
    sheet.named("key", multikey, "", key)
    return key
