"""What holds for every request: one line in the log, a number, a metric, headers that protect."""

import secrets
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.services import Services

log = structlog.get_logger(__name__)

#: Said of every answer that says nothing of its own: it is no page, nobody frames it, nobody
#: guesses its type or keeps it.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
#: Requests that come all the time and say nothing: those of probes and of Prometheus.
QUIET_PATHS = frozenset({"/health", "/ready", "/metrics"})
#: Where there is no route, so that names made up by callers do not become labels.
NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traffic:
    """ASGI middleware around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        request_id = f"req-{secrets.token_hex(6)}"
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                given = [*message.get("headers", ())]
                names = {name.lower() for name, _ in given}
                given += [each for each in HEADERS if each[0] not in names]
                given.append((b"x-request-id", request_id.encode()))
                message = {**message, "headers": given}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, watched)
            finally:
                _note(scope, status, time.monotonic() - started)


def _note(scope: Scope, status: int, seconds: float) -> None:
    """Log and count a request that has ended; status 0: its client went away before an answer."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    state = scope.get("state", {})
    identity = state.get("identity")
    quiet = scope["path"] in QUIET_PATHS and status < 400
    (log.debug if quiet else log.info)(
        "request",
        method=method,
        path=scope["path"][:200],
        status=status,
        seconds=round(seconds, 4),
        key=identity.key_id or None if identity is not None else None,
    )
    services = state.get("services")
    if isinstance(services, Services):
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        services.meter.request(route, method, status, seconds)
