"""Refuses requests that a web page of somebody else makes in a browser of this machine.

A page whose name is made to resolve to this machine (DNS rebinding) counts as the gateway's own for
the browser; its `Origin` header still tells where it came from.
"""

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.access.gate import Access
from server.api.problems import problem
from server.sections.access import is_loopback


class SameOrigin:
    """ASGI middleware that answers 403 where `Origin` is neither loopback nor this server.

    This server is what the settings name, and, where a key is demanded, what the request was sent
    to: there `Host` needs no trust, since a page elsewhere has neither key nor cookie.
    """

    def __init__(self, app: ASGIApp, host: str, access: Access) -> None:
        self._app = app
        self._host = host
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if origin is None or self._is_ours(origin, headers.get("host", "")):
            await self._app(scope, receive, send)
            return
        refusal = problem(
            HTTPStatus.FORBIDDEN,
            f"origin {origin[:100]!r}: must be this machine or {self._host}; call the gateway from "
            "a program, or from a page that it serves",
            path=scope["path"],
        )
        await refusal(scope, receive, send)

    def _is_ours(self, origin: str, called: str) -> bool:
        try:
            parsed = urlsplit(origin)
            host = (parsed.hostname or "").lower()
        except ValueError:
            return False
        if self._access.demanded:
            return bool(called) and parsed.netloc.lower() == called.lower()
        names = self._access.names | {self._host.lower()}
        return host in names or is_loopback(host)
