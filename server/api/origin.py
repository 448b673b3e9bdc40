"""Refuses requests that a web page of somebody else makes in a browser of this machine.

A page whose name is made to resolve to this machine (DNS rebinding) counts as the gateway's own for
the browser; its `Origin` header still tells where it came from.
"""

import ipaddress
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.problems import problem


class SameOrigin:
    """ASGI middleware that answers 403 where `Origin` is neither loopback nor `host`."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is None or self._is_ours(origin):
            await self._app(scope, receive, send)
            return
        refusal = problem(
            HTTPStatus.FORBIDDEN,
            f"origin {origin[:100]!r}: must be this machine or {self._host}; call the gateway from "
            "a program, or from a page that it serves",
        )
        await refusal(scope, receive, send)

    def _is_ours(self, origin: str) -> bool:
        try:
            host = urlsplit(origin).hostname or ""
        except ValueError:
            return False
        if host in ("localhost", self._host):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
