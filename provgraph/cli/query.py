"""`provgraph query` and `provgraph sparql`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from rich.markup import escape

from provgraph.capture.sinks import Receipt
from provgraph.cli.asking import (
    FORMATS,
    add_format,
    indexing_progress,
    reader,
    say_erased,
    say_meant,
)
from provgraph.cli.output import (
    console,
    counted,
    print_csv,
    print_json,
    print_table,
    sparql_json,
    stream_csv,
    write_data,
)
from provgraph.cli.proofs import say_proofs
from provgraph.errors import UsageError
from provgraph.query.answer_json import answer_json
from provgraph.query.catalogue import catalogue, find
from provgraph.records import Agent
from provgraph.service.certifying import certify
from provgraph.service.home import utc_now
from provgraph.settings import load

RDF_FORMATS = ("turtle", "ntriples", "jsonld")


def add_query(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph query`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "query",
        help=text,
        description="Answer one of the written-down questions; without a name, list them.",
        epilog="Example: provgraph query Q02 --param model=churn:3;"
        " provgraph query Q19 --param dataset=customers.csv --as-of 2026-03-01 --evidence",
    )
    parser.add_argument("name", nargs="?", help="Q02, or model-data")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; repeatable"
    )
    parser.add_argument("--text", action="store_true", help="print the SPARQL text and stop")
    parser.add_argument(
        "--as-of",
        metavar="WHEN",
        help="answer from the ledger as it was: a size (entries) or a time (2026-03-01T12:00:00Z)",
    )
    parser.add_argument(
        "--evidence",
        action="store_true",
        help="list the records that the rows rest on, what is absent, and contradictions",
    )
    parser.add_argument(
        "--certificate",
        action="store_true",
        help="seal a certificate of the answer into the ledger; `provgraph verify --answer` checks it",
    )
    parser.add_argument("--by", metavar="NAME", help="who asks, for the certificate")
    shorthand = parser.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        shorthand.add_argument(
            f"--{name}",
            dest="format",
            action="store_const",
            const=name,
            help=f"the same as --format {name}",
        )
    add_format(parser)
    parser.set_defaults(run=run_query)
    return parser


def add_sparql(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph sparql`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sparql",
        help=text,
        description="Run a SPARQL query, in a process of its own with bounded time and memory and"
        " no network. The union of all records is the default graph.",
        epilog="Example: provgraph sparql 'SELECT ?run WHERE { ?run a"
        " <https://w3id.org/provgraph/ns#Run> } LIMIT 5'",
    )
    parser.add_argument("query", help="the query; @FILE reads it from a file, - from stdin")
    parser.add_argument(
        "--as-written",
        action="store_true",
        help="run the query as it stands, where a faster one with the same rows is known"
        " (`provgraph explain` shows it)",
    )
    add_format(parser, (*FORMATS, *RDF_FORMATS))
    parser.set_defaults(run=run_sparql)
    return parser


def run_query(arguments: argparse.Namespace) -> int:
    """List the questions, or answer one."""
    if arguments.name is None:
        return _list()
    query = find(arguments.name)
    if arguments.text:
        write_data(query.text)
        return 0
    values: dict[str, str] = {}
    for given in arguments.param:
        name, equals, value = given.partition("=")
        if not equals:
            raise UsageError(f"--param: expected NAME=VALUE, found {given!r}")
        if name in values:
            raise UsageError(f"--param: {name} is given twice")
        values[name] = value
    by = _asker(arguments) if arguments.certificate else None
    with reader() as opened, indexing_progress("as it was") as progress:
        with contextlib.ExitStack() as stack:
            asking = opened
            if arguments.as_of is not None:
                asking = stack.enter_context(opened.as_of(arguments.as_of, progress=progress))
            if by is not None:
                asked = asking.asked(query, values)
                receipt = certify(load(), asked, by=Agent(name=by), now=utc_now())
                return _say_certificate(receipt, as_json=arguments.format == "json")
            if arguments.format == "csv" and query.report is None and not asking.erased_records():
                stream_csv(*asking.stream(query.id, values))
                say_meant(console(stderr=True), opened.meant)
                return 0
            answer = asking.ask(query.id, values, with_proofs=arguments.format != "csv")
            labels = asking.labels_of_records(answer) if arguments.evidence else {}
        meant = list(opened.meant)
    if arguments.format == "csv":
        print_csv(answer.columns, answer.rows)
        say_meant(console(stderr=True), meant)
        erased = chain.from_iterable(answer.erased.values())
        say_erased(console(stderr=True), erased, records=answer.erased_records)
    elif arguments.format == "json":
        print_json({**answer_json(answer), "meant": [asdict(each) for each in meant]})
    else:
        out = console()
        out.print(f"[bold]{query.id}[/bold] {answer.title}")
        print_table(answer.columns, answer.rows, labels=answer.labels)
        say_meant(out, meant)
        erased = chain.from_iterable(answer.erased.values())
        say_erased(out, erased, records=answer.erased_records)
        say_proofs(out, answer, in_full=arguments.evidence, labels=labels)
        out.print(_footer(len(answer.rows), answer.ledger_size, empty=answer.empty))
    return 0


def _asker(arguments: argparse.Namespace) -> str:
    name = (arguments.by or load().owner or "").strip()
    if not name:
        raise UsageError("a certificate says who asked: give --by NAME, or set PROVGRAPH_OWNER")
    return name


def _say_certificate(receipt: Receipt, *, as_json: bool) -> int:
    name = receipt.record.rsplit("/", 1)[-1]
    if as_json:
        print_json({"certificate": name, "record": receipt.record, "position": receipt.position})
        return 0
    out = console()
    out.print(f"[bold green]certified[/bold green]: {name}, entry {receipt.position} of the ledger")
    out.print(f"Check it: provgraph verify --answer {name}")
    out.print(f"Hand it over: provgraph export {receipt.record} --format bundle --out answer.zip")
    return 0


def query_text(given: str) -> str:
    """Return the query that an argument means: itself, @FILE, or - for standard input.

    Raises:
        UsageError: the file cannot be read.
    """
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {given[1:]}: {error}") from None


def run_sparql(arguments: argparse.Namespace) -> int:
    """Run a free query."""
    text = query_text(arguments.query)
    with reader() as opened:
        answer, ledger_size, rewriting = opened.sparql(text, as_written=arguments.as_written)
        if arguments.format in RDF_FORMATS and answer.kind != "triples":
            raise UsageError(
                f"--format {arguments.format} is for CONSTRUCT and DESCRIBE; use json or csv"
            )
        labels = opened.labels(answer.rows[:1000]) if arguments.format == "table" else {}
        erased_records = opened.erased_records()
    if rewriting is not None:
        out = console(stderr=True)
        out.print(
            f"[dim]asked with {escape('; '.join(rewriting.reasons))} (--as-written: not)[/dim]"
        )
    if answer.kind == "boolean":
        if arguments.format == "json":
            print_json({"head": {}, "boolean": answer.boolean})
        else:
            print("true" if answer.boolean else "false")
    elif arguments.format in RDF_FORMATS:
        from provgraph.export.rdf import triples_as

        write_data(triples_as(answer.rows, arguments.format).decode())
    elif arguments.format == "json":
        print_json(sparql_json(answer.columns, answer.rows))
    elif arguments.format == "csv":
        print_csv(answer.columns, answer.rows)
    else:
        print_table(answer.columns, answer.rows, labels=labels)
        say_erased(console(), (), records=erased_records)
        console().print(_footer(len(answer.rows), ledger_size))
    return 0


def _list() -> int:
    out = console()
    for query in catalogue():
        out.print(f"[bold]{query.id}[/bold]  {query.name:<18} {query.title}")
        for parameter in query.parameters:
            out.print(f"      --param {parameter.name}=…   [dim]{parameter.help}[/dim]")
    out.print(f"\nExample: {catalogue()[0].example}")
    return 0


def _footer(rows: int, ledger_size: int, *, empty: str = "") -> str:
    if rows == 0:
        empty = empty or "nothing of this kind was recorded; what was not recorded is unknown"
        return f"[dim]no rows: {escape(empty)} (at ledger size {ledger_size})[/dim]"
    return f"[dim]{counted(rows, 'row')} at ledger size {ledger_size}[/dim]"
