"""HTTP to the server with the standard library alone: the bundle may not be installed yet.

Only what a session needs: JSON calls, and the events of a solve. The names on the wire are those of
`client.schema`. Every wait is bounded by the caller.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from kaggle_notebook.errors import KaggleError, ServerRefused, ServerUnreachable

EVENTS = "text/event-stream"
#: Seconds for a call whose answer the server has at hand.
CALL_TIMEOUT_S = 10.0
#: Longer lines than this are no event of ours: a result has some hundred bytes an attempt.
MOST_LINE_BYTES = 16 * 1024 * 1024
_MOST_REPLY_BYTES = 16 * 1024 * 1024
_ERRORS = (OSError, http.client.HTTPException)


class Wire:
    """Calls to one server, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise KaggleError(f"server URL {url!r}: must be an http address on this machine")
        self.url = url
        self._host, self._port = parts.hostname, parts.port or 80

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = 0.0
    ) -> dict[str, Any]:
        """Make a call; returns the JSON object of a 2xx or 503 answer, empty where there is none.

        Raises:
            ServerUnreachable: no answer within `timeout_s`, or a cut connection.
            ServerRefused: another status.
        """
        connection = self._connection(timeout_s or CALL_TIMEOUT_S)
        with closing(connection):
            try:
                response = self._send(connection, method, path, body, "application/json")
                text = response.read(_MOST_REPLY_BYTES)
            except _ERRORS as error:
                raise _unreachable(self.url, error) from error
            value = _object(text)
            if response.status >= 300 and not (response.status == 503 and "ready" in value):
                raise ServerRefused(response.status, text.decode("utf-8", "replace"))
            return value

    def events(
        self, body: Mapping[str, Any], *, stall_s: float, until: Callable[[], float]
    ) -> Iterator[dict[str, Any] | None]:
        """Start or join a solve; yield its events as they come, None for a sign of life.

        Ends after `solve.finished`. `until` gives the end of patience, which may move, on
        `time.monotonic`.

        Raises:
            ServerUnreachable: nothing came for `stall_s`, `until()` has passed, or the stream ended
                before the solve did.
            ServerRefused: the server does not take the problem.
        """
        connection = self._connection(min(stall_s, max(0.001, until() - time.monotonic())))
        with closing(connection):
            try:
                response = self._send(connection, "POST", "/v1/solves", body, EVENTS)
                if response.status != 200:
                    refusal = response.read(64 * 1024).decode("utf-8", "replace")
                    raise ServerRefused(response.status, refusal)
                yield from self._read(connection, response, stall_s, until)
            except _ERRORS as error:
                raise _unreachable(self.url, error) from error

    def _read(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        stall_s: float,
        until: Callable[[], float],
    ) -> Iterator[dict[str, Any] | None]:
        while (left_s := until() - time.monotonic()) > 0:
            _limit(connection, response, min(stall_s, left_s))
            line = response.readline(MOST_LINE_BYTES)
            if not line:
                raise ServerUnreachable(f"the server at {self.url} ended the stream of a solve")
            if not line.startswith(b"data:"):
                yield None
                continue
            event = _object(line[5:])
            yield event
            if event.get("type") == "solve.finished":
                return
        raise ServerUnreachable(f"the time for a solve of the server at {self.url} is over")

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        accept: str,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept, "Connection": "close"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        connection.request(method, path, data, headers)
        return connection.getresponse()


def _limit(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, seconds: float
) -> None:
    """Bound the next read; a connection that is closed at its end hands its socket over."""
    found: socket.socket | None = connection.sock
    if found is None:
        # the response's own: the buffered reader's raw SocketIO holds it
        found = getattr(getattr(response.fp, "raw", None), "_sock", None)
    if found is not None:
        found.settimeout(seconds)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _unreachable(url: str, error: BaseException) -> ServerUnreachable:
    what = "fell silent" if isinstance(error, TimeoutError) else "cannot be reached"
    return ServerUnreachable(f"the server at {url} {what} ({error or type(error).__name__})")
