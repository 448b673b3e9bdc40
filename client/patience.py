"""How long a call for a solve waits: for its turn, and from its start for its end.

The two are bounded apart. How long a solve waits in the server's queue depends on the solves of
others; how long it takes is known from its first event, `solve.started`.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from client.errors import ServerTimeout
from client.schema import Event, SolveStarted

#: Seconds to wait for a solve's turn: as long as three solves before it that each take the longest
#: budget of a contest problem (960 s) and their margin, rounded up.
QUEUE_TIMEOUT_S = 3_600.0
#: Seconds that a solve may outlast its time limit: its last forced answers and the vote.
SOLVE_MARGIN_S = 60.0


class Patience:
    """Follows the events of one solve and says when it has taken too long."""

    def __init__(
        self,
        url: str,
        queue_timeout_s: float = QUEUE_TIMEOUT_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._until = now() + queue_timeout_s
        self._overdue = (
            f"the server at {url} has not begun the solve within {queue_timeout_s:g} s: "
            "raise queue_timeout_s, or try again when fewer solves wait"
        )
        self._url = url

    def observe(self, event: Event) -> None:
        """Take note of an event: from its start on, the solve's own limit counts."""
        if isinstance(event, SolveStarted):
            self._until = self._now() + event.time_limit_s + SOLVE_MARGIN_S
            self._overdue = (
                f"the server at {self._url} has not ended the solve within {SOLVE_MARGIN_S:g} s "
                f"after its time limit of {event.time_limit_s:g} s: look at its log"
            )

    def check(self) -> None:
        """Raise `ServerTimeout` when the time is over."""
        if self._now() > self._until:
            raise ServerTimeout(self._overdue)


class Watched(httpx.SyncByteStream):
    """A response's bytes, with the patience checked at each part; pings come every 15 s."""

    def __init__(self, stream: httpx.SyncByteStream, patience: Patience) -> None:
        self._stream = stream
        self._patience = patience

    def __iter__(self) -> Iterator[bytes]:
        """Yield the parts; raises `ServerTimeout`."""
        for part in self._stream:
            self._patience.check()
            yield part

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class AsyncWatched(httpx.AsyncByteStream):
    """The same for an asynchronous response."""

    def __init__(self, stream: httpx.AsyncByteStream, patience: Patience) -> None:
        self._stream = stream
        self._patience = patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the parts; raises `ServerTimeout`."""
        async for part in self._stream:
            self._patience.check()
            yield part

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
