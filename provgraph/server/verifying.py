"""`/verify` and `/bundle`: checking a thing now, checking a bundle that somebody brings, handing one out."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph import vocab
from provgraph.errors import NotFoundError, ProvgraphError, UsageError
from provgraph.index.pool import TooBusyError
from provgraph.query import roots
from provgraph.query.answer_json import native
from provgraph.query.answers import found_rows, labels_of
from provgraph.query.catalogue import find
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import page, wants_page
from provgraph.server.problems import HttpError
from provgraph.server.sessions import require_own_page
from provgraph.service.bundle_check import check_bundle

MAX_BUNDLE_BYTES: Final = 64 * 1024 * 1024
_MAX_AT_ONCE: Final = 2
_EXPORT_S: Final = 120.0
_BOUNDARY: Final = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70}?)"?\s*(?:;|$)')
_running: set[object] = set()


async def show(call: Call) -> Response:
    """Show what is checked; with a thing, check it now."""
    thing = call.request.query_params.get("thing", "").strip()
    values: dict[str, Any] = {"thing": thing, "rows": None, "bundle": None, "problem": None}
    if not thing:
        return page("verify.html", values)
    try:
        async with seeing(call, None) as (run, _, size):
            rows = await run(lambda seen: _checked(seen, thing))
    except (UsageError, NotFoundError) as error:
        status = 404 if isinstance(error, NotFoundError) else 400
        return page("verify.html", {**values, "problem": str(error)}, status=status)
    values |= {
        "rows": rows,
        "size": size,
        "is_right": all(
            each["state"] in {"verified", "erased"} for each in rows if each["is_record"]
        ),
    }
    return page("verify.html", values, headers={LEDGER_SIZE_HEADER: str(size)})


def _checked(seen: Seen, thing: str) -> list[dict[str, Any]]:
    _, table = found_rows(seen.asked(find("Q30"), {"model": thing}))
    labels = labels_of(seen.ask, list(table.rows))
    made = []
    for row in table.rows:
        cells = {name: native(term) for name, term in zip(table.columns, row, strict=True)}
        iri = str(cells["thing"])
        title = cells["label"] or labels.get(iri) or iri.removeprefix(vocab.ID)
        made.append(
            {**cells, "iri": iri, "title": str(title), "is_record": cells["what"] == "record"}
        )
    return made


async def check(call: Call) -> Response:
    """Check a bundle that is sent: as a form's file, or as the body itself."""
    from provgraph.server.app import read_body

    headers = call.request.headers
    is_browser = "origin" in headers or "sec-fetch-site" in headers
    if is_browser and "authorization" not in headers:
        require_own_page(call.request, root=call.services.front.root(call.request))
    body = await read_body(call, max_bytes=MAX_BUNDLE_BYTES)
    media_type = headers.get("content-type", "")
    data = _file_of(body, media_type) if media_type.startswith("multipart/") else body
    if not data:
        raise HttpError(400, "Bad request", "expected a zipped bundle, found nothing")
    found = await _alone(check_bundle, data)
    if not wants_page(call.request):
        return JSONResponse(found)
    values = {"thing": "", "rows": None, "bundle": found, "problem": None}
    return page("verify.html", values)


def _file_of(body: bytes, media_type: str) -> bytes:
    """Return the file of a form (RFC 7578): one part, named `bundle`."""
    match = _BOUNDARY.search(media_type)
    if match is None:
        raise HttpError(400, "Bad request", "expected a form with a boundary")
    for part in (b"\r\n" + body).split(b"\r\n--" + match[1].encode())[1:]:
        head, blank, content = part.partition(b"\r\n\r\n")
        if blank and b'name="bundle"' in head:
            return content
    raise HttpError(400, "Bad request", "expected a file in the field bundle, found none")


async def bundle(call: Call) -> Response:
    """Hand out a signed bundle of everything behind a thing."""
    iri = call.request.query_params.get("thing", "")
    if not iri.startswith(vocab.ID) or not iri.isascii() or not iri.isprintable():
        raise HttpError(400, "Bad request", f"expected ?thing=<an IRI that begins {vocab.ID}>")
    if not call.view.is_full:
        raise HttpError(
            403,
            "Forbidden",
            "a bundle holds every record behind a thing, and you may not read all of them; ask"
            " somebody with the role auditor or steward",
        )
    async with seeing(call, None) as (run, _, _size):
        await run(lambda seen: _require_known(seen, iri))
    data = await _alone(_exported, str(call.services.settings.home), iri)
    headers = {"Content-Disposition": 'attachment; filename="bundle.zip"'}
    return Response(data, media_type="application/zip", headers=headers)


def _require_known(seen: Seen, iri: str) -> None:
    if not roots.is_known(seen.ask, iri):
        raise NotFoundError(f"nothing is recorded here about {iri}")


def _exported(home: str, iri: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="provgraph-") as folder:
        path = Path(folder) / "bundle.zip"
        # As anybody would do it by hand, and in a process of its own.
        command = [
            sys.executable,
            "-c",
            _MAIN,
            "export",
            iri,
            "--format",
            "bundle",
            "--out",
            str(path),
        ]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=_EXPORT_S,
            env={**os.environ, "PROVGRAPH_HOME": home},
        )
        if done.returncode != 0:  # known, and yet: erased since, or the disk is full
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise ProvgraphError(f"the bundle was not made: {said}")
        return path.read_bytes()


_MAIN: Final = "import sys; from provgraph.cli.main import main; sys.exit(main())"


async def _alone(work: Any, *given: object) -> Any:
    """Run what starts a process, few at once."""
    if len(_running) >= _MAX_AT_ONCE:
        raise TooBusyError("as many bundles as may are being worked on; ask again in a moment")
    mark = object()
    _running.add(mark)
    try:
        return await asyncio.to_thread(work, *given)
    finally:
        _running.discard(mark)


ENDPOINTS: Final = (
    Endpoint(
        path="/verify",
        method="GET",
        action=READ,
        handler=show,
        summary="What is checked, and checking a thing now",
        tag="pages",
        parameters=(Parameter(name="thing", help="a model or other thing", example="churn:2"),),
        answers={"404": "It is not known"},
        media_types=("text/html",),
    ),
    Endpoint(
        path="/verify",
        method="POST",
        action=READ,
        handler=check,
        summary="Check a bundle, in a process of its own",
        tag="pages",
        body={
            "required": True,
            "content": {
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {"bundle": {"type": "string", "format": "binary"}},
                    }
                },
            },
        },
        answers={"400": "No bundle was sent", "403": "Sent by another site's page"},
        media_types=("application/json", "text/html"),
        max_body_bytes=MAX_BUNDLE_BYTES,
    ),
    Endpoint(
        path="/bundle",
        method="GET",
        action=READ,
        handler=bundle,
        summary="A signed bundle of everything behind a thing, for who may read all of it",
        tag="pages",
        parameters=(
            Parameter(name="thing", help="IRI", is_required=True, example=f"{vocab.ID}run/1"),
        ),
        answers={"404": "It is not known"},
        media_types=("application/zip",),
    ),
)
