"""Whose keys count in a bundle. The forger here has the log key: he signs lists, trees and checkpoints.

Each attack is named after its flaw; `build` makes a home with it and exports a bundle from it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import provgraph
from provgraph.cli.main import main
from provgraph.digests import Digest
from provgraph.errors import UntrustedError
from provgraph.export.views import check_views
from provgraph.ledger import sqlite
from provgraph.records import Agent, Approval, Entity
from provgraph.seal.bundle import VerifiedBundle, verify_bundle, write_manifest
from provgraph.seal.bundle_keys import Anchors
from provgraph.seal.entry import KEY_ADD, KEY_REVOKE
from provgraph.seal.keyevent import LOG
from provgraph.seal.keys import Signer, generate_signer, signer_from_seed
from provgraph.seal.members import MANIFEST, write_zip
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.seal.note import Cosigner, NoteKey, NoteSigner, add_signature
from provgraph.seal.trustfile import ListedKey, TrustFile, TrustList, open_trust, sign_trust
from provgraph.service import recording, rotating
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle
from provgraph.service.home import log_signer, producer_signer, readable_ledger, steward_signer
from provgraph.service.trusting import install_trust
from provgraph.settings import load

ROOTS = [signer_from_seed(bytes([number]) * 32) for number in (31, 32, 33)]


def root_key(number: int) -> NoteKey:
    return NoteKey(name=f"root-{number}.example.org", public_key=ROOTS[number].public_key)


def train(version: str = "1") -> None:
    with provgraph.run("train", owner="ada@example.org") as run:
        run.use("s3://bucket/clean.csv", role="train", name="clean", digest="sha256:" + "ab" * 32)
        run.generate("s3://bucket/m", name="churn", version=version, digest="sha256:" + "cd" * 32)


def rotate(**changes) -> None:
    given = {"reason": "superseded", "counts_before": None, "owner": None, "valid_until": None}
    rotating.rotate_key(load(), "producer", **{**given, **changes, "why": rotating.Why()})


def exported() -> dict[str, bytes]:
    with open_reader(load()) as reader:
        return export_bundle(reader, "churn:1")


def signed_again(members: dict[str, bytes]) -> dict[str, bytes]:
    plain = {name: data for name, data in members.items() if name != MANIFEST}
    with readable_ledger(load()) as ledger:
        origin = ledger.origin
    note = NoteSigner(name=origin, signer=log_signer(load()))
    return {**plain, MANIFEST: write_manifest(plain, origin=origin, signer=note)}


def verify(members: dict[str, bytes], tmp_path: Path, **anchors) -> tuple[VerifiedBundle, str]:
    """Verify a bundle whole; return it with what step 8 said."""
    path = tmp_path / "bundle.zip"
    write_zip(path, members)
    said: dict[int, str] = {}
    bundle = verify_bundle(path, report=said.__setitem__, anchors=Anchors(**anchors))
    check_views(bundle)
    return bundle, said[8]


def trust_list(version: int = 1, *, extra=(), drop=(), **changes) -> TrustList:
    """List every key of the home, and those of its ledger that sealed."""
    settings = load()
    with readable_ledger(settings) as ledger:
        origin = ledger.origin
        log = verification_method(PublicKey(algorithm=ED25519, raw=ledger.log_key))
        sealers = {
            (record.verification_method, "producer" if record.kind == "record" else "steward")
            for record in ledger.records()
        }
    sealers |= {(log, LOG), (steward_signer(settings).verification_method, "steward")}
    keys = [
        ListedKey(method=method, role=role, owner="ml", **changes.get(role, {}))
        for method, role in sorted(sealers)
        if role not in drop
    ]
    return TrustList(
        origin=changes.get("origin", origin),
        version=version,
        threshold=changes.get("threshold", 2),
        roots=tuple(map(root_key, changes.get("roots", (0, 1, 2)))),
        keys=(*keys, *extra),
    )


def signed(says: TrustList, *roots: int) -> TrustFile:
    text = says.encode()
    for number in roots or (0, 1):
        text = sign_trust(text, ROOTS[number])
    return open_trust(text)


def install(trust: TrustFile) -> TrustFile:
    with readable_ledger(load()) as ledger:
        return install_trust(load(), trust.note, origin=ledger.origin)


# ---- what is shown -----------------------------------------------------------------------------------
def test_a_bundle_carries_the_key_events_of_all_that_sealed(home: Path, tmp_path: Path) -> None:
    train()
    rotate()
    train()
    members = exported()
    bundle, said = verify(members, tmp_path)
    kinds = [record.entry.kind for record in bundle.records]
    # Steward named, new key added, old key revoked, between the two runs.
    assert [kind for kind in kinds if kind != "record"] == [KEY_ADD, KEY_ADD, KEY_REVOKE]
    named, added = [record.position for record in bundle.records if record.entry.kind == KEY_ADD]
    assert {key.basis for key in bundle.judged.keys} == {
        "known by use",
        f"key-add at entry {named}",
        f"key-add at entry {added}",
    }
    assert said.endswith("judged by the ledger's own key events")
    assert bundle.judged.not_shown == ()


def test_a_bundle_without_events_says_that_keys_are_known_by_use(home, tmp_path) -> None:
    train()
    bundle, _ = verify(exported(), tmp_path)
    assert {key.basis for key in bundle.judged.keys} == {"known by use"}
    assert bundle.is_pinned is False


def test_the_trust_file_travels_and_its_source_is_said(home: Path, tmp_path: Path) -> None:
    train()
    one = install(signed(trust_list()))
    members = exported()
    assert members["trust/000001.note"] == one.note
    assert verify(members, tmp_path)[1].endswith(
        "trust file version 1 (the bundle's own, roots root-0.example.org, root-1.example.org)"
    )
    roots = (root_key(0), root_key(1))
    bundle, said = verify(members, tmp_path, roots=roots)
    assert said.endswith("trust file version 1 (signed by your root keys)")
    assert bundle.is_pinned is True
    assert verify(members, tmp_path, trust=one)[1].endswith("trust file version 1 (yours)")
    # Whoever knows version 1 follows to version 3.
    install(signed(trust_list(2, roots=(0, 1))))
    install(signed(trust_list(3, roots=(0, 1))))
    said = verify(exported(), tmp_path, trust=one)[1]
    assert said.endswith("trust file version 3 (in the bundle, successor of your version 1)")


def test_the_command_takes_a_trust_file_and_root_keys(home, tmp_path, capsys) -> None:
    train()
    trust = install(signed(trust_list()))
    write_zip(tmp_path / "b.zip", exported())
    (tmp_path / "trust.txt").write_bytes(trust.note)
    bundle = str(tmp_path / "b.zip")
    assert main(["verify", bundle, "--trust", str(tmp_path / "trust.txt")]) == 0
    assert "The keys above came with the bundle" not in capsys.readouterr().out
    assert main(["verify", bundle, "--root-key", root_key(0).vkey]) == 0
    capsys.readouterr()
    assert main(["verify", bundle, "--root-key", root_key(2).vkey]) == 1
    assert "step 8: trust file version 1: expected a signature by the root" in (
        capsys.readouterr().err
    )
    assert main(["verify", "--trust", str(tmp_path / "trust.txt"), str(home)]) == 0


def test_what_is_not_shown_of_an_end_is_said(home: Path, tmp_path: Path) -> None:
    train()
    soon = datetime.now(UTC) + timedelta(days=1)
    trust = signed(trust_list(producer={"valid_until": soon}))
    bundle, _ = verify(exported(), tmp_path, trust=trust)
    (said,) = bundle.judged.not_shown
    # No witness has seen it: the log's own time is all there is, and is called so.
    assert "rests on the time of the log itself, no witness" in said


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (timedelta(0), "rests on the time of the witness w.example.org"),
        (timedelta(days=2), "is the signer's own claim"),
    ],
    ids=["seen_before_the_end", "seen_after_the_end"],
)
def test_a_witness_that_the_trust_file_lists_shows_an_end(home, tmp_path, seen, said) -> None:
    train()
    now, witness = datetime.now(UTC), generate_signer()
    cosigner = Cosigner(name="w.example.org", signer=witness, clock=lambda: now + seen)
    members = exported()
    members = signed_again(
        {**members, "checkpoint": add_signature(members["checkpoint"], cosigner)}
    )
    listed = ListedKey(
        method=witness.verification_method, role="witness", owner="w", name="w.example.org"
    )
    end = {"valid_until": now + timedelta(days=1)}
    trust = signed(trust_list(extra=[listed], producer=end))
    (open_end,) = verify(members, tmp_path, trust=trust)[0].judged.not_shown
    assert said in open_end
    late = {"valid_from": now - timedelta(days=1)}
    early = Cosigner(name="w.example.org", signer=witness, clock=lambda: now - timedelta(days=3))
    members = signed_again(
        {**exported(), "checkpoint": add_signature(exported()["checkpoint"], early)}
    )
    with pytest.raises(UntrustedError, match="what it sealed was there at"):
        verify(members, tmp_path, trust=signed(trust_list(extra=[listed], producer=late)))


# ---- attacks -----------------------------------------------------------------------------------------
def forged(kind: str, decision, signer: Signer) -> None:
    """Append a decision as an operator who bypasses his own ledger would."""
    with recording.writable_ledger(load()) as ledger:
        pending = rotating._pending(ledger, decision, signer)
        ledger.append([type(pending)(**{**_fields(pending), "kind": kind})])


def _fields(pending) -> dict:
    names = ("iri", "graph_nq", "seal", "attachments", "names")
    return {name: getattr(pending, name) for name in names}


def addition(signer: Signer, role: str):
    return rotating._addition(
        signer.verification_method, role, rotating.Why(by=Agent(name="mallory"))
    )


def sealed_by_a_revoked_key() -> dict[str, bytes]:
    train()
    settings, old = load(), producer_signer(load())
    rotate()
    recording.write_record(
        settings,
        Approval(
            id="forged",
            model=Entity(kind="model", digest=Digest("sha256", "cd" * 32)),
            by=Agent(name="ada"),
            meaning="fit for use",
            at=datetime.now(UTC),
        ),
        record_id="forged",
        signer=old,
    )
    return exported()


def producer_made_itself_steward() -> dict[str, bytes]:
    train()
    rotate()
    producer = producer_signer(load())
    forged(KEY_ADD, addition(producer, "steward"), producer)
    train()
    return exported()


def revocation_undone() -> dict[str, bytes]:
    train()
    old = producer_signer(load())
    rotate()
    forged(KEY_ADD, addition(old, "witness"), steward_signer(load()))
    return exported()


def first_event_by_a_producer() -> dict[str, bytes]:
    train()
    producer = producer_signer(load())
    forged(KEY_ADD, addition(generate_signer(), "producer"), producer)
    return exported()


def key_event_that_says_nothing() -> dict[str, bytes]:
    train()
    rotate()
    members = exported()
    name = next(
        name
        for name, data in members.items()
        if name.endswith("entry.json") and b'"kind":"key-revoke"' in data
    )
    return signed_again(
        {**members, name: members[name].replace(b'"kind":"key-revoke"', b'"kind":"key-add"')}
    )


def seals_of_a_compromised_key() -> dict[str, bytes]:
    train()
    rotate(reason="compromised", counts_before=1)
    return exported()


def trust_file_signed_by_too_few() -> dict[str, bytes]:
    train()
    members = exported()
    one = sign_trust(trust_list().encode(), ROOTS[0])
    return signed_again({**members, "trust/000001.note": one})


def trust_file_of_another_ledger() -> dict[str, bytes]:
    train()
    note = signed(trust_list(origin="provgraph.local/0123456789abcdef")).note
    return signed_again({**exported(), "trust/000001.note": note})


def trust_file_under_another_version() -> dict[str, bytes]:
    train()
    return signed_again({**exported(), "trust/000002.note": signed(trust_list()).note})


def trust_file_of_new_roots_that_no_old_one_signed() -> dict[str, bytes]:
    train()
    taken = signed(trust_list(2, roots=(2,), threshold=1), 2)
    members = {"trust/000001.note": signed(trust_list()).note, "trust/000002.note": taken.note}
    return signed_again({**exported(), **members})


def trust_file_without_the_log() -> dict[str, bytes]:
    train()
    return signed_again({**exported(), "trust/000001.note": signed(trust_list(drop=[LOG])).note})


def producer_that_the_trust_file_does_not_list() -> dict[str, bytes]:
    train()
    note = signed(trust_list(drop=["producer"])).note
    return signed_again({**exported(), "trust/000001.note": note})


def producer_ended_by_the_roots() -> dict[str, bytes]:
    train()
    note = signed(trust_list(producer={"counts_before": 0})).note
    return signed_again({**exported(), "trust/000001.note": note})


def sealed_after_its_end() -> dict[str, bytes]:
    train()
    note = signed(trust_list(producer={"valid_until": datetime(2020, 1, 1, tzinfo=UTC)})).note
    return signed_again({**exported(), "trust/000001.note": note})


def trust_file_that_is_none() -> dict[str, bytes]:
    train()
    return signed_again({**exported(), "trust/000001.note": b"provgraph-trust/v1\n[]\n"})


ATTACKS: dict[Callable[[], dict[str, bytes]], str] = {
    sealed_by_a_revoked_key: r"was revoked \(superseded\) at entry",
    producer_made_itself_steward: "as steward, and is producer",
    revocation_undone: "a revoked key never comes back",
    first_event_by_a_producer: "first, so it must add the steward",
    key_event_that_says_nothing: "step [67]:",
    seals_of_a_compromised_key: "with effect from entry 1",
    trust_file_signed_by_too_few: "by 2 of its own roots, found 1",
    trust_file_of_another_ledger: "is a trust file of provgraph.local/0123456789abcdef",
    trust_file_under_another_version: "its text says version 1",
    trust_file_of_new_roots_that_no_old_one_signed: "2 of the roots of version 1, found 1",
    trust_file_without_the_log: "is no log key of trust file version 1",
    producer_that_the_trust_file_does_not_list: "expected that trust file version 1 lists it",
    producer_ended_by_the_roots: "counts before entry 0 only",
    sealed_after_its_end: "was valid until 2020-01-01T00:00:00Z, its seal says",
    trust_file_that_is_none: "expected a trust file",
}


@pytest.mark.parametrize("build", ATTACKS, ids=lambda build: build.__name__)
def test_attacks_on_keys_are_refused(home: Path, tmp_path: Path, monkeypatch, build) -> None:
    monkeypatch.setattr(sqlite, "require_admissible", lambda _batch, keys, **_: keys)
    with pytest.raises(UntrustedError, match=ATTACKS[build]):
        verify(build(), tmp_path)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        ({"roots": (root_key(0),)}, "carries no trust file"),
        ({"roots": (root_key(0), root_key(2))}, "expected a signature by the root root-2"),
        ({"trust": "another text"}, "two trust files of version 1"),
        ({"trust": "another ledger"}, "your trust file is a trust file of"),
        ({"trust": "ends it"}, "counts before entry 0 only"),
    ],
    ids=[
        "trust_file_left_out",
        "roots_that_did_not_sign",
        "two_trust_files_of_one_version",
        "bundle_of_another_ledger",
        "end_that_the_bundle_does_not_know",
    ],
)
def test_attacks_that_only_a_reader_sees(home, tmp_path, anchors, message) -> None:
    train()
    made = {
        "another text": lambda: signed(trust_list(drop=["steward"])),
        "another ledger": lambda: signed(trust_list(origin="provgraph.local/00")),
        "ends it": lambda: signed(trust_list(2, producer={"counts_before": 0})),
    }
    if "carries no" not in message:
        install(signed(trust_list()))
    given = {
        name: made[each]() if isinstance(each, str) else each for name, each in anchors.items()
    }
    with pytest.raises(UntrustedError, match=message):
        verify(exported(), tmp_path, **given)


def test_a_withheld_revocation_is_seen_by_nobody_but_who_knows_of_it(home, tmp_path) -> None:
    """The limit, said in docs/verify.md: a bundle made before a revocation does not know of it."""
    train()
    before = exported()
    rotate(reason="compromised", counts_before=0)
    verify(before, tmp_path)
    with pytest.raises(UntrustedError, match="with effect from entry 0"):
        verify(exported(), tmp_path)
