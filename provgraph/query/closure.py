"""The closure of a thing: every record that is needed to explain and check it.

Upwards: the records of all runs behind it, with the environments and source states they name.
Sideways: what was said of the thing itself later (evaluations, approvals, deployments,
observations), and every retraction of anything in the closure: a bundle without them would lie by
leaving out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.index.store import MAX_VALUES, values_block
from provgraph.query.lineage import Lineage, Select, upstream

_GRAPHS_ABOUT: Final = """PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX pg: <https://w3id.org/provgraph/ns#>
SELECT DISTINCT ?g WHERE {{ {values} GRAPH ?g {{ {pattern} }} }}"""

# Which graphs belong to a thing ?it of the closure. An activity's own record describes it; a
# dataset is described by every run that ever used it, so entities are not looked up that way.
_ACTIVITY: Final = "?it prov:startedAtTime ?time"
_CONTENT: Final = "?it a ?type . FILTER(?type IN (pg:Environment, pg:SourceCode))"
_RETRACTED: Final = "?act pg:retracts ?it"
_SAID_OF: Final = "?later pg:model ?it"
_ANY: Final = "?it ?property ?value"

_NAMED_BY: Final = """PREFIX pg: <https://w3id.org/provgraph/ns#>
SELECT DISTINCT ?other WHERE {{ {values}
  {{ ?it pg:partOfRun ?other }} UNION {{ ?it pg:environment ?other }} UNION
  {{ ?it pg:sourceCode ?other }} UNION {{ ?it pg:parentRun ?other }} UNION {{ ?it pg:resumes ?other }}
}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Record graphs that belong together, by IRI, and the lineage that they were found by."""

    roots: tuple[str, ...]
    records: tuple[str, ...]
    lineage: Lineage


def closure(select: Select, roots: Sequence[str]) -> Closure:
    """Collect the records behind things.

    Args:
        select: runs a SELECT over the index.
        roots: content IRIs (or other entities) to explain.
    """
    found = upstream(select, roots)
    things = set(found.nodes)
    # Steps belong to runs, runs name environment and source, and may be parts of other runs.
    level = things
    while level:
        level = _iris(select, _NAMED_BY, level) - things
        things |= level
    records: set[str] = set()
    for pattern, about in (
        (_ACTIVITY, things),
        (_CONTENT, things),
        (_RETRACTED, things),
        (_SAID_OF, set(roots)),
    ):
        records |= _graphs(select, about, pattern)
    # A record may itself have been retracted.
    records |= _graphs(select, records, _RETRACTED)
    if not records:
        # Nothing made it and nobody judged it: whoever mentions it is all there is.
        records = _graphs(select, set(roots), _ANY)
    return Closure(roots=tuple(roots), records=tuple(sorted(records)), lineage=found)


def _graphs(select: Select, things: set[str], pattern: str) -> set[str]:
    query = _GRAPHS_ABOUT.replace("{pattern}", pattern.replace("{", "{{").replace("}", "}}"))
    return _iris(select, query, things)


def _iris(select: Select, query: str, things: set[str]) -> set[str]:
    ordered = sorted(things)
    found: set[str] = set()
    for start in range(0, len(ordered), MAX_VALUES):
        block = values_block("it", ordered[start : start + MAX_VALUES])
        rows = select(query.format(values=block)).rows
        found |= {row[0][1:-1] for row in rows if row[0] is not None}
    return found
