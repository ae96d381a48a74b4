"""The closure of a thing: every record that is needed to explain and check it.

Upwards: the records of all runs behind it, whatever they used (test data too), with the
environments and source states they name. Of what was erased, the tombstones, and the erased records
themselves, which are hashes now. Sideways: what was said of the thing itself later
(evaluations, approvals, deployments, observations) with what that rests on, and every retraction
and description of anything in the closure: a bundle without them would lie by leaving out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.index.store import MAX_VALUES, values_block
from provgraph.query.lineage import Select

_PREFIXES: Final = """PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX pg: <https://w3id.org/provgraph/ns#>
"""
_GRAPHS_ABOUT: Final = (
    _PREFIXES + "SELECT DISTINCT ?other WHERE {{ {values} GRAPH ?other {{ {pattern} }} }}"
)
_OTHERS: Final = _PREFIXES + "SELECT DISTINCT ?other WHERE {{ {values} {pattern} }}"

# What explains a thing: what it was made from and by; for an activity its run and steps, what they
# used, the run around it or before it; for a deployment the approval it rests on. What a deployment
# replaced is another model's story.
_EXPLAINED_BY: Final = (
    "?it prov:wasDerivedFrom|prov:wasGeneratedBy|prov:used|pg:partOfRun|pg:step|pg:parentRun"
    "|pg:resumes|pg:environment|pg:sourceCode|pg:onApproval|pg:deployment|pg:legalBasis ?other"
)
_SAID_OF: Final = "?other pg:model ?it"

# Which graphs belong to a thing ?it of the closure. An activity's own record describes it; a
# dataset is described by every run that ever used it, so entities are not looked up that way.
_ACTIVITY: Final = "?it prov:startedAtTime ?time"
_CONTENT: Final = "?it a ?type . FILTER(?type IN (pg:Environment, pg:SourceCode, pg:Observation))"
_DESCRIBED: Final = "?act pg:describes ?it"
_RETRACTED: Final = "?act pg:retracts ?it"
# What was erased of it: the tombstone, and the entry that it stands for.
_TOMBSTONE: Final = "?it pg:erasedBy ?act"
_ERASED: Final = "?it pg:erasedBy ?act . ?act pg:erases ?other"
_ANY: Final = "?it ?property ?value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Record graphs that belong together, by IRI, and the things that they explain."""

    roots: tuple[str, ...]
    records: tuple[str, ...]


def closure(select: Select, roots: Sequence[str]) -> Closure:
    """Collect the records behind things.

    Args:
        select: runs a SELECT over the index.
        roots: content IRIs, activities or other things to explain.
    """
    things = set(roots)
    level = things | _others(select, things, _SAID_OF)
    while level:
        things |= level
        level = _others(select, level, _EXPLAINED_BY) - things
    records: set[str] = set()
    for pattern in (_ACTIVITY, _CONTENT, _DESCRIBED, _RETRACTED, _TOMBSTONE):
        records |= _graphs(select, things, pattern)
    records |= _others(select, things, _ERASED)
    # A record may itself have been retracted, and that retraction again.
    level = set(records)
    while level:
        level = _graphs(select, level, _RETRACTED) - records
        records |= level
    if not records:
        # Nothing made it and nobody judged it: whoever mentions it is all there is.
        records = _graphs(select, set(roots), _ANY)
    return Closure(roots=tuple(roots), records=tuple(sorted(records)))


def _graphs(select: Select, things: set[str], pattern: str) -> set[str]:
    return _found(select, _GRAPHS_ABOUT, things, pattern)


def _others(select: Select, things: set[str], pattern: str) -> set[str]:
    return _found(select, _OTHERS, things, pattern)


def _found(select: Select, query: str, things: set[str], pattern: str) -> set[str]:
    ordered = sorted(things)
    found: set[str] = set()
    for start in range(0, len(ordered), MAX_VALUES):
        block = values_block("it", ordered[start : start + MAX_VALUES])
        rows = select(query.format(values=block, pattern=pattern)).rows
        found |= {row[0][1:-1] for row in rows if row[0] is not None and row[0].startswith("<")}
    return found
