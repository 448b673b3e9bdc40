"""Bounds on what a client may send, before anything is parsed."""

from enum import Enum, auto
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.problems import problem

#: Seconds in which a request's body must have come. The largest takes two at 1 Mbit/s.
BODY_TIMEOUT_S = 20.0
#: Bytes of a refused body that are still read, so that the client gets to read the refusal: a
#: connection that is closed with data unread is reset.
DRAINED_BYTES = 8 * 1024 * 1024


class Unread(Enum):
    """Why there is no body."""

    TOO_LARGE = auto()
    TOO_SLOW = auto()
    ENCODED = auto()
    GONE = auto()


class BodyLimit:
    """ASGI middleware that reads request bodies of at most `most` bytes, declared or streamed.

    Larger ones are answered with 413, those that take over `BODY_TIMEOUT_S` with 408, those that
    are compressed with 415: what they come to is not known before they are read.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body: bytes | Unread = Unread.TOO_SLOW
        with anyio.move_on_after(BODY_TIMEOUT_S):
            body = await self._read(receive)
        coding = Headers(scope=scope).get("content-encoding", "").strip().lower()
        if body and coding not in ("", "identity") and not isinstance(body, Unread):
            body = Unread.ENCODED
        if isinstance(body, Unread):
            await self._refuse(body, scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | Unread:
        parts: list[bytes] = []
        size = 0
        while size <= DRAINED_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                return Unread.GONE
            part: bytes = message.get("body", b"")
            size += len(part)
            if size <= self._most:
                parts.append(part)
            if not message.get("more_body", False):
                break
        return b"".join(parts) if size <= self._most else Unread.TOO_LARGE

    async def _refuse(self, why: Unread, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if why is Unread.TOO_LARGE:
            response = problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request body: must be at most {self._most} bytes; shorten the problem, or "
                "raise gateway.max_body_bytes",
                path=path,
            )
        elif why is Unread.TOO_SLOW:
            response = problem(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the request body: must come within {BODY_TIMEOUT_S:g} s; send it again",
                path=path,
            )
        elif why is Unread.ENCODED:
            coding = Headers(scope=scope).get("content-encoding", "")
            response = problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"content encoding {coding[:40]!r}: must be none; send the body as it is",
                headers={"Accept-Encoding": "identity"},
                path=path,
            )
        else:
            return
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
