"""Q20: deployments that a vulnerable package, base model or commit reaches.

Versions are compared as PEP 440 says. One that is no version of that form cannot be compared: it stays
in the answer, and the answer says so, since leaving it out would read as safe.
"""

from __future__ import annotations

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from provgraph import terms
from provgraph.errors import UsageError
from provgraph.index.store import Row
from provgraph.query.reporting import Material, Table
from provgraph.terms import Term, literal_parts


def report(material: Material) -> Table:
    """Keep of the rows those whose version is in the range.

    Raises:
        UsageError: nothing was named, or the range is none.
    """
    given = {
        name: literal_parts(material.values[name][0])[0]
        for name in ("package", "versions", "commit")
    }
    if given["versions"] and not given["package"]:
        raise UsageError("versions is a range of a package; name it too, such as package=numpy")
    if not (given["package"] or given["commit"] or material.values.get("base")):
        raise UsageError(
            "Q20 needs one of package, base and commit; for example"
            " provgraph query Q20 --param package=numpy --param 'versions=<2.1'"
        )
    try:
        wanted = SpecifierSet(given["versions"], prereleases=True)
    except InvalidSpecifier:
        raise UsageError(
            f"versions: expected a range as PEP 440 has it, such as '>=1.0,<1.4', found"
            f" {given.get('versions', '')[:80]!r}"
        ) from None
    place = material.found.columns.index("version")
    kind = material.found.columns.index("kind")
    how = material.found.columns.index("how")
    rows: list[Row] = []
    for row in material.found.rows:
        if row[kind] != terms.string("package"):
            rows.append(row)
            continue
        state = _state(row[place], wanted)
        if state is not None:
            rows.append((*row[:how], _with(row[how], state), *row[how + 1 :]))
    return Table(columns=tuple(material.query.columns), rows=rows)


def _state(version: Term | None, wanted: SpecifierSet) -> str | None:
    """Return what to add to the row: nothing; None where the version is not in the range."""
    if version is None:
        return "version not recorded"
    try:
        found = Version(literal_parts(version)[0])
    except InvalidVersion:
        return "version cannot be compared"
    return "" if wanted.contains(found) else None


def _with(how: Term | None, state: str) -> Term | None:
    if not state:
        return how
    said = "" if how is None else f"{literal_parts(how)[0]}; "
    return terms.string(said + state)
