"""Q14: what a run needs to be repeated, and whether it is still there.

Inputs are hashed again at their places (`provgraph.query.places`), no more than a limit in all; what lies
beyond it is said to be not read. What stands there may change from one answer to the next: this is the
one question whose rows are not only the ledger's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provgraph import terms
from provgraph.digests import Digest
from provgraph.errors import FormatError
from provgraph.query.lineage import plain
from provgraph.query.places import Checked, Place, check_places, size_on_disk
from provgraph.query.reporting import Material, Table
from provgraph.terms import Term

COLUMNS: Final = ("what", "thing", "digest", "location", "state", "detail")
_MIB: Final = 1024 * 1024
_DEFAULT_MIB: Final = 4096
Row = tuple[Term | None, ...]
Found = dict[str, Term | None]


def report(material: Material) -> Table:
    """Look at every input of the runs, and say what of code, environment and seeds is recorded."""
    found = [dict(zip(material.found.columns, row, strict=True)) for row in material.found.rows]
    given = material.values.get("at-most-mib")
    left = (int(plain(given[0])) if given else _DEFAULT_MIB) * _MIB
    rows: list[Row] = [*_inputs(found, left)]
    for run in sorted({each["run_iri"] for each in found if each["run_iri"] is not None}):
        rows.extend(_surroundings(run, [each for each in found if each["run_iri"] == run]))
    return Table(columns=COLUMNS, rows=rows)


def _inputs(found: list[Found], left: int) -> Iterator[Row]:
    things: dict[Term, list[Found]] = {}
    for each in found:
        if each["thing"] is not None:
            things.setdefault(each["thing"], []).append(each)
    for thing in sorted(things):
        said = things[thing]
        digests = sorted({plain(each["digest"]) for each in said if each["digest"] is not None})
        places = sorted({each["location"] for each in said if each["location"] is not None})
        reasons = sorted({plain(each["why"]) for each in said if each["why"] is not None})
        if not digests:
            detail = "; ".join(reasons) or "its bytes were not pinned"
            yield _row("input", thing, "unhashed", detail, location=places[0] if places else None)
        for digest in digests:
            if not places:
                detail = "where its bytes were is not recorded"
                yield _row("input", thing, "unreachable", detail, digest=digest)
            for location in places:
                (state, reason), left = _checked(digest, location, left)
                yield _row("input", thing, state, reason, digest=digest, location=location)


def _checked(digest: str, location: Term, left: int) -> tuple[tuple[str, str | None], int]:
    """Return state and detail of one place, and how many bytes may still be read."""
    try:
        place = Place(digest=Digest.parse(digest), location=location[1:-1])
    except FormatError as error:
        return ("unreadable", str(error)), left
    size = size_on_disk(place)
    if size > left:
        detail = f"{size} bytes, of which the limit leaves {left}; raise at-most-mib"
        return ("not read", detail), left
    (checked,) = check_places([place], progress=lambda *_: None)
    return (checked.state, _detail(checked)), left - size


def _detail(checked: Checked) -> str | None:
    if checked.found is not None and checked.found != checked.place.digest:
        return f"found {checked.found}"
    return checked.reason


def _surroundings(run: Term, said: list[Found]) -> Iterator[Row]:
    first = said[0]
    commit, diff = first["commit"], first["diff"]
    if commit is None:
        yield _row("code", run, "not recorded", "no commit is recorded")
    elif first["is_dirty"] == terms.boolean(True):
        kept = "its diff is known by digest only" if diff is not None else "its diff is not known"
        detail = f"commit {plain(commit)} with uncommitted changes: {kept}"
        yield _row("code", run, "changed", detail)
    else:
        yield _row("code", run, "recorded", f"commit {plain(commit)}")
    if first["environment"] is None:
        yield _row("environment", run, "not recorded", "no environment is recorded")
    elif first["image"] is None:
        detail = "packages by version; no container image"
        yield _row("environment", run, "recorded", detail)
    else:
        yield _row("environment", run, "recorded", f"image {plain(first['image'])}")
    seeds = sorted({plain(each["seed"]) for each in said if each["seed"] is not None})
    yield _row(
        "seeds",
        run,
        "recorded" if seeds else "not recorded",
        ", ".join(seeds) or "no seed of a random generator is recorded",
    )


def _row(
    what: str,
    thing: Term,
    state: str,
    detail: str | None,
    *,
    digest: str | None = None,
    location: Term | None = None,
) -> Row:
    return (
        terms.string(what),
        thing,
        None if digest is None else terms.string(digest),
        location,
        terms.string(state),
        None if detail is None else terms.string(detail),
    )
