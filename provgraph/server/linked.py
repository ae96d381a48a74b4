"""Linked data: what an IRI names can be looked up, by people and by programs.

IRIs live below `https://w3id.org/provgraph/`, whatever server knows about them, so that none changes
when a ledger moves; a server answers for the same path below its own root. `/id/…` names a thing and
answers 303 (W3C Cool URIs) to a document about it: `/about/….html`, `.ttl` or `.jsonld`, by Accept or
by suffix. `/ns` and `/context/v1` are the ontology and the JSON-LD context. Link headers point to
provenance and to the endpoint (W3C PROV-AQ sections 3.1 and 4.1).
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from provgraph import resources, terms, vocab
from provgraph.errors import FormatError
from provgraph.index.store import is_plain_iri
from provgraph.query import lineage
from provgraph.query.erasures import is_wholly_erased
from provgraph.query.lineage import Select
from provgraph.server.answering import run_query
from provgraph.server.caching import cacheable
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import OPEN, READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.lineage import counting, erased_in
from provgraph.server.negotiation import choose
from provgraph.server.problems import HttpError
from provgraph.server.walking import with_select

# Suffix of a document -> (media type, the engine's name of the form). HTML is ours.
_FORMS: Final = {
    "html": ("text/html", "JSON"),
    "ttl": ("text/turtle", "TURTLE"),
    "jsonld": ("application/ld+json", "JSON_LD"),
    "nt": ("application/n-triples", "N_TRIPLES"),
}
_BY_TYPE: Final = {media_type: suffix for suffix, (media_type, _) in _FORMS.items()}
_PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
MAX_STATEMENTS: Final = 5000


async def thing(call: Call) -> Response:
    """Send whoever looks a thing up to a document about it."""
    path = call.request.path_params["path"]
    _iri(path)
    media_type = choose(call.request.headers.get("accept"), list(_BY_TYPE))
    if media_type is None:
        raise HttpError(406, "Not acceptable", f"a thing is described in {', '.join(_BY_TYPE)}")
    location = f"/about/{quote(path, safe='/%:~')}.{_BY_TYPE[media_type]}"
    return RedirectResponse(location, status_code=303, headers={"Vary": "Accept"})


async def document(call: Call) -> Response:
    """Describe a thing: what is said of it and its parts, and what refers to it."""
    path, dot, suffix = call.request.path_params["path"].rpartition(".")
    if not dot or suffix not in _FORMS:
        raise HttpError(404, "Not found", f"expected a suffix of {', '.join(_FORMS)}")
    iri = _iri(path)
    media_type, form = _FORMS[suffix]
    query = _ROWS if suffix == "html" else _DESCRIBE
    answer, size = await run_query(call, query.replace("<it>", terms.iri(iri)), form=form)
    body = answer.body
    if not isinstance(body, bytes):
        with body:
            body = body.read()
    if suffix == "html":
        rows = json.loads(body)["results"]["bindings"]
        body = _page(iri, rows, path=path, size=size, erased=await _erased(call, rows))
    if not body.strip() or body == b"[]":
        raise HttpError(404, "Not found", f"nothing is recorded here about {iri}")
    headers = {"Link": _links(iri, path=path), LEDGER_SIZE_HEADER: str(size)}
    if suffix == "html":
        headers["Content-Security-Policy"] = _PAGE_POLICY
    return cacheable(call.request, body, media_type=media_type, headers=headers)


async def _erased(call: Call, rows: list[dict[str, dict[str, str]]]) -> dict[str, str]:
    """Return what was erased of the things on a page, in words."""
    tombstones = await counting(call)
    if not tombstones:
        return {}
    cells = [row[name] for row in rows for name in ("s", "o")]
    iris = {cell["value"] for cell in cells if cell["type"] == "uri"}

    def ask(select: Select) -> dict[str, str]:
        erased = erased_in(select, filter(is_plain_iri, iris), tombstones=tombstones)
        nodes = lineage.describe(select, erased)
        return {
            iri: ("" if is_wholly_erased(nodes[iri]) else "partly ") + "; ".join(map(str, each))
            for iri, each in erased.items()
        }

    found, _ = await with_select(call, ask)
    return found


async def ontology(call: Call) -> Response:
    """Return the ontology that names are from."""
    return _file(call, "provgraph.ttl", "text/turtle")


async def context(call: Call) -> Response:
    """Return the JSON-LD context."""
    return _file(call, "context.jsonld", "application/ld+json")


def _file(call: Call, name: str, media_type: str) -> Response:
    data = resources.read_text("ontology", name).encode()
    return cacheable(
        call.request, data, media_type=media_type, cache_control="public, max-age=3600"
    )


def _iri(path: str) -> str:
    """Return the IRI of a path, as it was minted: percent escapes stay as the terms have them."""
    iri = vocab.ID + quote(path, safe="/:~")
    try:
        terms.iri(iri)
    except FormatError as error:
        raise HttpError(404, "Not found", str(error)) from None
    return iri


def _links(iri: str, *, path: str) -> str:
    about = f"/about/{quote(path, safe='/%:~')}"
    prov = "http://www.w3.org/ns/prov#"
    links = [
        f'<{about}.ttl>; rel="{prov}has_provenance"; anchor="{iri}"',
        f'</sparql>; rel="{prov}has_query_service"',
        *(
            f'<{about}.{suffix}>; rel="alternate"; type="{media_type}"'
            for suffix, (media_type, _) in _FORMS.items()
        ),
    ]
    return ", ".join(links)


# What is said of a thing, of its parts (`<it>#usage-1`), and what refers to it.
_PATTERN: Final = f"""{{ SELECT ?s ?p ?o WHERE {{
  {{ BIND(<it> AS ?s) ?s ?p ?o }}
  UNION {{ <it> ?any ?s . FILTER(STRSTARTS(STR(?s), CONCAT(STR(<it>), "#"))) ?s ?p ?o }}
  UNION {{ BIND(<it> AS ?o) ?s ?p ?o }}
}} LIMIT {MAX_STATEMENTS} }}"""
# With what was erased of it, by whom and why.
_DESCRIBE: Final = f"""CONSTRUCT {{ ?s ?p ?o }} WHERE {{
  {_PATTERN} UNION {{ <it> <{vocab.PG}erasedBy> ?s . ?s ?p ?o }} }}"""
_ROWS: Final = f"""PREFIX rdfs: <{vocab.RDFS}>
SELECT ?s ?p ?o (SAMPLE(?ls) AS ?sLabel) (SAMPLE(?lo) AS ?oLabel) WHERE {{ {_PATTERN}
  OPTIONAL {{ ?s rdfs:label ?ls }} OPTIONAL {{ ?o rdfs:label ?lo }} }}
GROUP BY ?s ?p ?o ORDER BY ?s ?p ?o"""


def _page(
    iri: str,
    rows: list[dict[str, dict[str, str]]],
    *,
    path: str,
    size: int,
    erased: Mapping[str, str],
) -> bytes:
    """Write a plain page: a heading, tables, links. It needs no script and prints well."""
    if not rows:
        return b""
    own = [row for row in rows if row["s"]["value"] == iri]
    parts = [row for row in rows if row["s"]["value"].startswith(f"{iri}#")]
    incoming = [row for row in rows if not row["s"]["value"].startswith(iri)]
    labels = [row["o"]["value"] for row in own if row["p"]["value"] == f"{vocab.RDFS}label"]
    title = html.escape(labels[0] if labels else iri.removeprefix(vocab.ID))
    about = html.escape(f"/about/{quote(path, safe='/%:~')}")
    sections = [
        _table(
            "What is recorded",
            [(_term(r["p"]), _term(r["o"], r.get("oLabel"), erased)) for r in own],
        ),
        _table(
            "Its parts",
            [
                (
                    _local(r["s"]["value"], iri),
                    _term(r["p"]),
                    _term(r["o"], r.get("oLabel"), erased),
                )
                for r in parts
            ],
        ),
        _table(
            "What refers to it",
            [(_term(r["s"], r.get("sLabel"), erased), _term(r["p"])) for r in incoming],
        ),
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body><main>
<h1>{title}</h1>
<p class="iri">{html.escape(iri)}</p>
{_mark(iri, erased, tag="p")}
<p>As of {size} ledger entries.
<a href="{about}.ttl">Turtle</a> <a href="{about}.jsonld">JSON-LD</a></p>
{"".join(sections)}
</main></body></html>
""".encode()


_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1a1a1a;background:#fff}"
    "main{max-width:60rem;margin:0 auto;padding:1.5rem}"
    "table{border-collapse:collapse;width:100%;margin:0 0 2rem}"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;"
    "border-bottom:1px solid #ddd;overflow-wrap:anywhere}"
    "caption{text-align:left;font-weight:600;font-size:1.15rem;padding:.5rem 0}"
    ".erased{color:#8a1c1c;font-weight:600}.iri{color:#555;overflow-wrap:anywhere}a{color:#0b4f9e}a:focus{outline:3px solid #0b4f9e}"
)


def _table(caption: str, rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><tbody>{cells}</tbody></table>"


def _mark(iri: str, erased: Mapping[str, str], *, tag: str) -> str:
    return f'<{tag} class="erased">{html.escape(erased[iri])}</{tag}>' if iri in erased else ""


def _term(
    cell: dict[str, str],
    label: dict[str, str] | None = None,
    erased: Mapping[str, str] | None = None,
) -> str:
    value = cell["value"]
    if cell["type"] != "uri":
        return html.escape(value)
    shown = html.escape(label["value"] if label is not None else _short(value))
    if value.startswith(vocab.ID):
        target = "/id/" + value.removeprefix(vocab.ID).partition("#")[0]
        shown = f'<a href="{html.escape(target)}">{shown}</a>'
    else:
        shown = f'<span title="{html.escape(value)}">{shown}</span>'
    mark = _mark(value, erased or {}, tag="span")
    return f"{shown} {mark}" if mark else shown


def _short(iri: str) -> str:
    for prefix, namespace in vocab.PREFIXES.items():
        if iri.startswith(namespace):
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return iri.removeprefix(vocab.ID)


def _local(iri: str, home: str) -> str:
    return html.escape(iri.removeprefix(home))


_PATH: Final = Parameter(name="path", place="path", help="the rest of the IRI")
ENDPOINTS: Final = (
    Endpoint(
        path="/id/{path:path}",
        method="GET",
        action=READ,
        handler=thing,
        summary="Look a thing up: sends on to a document about it",
        tag="linked data",
        parameters=(_PATH,),
        answers={"303": "To the document"},
        media_types=(),
    ),
    Endpoint(
        path="/about/{path:path}",
        method="GET",
        action=READ,
        handler=document,
        summary="What is recorded about a thing, as .html, .ttl, .jsonld or .nt",
        tag="linked data",
        parameters=(_PATH,),
        answers={"404": "Nothing is recorded about it"},
        media_types=tuple(_BY_TYPE),
    ),
    Endpoint(
        path="/ns",
        method="GET",
        action=OPEN,
        handler=ontology,
        summary="The ontology",
        tag="linked data",
        media_types=("text/turtle",),
    ),
    Endpoint(
        path="/context/v1",
        method="GET",
        action=OPEN,
        handler=context,
        summary="The JSON-LD context",
        tag="linked data",
        media_types=("application/ld+json",),
    ),
)
