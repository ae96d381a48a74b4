"""Checking a document, bundle by bundle."""

from __future__ import annotations

from dataclasses import replace

from provgraph.constraints.impossible import impossibilities
from provgraph.constraints.normal import Normal
from provgraph.constraints.ordering import Order
from provgraph.constraints.statements import Document, Finding


def check(document: Document, *, strict: bool = False) -> list[Finding]:
    """Return all that cannot be in a document, then what its clocks say against the order.

    Args:
        document: each of its bundles is checked on its own.
        strict: ask as well what ProvToolbox's validator asks beyond the recommendation: one usage
            for an activity and an entity, and a delegation without an activity is for none.
    """
    found: list[Finding] = []
    for name, statements in document.bundles.items():
        normal = Normal(statements, strict=strict)
        every = [*normal.findings, *impossibilities(normal), *Order(normal).findings()]
        found.extend(replace(each, bundle=name) for each in every)
    return sorted(found, key=lambda each: not each.is_violation)
