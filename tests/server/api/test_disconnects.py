"""A caller that goes away, or does not read, costs nothing for long."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import orjson
import pytest

from server.api import connection as connections
from server.api import event_stream
from tests.server.api.gateway import FREED_S, Gateway


@contextmanager
def asking(gateway: Gateway, accept: str, **request: object) -> Iterator[socket.socket]:
    """Send a request and leave the reply to the test; small buffers on this side too."""
    body = orjson.dumps(request)
    head = (
        "POST /v1/solves HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(5)
        connection.connect(gateway.address)
        connection.sendall(head.encode() + body)
        yield connection


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("problem", ["[hang]", "[cell]"])
def test_going_away_frees_engine_and_kernels(gateway: Gateway, accept: str, problem: str) -> None:
    service, pool = gateway.service, gateway.parts[0].pool

    def busy() -> bool:
        if problem == "[hang]":
            return len(gateway.engine.open_streams) == 2
        return pool.status().leased == 2 and not gateway.engine.open_streams

    with asking(gateway, accept, problem=problem):
        gateway.wait_until(busy)
        assert service.running == 1
    gateway.wait_until(gateway.idle, FREED_S)


def test_going_away_while_waiting_for_a_turn(gateway: Gateway) -> None:
    service = gateway.service
    with (
        asking(gateway, "application/json", problem="[hang]"),
        asking(gateway, "application/json", problem="[hang]"),
    ):
        gateway.wait_until(lambda: service.running == 2)
        with asking(gateway, "application/json", problem="6 x 7?"):
            gateway.wait_until(lambda: service.queued == 1)
        gateway.wait_until(lambda: service.queued == 0, FREED_S)
        assert service.running == 2


def test_a_reset_connection_is_gone_too(gateway: Gateway) -> None:
    with asking(gateway, "text/event-stream", problem="[hang]") as connection:
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 2)
        # Linger of zero seconds: closing sends RST instead of FIN.
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
    gateway.wait_until(gateway.idle, FREED_S)


def test_a_reader_that_does_not_read_is_cut(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_TIMEOUT_S", 0.5)
    with asking(gateway, "text/event-stream", problem="[long]", tokens=True) as connection:
        gateway.wait_until(lambda: gateway.service.running == 1)
        gateway.wait_until(gateway.idle, 15.0)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert b"solve.finished" not in received
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_a_slow_reader_delays_nobody(gateway: Gateway) -> None:
    with asking(gateway, "text/event-stream", problem="[long]", tokens=True):
        reply = httpx.post(
            f"{gateway.url}/v1/solves", json={"problem": "6 x 7?"}, timeout=10, trust_env=False
        )
        assert reply.json()["answer"] == "42"


def test_a_half_closed_connection_is_gone_too(gateway: Gateway) -> None:
    with asking(gateway, "text/event-stream", problem="[hang]") as connection:
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 2)
        connection.shutdown(socket.SHUT_WR)
        gateway.wait_until(gateway.idle, FREED_S)


@contextmanager
def endless(gateway: Gateway) -> Iterator[tuple[httpx.Client, str, bytes]]:
    """Yield a client, the path of a solve that does not end, and what asks for its events."""
    wish = {"Prefer": "respond-async"}
    with httpx.Client(base_url=gateway.url, timeout=10, trust_env=False) as http:
        reply = http.post("/v1/solves", json={"problem": "[hang]"}, headers=wish)
        path = f"/v1/solves/{reply.json()['solve_id']}"
        yield http, path, f"GET {path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        http.delete(path)
    gateway.wait_until(gateway.idle)


def test_followers_that_go_away_in_any_way_leave_the_solve_as_it_is(gateway: Gateway) -> None:
    with endless(gateway) as (http, path, events):
        for leave in (None, socket.SHUT_WR, socket.SHUT_RD):
            with socket.create_connection(gateway.address, timeout=5) as connection:
                connection.sendall(events)
                assert connection.recv(64).startswith(b"HTTP/1.1 200")
                if leave is not None:
                    connection.shutdown(leave)
        assert http.get(path).json()["state"] == "running"


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX"])
def test_a_head_that_does_not_end_is_cut_however_it_drips(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.5)
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(sent)
        connection.settimeout(0.05)
        until = time.monotonic() + 5
        closed = False
        while not closed and time.monotonic() < until:
            try:
                if sent:
                    connection.sendall(b"x")
                closed = connection.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                closed = True
    assert closed


def test_requests_one_after_the_other_on_a_slow_connection(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 1.0)
    head = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(gateway.address, timeout=5) as connection:
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5:
            connection.sendall(head[:20])
            connection.sendall(head[20:])
            received = b""
            while b"}" not in received:
                received += connection.recv(4096)
            assert received.startswith(b"HTTP/1.1 200")


POST = (
    b"POST /v1/solves HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        pytest.param(b"GET /", b"x" * 1_000, id="address"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", b"x" * 1_000, id="one header"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X: " + b"x" * 1_000 + b"\r\n", id="many headers"),
        pytest.param(POST + b"1;", b"x" * 1_000, id="extension of a chunk"),
        pytest.param(POST + b"0\r\n", b"X: " + b"x" * 1_000 + b"\r\n", id="trailers"),
        pytest.param(b"", b"\r\n" * 500, id="empty lines"),
    ],
)
def test_what_brings_no_request_is_cut_after_some_bytes(
    gateway: Gateway, begun: bytes, piece: bytes
) -> None:
    # What the two sockets buffer comes on top of the bound.
    most = connections.BARREN_BYTES // len(piece) + 20_000
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(begun)
        sent = 0
        with suppress(ConnectionError):
            while sent < most:
                connection.sendall(piece)
                sent += 1
    assert sent < most


def test_long_bodies_in_many_small_chunks_are_no_such_thing(gateway: Gateway) -> None:
    text = orjson.dumps({"problem": "x" * 30_000, "attempts": 0})
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in text)
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(POST + chunks + b"0\r\n\r\n")
        # It came whole, and is refused for what it says.
        assert connection.recv(64).startswith(b"HTTP/1.1 422")


GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def test_requests_may_be_sent_ahead_but_not_without_end(gateway: Gateway) -> None:
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(GET * connections.MOST_WAITING)
        received = b""
        while received.count(b"HTTP/1.1 200") < connections.MOST_WAITING:
            received += connection.recv(65_536)
    with socket.create_connection(gateway.address, timeout=5) as connection:
        received = b""
        with suppress(ConnectionError):
            connection.sendall(GET * 5_000)
            while part := connection.recv(65_536):
                received += part
    assert received.count(b"HTTP/1.1 ") <= connections.MOST_WAITING + 1


def test_what_follows_a_body_is_no_header(gateway: Gateway) -> None:
    """Trailers must not say where a request comes from: a proxy does not look at them."""
    chunk = b"2\r\n{}\r\n0\r\n"
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall(POST + chunk + b"Origin: http://evil.example\r\n\r\n")
        # Refused for its body alone.
        assert connection.recv(64).startswith(b"HTTP/1.1 422")


def test_nothing_is_written_into_the_middle_of_an_answer(gateway: Gateway) -> None:
    with (
        endless(gateway) as (_, _, events),
        socket.create_connection(gateway.address, timeout=5) as connection,
    ):
        connection.sendall(events)
        assert connection.recv(64).startswith(b"HTTP/1.1 200")
        connection.sendall(GET + b"nonsense\r\n\r\n")
        received = b""
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                received += part
        assert b"HTTP/1.1 400" not in received


OFFERS = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "two lines": "Connection: Upgrade\r\nConnection: HTTP2-Settings\r\nUpgrade: h2c\r\n",
}
FRAMES = {
    "length": ("Content-Length: {size}\r\n", "{body}"),
    "chunked": ("Transfer-Encoding: chunked\r\n", "{hex}\r\n{body}\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_of_another_protocol_is_ignored(
    gateway: Gateway, offer: str, frame: str, *, apart: bool
) -> None:
    """Its body is neither lost nor the next request, which a proxy could be made to smuggle."""
    # A body that is read as a request of its own would be answered with 200.
    body = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    header, framed = FRAMES[frame]
    head = (
        "POST /v1/solves HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{OFFERS[offer]}{header.format(size=len(body))}\r\n"
    ).encode()
    rest = framed.format(hex=f"{len(body):x}", body=body).encode()
    with socket.create_connection(gateway.address, timeout=5) as connection:
        for _ in range(2):
            for part in (head, rest) if apart else (head + rest,):
                connection.sendall(part)
                time.sleep(0.05)
            answer = b""
            while b"}" not in answer:
                answer += connection.recv(4096)
            # It is the body that is no JSON.
            assert answer.startswith(b"HTTP/1.1 400 "), answer
            assert b"JSON" in answer
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_offers_among_requests_sent_ahead(gateway: Gateway) -> None:
    offer = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n{OFFERS['h2c']}\r\n"
    plain = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    last = offer.replace("Connection: ", "Connection: close, ")
    with socket.create_connection(gateway.address, timeout=5) as connection:
        connection.sendall((plain + offer + plain + offer + last).encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.count(b"HTTP/1.1 200 ") == 5
