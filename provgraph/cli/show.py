"""`provgraph show` and `provgraph list`."""

from __future__ import annotations

import argparse
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from provgraph import vocab
from provgraph.cli.asking import add_format, erasures_json, reader, say_erased, say_meant
from provgraph.cli.output import (
    console,
    counted,
    print_csv,
    print_json,
    print_table,
    readable,
    short,
)
from provgraph.cli.profile_table import profile_notes, profile_table
from provgraph.cli.proofs import say_contradictions
from provgraph.errors import NotFoundError
from provgraph.index.store import Row
from provgraph.profiles.profile import TableProfile
from provgraph.query.answer_json import contradiction_json, native
from provgraph.query.lineage import Node
from provgraph.records import Run
from provgraph.service.asking import Description
from provgraph.service.profiles import profiles_in
from provgraph.service.recovery import going_runs
from provgraph.settings import load
from provgraph.terms import Term, literal_parts, string, typed

KINDS: Final = {
    "models": "Model",
    "datasets": "Dataset",
    "runs": "Run",
    "deployments": "Deployment",
    "approvals": "Approval",
    "observations": "Observation",
    "verifications": "Verification",
    "erasures": "Tombstone",
}

# Facts that say little to a reader, or are said elsewhere on the page.
_HIDDEN: Final = {
    f"{vocab.RDF}type",
    f"{vocab.RDFS}label",
    f"{vocab.PROV}qualifiedUsage",
    f"{vocab.PROV}qualifiedGeneration",
    f"{vocab.PROV}qualifiedAssociation",
}
_MAX_VALUES: Final = 12
_MAX_PROFILES: Final = 3

# Columns of `provgraph list`, with the datatype of those that are no text.
_COLUMNS: Final = {
    "label": "",
    "model": "",
    "by": "",
    "status": "",
    "stage": "",
    "reason": "",
    "target": "",
    "meaning": "",
    "metric": "",
    "value": f"{vocab.XSD}decimal",
    "rows": f"{vocab.XSD}integer",
    "digest": "",
    "project": "",
    "at": f"{vocab.XSD}dateTime",
}


# Columns that name another thing; people see what it is called.
_THINGS: Final = frozenset({"model", "by"})


def add_show(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph show`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "show",
        help=text,
        description="Show what is known of anything: a model, dataset, run, record, person; and"
        " what contradicts itself there: the rule, both statements, and the records that make them."
        " A run that is still going is shown from its journal.",
        epilog="Example: provgraph show churn:3",
    )
    parser.add_argument("thing", help="name, name:version, digest, path, run id or IRI")
    add_format(parser, ("table", "json"))
    parser.set_defaults(run=run_show)
    return parser


def add_list(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph list`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "list",
        help=text,
        description="List what is recorded; runs that are still going come last.",
        epilog="Example: provgraph list runs",
    )
    parser.add_argument("kind", nargs="?", choices=sorted(KINDS), default="models")
    add_format(parser)
    parser.set_defaults(run=run_list)
    return parser


def run_show(arguments: argparse.Namespace) -> int:
    """Show one thing."""
    for state in going_runs(load()):
        run, _ = state.run()
        if arguments.thing in {run.id, run.name, vocab.run_iri(run.id)}:
            _show_going(run, as_json=arguments.format == "json")
            return 0
    with reader() as opened:
        found = opened.describe(arguments.thing)
        meant = list(opened.meant)
        profiles = profiles_in(opened.ledger, _profile_iris(found))
    if arguments.format == "json":
        print_json(_json(found))
    else:
        _print(found)
        for iri, profile in profiles:
            _print_profile(iri, profile)
        labels = {each: node.title for each, node in found.nodes.items() if node.title}
        say_contradictions(
            console(), found.contradictions, labels=labels, in_full=True, with_records=True
        )
        say_erased(console(), found.erased)
        say_meant(console(), meant)
    return 0


def _profile_iris(found: Description) -> list[str]:
    """Return what of a description are profiles: itself, or those of a dataset."""
    named = [
        value[1:-1]
        for predicate, value in found.statements
        if predicate == f"{vocab.PG}columnProfile"
    ]
    return [found.iri, *named][: _MAX_PROFILES + 1]


def _print_profile(iri: str, profile: TableProfile) -> None:
    out = console()
    out.print(f"\n[bold]profile[/bold]  [dim]{iri}[/dim]")
    for note in profile_notes(profile):
        out.print(escape(note))
    out.print(profile_table(profile))


def run_list(arguments: argparse.Namespace) -> int:
    """List all things of one kind."""
    going = list(going_runs(load()))
    columns = ("thing", *("time" if name == "at" else name for name in _COLUMNS))
    try:
        with reader() as opened:
            rows = tuple(_row(node) for node in opened.things(KINDS[arguments.kind]))
            size, labels = opened.ledger_size, opened.labels(rows)
    except NotFoundError:
        rows, size, labels = (), 0, {}
        if not going:
            raise
    if arguments.format == "csv":
        print_csv(columns, rows)
        return 0
    runs = [state.run()[0] for state in going] if arguments.kind == "runs" else []
    if arguments.format == "json":
        listed = [
            {name: native(term) for name, term in zip(columns, row, strict=True)} for row in rows
        ]
        listed += [
            {"thing": vocab.run_iri(run.id), "label": run.name, "status": "going"} for run in runs
        ]
        print_json({"ledger_size": size, "rows": listed})
        return 0
    # Runs are often called alike: their first column says which is which.
    things = {row[0] for row in rows} if arguments.kind == "runs" else set()
    names = {iri: label for iri, label in labels.items() if f"<{iri}>" not in things}
    print_table(columns, rows, labels=names, say_empty=False)
    for run in runs:
        print(f"going: {run.name}  {run.id}  since {run.started_at:%Y-%m-%d %H:%M:%S}Z")
    console().print(f"[dim]{counted(len(rows), arguments.kind[:-1])} at ledger size {size}[/dim]")
    return 0


def _row(node: Node) -> Row:
    def term(name: str, datatype: str) -> Term | None:
        text = node.title if name == "label" else node.fact(name)
        if not text:
            return None
        if name in _THINGS:
            return Term(f"<{text}>")
        return typed(text, datatype) if datatype else string(text)

    return (Term(f"<{node.iri}>"), *(term(name, datatype) for name, datatype in _COLUMNS.items()))


def _show_going(run: Run, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "run": run.name,
        "id": run.id,
        "status": "going",
        "project": run.project,
        "started": f"{run.started_at:%Y-%m-%d %H:%M:%S}Z",
        "parameters": run.parameters,
        "metrics": run.metrics,
        "inputs": [use.entity.name or use.entity.description for use in run.used],
        "outputs": [made.entity.name or made.entity.description for made in run.generated],
        "steps": [step.name for step in run.steps],
        "missing": [f"{each.field}: {each.reason}" for each in run.missing],
    }
    if as_json:
        print_json(facts)
        return
    out = console()
    out.print(f"[bold]{escape(run.name)}[/bold]  run that is still going, from its journal")
    for name, value in facts.items():
        if value and name != "run":
            out.print(f"  {name:<11} {escape(_plain(value))}")


def _print(found: Description) -> None:
    out = console()
    kinds = [
        short(value[1:-1]).partition(":")[2]
        for predicate, value in found.statements
        if predicate == f"{vocab.RDF}type" and value.startswith(f"<{vocab.PG}")
    ]
    title = found.nodes[found.iri].title or short(found.iri)
    out.print(f"[bold]{escape(title)}[/bold]  {', '.join(kinds).lower()}")
    out.print(f"[dim]{found.iri}[/dim]")
    names = {each: node.title for each, node in found.nodes.items()}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    grouped: dict[str, list[Term]] = {}
    for predicate, value in found.statements:
        if predicate not in _HIDDEN:
            grouped.setdefault(predicate, []).append(value)
    for predicate, values in grouped.items():
        lines = [_value(value, found, names) for value in values]
        lines = list(dict.fromkeys(line for line in lines if line))
        if len(lines) > _MAX_VALUES:
            lines = [*lines[:_MAX_VALUES], f"… and {len(lines) - _MAX_VALUES} more"]
        table.add_row(_name(predicate), escape("\n".join(lines)))
    incoming: dict[str, list[str]] = {}
    # `model` and `data` say more than the `used` or `wasDerivedFrom` that stands beside them.
    said = {subject for predicate, subject in found.incoming if predicate.startswith(vocab.PG)}
    for predicate, subject in found.incoming:
        if subject in said and predicate.startswith(vocab.PROV):
            continue
        if (
            "#" not in subject.removeprefix(vocab.BASE)
            or "#evaluation" in subject
            or "#entity" in subject
            or "#step" in subject
        ):
            incoming.setdefault(predicate, []).append(subject)
    for predicate, subjects in incoming.items():
        lines = [_node_name(found.nodes.get(each), each) for each in subjects]
        if len(lines) > _MAX_VALUES:
            lines = [*lines[:_MAX_VALUES], f"… and {len(lines) - _MAX_VALUES} more"]
        table.add_row(f"← {_name(predicate)}", escape("\n".join(lines)))
    out.print(table)
    out.print(
        f"[dim]said by {counted(len(found.records), 'record')}"
        f" at ledger size {found.ledger_size}[/dim]"
    )


def _value(value: Term, found: Description, names: dict[str, str]) -> str:
    part = found.parts.get(value[1:-1])
    if part is None:
        return readable(value, {k: v for k, v in names.items() if v})
    words = {predicate: readable(each, names) for predicate, each in part}
    if f"{vocab.PG}field" in words:  # something that is missing
        return f"{words[f'{vocab.PG}field']}: {words.get(f'{vocab.PG}reason', 'no reason given')}"
    facts = [
        f"{_name(predicate)} {_value(each, found, names)}"
        for predicate, each in part
        if predicate not in _HIDDEN and not predicate.endswith(("wasGeneratedBy", "partOfRun"))
    ]
    label = names.get(value[1:-1])
    facts = [fact for fact in facts if fact != f"description {label}"]
    return "  ".join([label, *facts] if label else facts)


def _name(predicate: str) -> str:
    return short(predicate).partition(":")[2] or predicate


def _node_name(node: Node | None, iri: str) -> str:
    if node is None:
        return short(iri)
    extra = [node.fact(name) for name in ("metric", "value", "slice", "stage", "status")]
    return "  ".join([node.title or short(iri), *(each for each in extra if each)])


def _json(found: Description) -> dict[str, Any]:
    def facts(statements: tuple[tuple[str, Term], ...]) -> dict[str, list[Any]]:
        grouped: dict[str, list[Any]] = {}
        for predicate, value in statements:
            plain = native(value) if value.startswith("<") else _typed(value)
            grouped.setdefault(predicate, []).append(plain)
        return grouped

    return {
        "iri": found.iri,
        "ledger_size": found.ledger_size,
        "facts": facts(found.statements),
        "parts": {iri: facts(part) for iri, part in found.parts.items()},
        "incoming": [{"predicate": p, "subject": s} for p, s in found.incoming],
        "records": list(found.records),
        "contradictions": [contradiction_json(each) for each in found.contradictions],
        "erased": erasures_json(found.erased),
        "labels": {each: node.title for each, node in found.nodes.items() if node.title},
    }


def _typed(term: Term) -> Any:
    text, datatype, _ = literal_parts(term)
    return native(term) if datatype != f"{vocab.XSD}string" else text


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)
