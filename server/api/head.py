"""HEAD: what GET would say, without its body."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware that answers HEAD as GET until the answer's head is sent, and ends it there.

    So a stream of events that nobody reads is not begun. Routes without GET refuse HEAD too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or the one that it stands for."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        with anyio.CancelScope() as asked:

            async def only_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    asked.cancel()

            # A copy: the connection must know that no body may follow.
            stands_for = {**scope, "method": "GET"}
            try:
                await self._app(stands_for, receive, only_head)
            finally:
                scope["route"] = stands_for.get("route")
