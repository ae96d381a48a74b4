"""HTML from templates: escaped by itself, with no script, under a policy that allows none.

Templates are in `templates/`, the one stylesheet in `static/`. A page is a block `title` and a block
`main` in `base.html`. A handler returns a `Page`; it is made into text afterwards, in a thread, with what
stands around every page: who reads it, how large the ledger is, what its witnesses have seen.

Whoever wants HTML gets errors as pages too (`problem_page`), with the way out: the form to sign in, the
role that is missing, things of a similar name.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from provgraph import __version__, vocab
from provgraph.errors import ProvgraphError
from provgraph.index.texts import KINDS, Filters, Hit
from provgraph.server.caching import cacheable
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import OPEN
from provgraph.server.negotiation import choose
from provgraph.server.sessions import COOKIE
from provgraph.service.searching import search

if TYPE_CHECKING:
    from provgraph.server.services import Services

_HOME: Final = Path(__file__).parent
HTML: Final = "text/html"
POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
STYLE: Final = "/static/provgraph.css"
# A cell shows so much of a text; the whole of it is in the other forms of the page.
MAX_TEXT: Final = 600
_NEAR: Final = 5
_KIND_WORDS: Final = {
    each.lower(): re.sub(r"(?<=[a-z])(?=[A-Z])", " ", each).lower() for each in KINDS
}


class Page(Response):
    """A page that is to be made from a template."""

    def __init__(
        self,
        template: str,
        values: Mapping[str, Any],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the template and what it shows."""
        # Of no other origin: a form that is sent from here says so.
        sent = {
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "same-origin",
            "Vary": "Accept, Cookie",
        }
        super().__init__(status_code=status, media_type=HTML, headers={**sent, **(headers or {})})
        self.template = template
        self.values = values


def page(
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page made from a template."""
    return Page(template, values, status=status, headers=headers)


async def completed(response: Response, request: Request, services: Services) -> Response:
    """Make the text of a page; every other response is complete already."""
    if isinstance(response, Page):
        text = await asyncio.to_thread(_text, response, request, services)
        response.body = text.encode()
        response.headers["Content-Length"] = str(len(response.body))
    return response


def _text(response: Page, request: Request, services: Services) -> str:
    frame = {
        "standing": services.standings.of(services.settings),
        "caller": request.state.caller,
        "has_session": COOKIE in request.cookies,
        "here": here(request),
        "here_path": request.scope["path"],
        "style": STYLE,
        "version": __version__,
    }
    return _environment().get_template(response.template).render(**frame, **response.values)


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """Return a template's text, of something that is no page."""
    return _environment().get_template(template).render(**values)


def here(request: Request) -> str:
    """Return the path and query of a request: where somebody comes back to."""
    query = request.scope["query_string"].decode("latin-1")
    return quote(request.scope["path"], safe="/%:~") + (f"?{query}" if query else "")


# ---- errors ------------------------------------------------------------------------------------------
def wants_page(request: Request) -> bool:
    """Whether whoever asks would rather have a page than JSON."""
    accept = request.headers.get("accept")
    return choose(accept, ["application/problem+json", "application/json", HTML]) == HTML


async def problem_page(problem: Response, request: Request, services: Services) -> Response:
    """Return a problem as a page."""
    said = json.loads(bytes(problem.body))
    near: list[Hit] = []
    asked = ""
    if problem.status_code == 404 and request.state.caller is not None:
        asked = _asked(request)
        near = await asyncio.to_thread(_near, request, services, asked)
    kept = ("www-authenticate", "retry-after", "allow")
    made = Page(
        "problem.html",
        {"problem": said, "near": near, "asked": asked, "about": about},
        status=problem.status_code,
        headers={name: problem.headers[name] for name in kept if name in problem.headers},
    )
    return await completed(made, request, services)


def _asked(request: Request) -> str:
    """Return the name of what somebody looked for, as far as the address says it."""
    given = request.query_params
    for name in ("thing", "model", "dataset", "before", "q"):
        if given.get(name):
            return given[name][:200]
    last = unquote(request.scope["path"].rstrip("/").rsplit("/", 1)[-1])
    return last.rpartition(".")[0][:200] or last[:200]


def _near(request: Request, services: Services, asked: str) -> list[Hit]:
    view = services.guard.view(request.state.caller)
    words = [each for each in asked.replace(":", " ").replace("-", " ").split() if len(each) > 2]
    # A name with a typing error still begins as it should.
    tries = [asked, *words, *(each[: max(3, len(each) * 2 // 3)] for each in words)]
    found: dict[str, Hit] = {}
    for text in tries[:6]:
        try:
            hits = search(
                services.settings, text, Filters(), limit=_NEAR, view=view, recovers=False
            ).hits
        except ProvgraphError:
            return []
        found.update((each.thing, each) for each in hits)
        if len(found) >= _NEAR:
            break
    return list(found.values())[:_NEAR]


# ---- templates ---------------------------------------------------------------------------------------
@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HOME / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "about": about,
        "time": shown_time,
        "cut": cut,
        "qs": query_string,
        "figure": figure,
        "words": kind_words,
    }
    return made


def about(iri: str) -> str:
    """Return where a thing is described; of a foreign IRI, where it is searched for."""
    if not iri.startswith(vocab.ID):
        return f"/search?{urlencode({'q': iri})}"
    path = iri.removeprefix(vocab.ID).partition("#")[0]
    return f"/about/{quote(path, safe='/%:~')}.html"


def shown_time(text: str | datetime | None) -> str:
    """Return a time as people read it, in UTC to the minute; as it stands where it is none."""
    if text is None:
        return ""
    try:
        value = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        return str(text)
    if value.tzinfo is None:
        return str(text)
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def cut(text: str, length: int = MAX_TEXT) -> str:
    """Return as much of a text as a page shows, and how long it is."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters in all)"


def figure(value: object) -> str:
    """Return a number to five digits, whatever else as it stands."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def kind_words(kind: str) -> str:
    """Return a kind as people read it: `gatedecision` is a gate decision."""
    return _KIND_WORDS.get(kind.lower(), kind)


def query_string(values: Mapping[str, Any]) -> str:
    """Return a query string without what is empty."""
    return urlencode({name: each for name, each in values.items() if each not in {None, ""}})


async def style(call: Call) -> Response:
    """Send the stylesheet."""
    data = (_HOME / "static" / "provgraph.css").read_bytes()
    return cacheable(call.request, data, media_type="text/css")


ENDPOINTS: Final = (
    Endpoint(
        path=STYLE,
        method="GET",
        action=OPEN,
        handler=style,
        summary="The stylesheet of the pages",
        tag="operations",
        media_types=("text/css",),
    ),
)
