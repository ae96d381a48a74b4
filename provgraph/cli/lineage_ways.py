"""`provgraph lineage --to` and `--common`: a way between two things, and what several have in common."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from rich.markup import escape

from provgraph.cli.asking import erasures_json, reader, say_erased, say_meant
from provgraph.cli.output import console, counted, print_csv, print_json, print_table, short
from provgraph.errors import UsageError
from provgraph.query.lineage import Node
from provgraph.query.lineage_graph import Restriction
from provgraph.terms import Term, integer, string

# As people write them, without dash or plural.
_KINDS = {"features": "featureset", "feature-set": "featureset", "source": "sourcecode"}


def instant(text: str) -> datetime:
    """Read a time of the command line; without a zone it is UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-03-01 or 2026-03-01T09:00:00Z, found {text!r}"
        ) from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def restriction(arguments: argparse.Namespace) -> Restriction:
    """Return which things the options let in.

    Raises:
        UsageError: options that do not go together.
    """
    kinds = frozenset(_KINDS.get(each.lower(), each.lower()) for each in arguments.kind)
    only = Restriction(
        kinds=kinds,
        projects=frozenset(arguments.project),
        since=arguments.since,
        until=arguments.until,
    )
    if arguments.to is not None and not (only.is_none and arguments.depth is None):
        raise UsageError(
            "--to shows one way, whole: leave --kind, --project, times and --depth out"
        )
    if arguments.common and arguments.depth is not None:
        raise UsageError("--common looks as far as the records go: leave --depth out")
    return only


def run_path(arguments: argparse.Namespace) -> int:
    """Print a shortest way, from what was made later to what it was made from."""
    with reader() as opened:
        size = opened.size_as_of(arguments.as_of)
        way, nodes = opened.path(arguments.thing, arguments.to, as_of=size)
        size = opened.ledger_size if size is None else size
        erased = opened.erased(nodes)
    if arguments.format == "json":
        print_json(
            {
                "ledger_size": size,
                "erased": {iri: erasures_json(each) for iri, each in erased.items()},
                "steps": [
                    {"child": each.child, "parent": each.parent, "records": list(each.records)}
                    for each in way
                ],
                "nodes": [_node_json(nodes[iri]) for iri in sorted(nodes)],
            }
        )
        return 0
    rows = [
        (
            integer(number),
            Term(f"<{each.child}>"),
            Term(f"<{each.parent}>"),
            string(" ".join(each.records)),
        )
        for number, each in enumerate(way, start=1)
    ]
    if arguments.format == "csv":
        print_csv(("step", "child", "parent", "records"), rows)
        return 0
    out = console()
    for place, iri in enumerate([way[0].child, *(each.parent for each in way)] if way else nodes):
        said = "[dim]from[/dim] " if place else ""
        out.print(f"{'  ' * place}{said}{_line(nodes[iri])}")
    say_meant(out, opened.meant)
    say_erased(out, [each for some in erased.values() for each in some])
    out.print(f"[dim]{counted(len(way), 'step')} at ledger size {size}[/dim]")
    return 0


def run_common(arguments: argparse.Namespace, only: Restriction) -> int:
    """Print what several things were made from."""
    things = [arguments.thing, *arguments.common]
    with reader() as opened:
        size = opened.size_as_of(arguments.as_of)
        shared, nodes = opened.common(things, only=only, as_of=size)
        size = opened.ledger_size if size is None else size
        erased = opened.erased(nodes)
    if arguments.format == "json":
        print_json(
            {
                "ledger_size": size,
                "things": things,
                "erased": {iri: erasures_json(each) for iri, each in erased.items()},
                "common": [
                    {
                        **_node_json(nodes[each.iri]),
                        "steps": list(each.steps),
                        "isNearest": each.is_nearest,
                    }
                    for each in shared
                ],
            }
        )
        return 0
    columns = ("thing", "kind", "nearest", *(f"steps from {each}" for each in things))
    rows = [
        (
            Term(f"<{each.iri}>"),
            string(nodes[each.iri].kind),
            string("yes" if each.is_nearest else ""),
            *map(integer, each.steps),
        )
        for each in shared
    ]
    if arguments.format == "csv":
        print_csv(columns, rows)
        return 0
    out = console()
    if rows:
        print_table(columns, rows, labels={i: n.title for i, n in nodes.items() if n.title})
    else:
        out.print(
            "no record says that they were made from one thing; what was made elsewhere, unrecorded, is"
            " unknown"
        )
    say_meant(out, opened.meant)
    say_erased(out, [each for some in erased.values() for each in some])
    out.print(f"[dim]{counted(len(shared), 'thing')} in common at ledger size {size}[/dim]")
    return 0


def _line(node: Node) -> str:
    kind = {"FeatureSet": "features"}.get(node.kind, node.kind.lower()) or "thing"
    digest = node.fact("digest")
    said = f"[bold]{escape(node.title or short(node.iri))}[/bold]  [dim]{kind}[/dim]"
    return f"{said}  [dim]{digest[:19]}…[/dim]" if digest else said


def _node_json(node: Node) -> dict[str, str]:
    return {
        "iri": node.iri,
        "kind": node.kind,
        **{name: values[0] for name, values in node.facts.items() if name != "types"},
    }
