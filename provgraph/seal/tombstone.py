"""Tombstones: what a sealed one says of the entry that it erased, and whether that is to be believed.

A tombstone is an entry of kind `tombstone`, sealed by the steward. Its graph names the erased entry
by IRI, index, leaf hash and digest of the graph, so that it fits one entry of one ledger. The shape
of lineage that it carries is the steward's word: the graph that it was taken from is gone, and only
who kept a copy can compare.

No I/O here. What it does not do: check seals (`proof.verify_seal` has, by then), or erase.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from provgraph import terms
from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.entry import RECORD, TOMBSTONE, Entry, parse_entry
from provgraph.seal.merkle import leaf_hash
from provgraph.terms import Term
from provgraph.vocab import A, C, P


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a tombstone says: which entry it erased. `position` and `signer` are its own."""

    position: int
    iri: str  # of the tombstone's record
    signer: str  # verification method
    erased_iri: str
    erased_index: int
    erased_leaf: str  # sha256:<hex> of the entry, as the leaf of the tree
    erased_graph: str  # sha256:<hex> of the graph


IsSteward = Callable[[str, int], bool]
"""Whether a verification method was a steward's at a position of the ledger."""


def read_claim(graph_nq: bytes, *, position: int, entry: Entry) -> Claim:
    """Read what a tombstone's graph says of the entry that it erased.

    Raises:
        UntrustedError: it is no tombstone, or does not name exactly one entry.
    """
    where = f"tombstone {entry.graph} (entry {position})"
    if entry.kind != TOMBSTONE:
        raise UntrustedError(f"{where}: expected an entry of kind tombstone, found {entry.kind}")
    try:
        statements = [(s, p, o) for s, p, o, _ in terms.parse_lines(graph_nq)]
        (subject,) = [s for s, p, o in statements if (p, o) == (A, C["Tombstone"])]
        erased = _only(statements, subject, P["erases"])
        return Claim(
            position=position,
            iri=entry.graph,
            signer=entry.verification_method,
            erased_iri=erased[1:-1],
            erased_index=int(terms.literal_parts(_only(statements, subject, P["entryIndex"]))[0]),
            erased_leaf=terms.literal_parts(_only(statements, subject, P["leafHash"]))[0],
            erased_graph=terms.literal_parts(_only(statements, subject, P["graphDigest"]))[0],
        )
    except (FormatError, ValueError) as error:
        raise UntrustedError(f"{where} does not name one erased entry: {error}") from None


def require_fits(claim: Claim, *, index: int, entry: bytes) -> None:
    """Check that a tombstone erased exactly this entry.

    1. Only records are erased: keys, witnesses and tombstones decide about the ledger.
    2. It stands after the entry (one written beforehand would erase what nobody has seen).
    3. IRI, index, leaf hash and graph digest are those of the entry (the tombstone of another one).

    Raises:
        UntrustedError: it did not.
    """
    parsed = parse_entry(entry)
    where = f"tombstone {claim.iri} (entry {claim.position})"
    # 1.
    if parsed.kind != RECORD:
        raise UntrustedError(f"{where}: entry {index} is of kind {parsed.kind}, which none erases")
    # 2.
    if claim.position <= index:
        raise UntrustedError(f"{where} does not stand after entry {index}, which it names")
    # 3.
    for what, stated, found in (
        ("record", claim.erased_iri, parsed.graph),
        ("entry", claim.erased_index, index),
        ("leaf hash", claim.erased_leaf, leaf_digest(entry)),
        ("graph digest", claim.erased_graph, f"sha256:{parsed.graph_sha256}"),
    ):
        if stated != found:
            raise UntrustedError(f"{where} names the {what} {stated}, found {found}")


def judge(
    *,
    erased: Mapping[int, bytes],
    claims: Iterable[Claim],
    producers: Collection[str],
    is_steward: IsSteward | None = None,
) -> dict[int, Claim]:
    """Say which tombstone erased each entry without a graph; both must be there, or neither.

    1. Each tombstone is sealed by the steward: where no list of stewards is at hand, at least by no
       key that seals records (who may record may not erase).
    2. Each entry without a graph has a tombstone that fits it (a graph that was simply emptied).
    3. No tombstone names an entry whose graph is there (an erasure that was not finished, or undone
       from a backup).

    Args:
        erased: index and bytes of every entry without a graph.
        claims: of every tombstone, its seal verified.
        producers: the verification methods that sealed records.
        is_steward: decides step 1, where the ledger's keys are known.

    Raises:
        UntrustedError: the first thing that is wrong.
    """
    found: dict[int, Claim] = {}
    reasons: dict[int, str] = {}
    for claim in claims:
        # 1.
        require_steward(claim, producers=producers, is_steward=is_steward)
        # 3.
        if claim.erased_index not in erased:
            raise UntrustedError(
                f"tombstone {claim.iri} (entry {claim.position}) says that entry {claim.erased_index} was erased, and its graph is there:"
                " the erasure was not finished, or a backup undid it; run `provgraph erase"
                " --resume`"
            )
        try:
            require_fits(claim, index=claim.erased_index, entry=erased[claim.erased_index])
        except UntrustedError as error:
            reasons[claim.erased_index] = str(error)
        else:
            found.setdefault(claim.erased_index, claim)
    # 2.
    for index in erased:
        if index not in found:
            raise UntrustedError(
                f"entry {index} of the ledger has no graph, and no tombstone fits it:"
                f" {reasons.get(index, 'somebody emptied it')}. Restore a backup"
            )
    return found


def require_steward(
    claim: Claim, *, producers: Collection[str], is_steward: IsSteward | None = None
) -> None:
    """Check that a tombstone is sealed by the steward; see step 1 of `judge`.

    Raises:
        UntrustedError: it is not.
    """
    if is_steward is None:
        is_right = claim.signer not in producers
    else:
        is_right = is_steward(claim.signer, claim.position)
    if not is_right:
        raise UntrustedError(
            f"tombstone {claim.iri} (entry {claim.position}) is sealed by {claim.signer}, which is"
            " no steward's key"
        )


def leaf_digest(entry: bytes) -> str:
    """Return how a tombstone writes an entry's leaf hash."""
    return f"sha256:{leaf_hash(entry).hex()}"


def _only(statements: list[tuple[Term, Term, Term]], subject: Term, predicate: Term) -> Term:
    (value,) = [o for s, p, o in statements if (s, p) == (subject, predicate)]
    return value
