"""The lineage index answers what a SPARQL path answers: on cycles, diamonds, self-loops, multi-edges."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import ABOUT, DERIVED, edge_file, entries, mark, record_iri, store, thing

from provgraph.errors import NotFoundError
from provgraph.index.edge_arrays import open_arrays, write_arrays
from provgraph.query.lineage_graph import LineageGraph, PathEdge, require_known

MANY = 6
statements = st.tuples(
    st.integers(0, MANY), st.sampled_from([DERIVED, DERIVED, ABOUT]), st.integers(0, MANY)
)
histories = st.lists(st.lists(statements, max_size=5), min_size=1, max_size=6)
STEP = f"(<{DERIVED}>|<{ABOUT}>)"


def rows(asked, query):
    return {solution[0].value for solution in asked.query(query)}


def path(subject, predicate, other):
    return f"SELECT DISTINCT ?x WHERE {{ {subject} {predicate} {other} }}"


def closure(asked, number, *, up):
    it = f"VALUES ?it {{ <{thing(number)}> }}"
    ends = ("?it", "?x") if up else ("?x", "?it")
    return rows(asked, f"SELECT DISTINCT ?x WHERE {{ {it} {ends[0]} {STEP}* {ends[1]} }}")


def mentioned(records):
    return sorted({n for record in records for c, _, p in record for n in (c, p)})


@given(histories, st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_closures_are_those_of_a_sparql_path_as_of_every_position(records, as_of):
    with tempfile.TemporaryDirectory() as name, edge_file(Path(name) / "l", records) as file:
        lineage = LineageGraph(file, as_of=as_of)
        asked = store(records[:as_of])
        for number in mentioned(records[:as_of]):
            for up in (True, False):
                walk = lineage.upstream if up else lineage.downstream
                found = walk([thing(number)])
                assert set(found.things) == closure(asked, number, up=up)
                assert found.is_cut is False


@given(histories, st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_k_hops_are_those_of_a_path_of_optional_steps(records, depth):
    with tempfile.TemporaryDirectory() as name, edge_file(Path(name) / "l", records) as file:
        lineage = LineageGraph(file)
        asked = store(records)
        steps = "/".join([f"{STEP}?"] * depth)
        for number in mentioned(records):
            found = lineage.upstream([thing(number)], max_depth=depth)
            expected = {thing(number)}
            if depth:
                expected = rows(
                    asked,
                    f"SELECT DISTINCT ?x WHERE {{ VALUES ?it {{ <{thing(number)}> }} ?it {steps} ?x }}",
                )
            assert set(found.things) == expected


@given(histories)
@settings(max_examples=30, deadline=None)
def test_paths_are_shortest_and_made_of_stated_edges(records):
    with tempfile.TemporaryDirectory() as name, edge_file(Path(name) / "l", records) as file:
        lineage = LineageGraph(file)
        asked = store(records)
        stated = {
            (thing(c), thing(p), record_iri(at))
            for at, record in enumerate(records)
            for c, _, p in record
        }
        for child in mentioned(records):
            distances = lineage.upstream([thing(child)]).things
            above = closure(asked, child, up=True)
            for parent in mentioned(records):
                way = lineage.path(thing(child), thing(parent))
                assert lineage.reaches(thing(child), thing(parent)) is (thing(parent) in above)
                if thing(parent) not in above:
                    assert way is None
                    continue
                assert way is not None
                assert len(way) == distances[thing(parent)]
                ends = [thing(child), *(edge.parent for edge in way)]
                assert [edge.child for edge in way] == ends[:-1]
                assert ends[-1] == thing(parent)
                for edge in way:
                    assert edge.records == tuple(
                        sorted(r for c, p, r in stated if (c, p) == (edge.child, edge.parent))
                    )
                    assert len(edge.records) >= 1


@given(histories)
@settings(max_examples=30, deadline=None)
def test_common_ancestors_are_those_of_a_sparql_path(records):
    with tempfile.TemporaryDirectory() as name, edge_file(Path(name) / "l", records) as file:
        lineage = LineageGraph(file)
        asked = store(records)
        numbers = mentioned(records)
        above = {thing(n): closure(asked, n, up=True) for n in numbers}
        for one in numbers:
            for other in numbers:
                found = lineage.common_ancestors([thing(one), thing(other)])
                common = above[thing(one)] & above[thing(other)]
                assert {each.iri for each in found} == common
                # Nothing in common was made from a nearest one, but what it was made from itself.
                nearest = {
                    each
                    for each in common
                    if all(low in above[each] for low in common if each in above[low])
                }
                assert {each.iri for each in found if each.is_nearest} == nearest


@given(histories, st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_a_file_that_grew_is_one_built_at_once(records, cut):
    with tempfile.TemporaryDirectory() as name:
        with edge_file(Path(name) / "a", records) as whole:
            with edge_file(Path(name) / "b", records[:cut]) as grown:
                rest = entries(records[cut:], start=len(records[:cut]))
                grown.append(rest, mark=mark(len(records)))
                for table in ("thing", "record", "edge", "fact"):
                    query = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
                    query = query.removesuffix(", 3") if table == "record" else query
                    assert grown._all(query) == whole._all(query)
                assert grown.watermark() == whole.watermark() == mark(len(records))


@given(histories, st.integers(0, 6), st.integers(0, 6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_arrays_answer_what_the_file_answers_also_what_came_in_since(
    records, cut, as_of, backwards
):
    with tempfile.TemporaryDirectory() as name, edge_file(Path(name) / "l", records[:cut]) as file:
        write_arrays(file)
        rest = entries(records[cut:], start=len(records[:cut]))
        # A view can come to show a record after later ones.
        for each in reversed(rest) if backwards else rest:
            file.append([each], mark=mark(len(records)))
        arrays = open_arrays(file)
        assert arrays is not None
        with arrays:
            for position in (as_of, None):
                by_file = LineageGraph(file, as_of=position)
                by_arrays = LineageGraph(file, as_of=position, steps=arrays)
                for number in mentioned(records):
                    one = thing(number)
                    for depth in (None, 0, 1, 2):
                        assert by_arrays.upstream([one], max_depth=depth) == by_file.upstream(
                            [one], max_depth=depth
                        )
                        assert by_arrays.downstream([one], max_depth=depth) == by_file.downstream(
                            [one], max_depth=depth
                        )
                    other = thing((number + 1) % MANY)
                    assert by_arrays.path(one, other) == by_file.path(one, other)
                    assert by_arrays.common_ancestors([one, other]) == by_file.common_ancestors(
                        [one, other]
                    )
        # Written anew they hold all of it, and nothing lies over them.
        write_arrays(file)
        assert file.arrays()[1] == []


def test_a_self_loop_leads_nowhere_and_a_multi_edge_names_all_its_records(tmp_path):
    records = [[(1, DERIVED, 1), (1, DERIVED, 2)], [(1, DERIVED, 2), (1, ABOUT, 2)]]
    with edge_file(tmp_path / "l", records) as file:
        lineage = LineageGraph(file)
        assert lineage.upstream([thing(1)]).things == {thing(1): 0, thing(2): 1}
        assert lineage.path(thing(1), thing(1)) == ()
        assert lineage.path(thing(1), thing(2)) == (
            PathEdge(child=thing(1), parent=thing(2), records=(record_iri(0), record_iri(1))),
        )


def test_a_wide_fan_is_cut_where_the_limit_says(tmp_path):
    records = [[(number, DERIVED, 0) for number in range(1, 500)]]
    with edge_file(tmp_path / "l", records) as file:
        found = LineageGraph(file).downstream([thing(0)], max_things=100)
        assert found.is_cut is True
        assert 100 < len(found.things) <= 104
        whole = LineageGraph(file).downstream([thing(0)], max_things=500)
        assert (whole.is_cut, len(whole.things)) == (False, 500)
        write_arrays(file)
        arrays = open_arrays(file)
        assert arrays is not None
        with arrays:
            by_arrays = LineageGraph(file, steps=arrays)
            cut = by_arrays.downstream([thing(0)], max_things=100)
            assert (cut.is_cut, len(cut.things)) == (True, 103)
            assert by_arrays.downstream([thing(0)], max_things=500) == whole


def test_a_chain_of_thousands_of_steps_is_walked(tmp_path):
    records = [[(number, DERIVED, number + 1)] for number in range(3000)]
    with edge_file(tmp_path / "l", records) as file:
        lineage = LineageGraph(file)
        assert lineage.upstream([thing(0)]).things[thing(3000)] == 3000
        way = lineage.path(thing(0), thing(3000))
        assert way is not None
        assert len(way) == 3000


def test_what_nobody_has_spoken_of_yet_is_not_known(tmp_path):
    with edge_file(tmp_path / "l", [[(0, DERIVED, 1)], [(2, DERIVED, 0)]]) as file:
        early = LineageGraph(file, as_of=1)
        assert early.downstream([thing(1)]).things == {thing(1): 0, thing(0): 1}
        assert early.upstream([thing(9)]).things == {}
        assert early.reaches(thing(2), thing(1)) is False
        with pytest.raises(
            NotFoundError, match=r"nothing was recorded of .*/2 in the first 1 entr"
        ):
            require_known(early, [thing(0), thing(2)])
