"""Answers as text: tables and trees for people, JSON and CSV for programs.

A person sees names before IRIs; a program sees the full terms. Tables go through rich, which knows
how wide emoji are; nothing is coloured when the output is no terminal, and nothing is cut then.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from provgraph import vocab
from provgraph.index.store import Row
from provgraph.query.answer_json import csv_cell
from provgraph.terms import Term, literal_parts

# A message of an exception can be a page long; a command or a note seldom is longer than this.
MAX_CELL: Final = 300

_CSV_PIECE: Final = 64 * 1024

_HASH = re.compile(r"[0-9a-f]{25,}")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave a reader that went away (`| head`) to `main`: rich would exit with 1."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Return a console that cuts nothing when its output goes into a file or pipe."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 250
    return _Console(
        file=stream, width=width, highlight=False, emoji=False, soft_wrap=not stream.isatty()
    )


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: `1 record`, `2 records`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def short(iri: str) -> str:
    """Shorten an IRI for reading: prefixes for terms, the first digits of digests and ids."""
    if iri.startswith(vocab.ID):
        parts = iri.removeprefix(vocab.ID).split("/")
        if parts[0] == "content" and len(parts) == 3:
            return f"{parts[1]}:{parts[2][:12]}…"
        parts[-1] = _short_id(parts[-1])
        return "/".join(parts)
    for prefix, namespace in vocab.PREFIXES.items():
        if iri.startswith(namespace):
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return iri


def readable(term: Term | None, labels: Mapping[str, str] | None = None) -> str:
    """Write a term for people: the label of an IRI, a literal's text, nothing for an unbound one."""
    if term is None:
        return ""
    if term.startswith("<"):
        iri = term[1:-1]
        return (labels or {}).get(iri) or short(iri)
    if term.startswith("_:"):
        return term
    text, datatype, _ = literal_parts(term)
    if datatype in {f"{vocab.XSD}double", f"{vocab.XSD}decimal"}:
        return f"{float(text):.6g}"
    if datatype == f"{vocab.XSD}dateTime":
        return text.replace("T", " ")[:19] + "Z"
    return text


def print_table(
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    labels: Mapping[str, str] | None = None,
    say_empty: bool = True,
) -> None:
    """Print rows for people; columns that hold nothing are left out, and named below.

    Where the lines would be wider than the terminal, each row becomes a block of its own. Different
    things never look alike: those with one label get their IRI beside it. Long text is cut, and
    that is said.
    """
    out = console()
    known = _told_apart(labels or {}, rows)
    filled = [place for place in range(len(columns)) if any(row[place] is not None for row in rows)]
    # Runs of one experiment are often called alike: their column says which is which.
    spelt = [None if columns[place] == "run" else known for place in filled]
    whole = [
        [readable(row[place], each) for place, each in zip(filled, spelt, strict=True)]
        for row in rows
    ]
    texts = [
        _without_repeats([row[place] for place in filled], list(map(_cut, line)))
        for row, line in zip(rows, whole, strict=True)
    ]
    kept = [place for place in range(len(filled)) if any(line[place] for line in texts)]
    names = [columns[filled[place]] for place in kept]
    texts = [[line[place] for place in kept] for line in texts]
    widths = [max(map(cell_len, column)) for column in zip(names, *texts, strict=True)]
    if sum(widths) + 2 * len(widths) > out.width:
        _print_blocks(out, names, texts)
    elif rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name, overflow="fold")
        for line in texts:
            table.add_row(*map(escape, line))
        out.print(table)
    empty = [columns[place] for place in range(len(columns)) if place not in filled]
    if rows and empty and say_empty:
        out.print(f"[dim]not recorded for any row: {', '.join(empty)}[/dim]")
    if any(_cut(text) != text for line in whole for text in line):
        out.print("[dim]text that ends in … is cut; --format json has all of it[/dim]")


def _told_apart(labels: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str]:
    """Return the labels of the IRIs in rows, with the IRI where two of them share one."""
    iris = {term[1:-1] for row in rows for term in row if term is not None and term[0] == "<"}
    count = Counter(labels[iri] for iri in iris if iri in labels)
    return {
        iri: label if count[label] == 1 else f"{label} ({short(iri)})"
        for iri in sorted(iris)
        if (label := labels.get(iri)) is not None
    }


def _cut(text: str) -> str:
    """Return what of a text fits a table: its first line, and of that what a screen takes."""
    first, *more = text.split("\n")
    if len(first) > MAX_CELL:
        return f"{first[:MAX_CELL]}…"
    return f"{first} …" if more else first


def _without_repeats(row: Sequence[Term | None], line: list[str]) -> list[str]:
    """Return a line without the text that only says again what the thing to its left is called."""
    said = [""]
    for term, text in zip(row, line, strict=True):
        is_thing = term is not None and term[0] == "<"
        said.append(text.removesuffix(f" ({short(term[1:-1])})") if term and is_thing else "")
    return ["" if text == before else text for text, before in zip(line, said, strict=False)]


def _print_blocks(out: Console, names: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(texts):
        if number:
            out.print()
        block = Table(box=None, pad_edge=False, show_header=False)
        block.add_column(style="bold", no_wrap=True, min_width=max(map(len, names)))
        block.add_column(overflow="fold")
        for name, text in zip(names, row, strict=True):
            if text:
                block.add_row(name, escape(text))
        out.print(block)


def print_csv(columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Print SPARQL 1.1 CSV: values without their types, CRLF."""
    stream_csv(columns, rows)


def stream_csv(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print CSV as `print_csv` does, while rows come in: none of them is kept."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(map(csv_cell, row))
        if buffer.tell() > _CSV_PIECE:
            write_data(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
    write_data(buffer.getvalue())


def print_json(value: Any) -> None:
    """Print JSON for programs."""
    write_data(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_data(text: str) -> None:
    """Write what programs read: UTF-8 whatever the terminal's encoding is."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # a notebook or a test stands in for standard output
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    # A lone surrogate (an argument that is no text) becomes an escape, which JSON reads back.
    stream.write(text.encode("utf-8", "backslashreplace"))


def sparql_json(columns: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Return SPARQL 1.1 Query Results JSON."""
    bindings = [
        {
            name: _json_term(term)
            for name, term in zip(columns, row, strict=True)
            if term is not None
        }
        for row in rows
    ]
    return {"head": {"vars": list(columns)}, "results": {"bindings": bindings}}


def _json_term(term: Term) -> dict[str, str]:
    if term.startswith("<"):
        return {"type": "uri", "value": term[1:-1]}
    if term.startswith("_:"):
        return {"type": "bnode", "value": term[2:]}
    text, datatype, language = literal_parts(term)
    value = {"type": "literal", "value": text}
    if language:
        value["xml:lang"] = language
    elif datatype != f"{vocab.XSD}string":
        value["datatype"] = datatype
    return value


def _short_id(text: str) -> str:
    """Cut a hash; an id of a run stays whole, since ids of one hour begin alike."""
    return f"{text[:12]}…" if _HASH.fullmatch(text) else text
