"""Signing in and out at a browser: a form takes a token, and a cookie stands for it from then on."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse, Response

from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import OPEN
from provgraph.server.pages import page
from provgraph.server.problems import HttpError
from provgraph.server.sessions import COOKIE, require_own_page

MAX_FORM_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"


async def form(call: Call) -> Response:
    """Show the form."""
    return page("sign-in.html", {"next": _own(call.request.query_params.get("next")), "bad": None})


async def sign_in(call: Call) -> Response:
    """Take a token; send whoever gave a valid one back to where they wanted to go."""
    given = await _given(call)
    following = _own(given.get("next"))
    secret = given.get("token", "").strip()
    try:
        if not secret:
            raise HttpError(401, "Unauthorized", "expected a token, found an empty field")
        call.services.guard.known(secret)
    except HttpError as error:
        return page("sign-in.html", {"next": following, "bad": str(error)}, status=401)
    call.services.sessions.end(call.request)
    response = RedirectResponse(following, status_code=303)
    response.set_cookie(
        COOKIE,
        call.services.sessions.begin(secret),
        httponly=True,
        samesite="strict",
        secure=call.services.front.root(call.request).startswith("https:"),
        path="/",
    )
    return response


async def sign_out(call: Call) -> Response:
    """End the session."""
    await _given(call)
    call.services.sessions.end(call.request)
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


async def _given(call: Call) -> dict[str, str]:
    from provgraph.server.app import read_body

    require_own_page(call.request, root=call.services.front.root(call.request))
    body = await read_body(call, max_bytes=MAX_FORM_BYTES)
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise HttpError(400, "Bad request", f"expected a form in UTF-8: {error}") from None
    return {name: values[0] for name, values in found.items()}


def _own(path: str | None) -> str:
    """Return a path of this server, never another place."""
    if path is None or not path.startswith("/") or path[:2] in {"//", "/\\"}:
        return "/"
    return path if path.isprintable() and path.isascii() else "/"


_BODY: Final = {"content": {_FORM: {"schema": {"type": "object"}}}}
ENDPOINTS: Final = (
    Endpoint(
        path="/sign-in",
        method="GET",
        action=OPEN,
        handler=form,
        summary="The form to sign in with a token",
        tag="pages",
        media_types=("text/html",),
    ),
    Endpoint(
        path="/sign-in",
        method="POST",
        action=OPEN,
        handler=sign_in,
        summary="Sign in at a browser: a token is taken, a cookie stands for it",
        tag="pages",
        body=_BODY,
        answers={
            "303": "Signed in",
            "401": "No valid token",
            "403": "Not sent by a page of this server",
        },
        media_types=("text/html",),
        max_body_bytes=MAX_FORM_BYTES,
    ),
    Endpoint(
        path="/sign-out",
        method="POST",
        action=OPEN,
        handler=sign_out,
        summary="Sign out",
        tag="pages",
        body=_BODY,
        answers={"303": "Signed out", "403": "Not sent by a page of this server"},
        media_types=("text/html",),
        max_body_bytes=MAX_FORM_BYTES,
    ),
)
