"""Strongly connected components (Tarjan, 1972), without recursion: a chain may be long."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def components(edges: Mapping[Node, Sequence[Node]]) -> Iterator[frozenset[Node]]:
    """Yield the components of a graph, each after all that it leads to.

    Args:
        edges: node to the nodes that it leads to.
    """
    number: dict[Node, int] = {}
    low: dict[Node, int] = {}
    path: list[Node] = []
    on_path: set[Node] = set()
    for root in edges:
        if root in number:
            continue
        work = [(root, iter(edges.get(root, ())))]
        number[root] = low[root] = len(number)
        path.append(root)
        on_path.add(root)
        while work:
            node, following = work[-1]
            for each in following:
                if each not in number:
                    number[each] = low[each] = len(number)
                    path.append(each)
                    on_path.add(each)
                    work.append((each, iter(edges.get(each, ()))))
                    break
                if each in on_path:
                    low[node] = min(low[node], number[each])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == number[node]:
                    component = set()
                    while True:
                        each = path.pop()
                        on_path.discard(each)
                        component.add(each)
                        if each == node:
                            break
                    yield frozenset(component)
