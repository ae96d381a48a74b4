"""Pictures of lineage: layers, folds, limits."""

from __future__ import annotations

import itertools

import pytest
from small_graphs import ABOUT, DERIVED, edge_file, thing

from provgraph import vocab
from provgraph.query.lineage_graph import LineageGraph
from provgraph.query.picture import HEIGHT, MAX_SHAPES, WIDTH, picture

USED, GENERATED = f"{vocab.PROV}used", f"{vocab.PROV}wasGeneratedBy"


def drawn(folder, records, focus, **options):
    with edge_file(folder, records) as file:
        return picture(LineageGraph(file), thing(focus), **options)


def made(model, run, data):
    return [(run, USED, data), (model, GENERATED, run), (model, DERIVED, data)]


def test_a_run_stands_between_what_it_used_and_made(tmp_path):
    found = drawn(tmp_path, [made(3, 2, 1), [(4, ABOUT, 3)]], 3)
    ranks = {each.iris[0]: each.rank for each in found.shapes}
    assert ranks == {thing(1): -2, thing(2): -1, thing(3): 0, thing(4): 2}
    number = {each.iris[0]: each.number for each in found.shapes}
    expected = {(number[thing(a)], number[thing(b)]) for a, b in ((1, 2), (2, 3), (3, 4))}
    assert (set(found.lines), found.beyond, found.is_cut) == (expected, 0, False)


def test_a_run_can_be_the_focus(tmp_path):
    found = drawn(tmp_path, [made(3, 2, 1)], 2)
    assert [(each.iris[0], each.rank) for each in found.shapes] == [
        (thing(1), -1),
        (thing(2), 0),
        (thing(3), 1),
    ]
    assert [each.is_focus for each in found.shapes] == [False, True, False]


def test_three_thousand_runs_are_one_node_with_a_count(tmp_path):
    records = [made(10_000 + n, 20_000 + n, 1) for n in range(2500)]
    found = drawn(tmp_path, records, 1)
    assert [(each.rank, each.count) for each in found.shapes] == [(0, 1), (1, 2500), (2, 2500)]
    assert len(found.lines) == 2


def test_a_hub_is_cut_and_says_so(tmp_path):
    found = drawn(tmp_path, [[(n + 10, DERIVED, 1)] for n in range(5000)], 1)
    assert (found.is_cut, len(found.shapes) <= 2) == (True, True)


def test_what_is_different_is_not_folded(tmp_path):
    # Ten datasets, each with a run and a model of its own: they differ in their neighbours.
    records = [
        statement
        for n in range(10)
        for statement in ([(100 + n, DERIVED, 1)], made(300 + n, 200 + n, 100 + n))
    ]
    found = drawn(tmp_path, records, 1)
    counts = sorted((each.rank, each.count) for each in found.shapes)
    assert counts == [(0, 1), (2, 10), (3, 10), (4, 10)]
    few = drawn(tmp_path / "few", records[:6], 1)
    assert {each.count for each in few.shapes} == {1}


@pytest.mark.parametrize("width", [3, 60, 400])
def test_no_picture_holds_more_than_it_may_and_nothing_overlaps(tmp_path, width):
    records = []
    for layer in range(6):
        for n in range(width):
            parents = {(n * 7 + step) % width for step in range(3)}
            here = 1000 * (layer + 1) + n
            above = [1] if layer == 0 else [1000 * layer + each for each in parents]
            records.append([(here, DERIVED, each) for each in above])
    found = drawn(tmp_path, records, 1)
    assert len(found.shapes) <= MAX_SHAPES
    overlaps = [
        (a.number, b.number)
        for a, b in itertools.combinations(found.shapes, 2)
        if abs(a.x - b.x) < WIDTH and abs(a.y - b.y) < HEIGHT
    ]
    assert overlaps == []
    assert all(
        each.x + WIDTH <= found.width and each.y + HEIGHT <= found.height for each in found.shapes
    )


def test_a_circle_ends(tmp_path):
    found = drawn(tmp_path, [[(1, DERIVED, 2)], [(2, DERIVED, 3)], [(3, DERIVED, 1)]], 1)
    assert sorted(each.iris[0] for each in found.shapes) == [thing(1), thing(2), thing(3)]


def test_depth_and_an_earlier_size_bound_it(tmp_path):
    chain = [[(n + 1, DERIVED, n)] for n in range(1, 30)]
    near = drawn(tmp_path, chain, 15, depth=2)
    assert [each.iris[0] for each in near.shapes] == [thing(n) for n in range(13, 18)]
    with edge_file(tmp_path / "then", chain) as file:
        then = picture(LineageGraph(file, as_of=15), thing(15))
    assert max(each.rank for each in then.shapes) == 2
