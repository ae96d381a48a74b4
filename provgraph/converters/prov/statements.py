"""What is taken of a PROV document, and what had to be said about it: canonical triples, by bundle.

1. Blank nodes and relations without a name get IRIs of our own, below one prefix per document.
2. A name that is relative, or that no IRI may be, is refused with its statement, or percent-encoded and
   counted where only characters are at fault.
3. A statement about a thing whose name only a ledger gives is refused: a foreign file would speak about
   what was sealed here. That it refers to such a thing is kept.
4. A literal that the index would write otherwise is written so, and named; the source has it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provgraph import terms, vocab
from provgraph.constraints.rdf import Quad
from provgraph.convert.provdm import Triple
from provgraph.errors import FormatError
from provgraph.terms import Term

MAX_NAMED = 200


@dataclass(slots=True)
class Taken:
    """The triples of a document, and the lines of its report as (what, reason)."""

    bundles: dict[str, set[Triple]] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    zoneless: int = 0
    minted: int = 0


KeptLiterals = Callable[[Iterable[str]], Mapping[str, str | None]]


def take(
    bundles: Mapping[str, Sequence[Triple]], *, minted: str, kept_literals: KeptLiterals
) -> Taken:
    """Take what may be kept of triples whose terms are canonical but for the literals' forms."""
    taken = Taken()
    values = {line[2] for lines in bundles.values() for line in lines if terms.is_literal(line[2])}
    forms = kept_literals(values)
    for value, form in forms.items():
        if form is not None and form != value:
            taken.kept.append(("literal", f"{value[:120]} is written {form[:120]}"))
    for name, lines in bundles.items():
        own = taken.bundles.setdefault(name, set())
        for subject, predicate, value in lines:
            reason = _refusal(subject, minted)
            if reason is not None:
                taken.refused.append((f"{subject} {predicate} {value}"[:MAX_NAMED], reason))
                continue
            written = forms[value] if terms.is_literal(value) else value
            try:
                if written is None:
                    raise FormatError("a literal that RDF does not have")
                own.add((subject, predicate, terms.read_term(written)))
            except FormatError as error:
                shown = f"{subject} {predicate} {value}"[:MAX_NAMED]
                taken.refused.append((shown, str(error)[:MAX_NAMED]))
    return taken


def _refusal(subject: Term, minted: str) -> str | None:
    if subject.startswith(f"<{vocab.BASE}") and not subject.startswith(f"<{minted}"):
        return (
            f"a statement about a name below {vocab.BASE}, which only ledgers give: records of another"
            " ledger come as a bundle"
        )
    return None


def triples_of(
    quads: Iterable[Quad], *, minted: str, base: str, taken: Taken
) -> dict[str, list[Triple]]:
    """Name the blank nodes of RDF statements; refuse what no graph here can hold.

    `taken` gets the lines of the report.
    """
    bundles: dict[str, list[Triple]] = {}
    names: dict[str, Term] = {}
    encoded: set[str] = set()

    def term(text: str) -> Term:
        if text.startswith("_:"):
            if text not in names:
                names[text] = terms.iri(f"{minted}b{len(names) + 1}")
            return names[text]
        if text.startswith("<<"):
            raise FormatError("a triple term: say what it says in statements")
        if not text.startswith("<"):
            return Term(text)
        if text[1:].startswith(base):
            raise FormatError("a relative IRI, which means something else elsewhere")
        iri = terms.to_iri(text[1:-1])
        if iri != text[1:-1]:
            encoded.add(text)
        return terms.iri(iri)

    for subject, predicate, value, graph in quads:
        try:
            name = term(graph)[1:-1] if graph else ""
            triple = (term(subject), term(predicate), term(value))
        except FormatError as error:
            shown = f"{subject} {predicate} {value}"[:MAX_NAMED]
            taken.refused.append((shown, str(error)[:MAX_NAMED]))
            continue
        bundles.setdefault(name, []).append(triple)
    taken.minted += len(names)
    taken.kept.extend(
        ("IRI", f"{each[:120]} is written percent-encoded") for each in sorted(encoded)
    )
    return bundles
