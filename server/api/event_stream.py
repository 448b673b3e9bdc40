"""Server-sent events as all of this server's streams send them."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent

#: Comments on an idle stream, so that both ends notice a dead connection.
PING_S = 15
#: A reader that does not read for this long is disconnected.
SEND_TIMEOUT_S = 60.0
LINE_END = "\n"


class EventStream(EventSourceResponse):
    """A stream of events; at a shutdown it goes on for `grace_s` seconds, if it lasts so long."""

    def __init__(self, events: AsyncIterator[ServerSentEvent], *, grace_s: float = 0.0) -> None:
        super().__init__(
            events,
            ping=PING_S,
            send_timeout=SEND_TIMEOUT_S,
            shutdown_grace_period=grace_s,
            sep=LINE_END,
        )
        # Whether the connection stays is not for the response to say: uvicorn says so itself.
        del self.headers["connection"]
