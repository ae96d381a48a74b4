"""The page for SPARQL: a form, a table of answers, and what the front door has to say of a query.

It works without a script: the query stands in the address, so that an answer can be kept and sent on. The
query runs where every foreign query does, in a worker within its limits.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from starlette.responses import Response

from provgraph.errors import ProvgraphError, QueryError
from provgraph.index.diagnosis import QuerySyntaxError
from provgraph.index.store import is_plain_iri
from provgraph.query.advice import improved, may_be_rewritten
from provgraph.query.catalogue import catalogue, find
from provgraph.query.explaining import Explanation, explain
from provgraph.query.lineage import Select, describe
from provgraph.server.answering import run_query
from provgraph.server.endpoints import Call
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import page
from provgraph.server.walking import with_select

MAX_ROWS: Final = 200
MAX_LABELS: Final = 400
MAX_EXPLAINED: Final = 16 * 1024
_MAX_TRIPLES: Final = 200_000  # characters
_EXAMPLE: Final = """PREFIX pg: <https://w3id.org/provgraph/ns#>
PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
SELECT ?model ?name ?run WHERE {
  ?model a pg:Model ; rdfs:label ?name ; prov:wasGeneratedBy ?run .
}
LIMIT 50"""


async def sparql_page(call: Call) -> Response:
    """Show the form; with a query, its answer too."""
    given = call.request.query_params
    query, library = given.get("query", ""), given.get("library")
    if library:
        query = find(library).text
    values: dict[str, Any] = {
        "query": query or _EXAMPLE,
        "asked": bool(query),
        "library": catalogue(),
        "settings": call.services.settings,
        "max_rows": MAX_ROWS,
        "problem": None,
        "syntax": None,
        "answer": None,
        "explanation": None,
        "took": None,
    }
    if not query:
        return page("sparql.html", values)
    if len(query) <= MAX_EXPLAINED:
        values["explanation"] = await _explained(query)
    if given.get("explain") or library:
        return page("sparql.html", values)
    text, rewritten = query, None
    if may_be_rewritten(query):
        rewriting = await asyncio.to_thread(improved, query)
        if rewriting is not None:
            text, rewritten = rewriting.text, "; ".join(rewriting.reasons)
    try:
        answer, size = await run_query(
            call, text, accept="application/sparql-results+json, text/turtle"
        )
        body = answer.body
        if not isinstance(body, bytes):
            with body:
                body = body.read()
        values["answer"] = await _shown(call, answer.kind, body)
    except QuerySyntaxError as error:
        found = error.diagnosis
        values |= {"problem": str(error).splitlines()[0], "syntax": found}
        return page("sparql.html", values, status=400)
    except QueryError as error:
        return page("sparql.html", {**values, "problem": str(error)}, status=400)
    values |= {"size": size, "rewritten": rewritten, "erased": call.request.state.erased}
    return page("sparql.html", values, headers={LEDGER_SIZE_HEADER: str(size)})


async def _explained(query: str) -> Explanation | None:
    try:
        return await asyncio.to_thread(explain, query)
    except ProvgraphError:
        return None  # the engine says what is wrong with it


async def _shown(call: Call, kind: str, body: bytes) -> dict[str, Any]:
    if kind == "triples":
        text = body.decode()
        return {"kind": kind, "text": text[:_MAX_TRIPLES], "is_cut": len(text) > _MAX_TRIPLES}
    value = json.loads(body)
    if "boolean" in value:
        return {"kind": "boolean", "yes": value["boolean"]}
    columns: list[str] = value["head"]["vars"]
    bindings = value["results"]["bindings"]
    shown = bindings[:MAX_ROWS]
    iris = list(
        dict.fromkeys(
            cell["value"] for row in shown for cell in row.values() if cell["type"] == "uri"
        )
    )
    wanted = [iri for iri in iris[:MAX_LABELS] if is_plain_iri(iri)]

    def called(select: Select) -> dict[str, str]:
        return {iri: node.title for iri, node in describe(select, wanted).items() if node.title}

    labels = (await with_select(call, called))[0] if wanted else {}
    return {
        "kind": "rows",
        "columns": columns,
        "count": len(bindings),
        "rows": [
            [
                None
                if name not in row
                else {
                    "iri": row[name]["value"] if row[name]["type"] == "uri" else None,
                    "text": labels.get(row[name]["value"], row[name]["value"]),
                }
                for name in columns
            ]
            for row in shown
        ],
    }
