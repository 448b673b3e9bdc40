"""Decides about each request before it is read: the name it was sent to, its headers, its key."""

import time
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.access.keys import Key
from server.access.rates import Rates
from server.access.scopes import is_open, needed
from server.access.session import Sessions, cookie_of
from server.access.store import KeyRing
from server.api.problems import problem
from server.sections.access import is_loopback

BEARER = "bearer "
CHALLENGE = 'Bearer realm="quorum"'


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request: a key, or whoever can reach a server that demands none."""

    key_id: str
    name: str
    scopes: frozenset[str]


#: Who calls a server that demands no key.
LOCAL = Identity("", "local", frozenset({"solve", "sandbox", "label", "admin"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules of one server; `names` are the hosts that it may be called by, empty: any."""

    demanded: bool
    ring: KeyRing
    sessions: Sessions
    rates: Rates
    names: frozenset[str]
    max_header_bytes: int

    def identify(self, headers: Headers) -> Identity | None:
        """Return who a request's headers name; None where a key is demanded and there is none."""
        given = headers.get("authorization", "")
        key: Key | None = None
        if given[: len(BEARER)].lower() == BEARER:
            key = self.ring.find(given[len(BEARER) :].strip())
        elif not given and (token := cookie_of(headers)):
            key = self.sessions.find(token)
        if key is not None:
            return Identity(key.id, key.name, frozenset(key.scopes))
        return None if self.demanded else LOCAL

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names this server; browsers, which alone matter, send one."""
        name = host_of(host)
        return not host or not self.names or name in self.names or is_loopback(name)


def host_of(header: str) -> str:
    """Return the name in a `Host` header, without the port, in lower case."""
    host = header.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


class Gate:
    """ASGI middleware that lets through who may; `scope["state"]["identity"]` says who it is."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        access, headers, path = self._access, Headers(scope=scope), str(scope["path"])
        size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > access.max_header_bytes:
            return problem(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"headers of {size} bytes: must be at most {access.max_header_bytes}; send fewer",
                path=path,
            )
        if not access.knows(headers.get("host", "")):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"host {headers.get('host', '')[:100]!r}: must be a name of this server; call it "
                "by its address, or name the host in access.hosts",
                path=path,
            )
        identity = access.identify(headers)
        scope.setdefault("state", {})["identity"] = identity
        if is_open(path):
            return None
        return self._refused(scope, headers, identity)

    def _refused(
        self, scope: Scope, headers: Headers, identity: Identity | None
    ) -> Response | None:
        path = str(scope["path"])
        if identity is None:
            return _unknown(scope, headers)
        wait_s = 0.0
        if identity.key_id:
            wait_s = self._access.rates.wait_s(identity.key_id, time.monotonic())
        if wait_s:
            return problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"key {identity.key_id}: more requests than access.requests_per_minute allows; "
                "send them more slowly",
                retry_after_s=round(wait_s, 3),
                path=path,
            )
        wanted = needed(path)
        if identity.scopes.isdisjoint(wanted):
            scopes = " or ".join(sorted(wanted))
            return problem(
                HTTPStatus.FORBIDDEN,
                f"key {identity.key_id}: must have the scope {scopes} for this; make one with "
                "`quorum keys add`",
                headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'},
                path=path,
            )
        return None


def _unknown(scope: Scope, headers: Headers) -> Response:
    """Return the refusal of a request without a key: for people, the way to log in."""
    path, given = str(scope["path"]), bool(headers.get("authorization"))
    shows_page = scope["method"] == "GET" and not path.startswith("/v1/")
    if shows_page and not given and "text/html" in headers.get("accept", ""):
        url = HTTPConnection(scope).url
        after = url.path + (f"?{url.query}" if url.query else "")
        return RedirectResponse(f"/login?next={quote(after, safe='')}", HTTPStatus.SEE_OTHER)
    wrong = f'{CHALLENGE}, error="invalid_token"' if given else CHALLENGE
    detail = (
        "the key: unknown, revoked or expired; ask whoever runs the server for another one"
        if given
        else "a key is demanded: send the header Authorization: Bearer KEY; `quorum keys add` on "
        "the server makes one"
    )
    return problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": wrong}, path=path)
