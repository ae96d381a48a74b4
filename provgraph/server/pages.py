"""HTML from templates: escaped by itself, with no script, under a policy that allows none.

Templates are in `templates/`, the one stylesheet in `static/`. A page is a block `title` and a block
`main` in `base.html`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.responses import Response

from provgraph import __version__
from provgraph.server.caching import cacheable
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import OPEN

_HOME: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
STYLE: Final = "/static/provgraph.css"


def page(
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page made from a template."""
    text = _environment().get_template(template).render(version=__version__, style=STYLE, **values)
    return Response(
        text,
        status_code=status,
        media_type="text/html",
        headers={"Content-Security-Policy": POLICY, "Vary": "Accept", **(headers or {})},
    )


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HOME / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


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
