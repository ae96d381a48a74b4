"""A SPARQL query read by its grammar: patterns with their places in the text.

The grammar is that of the recommendation (`sparql11.lark`); lark is the one parser library, and this
module the door to it. Nothing here reaches the engine: the tree is for explaining, for warnings and
for rewritings, which change the text at the places kept here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from provgraph.errors import QueryError
from provgraph.index.diagnosis import QuerySyntaxError, diagnose

MAX_LENGTH: Final = 64 * 1024
_UPDATE: Final = re.compile(
    r"(?:\s|#[^\n]*\n|(?:PREFIX|BASE)\b[^<]*<[^>]*>)*(INSERT|DELETE|LOAD|CLEAR|DROP|CREATE|ADD|MOVE|COPY|WITH)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """A triple pattern. Texts are as they stand in the query, white space made single."""

    subject: str
    predicate: str
    object: str
    steps: int  # how many predicates in a row a path has at least; 1 for a plain predicate
    is_unbounded: bool  # + or * somewhere in the path
    subject_span: tuple[int, int]
    object_span: tuple[int, int]
    span: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A part of a group.

    Its kind is group, optional, minus, graph, service, filter, bind, values, select, union, exists or
    not exists.
    """

    kind: str
    span: tuple[int, int]
    text: str
    name: str = ""  # of a graph or service; the variable of a bind
    parts: tuple[Part, ...] = ()
    rows: int = 0  # of values
    variables: frozenset[str] = (
        frozenset()
    )  # of filter, bind and values, and of what a select gives
    select: Query | None = None


Part = Triple | Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query or a select within one."""

    form: str  # select | construct | describe | ask
    where: Pattern | None
    has_star: bool
    is_distinct: bool
    has_limit: bool
    has_aggregate: bool
    has_group: bool
    columns: tuple[str, ...]  # of a select: variables, or expressions as they stand
    shown: frozenset[str]  # variables that stand outside of the patterns
    froms: tuple[str, ...]
    order: str
    limit: str
    offset: str
    has_blank_labels: bool


@functools.cache
def _parser() -> Any:
    import lark

    grammar = files("provgraph.query").joinpath("sparql11.lark").read_text("utf-8")
    return lark.Lark(
        grammar, start="query", parser="lalr", propagate_positions=True, maybe_placeholders=False
    )


def parse_query(text: str) -> Query:
    """Read a query by the grammar of SPARQL 1.1.

    Raises:
        QuerySyntaxError: it is not SPARQL 1.1; line, column and a hint.
        QueryError: it is an update, or too long or too deep to be read.
    """
    import lark

    if len(text) > MAX_LENGTH:
        raise QueryError(f"a query of more than {MAX_LENGTH // 1024} KiB is not explained")
    try:
        tree = _parser().parse(text)
        _require_prefixes(tree, text)
        return _Reader(text).query(tree)
    except lark.UnexpectedInput as error:
        update = _UPDATE.match(text)
        if update is not None:
            raise QueryError(
                f"{update[1].upper()} is an update, and refused: the past is never rewritten. Records are"
                " appended by capture, or by POST /records"
            ) from None
        line, column = getattr(error, "line", -1), getattr(error, "column", -1)
        if line < 1:
            line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
        message = f"error at {line}:{column}: expected SPARQL 1.1"
        raise QuerySyntaxError(diagnose(text, message)) from None
    except RecursionError:
        raise QueryError("the query nests too deeply to be explained") from None


def _require_prefixes(tree: Any, text: str) -> None:
    declared = {str(each.children[0]) for each in _find(tree, "prefix_decl")}
    for each in _find(tree, "iri"):
        token = each.children[0]
        if token.type != "IRIREF" and f"{token.partition(':')[0]}:" not in declared:
            message = f"error at {token.line}:{token.column}: expected a declared prefix"
            raise QuerySyntaxError(diagnose(text, message))


def parts_of(pattern: Pattern | None) -> Iterator[tuple[Part, tuple[Pattern, ...]]]:
    """Yield every part of a pattern, with the patterns around it, the outermost first."""
    if pattern is None:
        return
    stack: list[tuple[Part, tuple[Pattern, ...]]] = [(pattern, ())]
    while stack:
        part, around = stack.pop()
        yield part, around
        if isinstance(part, Pattern):
            stack.extend((each, (*around, part)) for each in reversed(part.parts))
            if part.select is not None and part.select.where is not None:
                stack.append((part.select.where, (*around, part)))


def variables_of(part: Part) -> frozenset[str]:
    """Return all variables that stand in a part."""
    if isinstance(part, Triple):
        return frozenset(
            word for word in (part.subject, part.predicate, part.object) if word[:1] in "?$"
        )
    found = set(part.variables)
    if part.name[:1] in {"?", "$"}:
        found.add(part.name)
    for each in part.parts:
        found |= variables_of(each)
    return frozenset(found)


class _Reader:
    """Makes the tree of the grammar into patterns."""

    def __init__(self, text: str) -> None:
        self.text = text

    def query(self, tree: Any) -> Query:
        form = next(each for each in tree.children if each.data.endswith("_query"))
        return self._query(form, around=tree)

    def _query(self, tree: Any, *, around: Any) -> Query:
        where = next(
            (
                self._group(each)
                for each in _under(tree, "group_graph_pattern", within="where_clause")
            ),
            None,
        )
        if where is None and tree.data == "construct_query":
            # The short form: the template is the pattern.
            where = self._template(tree)
        clause = next((each for each in tree.children if _is(each, "select_clause")), None)
        modifier = next((each for each in tree.children if _is(each, "solution_modifier")), None)
        outside = [each for each in tree.children if not _is(each, "where_clause")]
        aggregates = {"COUNT", "SUM", "MIN", "MAX", "AVG", "SAMPLE", "GROUP_CONCAT"}
        return Query(
            form=tree.data.removesuffix("_query").replace("sub_", ""),
            where=where,
            has_star=any(getattr(each, "type", "") == "STAR" for each in (clause or tree).children),
            is_distinct=clause is not None
            and any(
                getattr(each, "type", "") in {"DISTINCT", "REDUCED"} for each in clause.children
            ),
            has_limit=any(True for _ in _find(modifier, "limit_clause")),
            has_aggregate=any(
                str(call.children[0]).upper() in aggregates
                for part in (clause, modifier)
                for call in _find(part, "built_in_call")
            ),
            has_group=any(True for _ in _find(modifier, "group_clause")),
            columns=tuple(
                self._text(each)
                for each in (clause.children if clause else ())
                if _is(each, "projection")
            ),
            shown=frozenset(str(var.children[0]) for part in outside for var in _find(part, "var")),
            froms=tuple(self._text(each) for each in tree.children if _is(each, "dataset_clause")),
            order=self._first(modifier, "order_clause"),
            limit=self._first(modifier, "limit_clause"),
            offset=self._first(modifier, "offset_clause"),
            has_blank_labels=any(True for _ in _find(around, "blank_node")),
        )

    def _template(self, tree: Any) -> Pattern:
        template = next(each for each in tree.children if _is(each, "template"))
        parts = [part for each in template.children for part in self._part(each)]
        return Pattern(
            kind="group", span=_span(template), text=self._text(template), parts=tuple(parts)
        )

    def _group(self, tree: Any, kind: str = "group", **more: Any) -> Pattern:
        parts = tuple(part for each in tree.children for part in self._part(each))
        return Pattern(kind=kind, span=_span(tree), text=self._text(tree), parts=parts, **more)

    def _part(self, tree: Any) -> Iterator[Part]:
        kind = getattr(tree, "data", "")
        if kind == "triples_block":
            for each in tree.children:
                if _is(each, "triples_same_subject"):
                    yield from self._triples(each)
        elif kind in {"optional", "minus"}:
            yield self._around(tree, kind)
        elif kind in {"graph", "service"}:
            name = next(each for each in tree.children if _is(each, "var_or_iri"))
            yield self._around(tree, kind, name=self._text(name))
        elif kind == "union":
            groups = [
                self._group(each) for each in tree.children if _is(each, "group_graph_pattern")
            ]
            if len(groups) == 1:
                yield groups[0]
            else:
                yield self._made("union", tree, parts=tuple(groups))
        elif kind == "filter":
            exists = tuple(self._exists(tree))
            yield self._made("filter", tree, parts=exists, variables=_variables(tree))
        elif kind == "bind":
            name = [str(each.children[0]) for each in tree.children if _is(each, "var")][-1]
            exists = tuple(self._exists(tree))
            yield self._made("bind", tree, parts=exists, name=name, variables=_variables(tree))
        elif kind == "inline_data":
            rows = sum(1 for _ in _find(tree, "data_row")) or sum(
                1 for _ in _find(tree, "data_value")
            )
            yield self._made("values", tree, rows=rows, variables=_variables(tree))
        elif kind == "sub_select":
            inner = self._query(tree, around=tree)
            given = (
                inner.shown
                if not inner.has_star
                else frozenset(
                    variable for each in (inner.where,) if each for variable in variables_of(each)
                )
            )
            yield self._made("select", tree, select=inner, variables=given)

    def _around(self, tree: Any, kind: str, **more: Any) -> Pattern:
        group = next(each for each in tree.children if _is(each, "group_graph_pattern"))
        inner = self._group(group)
        return self._made(kind, tree, parts=inner.parts, **more)

    def _exists(self, tree: Any) -> Iterator[Pattern]:
        for each in _find(tree, "exists", nested=False):
            group = next(child for child in each.children if _is(child, "group_graph_pattern"))
            is_not = any(getattr(child, "type", "") == "NOT" for child in each.children)
            parts = self._group(group).parts
            yield self._made("not exists" if is_not else "exists", each, parts=parts)

    def _made(self, kind: str, tree: Any, **more: Any) -> Pattern:
        return Pattern(kind=kind, span=_span(tree), text=self._text(tree), **more)

    def _triples(self, tree: Any) -> Iterator[Triple]:
        subject = tree.children[0]
        lists = [each for each in tree.children[1:] if _is(each, "property_list")]
        if _is(subject, "blank_node_property_list"):
            yield from self._properties(subject, subject.children[0])
        for each in lists:
            yield from self._properties(subject, each)

    def _properties(self, subject: Any, tree: Any) -> Iterator[Triple]:
        verb = None
        for each in tree.children:
            if _is(each, "verb"):
                verb = each
                continue
            if not _is(each, "object_list") or verb is None:
                continue
            for item in each.children:
                inner = item.children[0]
                steps, is_unbounded = _extent(verb)
                yield Triple(
                    subject=self._node(subject),
                    predicate=self._text(verb),
                    object=self._node(inner),
                    steps=steps,
                    is_unbounded=is_unbounded,
                    subject_span=_span(subject),
                    object_span=_span(inner),
                    span=(_span(subject)[0], _span(inner)[1]),
                )
                if _is(inner, "blank_node_property_list"):
                    yield from self._properties(inner, inner.children[0])

    def _node(self, tree: Any) -> str:
        return "[]" if _is(tree, "blank_node_property_list") else self._text(tree)

    def _text(self, tree: Any) -> str:
        start, end = _span(tree)
        return " ".join(self.text[start:end].split())

    def _first(self, tree: Any, kind: str) -> str:
        return next((self._text(each) for each in _find(tree, kind)), "")


def _extent(verb: Any) -> tuple[int, bool]:
    """Return how many predicates stand in a row at least, and whether + or * makes it endless."""
    mods = [str(each.children[0]) for each in _find(verb, "path_mod")]
    longest = max(
        (
            sum(1 for each in sequence.children if _is(each, "path_element"))
            for sequence in _find(verb, "path_sequence")
        ),
        default=1,
    )
    return longest, any(each in "+*" for each in mods)


def _is(tree: Any, kind: str) -> bool:
    return getattr(tree, "data", None) == kind


def _find(tree: Any, kind: str, *, nested: bool = True) -> Iterator[Any]:
    """Yield the subtrees of a kind, in order; unless nested, none within another."""
    stack = [tree]
    while stack:
        each = stack.pop()
        if not hasattr(each, "children"):
            continue
        if each.data == kind:
            yield each
            if not nested:
                continue
        stack.extend(reversed(each.children))


def _under(tree: Any, kind: str, *, within: str) -> Iterator[Any]:
    for each in tree.children:
        if _is(each, within):
            yield from (child for child in each.children if _is(child, kind))


def _variables(tree: Any) -> frozenset[str]:
    return frozenset(str(each.children[0]) for each in _find(tree, "var"))


def _span(tree: Any) -> tuple[int, int]:
    if hasattr(tree, "children"):
        return tree.meta.start_pos, tree.meta.end_pos
    return tree.start_pos, tree.end_pos


def texts(parts: Sequence[Part]) -> list[str]:
    """Return parts as they stand in the query."""
    return [
        f"{each.subject} {each.predicate} {each.object}" if isinstance(each, Triple) else each.text
        for each in parts
    ]
