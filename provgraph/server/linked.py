"""Linked data: what an IRI names can be looked up, by people and by programs.

IRIs live below `https://w3id.org/provgraph/`, whatever server knows about them, so that none changes
when a ledger moves; a server answers for the same path below its own root. `/id/…` names a thing and
answers 303 (W3C Cool URIs) to a document about it: `/about/….html`, `.ttl`, `.jsonld`, `.nt` or `.csv`, by
Accept or by suffix. `/ns` and `/context/v1` are the ontology and the JSON-LD context. Link headers point to
provenance and to the endpoint (W3C PROV-AQ sections 3.1 and 4.1).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from provgraph import resources, terms, vocab
from provgraph.errors import FormatError
from provgraph.server.answering import run_query
from provgraph.server.caching import cacheable
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import OPEN, READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.negotiation import choose
from provgraph.server.problems import HttpError
from provgraph.server.thing_page import thing_page

# Suffix of a document -> (media type, the engine's name of the form). HTML is ours.
_FORMS: Final = {
    "html": ("text/html", "JSON"),
    "ttl": ("text/turtle", "TURTLE"),
    "jsonld": ("application/ld+json", "JSON_LD"),
    "nt": ("application/n-triples", "N_TRIPLES"),
    "csv": ("text/csv", "CSV"),
}
_BY_TYPE: Final = {media_type: suffix for suffix, (media_type, _) in _FORMS.items()}
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
    if suffix == "html":
        return await thing_page(
            call, iri, path=quote(path, safe="/%:~"), links=_links(iri, path=path)
        )
    media_type, form = _FORMS[suffix]
    query = _ROWS if suffix == "csv" else _DESCRIBE
    answer, size = await run_query(call, query.replace("<it>", terms.iri(iri)), form=form)
    body = answer.body
    if not isinstance(body, bytes):
        with body:
            body = body.read()
    is_empty = not body.strip() or body == b"[]" or (suffix == "csv" and body.count(b"\n") <= 1)
    if is_empty:
        raise HttpError(404, "Not found", f"nothing is recorded here about {iri}")
    headers = {"Link": _links(iri, path=path), LEDGER_SIZE_HEADER: str(size)}
    return cacheable(call.request, body, media_type=media_type, headers=headers)


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
        summary="What is recorded about a thing, as .html, .ttl, .jsonld, .nt or .csv",
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
