"""`/login` and `/logout`: a browser shows a key once and gets a cookie for it."""

from collections.abc import Collection, Mapping
from html import escape
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import Headers

from server.access.gate import Access, Identity
from server.access.scopes import needed
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
#: Comes to the form again, from here: only then does the browser send the cookie along.
AGAIN = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={address}">
<title>Quorum</title>
<p><a href="{address}">Go on</a></p>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/login", response_class=HTMLResponse)
async def form(
    request: Request, after: Annotated[str, Query(alias="next", max_length=MOST_PATH)] = HOME
) -> Response:
    """Ask for a key; who needs none is sent on."""
    identity: Identity | None = request.state.identity
    if identity is None and _from_elsewhere(request.headers):
        address = f"/login?next={quote(_inside(after), safe='')}"
        return HTMLResponse(AGAIN.format(address=escape(address)), headers=dict(HEADERS))
    if identity is not None and not needed(_path(after)).isdisjoint(identity.scopes):
        return RedirectResponse(_inside(after), HTTPStatus.SEE_OTHER)
    return _form(after, "" if identity is None else _wrong(identity.scopes, after), HTTPStatus.OK)


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
    if needed(_path(after)).isdisjoint(key.scopes):
        # With its cookie the browser could do nothing but log out, which is on a view.
        return _form(after, _wrong(key.scopes, after), HTTPStatus.FORBIDDEN)
    token = access.sessions.begin(key)
    response = RedirectResponse(after, HTTPStatus.SEE_OTHER)
    response.headers["Set-Cookie"] = _cookie(request, token)
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    access: Access = request.app.state.access
    access.sessions.end(cookie_of(request.headers))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.headers["Set-Cookie"] = _cookie(request, "")
    return response


def _cookie(request: Request, token: str) -> str:
    access: Access = request.app.state.access
    host = request.headers.get("host", "")
    return access.sessions.cookie(token, host, secure=request.url.scheme == "https")


def _form(after: str, problem: str, status: HTTPStatus) -> Response:
    told = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    text = FORM.format(problem=told, after=escape(_inside(after)))
    return HTMLResponse(text, status, dict(HEADERS))


def _wrong(scopes: Collection[str], after: str) -> str:
    """Return why a key does not lead to where the browser wants to go."""
    wanted = " or ".join(sorted(needed(_path(after))))
    return f"The key is for {', '.join(sorted(scopes))}: it must be for {wanted}; give another one."


def _path(after: str) -> str:
    return urlsplit(_inside(after)).path


def _from_elsewhere(headers: Headers) -> bool:
    """Whether another site led here: then the browser keeps back the cookie that it may have."""
    if site := headers.get("sec-fetch-site"):
        return site == "cross-site"
    referer = headers.get("referer", "").partition("://")[2].partition("/")[0]
    return bool(referer) and referer != headers.get("host")


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
