"""`/login` and `/logout`: a browser shows a key once and gets a cookie for it."""

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from server.access.gate import Access
from server.access.session import cookie_of
from server.page.policy import HEADERS

HOME = "/"
#: Longest path that is gone back to.
MOST_PATH = 2_000
FORM = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Quorum</title>
<link rel="stylesheet" href="/static/page.css">
<main>
<h1>Log in</h1>
{problem}
<form method="post" action="/login">
<input type="hidden" name="next" value="{after}">
<p><label for="key">Key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus></p>
<p><button>Log in</button></p>
</form>
<p>Whoever runs the server makes keys with <code>quorum keys add</code>.</p>
</main>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/login", response_class=HTMLResponse)
async def form(
    request: Request, after: Annotated[str, Query(alias="next", max_length=MOST_PATH)] = HOME
) -> Response:
    """Ask for a key; who needs none is sent on."""
    if request.state.identity is not None:
        return RedirectResponse(_inside(after), HTTPStatus.SEE_OTHER)
    return _form(after, "", HTTPStatus.OK)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Take a key; set the cookie and go on to where the browser was."""
    access: Access = request.app.state.access
    fields = await _fields(request)
    after = _inside(fields.get("next", HOME))
    key = access.ring.find(fields.get("key", "").strip())
    if key is None:
        said = "This key is unknown, revoked or expired."
        return _form(after, said, HTTPStatus.UNAUTHORIZED)
    token = access.sessions.begin(key)
    cookie = access.sessions.cookie(token, secure=request.url.scheme == "https")
    response = RedirectResponse(after, HTTPStatus.SEE_OTHER)
    response.headers["Set-Cookie"] = cookie
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    access: Access = request.app.state.access
    access.sessions.end(cookie_of(request.headers.get("cookie", "")))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.headers["Set-Cookie"] = access.sessions.cookie(
        "", secure=request.url.scheme == "https"
    )
    return response


def _form(after: str, problem: str, status: HTTPStatus) -> Response:
    told = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    text = FORM.format(problem=told, after=escape(_inside(after)))
    return HTMLResponse(text, status, dict(HEADERS))


async def _fields(request: Request) -> Mapping[str, str]:
    """Return the fields of a form as browsers send one; the body's size is bounded already."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        found = parse_qs(body, max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def _inside(path: str) -> str:
    """Return a path of this server; home in the place of any that may lead elsewhere."""
    leads_out = not path.startswith("/") or path.startswith(("//", "/\\")) or "\\" in path
    plain = path.isprintable() and path.isascii() and len(path) <= MOST_PATH
    return HOME if leads_out or not plain else path
