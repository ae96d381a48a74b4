"""A picture of what is around a thing: layers by signed distance, so many nodes and no more.

Origins stand to the left of the focus and what came of it to the right, a layer for each step; runs stand
between what they used and what they made. What is alike (of one kind, in one layer, beside the same
neighbours) is folded into one node with a count, so that a dataset that three thousand runs used is still a
picture. Layers are added from the inside out until `MAX_SHAPES` nodes stand in it; what is beyond is counted.

The drawing of layers follows Sugiyama, Tagawa and Toda (1981): ranks are given, the order within a rank comes
from barycentres. Lengths are pixels. No I/O but the lineage index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from provgraph import vocab
from provgraph.index.edge_facts import CODES, GENERATED, USED
from provgraph.query.lineage import Node, described
from provgraph.query.lineage_graph import WALKED, LineageGraph

MAX_SHAPES: Final = 150
MAX_DEPTH: Final = 12
# Looked at, on each side; a hub has more, and is folded from these.
MAX_THINGS: Final = 3000
# So many that are alike still stand one by one.
ALIKE: Final = 4
_EDGES: Final = 20_000
_SWEEPS: Final = 4
WIDTH: Final = 170
HEIGHT: Final = 44
_GAP_X: Final = 46
_GAP_Y: Final = 14
_MARGIN: Final = 12
MAX_MEMBERS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A node of the picture: one thing, or several that are alike."""

    number: int
    iris: tuple[str, ...]  # of a fold the first ones
    count: int
    kind: str  # local name of the class, empty where nothing is known of it
    title: str
    rank: int  # steps from the focus: origins are negative
    is_focus: bool = False
    is_restricted: bool = False
    x: float = 0
    y: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Shapes and the lines between them, from an origin to what came of it."""

    shapes: tuple[Shape, ...]
    lines: tuple[tuple[int, int], ...]
    beyond: int  # things that were seen and are not in it
    is_cut: bool  # there is more than was looked at
    width: float
    height: float


@dataclass(slots=True)
class _Seen:
    """Things by number with their ranks, and (child, parent) between them."""

    ranks: dict[int, int]
    pairs: set[tuple[int, int]]
    is_cut: bool


def picture(graph: LineageGraph, focus: str, *, depth: int = MAX_DEPTH) -> Picture:
    """Draw what is around a thing, at most `depth` steps away on each side."""
    ids = graph.file.ids([focus])
    if focus not in ids:
        node = described(graph, [focus])[focus]
        only = _shape(0, [focus], node, count=1, rank=0, is_focus=True)
        return _placed([only], set(), beyond=0, is_cut=False)
    seen = _seen(graph, ids[focus], depth=depth)
    kinds = _kinds(graph, seen.ranks)
    folded, beyond = _folded(seen, kinds)
    firsts = {each: members[:MAX_MEMBERS] for each, members in folded.items()}
    iris = graph.file.iris({one for members in firsts.values() for one in members})
    nodes = described(graph, {iris[members[0]] for members in firsts.values()})
    shapes, place = [], {}
    for number, (key, members) in enumerate(folded.items()):
        shown = [iris[each] for each in firsts[key]]
        for each in members:
            place[each] = number
        shapes.append(
            _shape(
                number,
                shown,
                nodes[shown[0]],
                count=len(members),
                rank=seen.ranks[members[0]],
                is_focus=ids[focus] in members,
            )
        )
    lines = {
        (place[parent], place[child])
        for child, parent in seen.pairs
        if child in place and parent in place and place[child] != place[parent]
    }
    return _placed(shapes, lines, beyond=beyond, is_cut=seen.is_cut)


def _seen(graph: LineageGraph, focus: int, *, depth: int) -> _Seen:
    """Walk both ways from the focus; put the activities between."""
    used = _ends(graph, {focus}, kinds=(USED,), up=True)
    made = _ends(graph, {focus}, kinds=(GENERATED,), up=False)
    is_act = bool(used or made)
    ranks: dict[int, int] = {focus: 0}
    is_cut = False
    expanded: dict[bool, set[int]] = {}
    for up in (True, False):
        sign = -1 if up else 1
        roots, first = ((used if up else made), 1) if is_act else ({focus}, 0)
        levels, was_cut = graph.levels(
            roots, up=up, max_depth=max(0, depth - first), max_things=MAX_THINGS
        )
        is_cut = is_cut or was_cut
        room = MAX_THINGS
        for distance, level in enumerate(levels):
            for each in sorted(level)[:room]:
                ranks.setdefault(each, sign * (2 * distance + first))
            room -= len(level)
            if room <= 0:
                is_cut = True
                break
        expanded[up] = {each for level in levels for each in level} & ranks.keys()
    pairs: set[tuple[int, int]] = set()
    if is_act:
        pairs |= {(focus, each) for each in used} | {(each, focus) for each in made}
    things = expanded[True] | expanded[False]
    direct = {
        (edge.child, edge.parent)
        for edge in graph.file.edges_at(
            things, up=True, kinds=WALKED, as_of=graph.as_of, limit=_EDGES
        )
        if edge.parent in ranks
    }
    made_by: dict[int, set[int]] = defaultdict(set)
    for edge in graph.file.edges_at(
        things, up=True, kinds=(GENERATED,), as_of=graph.as_of, limit=_EDGES
    ):
        made_by[edge.child].add(edge.parent)
    acts = set().union(*made_by.values()) if made_by else set()
    uses = {
        (edge.child, edge.parent)
        for edge in graph.file.edges_at(
            acts, up=True, kinds=(USED,), as_of=graph.as_of, limit=_EDGES
        )
        if edge.parent in ranks
    }
    for child, parent in direct:
        between = {each for each in made_by.get(child, ()) if (each, parent) in uses}
        for act in between:
            pairs |= {(child, act), (act, parent)}
        if not between:
            pairs.add((child, parent))
    for child, makers in made_by.items():
        for act in makers:
            rank = ranks[child] - 1
            if (act not in ranks or abs(rank) < abs(ranks[act])) and act != focus:
                ranks[act] = rank
            pairs.add((child, act))
    return _Seen(ranks=ranks, pairs={p for p in pairs if set(p) <= ranks.keys()}, is_cut=is_cut)


def _ends(graph: LineageGraph, ids: set[int], *, kinds: tuple[int, ...], up: bool) -> set[int]:
    edges = graph.file.edges_at(ids, up=up, kinds=kinds, as_of=graph.as_of, limit=MAX_THINGS)
    return {edge.parent if up else edge.child for edge in edges}


def _kinds(graph: LineageGraph, ids: Iterable[int]) -> dict[int, str]:
    rows = graph.file.facts(set(ids), codes=[CODES["types"]], as_of=graph.as_of)
    names = graph.file.iris({value for _, _, value in rows if isinstance(value, int)})
    found: dict[int, str] = {}
    for thing, _, value in rows:
        iri = names[value] if isinstance(value, int) else value
        if iri.startswith(vocab.PG):
            found[thing] = min(found.get(thing, "~"), iri.removeprefix(vocab.PG))
    return found


def _folded(seen: _Seen, kinds: Mapping[int, str]) -> tuple[dict[int, list[int]], int]:
    """Return what each shape holds, by its first member; and how much found no room."""
    near: dict[int, set[int]] = defaultdict(set)
    for child, parent in seen.pairs:
        near[child].add(parent)
        near[parent].add(child)
    layers: dict[int, list[int]] = defaultdict(list)
    for each, rank in seen.ranks.items():
        layers[rank].append(each)
    shapes: dict[int, list[int]] = {}
    shape_of: dict[int, int] = {}
    beyond = 0
    for rank in sorted(layers, key=lambda each: (abs(each), each)):
        alike: dict[tuple[str, frozenset[int]], list[int]] = defaultdict(list)
        for each in sorted(layers[rank]):
            inner = frozenset(
                shape_of[other]
                for other in near[each]
                if other in shape_of and abs(seen.ranks[other]) < abs(rank)
            )
            alike[kinds.get(each, ""), inner].append(each)
        groups = [
            part
            for group in alike.values()
            for part in ([group] if len(group) > ALIKE else [[each] for each in group])
        ]
        if len(shapes) + len(groups) > MAX_SHAPES:
            # Neighbours no longer count: what is of one kind stands together.
            by_kind: dict[str, list[int]] = defaultdict(list)
            for each in sorted(layers[rank]):
                by_kind[kinds.get(each, "")].append(each)
            groups = list(by_kind.values())
        if len(shapes) + len(groups) > MAX_SHAPES:
            beyond += len(layers[rank])
            continue
        for group in groups:
            shapes[group[0]] = group
            shape_of.update(dict.fromkeys(group, group[0]))
    return shapes, beyond


def _shape(
    number: int, iris: Sequence[str], node: Node, *, count: int, rank: int, is_focus: bool
) -> Shape:
    said = " ".join(filter(None, (node.fact("metric"), node.fact("stage"), node.fact("meaning"))))
    title = node.title or said or node.kind or iris[0].rsplit("/", 1)[-1]
    return Shape(
        number=number,
        iris=tuple(iris),
        count=count,
        kind=node.kind,
        title=title,
        rank=rank,
        is_focus=is_focus,
        is_restricted=not node.facts,
    )


def _placed(
    shapes: Sequence[Shape], lines: set[tuple[int, int]], *, beyond: int, is_cut: bool
) -> Picture:
    layers: dict[int, list[int]] = defaultdict(list)
    for shape in sorted(shapes, key=lambda one: (one.kind, one.title, one.iris)):
        layers[shape.rank].append(shape.number)
    near: dict[int, list[int]] = defaultdict(list)
    for start, end in lines:
        near[start].append(end)
        near[end].append(start)
    ranks = sorted(layers)
    order = {each: float(at) for rank in ranks for at, each in enumerate(layers[rank])}
    for sweep in range(_SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            layer = layers[rank]
            size = max(1, len(layer))
            middle = {
                each: (
                    sum(order[other] for other in near[each]) / len(near[each])
                    if near[each]
                    else order[each]
                )
                for each in layer
            }
            layer.sort(key=middle.__getitem__)
            for at, each in enumerate(layer):
                # Between 0 and 1, so that short layers and long ones are compared.
                order[each] = (at + 0.5) / size
    tallest = max(len(layer) for layer in layers.values())
    height = 2 * _MARGIN + tallest * (HEIGHT + _GAP_Y) - _GAP_Y
    placed: dict[int, Shape] = {}
    for column, rank in enumerate(ranks):
        numbers = layers[rank]
        top = (height - len(numbers) * (HEIGHT + _GAP_Y) + _GAP_Y) / 2
        for at, number in enumerate(numbers):
            placed[number] = replace(
                shapes[number],
                x=_MARGIN + column * (WIDTH + _GAP_X),
                y=round(top + at * (HEIGHT + _GAP_Y), 1),
            )
    return Picture(
        shapes=tuple(placed[number] for rank in ranks for number in layers[rank]),
        lines=tuple(sorted(lines)),
        beyond=beyond,
        is_cut=is_cut,
        width=2 * _MARGIN + len(ranks) * (WIDTH + _GAP_X) - _GAP_X,
        height=height,
    )
