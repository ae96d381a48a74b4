"""`provgraph lineage`: a readable tree of where something came from, or what came of it."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any, Final

from rich.markup import escape
from rich.tree import Tree

from provgraph.cli.asking import add_format, erasures_json, reader, say_erased, say_meant
from provgraph.cli.lineage_ways import instant, restriction, run_common, run_path
from provgraph.cli.output import console, counted, print_csv, print_json, short
from provgraph.errors import UsageError
from provgraph.query.erasures import Erasure, is_wholly_erased
from provgraph.query.lineage import Lineage, Node, usage_roles
from provgraph.terms import Term, string

# More children than this under one node are counted, not listed, unless --all is given.
MAX_CHILDREN: Final = 20
MAX_LINES: Final = 400


# Things that people know by what was said in them.
_NAMELESS: Final = frozenset({"Evaluation", "Observation", "Approval", "Deployment"})


def add_lineage(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph lineage`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "lineage",
        help=text,
        description="Show what a thing was made from (--up) or what was made from it (--down); a"
        " shortest way between two things (--to); what several were made from (--common). --kind,"
        " --project, --since and --until say which things are in the answer; what stands on the way"
        " to them is shown, too. --as-of asks the ledger as it was, and gives the same for ever.",
        epilog="Example: provgraph lineage churn:3 --up;"
        " provgraph lineage calls.csv --down --kind model --kind deployment;"
        " provgraph lineage churn:3 --to customers.csv;"
        " provgraph lineage churn:3 --common churn:2 --as-of 2026-03-01",
    )
    parser.add_argument("thing", help="name, name:version, digest, path, run id or IRI")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--up", action="store_true", help="to its origins (default)")
    way.add_argument("--down", action="store_true", help="to what depends on it")
    way.add_argument("--to", metavar="THING", help="a shortest way between it and THING")
    way.add_argument(
        "--common",
        action="append",
        metavar="THING",
        help="what it and THING were both made from, nearest first; repeatable",
    )
    parser.add_argument("--depth", type=int, metavar="N", help="at most N levels")
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        help="things of this kind: dataset, model, features, evaluation, deployment…; repeatable",
    )
    parser.add_argument(
        "--project",
        action="append",
        default=[],
        help="things that records of this project speak of; repeatable",
    )
    parser.add_argument(
        "--since", type=instant, metavar="TIME", help="things made at or after this time"
    )
    parser.add_argument("--until", type=instant, metavar="TIME", help="things made before it")
    parser.add_argument(
        "--as-of", metavar="SIZE|TIME", help="as of this ledger size, or of this time"
    )
    parser.add_argument("--all", action="store_true", help="fold nothing")
    add_format(parser)
    parser.set_defaults(run=run_lineage)
    return parser


def run_lineage(arguments: argparse.Namespace) -> int:
    """Walk and print."""
    if arguments.depth is not None and arguments.depth < 0:
        raise UsageError(f"--depth: expected 0 or more levels, found {arguments.depth}")
    only = restriction(arguments)
    if arguments.to is not None:
        return run_path(arguments)
    if arguments.common:
        return run_common(arguments, only)
    with reader() as opened:
        size = opened.size_as_of(arguments.as_of)
        found = opened.walk(
            arguments.thing,
            up=not arguments.down,
            max_depth=arguments.depth,
            only=only,
            as_of=size,
        )
        activities = {each for edge in found.edges for each in edge.activities}
        roles = usage_roles(opened.index.select, activities)
        size = opened.ledger_size if size is None else size
        meant = list(opened.meant)
        erased = opened.erased(found.nodes)
    if arguments.format == "json":
        print_json(_json(found, roles, size, erased))
    elif arguments.format == "csv":
        rows = [
            (
                Term(f"<{edge.child}>"),
                Term(f"<{edge.parent}>"),
                string(" ".join(edge.activities)),
            )
            for edge in found.edges
        ]
        print_csv(("child", "parent", "activities"), rows)
    else:
        _print_tree(found, roles, erased=erased, down=arguments.down, fold=not arguments.all)
        say_meant(console(), meant)
        say_erased(console(), chain.from_iterable(erased.values()))
        edges = "derivation" if len(found.edges) == 1 else "derivations"
        console().print(
            f"[dim]{len(found.nodes)} things, {len(found.edges)} {edges} at ledger size {size}"
            f"{'; cut by a limit' if found.is_cut else ''}[/dim]"
        )
        _say_restricted(found)
    return 0


def _say_restricted(found: Lineage) -> None:
    if found.matches is None:
        return
    console().print(
        f"[dim]{counted(len(found.matches), 'thing')} as asked for, the others stand on the way"
        f"{'' if found.matches else ': nothing recorded matches'}[/dim]"
    )
    if found.untimed:
        console().print(
            f"[yellow]{counted(found.untimed, 'thing')} left out[/yellow]: nobody recorded when they"
            " were made"
        )


def _print_tree(
    found: Lineage,
    roles: dict[tuple[str, str], str | None],
    *,
    erased: Collection[str],
    down: bool,
    fold: bool,
) -> None:
    following: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for edge in found.edges:
        start, end = (edge.parent, edge.child) if down else (edge.child, edge.parent)
        following[start][end] |= set(edge.activities)
    out = console()
    shown: set[str] = set()
    for root in found.roots:
        tree = Tree(_line(found.nodes[root], is_erased=root in erased))
        shown.add(root)
        lines = 1
        # An explicit stack: chains may be longer than Python's recursion allows.
        stack = [(root, tree)]
        while stack:
            start, branch = stack.pop()
            children = sorted(
                following[start].items(), key=lambda item: _sort_key(found.nodes[item[0]])
            )
            groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
            for end, made_by in children:
                groups[tuple(sorted(made_by))].append(end)
            for activities, ends in groups.items():
                below = branch
                if activities and not down:
                    below = branch.add(_activities(found, activities, erased))
                limit = MAX_CHILDREN if fold else len(ends)
                for end in ends[:limit]:
                    role = next((r for a in activities if (r := roles.get((a, end)))), None)
                    again = end in shown and bool(following[end])
                    line = _line(found.nodes[end], role=role, again=again, is_erased=end in erased)
                    leaf = below.add(line)
                    lines += 1
                    if end not in shown and (not fold or lines < MAX_LINES):
                        shown.add(end)
                        stack.append((end, leaf))
                if len(ends) > limit:
                    below.add(f"[dim]… and {len(ends) - limit} more (--all shows them)[/dim]")
        out.print(tree)


def _activities(found: Lineage, activities: tuple[str, ...], erased: Collection[str]) -> str:
    names = []
    for each in activities[:3]:
        node = found.nodes[each]
        failed = node.fact("status") in {"failed", "abandoned"}
        suffix = f" [red]({node.fact('status')})[/red]" if failed else ""
        if each in erased:
            word = "erased" if is_wholly_erased(node) else "partly erased"
            suffix += f" [red]({word})[/red]"
        names.append(
            f"{node.kind.lower() or 'activity'} [cyan]{escape(_name(node))}[/cyan]{suffix}"
        )
    more = f" and {len(activities) - 3} more" if len(activities) > 3 else ""
    return f"[dim]by[/dim] {', '.join(names)}{more}"


def _line(
    node: Node, *, role: str | None = None, again: bool = False, is_erased: bool = False
) -> str:
    parts = []
    if role:
        parts.append(f"[dim]{escape(role)}:[/dim]")
    # What has only an id is read by what it says; the id, which `show` takes, comes last.
    is_nameless = node.kind in _NAMELESS and not node.title
    if is_nameless:
        parts.append(f"[bold]{_kind(node)}[/bold]")
    else:
        parts.append(f"[bold]{escape(_name(node))}[/bold]")
        parts.append(f"[dim]{_kind(node)}[/dim]")
    if (rows := node.fact("rows")) is not None:
        columns = node.fact("columns")
        parts.append(f"{rows} rows" + (f" x {columns}" if columns else ""))
    if node.kind in {"Evaluation", "Observation"}:
        where = f" on {node.fact('slice')}" if node.fact("slice") else ""
        figure = float(node.fact("value") or "nan")
        parts.append(escape(f"{node.fact('metric')} {figure:.4g}{where}"))
    if (stage := node.fact("stage")) is not None:
        parts.append(escape(stage))
    if (digest := node.fact("digest")) is not None:
        parts.append(f"[dim]{digest[:19]}…[/dim]")
    elif node.kind in {"Dataset", "Model", "File", "FeatureSet"} and not is_erased:
        parts.append("[yellow]no digest[/yellow]")
    parts.extend(
        f"[green]{escape(value.removeprefix('https://spdx.org/licenses/'))}[/green]"
        for fact in ("licence", "source")
        if (value := node.fact(fact)) is not None
    )
    if is_erased:
        word = "erased" if is_wholly_erased(node) else "partly erased"
        parts.append(f"[red]{word}[/red]")
    if node.fact("invalidated") is not None:
        parts.append("[red]retracted[/red]")
    if is_nameless:
        if (at := node.fact("at")) is not None:
            parts.append(f"{at[:10]}")
        parts.append(f"[dim]{escape(short(node.iri))}[/dim]")
    if again:
        parts.append("[dim](shown above)[/dim]")
    return "  ".join(parts)


def _name(node: Node) -> str:
    return node.title or short(node.iri)


def _kind(node: Node) -> str:
    return {"FeatureSet": "features"}.get(node.kind, node.kind.lower() or "thing")


def _sort_key(node: Node) -> tuple[str, str, str]:
    return (node.kind, _name(node), node.iri)


def _json(
    found: Lineage,
    roles: dict[tuple[str, str], str | None],
    size: int,
    erased: Mapping[str, tuple[Erasure, ...]],
) -> dict[str, Any]:
    restricted = {}
    if found.matches is not None:
        restricted = {"matches": sorted(found.matches), "untimed": found.untimed}
    return {
        "ledger_size": size,
        **restricted,
        "erased": {iri: erasures_json(each) for iri, each in erased.items()},
        "is_cut": found.is_cut,
        "roots": list(found.roots),
        "nodes": [
            {
                "iri": each.iri,
                "kind": each.kind,
                **{name: v[0] for name, v in each.facts.items() if name != "types"},
            }
            for each in found.nodes.values()
        ],
        "edges": [
            {
                "child": edge.child,
                "parent": edge.parent,
                "activities": list(edge.activities),
                "role": next(
                    (r for a in edge.activities if (r := roles.get((a, edge.parent)))), None
                ),
            }
            for edge in found.edges
        ],
    }
