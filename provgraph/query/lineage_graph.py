"""Lineage over the lineage index: what a thing was made from, what was made from it, and how.

Upstream and downstream follow derivations, and what was said of a model (evaluations, approvals,
deployments, observations). Everything can be asked *as of* a ledger position N: then only what the
first N entries say counts, and the answer is the same for ever; of an erased record it is what its
tombstone kept.

A restriction says which things are in the answer: it is walked through everything else, since a model
three steps away from a dataset is affected whatever stands between. Cycles end where they close.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from provgraph import vocab
from provgraph.errors import DamagedIndexError, IndexUnavailableError, NotFoundError
from provgraph.index.edge_arrays import open_arrays
from provgraph.index.edge_facts import ABOUT, CODES, DERIVED, IN_PROJECT, LAST_WALKED, OWNER, TIME
from provgraph.index.edge_walks import EVER, Levels, Steps
from provgraph.index.edges import EdgeFile, open_edges

# A walk over more things than this is an export, not something a person reads.
MAX_THINGS: Final = 200_000
# The columns that answers can show beside things.
SHOWN: Final = ("types", "label", "digest", "licence", IN_PROJECT, OWNER, TIME)
WALKED: Final = tuple(range(LAST_WALKED + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Which things are in an answer; nothing given means all of them.

    A thing is of a project if a record of that project speaks of it; what was only said of a model
    (an approval, a deployment) is of the model's projects. `since` is in, `until` is not. A thing
    whose time nobody recorded is in no span of time, and is counted (`Reached.untimed`).
    """

    kinds: frozenset[str] = frozenset()  # local names of our classes, in small letters
    projects: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_none(self) -> bool:
        """Whether everything is in the answer."""
        return not (self.kinds or self.projects or self.since or self.until)


ALL: Final = Restriction()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What a walk came to: IRIs with the number of steps, nearest first; the roots are at 0."""

    things: dict[str, int]
    is_cut: bool  # a limit ended the walk, and there is more
    untimed: int = 0  # left out of a span of time, since nobody recorded theirs
    columns: Mapping[str, Columns] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a walk ends: at so many steps, or at more things than that."""

    max_depth: int | None
    max_things: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEdge:
    """One step of a path: `child` was made from `parent`; the records that state it."""

    child: str
    parent: str
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonAncestor:
    """What several things have in common; `is_nearest` where nothing in common was made from it."""

    iri: str
    steps: tuple[int, ...]  # from each of the things
    is_nearest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What answers show beside a thing. Several values where records say several."""

    iri: str
    kinds: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    digest: tuple[str, ...] = ()
    licence: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()  # by the labels that records give them
    time: tuple[str, ...] = ()


class LineageGraph:
    """The lineage of one file as of a position; one thread at a time."""

    def __init__(
        self, file: EdgeFile, *, as_of: int | None = None, steps: Steps | None = None
    ) -> None:
        """Ask `steps` for what is one step away: arrays where there are any, else the file."""
        self.file = file
        self.as_of = EVER if as_of is None else as_of
        self.steps: Steps = file if steps is None else steps

    # ---- questions ---------------------------------------------------------------------------------
    def upstream(
        self,
        iris: Iterable[str],
        *,
        max_depth: int | None = None,
        max_things: int = MAX_THINGS,
        only: Restriction = ALL,
        show: Collection[str] = (),
    ) -> Reached:
        """Return what things were made from, `max_depth` steps away at most; with columns to show."""
        limits = Limits(max_depth=max_depth, max_things=max_things)
        return self._reached(iris, limits, up=True, only=only, show=show)

    def downstream(
        self,
        iris: Iterable[str],
        *,
        max_depth: int | None = None,
        max_things: int = MAX_THINGS,
        only: Restriction = ALL,
        show: Collection[str] = (),
    ) -> Reached:
        """Return what was made from things, and what was said of the models among it."""
        limits = Limits(max_depth=max_depth, max_things=max_things)
        return self._reached(iris, limits, up=False, only=only, show=show)

    def reaches(self, child: str, parent: str) -> bool:
        """Whether a thing was made from another, in however many steps. A thing reaches itself."""
        ends = self.file.ids([child, parent])
        if child not in ends or parent not in ends:
            return False
        return self._meeting(ends[child], ends[parent]) is not None

    def path(self, child: str, parent: str) -> tuple[PathEdge, ...] | None:
        """Return one of the shortest ways from a thing up to another; None where there is none.

        Of several that are as short it is the one whose IRIs come first. Nothing leads from a thing to
        itself but the empty way.
        """
        ends = self.file.ids([child, parent])
        if child not in ends or parent not in ends:
            return None
        layers = self._meeting(ends[child], ends[parent])
        if layers is None:
            return None
        way = [ends[child]]
        for layer in layers[1:]:
            # The layers hold only what lies on a shortest way, so any choice leads on.
            near = self.step([way[-1]], up=True) & layer
            iris = self.file.iris(near)
            way.append(min(near, key=iris.__getitem__))
        return self._path_edges(way)

    def common_ancestors(
        self, iris: Sequence[str], *, only: Restriction = ALL, max_things: int = MAX_THINGS
    ) -> tuple[CommonAncestor, ...]:
        """Return what all of several things were made from; nearest first, then by steps and IRI."""
        ids = self.file.ids(iris)
        if set(iris) - ids.keys():
            return ()
        reached: list[dict[int, int]] = []
        for iri in iris:
            levels, _ = self.levels({ids[iri]}, up=True, max_things=max_things)
            reached.append({each: depth for depth, level in enumerate(levels) for each in level})
        common = set.intersection(*(set(each) for each in reached)) if reached else set()
        nearest = self._nearest(common)
        shown, _ = self.matching(common, only)
        names = self.file.iris(shown)
        found = [
            CommonAncestor(
                iri=names[each],
                steps=tuple(depths[each] for depths in reached),
                is_nearest=each in nearest,
            )
            for each in shown
        ]
        return tuple(sorted(found, key=lambda c: (not c.is_nearest, sum(c.steps), c.iri)))

    def columns(self, iris: Iterable[str], *, show: Collection[str] = SHOWN) -> dict[str, Columns]:
        """Return what answers show beside things; `show` names the columns that are wanted."""
        names = {number: iri for iri, number in self.file.ids(list(iris)).items()}
        return self._columns_of(names, show)

    # ---- by number -----------------------------------------------------------------------------------
    def step(self, level: Collection[int], *, up: bool) -> set[int]:
        """Return what is one step away."""
        return self.steps.step(level, up=up, as_of=self.as_of)

    def levels(
        self,
        roots: Collection[int],
        *,
        up: bool,
        max_depth: int | None = None,
        max_things: int = MAX_THINGS,
    ) -> tuple[Levels, bool]:
        """Return what is 0, 1, 2, … steps away, and whether a limit ended the walk before its end."""
        return self.steps.levels(
            roots,
            up=up,
            as_of=self.as_of,
            max_depth=EVER if max_depth is None else max_depth,
            max_things=max_things,
        )

    def matching(self, ids: Collection[int], only: Restriction) -> tuple[set[int], int]:
        """Return which things a restriction lets in, and how many it left out for want of a time."""
        found = set(ids)
        if only.kinds:
            classes = self._texts(found, "types")
            wanted = {kind.lower() for kind in only.kinds}
            found = {
                each
                for each in found
                if any(_kind(iri).lower() in wanted for iri in classes.get(each, ()))
            }
        if only.projects:
            found = self._of_projects(found, only.projects)
        untimed = 0
        if only.since is not None or only.until is not None:
            times = self._texts(found, TIME)
            untimed = sum(1 for each in found if not _instants(times.get(each, ())))
            found = {
                each
                for each in found
                if any(_is_within(time, only) for time in _instants(times.get(each, ())))
            }
        return found, untimed

    # ---- parts -----------------------------------------------------------------------------------------
    def _reached(
        self,
        iris: Iterable[str],
        limits: Limits,
        *,
        up: bool,
        only: Restriction,
        show: Collection[str],
    ) -> Reached:
        ids = self.file.ids(list(iris))
        levels, is_cut = self.levels(
            ids.values(), up=up, max_depth=limits.max_depth, max_things=limits.max_things
        )
        untimed = 0
        if not only.is_none:
            shown, untimed = self.matching(set().union(*levels), only)
            levels = [shown.intersection(level) for level in levels]
        names = self.file.iris(set().union(*levels))
        return Reached(
            things={
                iri: depth
                for depth, level in enumerate(levels)
                for iri in sorted(names[each] for each in level)
            },
            is_cut=is_cut,
            untimed=untimed,
            columns=self._columns_of(names, show) if show else {},
        )

    def _nearest(self, common: set[int]) -> set[int]:
        """Return what nothing else in common was made from. All that is above it is in common too."""
        nearest = common - self.step(common, up=True)
        rest = common - self._closure(nearest, up=True)
        while rest:
            # Only a cycle has nothing lowest: all of it is.
            each = min(rest)
            while lower := (self._closure({each}, up=False) & rest) - self._closure(
                {each}, up=True
            ):
                each = min(lower)
            above = self._closure({each}, up=True)
            nearest |= self._closure({each}, up=False) & rest
            rest -= above
        return nearest

    def _closure(self, ids: Collection[int], *, up: bool) -> set[int]:
        levels, _ = self.levels(ids, up=up, max_things=EVER)
        return set().union(*levels)

    def _meeting(self, child: int, parent: int) -> list[set[int]] | None:
        """Search from both ends; return, step by step, what lies on a shortest way."""
        below, above = [{child}], [{parent}]
        seen_below, seen_above = {child}, {parent}
        while not seen_below & seen_above:
            # The smaller side goes on: a hub on one side then costs nothing.
            is_up = len(below[-1]) <= len(above[-1])
            side, seen = (below, seen_below) if is_up else (above, seen_above)
            level = self.step(side[-1], up=is_up) - seen
            if not level:
                return None
            side.append(level)
            seen |= level
        # The last levels meet; from there only what leads back to an end is kept.
        middle = below[-1] & above[-1]
        layers = [middle]
        for level in reversed(below[:-1]):
            layers.insert(0, self.step(layers[0], up=False) & level)
        for level in reversed(above[:-1]):
            layers.append(self.step(layers[-1], up=True) & level)
        return layers

    def _path_edges(self, way: Sequence[int]) -> tuple[PathEdge, ...]:
        names = self.file.iris(way)
        stated: dict[tuple[int, int], set[int]] = defaultdict(set)
        for edge in self.file.edges_at(set(way), up=True, kinds=(DERIVED, ABOUT), as_of=self.as_of):
            stated[edge.child, edge.parent].add(edge.record)
        steps = list(itertools.pairwise(way))
        records = self.file.records({each for step in steps for each in stated[step]})
        return tuple(
            PathEdge(
                child=names[child],
                parent=names[parent],
                records=tuple(sorted(records[each] for each in stated[child, parent])),
            )
            for child, parent in steps
        )

    def _columns_of(self, names: Mapping[int, str], show: Collection[str]) -> dict[str, Columns]:
        """Return columns of things by number and IRI. Twenty thousand of them are an everyday answer."""
        codes = [CODES[name] for name in show]
        rows = self.file.facts(names, codes=codes, as_of=self.as_of)
        # What facts name is few things over and over: classes, licences, people.
        said: dict[int, str] = self.file.iris({v for _, _, v in rows if isinstance(v, int)})
        owner = CODES[OWNER]
        if owner in codes:
            agents = {value for _, code, value in rows if code == owner and isinstance(value, int)}
            labels = self._texts(agents, "label")
            called = {each: " | ".join(sorted(labels.get(each, (said[each],)))) for each in agents}
        held: dict[int, dict[int, tuple[str, ...]]] = {code: {} for code in codes}
        for thing, code, value in rows:
            text = value
            if isinstance(text, int):
                text = called[text] if code == owner else said[text]
            column = held[code]
            before = column.get(thing)
            column[thing] = (text,) if before is None else tuple(sorted({*before, text}))
        if (kinds := held.get(CODES["types"])) is not None:
            for thing, classes in kinds.items():
                kinds[thing] = tuple(kind for each in classes if (kind := _kind(each)))
        empty: dict[int, tuple[str, ...]] = {}
        types, label, digest, licence, projects, owners, times = (
            held.get(CODES[name], empty) for name in SHOWN
        )
        return {
            iri: Columns(
                iri=iri,
                kinds=types.get(number, ()),
                label=label.get(number, ()),
                digest=digest.get(number, ()),
                licence=licence.get(number, ()),
                projects=projects.get(number, ()),
                owners=owners.get(number, ()),
                time=times.get(number, ()),
            )
            for number, iri in names.items()
        }

    def _of_projects(self, ids: set[int], projects: frozenset[str]) -> set[int]:
        spoken = self._texts(ids, IN_PROJECT)
        without = ids - spoken.keys()
        models: dict[int, set[int]] = defaultdict(set)
        for edge in self.file.edges_at(without, up=True, kinds=(ABOUT,), as_of=self.as_of):
            models[edge.child].add(edge.parent)
        of_models = self._texts({each for some in models.values() for each in some}, IN_PROJECT)
        for each in without:
            spoken[each] = {p for model in models[each] for p in of_models.get(model, ())}
        return {each for each in ids if spoken[each] & projects}

    def _texts(self, ids: Collection[int], name: str) -> dict[int, set[str]]:
        """Return one fact of things, IRIs as such."""
        rows = self.file.facts(ids, codes=[CODES[name]], as_of=self.as_of)
        names = self.file.iris({value for _, _, value in rows if isinstance(value, int)})
        found: dict[int, set[str]] = defaultdict(set)
        for thing, _, value in rows:
            found[thing].add(names[value] if isinstance(value, int) else value)
        return found


@contextlib.contextmanager
def open_lineage(
    folder: Path, *, as_of: int | None = None, min_size: int = 0
) -> Iterator[LineageGraph]:
    """Open the lineage index in a folder, as of a ledger position; with arrays where it has them.

    Raises:
        DamagedIndexError: there is none, or it is not what was written.
        IndexUnavailableError: it holds less than the first `min_size` entries.
    """
    with contextlib.ExitStack() as stack:
        file = open_edges(folder)
        if file is None:
            raise DamagedIndexError(f"the lineage index {folder} is not there")
        stack.enter_context(file)
        if (size := file.watermark().size) < min_size:
            raise IndexUnavailableError(
                f"the lineage index {folder} holds {size} of {min_size} entries; ask again in a moment"
            )
        steps: Steps = file
        if (arrays := open_arrays(file)) is not None:
            steps = stack.enter_context(arrays)
        yield LineageGraph(file, as_of=as_of, steps=steps)


def require_known(graph: LineageGraph, iris: Iterable[str]) -> None:
    """Check that the lineage index has things, as of its position.

    Raises:
        NotFoundError: it has not.
    """
    wanted = list(iris)
    ids = graph.file.ids(wanted)
    known = graph.file.known(ids.values(), as_of=graph.as_of)
    for iri in wanted:
        if ids.get(iri) not in known:
            raise NotFoundError(
                f"nothing was recorded of {iri} in the first {graph.as_of} entries of the ledger"
            )


def _kind(iri: str) -> str:
    """Return the local name of one of our classes, "" for another's."""
    return iri.removeprefix(vocab.PG) if iri.startswith(vocab.PG) else ""


def _instants(texts: Iterable[str]) -> list[datetime]:
    found = []
    for text in texts:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            continue  # foreign: an xsd:date, a year
        found.append(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    return found


def _is_within(time: datetime, only: Restriction) -> bool:
    return (only.since is None or only.since <= time) and (only.until is None or time < only.until)
