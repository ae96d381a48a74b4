"""Writes docs/benchmarks.md. Every number and verdict in it comes from the run that wrote it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tests.bench.results import FULL, Scale, Section, Table, Target

_VERSIONS = (
    "provgraph",
    "mlflow",
    "sqlalchemy",
    "pyoxigraph",
    "oxigraph",
    "rustworkx",
    "cryptography",
)

_HEAD = """\
# Speed and size

Written by `make bench`{how} on {date} (UTC); do not edit. Figures are medians with the smallest and
largest block in brackets. What is compared ran in turns within one process, so compare ratios:
milliseconds are those of this machine, which may have had other work to do.

{machine}

## Targets

{targets}
"""


def render(sections: Sequence[Section], *, scale: Scale) -> str:
    """Return the whole document."""
    targets = [target for section in sections for target in section.targets]
    head = _HEAD.format(
        how="" if scale is FULL else " in its quick form, whose figures mean nothing,",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=table(_machine()),
        targets=table(_targets(targets)),
    )
    return "\n".join([head, *map(_section, sections)])


def with_others(text: str, document: str) -> str:
    """Return a new document with the sections of an older one that other commands write.

    >>> with_others("# T\\n\\n## A\\n\\nnew\\n", "# T\\n\\n## A\\n\\nold\\n\\n## B\\n\\nkept\\n")
    '# T\\n\\n## A\\n\\nnew\\n\\n## B\\n\\nkept\\n'
    """
    written = {each.partition("\n")[0] for each in text.split("\n## ")[1:]}
    for each in document.split("\n## ")[1:]:
        if each.partition("\n")[0] not in written:
            text = f"{text.rstrip(chr(10))}\n\n## {each.strip(chr(10))}\n"
    return text


def updated(document: str, sections: Sequence[Section]) -> str:
    """Return a document with these sections and their targets in place of the older ones."""
    for section in sections:
        rows = table(_targets(section.targets)).splitlines()[2:]
        known = {f"| {each.what} |" for each in section.targets}
        lines = [
            line
            for line in document.splitlines()
            if not any(line.startswith(each) for each in known)
        ]
        head = lines.index("## Targets")
        end = next(
            place
            for place, line in enumerate(lines)
            if place > head + 2 and not line.startswith("|")
        )
        lines[end:end] = rows
        document = "\n".join(lines) + "\n"
        title = f"## {section.title}\n"
        before, _, after = document.partition(title)
        _, mark, rest = after.partition("\n## ")
        # Others may have been at work: the load stands with what was measured under it.
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        method = (
            f"{section.method}\n\nMeasured on its own, {now} (UTC), load over the last 15 minutes"
            f" {os.getloadavg()[2]:.1f}."
        )
        text = _section(replace(section, method=method))
        document = before.rstrip("\n") + "\n\n" + text + (f"{mark}{rest}" if mark else "")
    return document


def table(content: Table) -> str:
    """Write a table in Markdown, with its title above."""
    lines = [f"**{content.title}**", ""] if content.title else []
    lines.append(f"| {' | '.join(content.head)} |")
    lines.append(f"|{'---|' * len(content.head)}")
    lines += [f"| {' | '.join(row)} |" for row in content.rows]
    return "\n".join(lines)


def _section(section: Section) -> str:
    parts = [f"## {section.title}", section.method, *map(table, section.tables), *section.notes]
    return "\n\n".join(parts) + "\n"


def _targets(targets: Sequence[Target]) -> Table:
    return Table(
        title="",
        head=("what", "target", "found", "verdict"),
        rows=tuple(
            (each.what, each.wanted, each.found, "met" if each.is_met else "**missed**")
            for each in targets
        ),
    )


def _machine() -> Table:
    rows = [
        ("processor", f"{_cpu_name()}, {os.cpu_count()} cores"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("SQLite", sqlite3.sqlite_version),
        # The benchmark keeps one core busy; whatever is above that is other work.
        ("load over the last 15 minutes", f"{os.getloadavg()[2]:.1f}"),
    ]
    for name in _VERSIONS:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    return Table(title="", head=("machine", ""), rows=tuple(rows))


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
