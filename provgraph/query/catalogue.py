"""The catalogue: `queries/*.rq` with TOML front matter in comments, bound through typed holes.

A query file runs unchanged in any SPARQL tool. Its parameters are the lines
`VALUES ?name { UNDEF }`; binding replaces that one line by `VALUES ?name { <term> … }`, so a value
can never become syntax, and a path starts from a bound end (700 times faster than a FILTER).

The front matter, between two lines `# ---`, every line a comment:

    # id = "Q40"
    # name = "dataset-owners"                short, for the command line and URLs
    # title = "Who answers for a dataset"    in plain words
    # help = "What is answered, and what the rows mean."
    # empty = "nobody is recorded: …"        what it means that there are no rows: never that all is well
    # tags = ["data", "people"]
    # required = ["owner", "digest"]         columns without which a row is incomplete (optional)
    # report = "provgraph.query.reports.owners:report"   goes on in Python from the rows (optional)
    # right = "read-trail"                   what the asker needs (provgraph.access.roles); default read
    # [columns]                              in the order of SELECT, or of the report's table
    # owner = "Who answers for it."
    # digest = "The SHA-256 of its bytes."
    # [parameters.dataset]
    # type = "thing"
    # help = "A dataset: name, name:version, digest, path or IRI."
    # example = "customers.csv"
    # [parameters.since]
    # type = "time"
    # help = "Only what was recorded from then on."
    # optional = true                        not given, the hole stays UNDEF: the variable is unbound
    # [parameters.at-most]                   is written ?at_most in the query
    # type = "integer"
    # help = "…"
    # default = 10                           taken where no value is given

Types (`provgraph.query.parameters`): `thing` (anything that `provgraph show` understands; an IRI in
the query), `text`, `integer`, `number` (xsd:double), `time` (xsd:dateTime), `choice` (with
`choices = ["a", "b"]`; text in the query) and `boolean`. A hole may stand in a query more than once,
such as in each branch of a UNION. Reports are described in `provgraph.query.reporting`.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from provgraph import resources
from provgraph.access.roles import READ, RIGHTS
from provgraph.errors import FormatError, QueryError, UsageError
from provgraph.query.parameters import TYPES, Parameter, Resolve
from provgraph.query.reporting import Report, load_report
from provgraph.terms import Term

__all__ = ["CannedQuery", "Parameter", "catalogue", "find", "parse"]

_FRONT = re.compile(r"\A# ---\n((?:#.*\n)*?)# ---\n")
_HOLE: Final = "VALUES ?{name} {{ UNDEF }}"
_ANY_HOLE = re.compile(r"VALUES \?([a-z][a-z_]*) \{ UNDEF \}")
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_ID: Final = re.compile(r"Q[0-9]{2,3}")
_SELECT: Final = re.compile(
    r"^SELECT\s+(?:DISTINCT\s+)?(.*?)\s*(?:WHERE\s*)?\{", re.MULTILINE | re.DOTALL
)
_PROJECTED: Final = re.compile(
    r"\?(\w+)|\((?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*\bAS\s+\?(\w+)\s*\)"
)
_LIMIT: Final = re.compile(r"\}[^}]*\bLIMIT\s+[0-9]+[^}]*\Z")
_KEYS: Final = frozenset(
    {"id", "name", "title", "help", "empty", "tags", "required", "report", "right", "columns"}
) | {"parameters"}
_PARAMETER_KEYS: Final = frozenset({"type", "help", "optional", "default", "choices", "example"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CannedQuery:
    """A question that has been written down, with its text as it stands in the file."""

    id: str
    name: str
    title: str
    help: str
    empty: str
    tags: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    text: str
    columns: Mapping[str, str]
    """Column to its help; empty where the file does not describe them."""
    required: tuple[str, ...] = ()
    """Columns without which a row is incomplete."""
    report: str | None = None
    right: str = READ

    def values(
        self, given: Mapping[str, object], *, resolve: Resolve
    ) -> dict[str, tuple[Term, ...]]:
        """Return the terms that parameters are given, defaults included.

        Args:
            given: parameter name to what the user typed; `at_most` and `at-most` are one name.
            resolve: turns what a user calls a thing into the IRIs it means.

        Raises:
            UsageError: an unknown or missing parameter, or a value that its type does not allow.
            NotFoundError: a thing that is not known here.
        """
        taken = {name.replace("_", "-"): value for name, value in given.items()}
        known = [parameter.name for parameter in self.parameters]
        for name in taken:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                expected = ", ".join(sorted(known)) or "none"
                raise UsageError(f"{self.id} has no parameter {name!r}; it takes {expected}{hint}")
        found: dict[str, tuple[Term, ...]] = {}
        for parameter in self.parameters:
            value = taken.get(parameter.name)
            if value is None:
                value = parameter.default
            if value is not None:
                found[parameter.name] = parameter.terms(value, resolve=resolve)
            elif not parameter.is_optional:
                raise UsageError(
                    f"{self.id} ({self.title}) needs {parameter.name}: {parameter.help}"
                    f" Example: provgraph query {self.id} --param {parameter.name}={parameter.sample}"
                )
        return found

    def bound(self, values: Mapping[str, tuple[Term, ...]]) -> str:
        """Return the query with its holes filled; those without a value stay unbound."""
        lines = {
            _variable(name): f"VALUES ?{_variable(name)} {{ {' '.join(found)} }}"
            for name, found in values.items()
        }
        # All holes at once: a value that looks like the hole of another parameter stays a value.
        return _ANY_HOLE.sub(lambda hole: lines.get(hole[1], hole[0]), self.text)

    def bind(self, values: Mapping[str, object], *, resolve: Resolve) -> str:
        """Return the query with its holes filled from what a user typed; errors as `values`."""
        return self.bound(self.values(values, resolve=resolve))

    def load(self) -> Report | None:
        """Return the function that goes on from the rows, None where the query is the whole answer."""
        return None if self.report is None else load_report(self.report)

    @property
    def has_limit(self) -> bool:
        """Whether the query itself says how many rows it gives at most."""
        return _LIMIT.search(self.text) is not None

    @property
    def example(self) -> str:
        """How to ask it on the command line."""
        needed = [each for each in self.parameters if not each.is_optional and each.default is None]
        given = "".join(f" --param {each.name}={each.sample}" for each in needed)
        return f"provgraph query {self.id}{given}"


@functools.cache
def catalogue() -> tuple[CannedQuery, ...]:
    """Read all queries, by id.

    Raises:
        FormatError: a file with broken front matter, a parameter without its hole, an id used twice.
    """
    paths = sorted(resources.folder("queries").glob("*.rq"))
    found = [parse(path.read_text("utf-8"), where=path.name) for path in paths]
    taken: set[str] = set()
    for each in found:
        for word in (each.id, each.name):
            if word in taken:
                raise FormatError(f"two queries are called {word}; every id and name stands once")
            taken.add(word)
    return tuple(sorted(found, key=lambda query: query.id))


def find(name: str) -> CannedQuery:
    """Find a query by id (`Q02`, any case) or name (`model-data`).

    Raises:
        QueryError: there is none; near names are suggested.
    """
    for query in catalogue():
        if name.upper() == query.id or name == query.name:
            return query
    names = [word for query in catalogue() for word in (query.id, query.name)]
    near = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.4)
    hint = f" did you mean {' or '.join(near)}?" if near else ""
    raise QueryError(f"no query is called {name[:100]!r};{hint} `provgraph query` lists all")


def parse(text: str, *, where: str) -> CannedQuery:
    """Read one .rq file.

    Raises:
        FormatError: the front matter is missing, incomplete, or does not fit the query.
    """
    match = _FRONT.match(text)
    if match is None:
        raise FormatError(f"{where}: expected front matter between two lines `# ---`")
    lines = (line.removeprefix("#").removeprefix(" ") for line in match[1].splitlines())
    try:
        data: dict[str, Any] = tomllib.loads("\n".join(lines))
        unknown = sorted(data.keys() - _KEYS)
        query = CannedQuery(
            id=data["id"],
            name=data["name"],
            title=data["title"],
            help=data["help"],
            empty=data["empty"],
            tags=tuple(data["tags"]),
            parameters=tuple(
                _parameter(name, row, where=where)
                for name, row in data.get("parameters", {}).items()
            ),
            text=text,
            columns=dict(data.get("columns", {})),
            required=tuple(data.get("required", ())),
            report=data.get("report"),
            right=data.get("right", READ),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{where}: broken front matter: {error!r}") from None
    for fault in (
        *(f"there is no key {key!r} in front matter" for key in unknown),
        *_faults(query),
    ):
        raise FormatError(f"{where}: {fault}")
    return query


def projected(text: str) -> tuple[str, ...]:
    """Return the columns that a query's outermost SELECT names, empty where it cannot be told."""
    match = _SELECT.search(text)
    return () if match is None else tuple(a or b for a, b in _PROJECTED.findall(match[1]))


def _parameter(name: str, row: Mapping[str, Any], *, where: str) -> Parameter:
    unknown = sorted(row.keys() - _PARAMETER_KEYS)
    if unknown:
        raise FormatError(f"{where}: parameter {name}: there is no key {unknown[0]!r}")
    default = row.get("default")
    if isinstance(default, bool):
        default = "true" if default else "false"
    return Parameter(
        name=name.replace("_", "-"),
        type=row["type"],
        help=row["help"],
        is_optional=row.get("optional", False),
        default=None if default is None else str(default),
        choices=tuple(row.get("choices", ())),
        example=str(row.get("example", "")),
    )


def _faults(query: CannedQuery) -> Iterator[str]:
    """Say what of the front matter does not fit."""
    if not _ID.fullmatch(query.id) or not _NAME.fullmatch(query.name):
        yield f"expected an id such as Q02 and a name such as model-data, found {query.id!r}, {query.name!r}"
    if query.right not in RIGHTS:
        yield f"expected a right among {', '.join(RIGHTS)}, found {query.right!r}"
    for parameter in query.parameters:
        name = parameter.name
        if parameter.type not in TYPES:
            yield f"parameter {name}: expected a type among {', '.join(TYPES)}, found {parameter.type!r}"
            return
        if (parameter.type == "choice") != bool(parameter.choices):
            yield f"parameter {name}: a choice has choices, and nothing else has"
        if _HOLE.format(name=_variable(name)) not in query.text:
            yield f"expected the line VALUES ?{_variable(name)} {{ UNDEF }} in the query"
        if parameter.default is not None and parameter.type != "thing":
            try:
                parameter.terms(parameter.default, resolve=lambda _: [])
            except UsageError as error:
                yield f"the default of a parameter: {error}"
    holes = {hole[1] for hole in _ANY_HOLE.finditer(query.text)}
    for variable in sorted(holes - {_variable(each.name) for each in query.parameters}):
        yield f"?{variable} has a hole and no [parameters.{variable}]"
    columns = tuple(query.columns)
    if columns and query.report is None and columns != projected(query.text):
        yield (
            f"expected the columns of SELECT, {', '.join(projected(query.text))},"
            f" found [columns] {', '.join(columns)}"
        )
    for column in query.required:
        if column not in (columns or projected(query.text)):
            yield f"required names {column!r}, which is no column"


def _variable(name: str) -> str:
    """Return the variable of a parameter: `at-most` is ?at_most."""
    return name.replace("-", "_")
