"""A connection that must say in time and in few bytes what it wants: what uvicorn leaves open."""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.api.problems import MEDIA_TYPE, details

#: Seconds in which the head of a request must have come, from its first byte, or from the
#: connection's beginning. A client on a bad line takes one.
HEAD_TIMEOUT_S = 15.0
#: Bytes that may come without a finished head, a piece of a body or a request's end: the parser
#: itself (httptools over llhttp) bounds neither heads nor trailers nor extensions of chunks.
BARREN_BYTES = 64 * 1024
#: Requests of a connection that wait for the answers before theirs: uvicorn takes as many as come.
MOST_WAITING = 32
#: Headers of an offer of another protocol, which `Connection` names too.
_OFFERING = (b"upgrade", b"http2-settings")
MALFORMED = "the request: must be HTTP/1.1, with one Host and a known method; use an HTTP client"
TOO_LONG = (
    f"the request: must have at most {BARREN_BYTES} bytes before its body, and between two pieces "
    "of it; shorten its address and headers"
)


class UnknownLength(int):
    """The bytes of an answer that are to come, where nobody knows: as many as come."""

    def __lt__(self, _length: int) -> bool:
        return False

    def __sub__(self, _sent: int) -> "UnknownLength":
        return self


UNKNOWN_LENGTH = UnknownLength()


class MalformedHead(Exception):
    """A head that the parser lets through, and that is none, or comes too early."""


class StayingParser:
    """httptools' parser, for which an offer of another protocol is no more than a header.

    httptools stops at the head of a request that offers one (`Upgrade: h2c`, which curl and Java's
    client send of themselves), and takes what follows for another protocol: the body would be lost,
    or be read as the next request. A server may ignore the offer (RFC 9110, 7.8): so the head is
    read again without it.
    """

    def __init__(self, protocol: "PromptProtocol") -> None:
        self._protocol = protocol
        self._parser = httptools.HttpRequestParser(protocol)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the parser's own
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> None:
        """Read bytes; errors are the parser's."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                head = self._protocol.head_without_offer()
                if not head:
                    raise
                data = head + data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self._protocol)
            else:
                return


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection whose request does not begin, or whose head does not end, in time.

    Bodies are bounded by `server.api.limits`, the pause between two requests by uvicorn itself.
    """

    _late: asyncio.TimerHandle | None = None
    _barren = 0
    _in_head = False
    _offers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self.parser = StayingParser(self)  # type: ignore[assignment]
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; many small ones do not buy time."""
        self._barren += len(data)
        super().data_received(data)
        if self._barren > BARREN_BYTES and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_LONG)
        if self._is_answering():
            self._stop_waiting()
        elif self._late is None and not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed; uvicorn's own sentence says no more."""
        del msg
        self._refuse(HTTPStatus.BAD_REQUEST, MALFORMED)

    def on_message_begin(self) -> None:
        """Take the first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers come here too, and are none: they must not say who asks."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer; without its host, or with two, a request is malformed (RFC 9112, 3.2).

        Raises:
            MalformedHead: so that the parser refuses it.
        """
        self._barren, self._in_head = 0, False
        self._offers = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offers:
            # It is read again, without the offer.
            return
        if len(self.pipeline) >= MOST_WAITING:
            raise MalformedHead(f"{len(self.pipeline)} requests wait already")
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            raise MalformedHead(f"{hosts} Host headers")
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0":
            # It knows no chunks (RFC 9112, 6.1): an answer of unknown length ends with the
            # connection, which uvicorn closes after it.
            self.cycle.chunked_encoding = False
            self.cycle.expected_content_length = UNKNOWN_LENGTH

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._barren = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._barren = 0
        if not self._offers:
            super().on_message_complete()

    def head_without_offer(self) -> bytes:
        """Return the head that was read last, without its offer; empty where it had none."""
        if not self._offers:
            return b""
        self._offers = False
        lines = [
            self.parser.get_method() + b" " + self.url + b" HTTP/" +
            self.parser.get_http_version().encode()
        ]  # fmt: skip
        for name, value in self.headers:
            if name == b"connection":
                options = (option.strip() for option in value.split(b","))
                value = b", ".join(each for each in options if each.lower() not in _OFFERING)  # noqa: PLW2901
            if value and name not in _OFFERING:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Say why and close; in the middle of another answer there is nowhere to say it."""
        if not (self.pipeline or (self._is_answering() and self.cycle.response_started)):
            body = details(status, detail).model_dump_json(exclude_none=True).encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD_TIMEOUT_S, self._close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if not self._is_answering():
            self.transport.close()
