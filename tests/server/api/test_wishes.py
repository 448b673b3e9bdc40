"""What requests ask for in their headers, and how answers are framed for whom."""

import httpx
import pytest
from starlette.requests import Request

from server.api.wishes import prefers, wants_events
from tests.server.api.gateway import Gateway
from tests.server.api.test_hostile_requests import exchange

SOLVES = "/v1/solves"
EVENTS = "text/event-stream"


def asking(*headers: tuple[str, str]) -> Request:
    return Request(
        {"type": "http", "headers": [(name.encode(), text.encode()) for name, text in headers]}
    )


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([EVENTS], True),
        (["Text/Event-Stream"], True),
        (["application/json", EVENTS], True),
        (["application/json, text/event-stream ; q=0.5"], True),
        ([f"{EVENTS}; charset=utf-8; q=many"], True),
        ([f"{EVENTS};q=0"], False),
        ([f"{EVENTS}; Q=0.000"], False),
        (["text/event-streams"], False),
        (["*/*"], False),
        ([], False),
        ([", ;q=0"], False),
    ],
)
def test_whether_events_are_wanted(lines: list[str], wanted: bool) -> None:
    assert wants_events(asking(*(("accept", line) for line in lines))) is wanted


@pytest.mark.parametrize(
    ("lines", "preferred"),
    [
        (["respond-async"], True),
        (["Respond-Async"], True),
        (["wait=10, respond-async; foo"], True),
        (["return=minimal", "respond-async"], True),
        (["not-respond-async"], False),
        (['x="y"'], False),
        ([], False),
    ],
)
def test_whether_something_is_preferred(lines: list[str], preferred: bool) -> None:
    found = prefers(asking(*(("prefer", line) for line in lines)), "respond-async")
    assert found is preferred


def test_the_gateway_reads_all_lines(http: httpx.Client) -> None:
    lines = [("Prefer", "return=minimal"), ("Prefer", "Respond-Async")]
    reply = http.post(SOLVES, json={"problem": "6 x 7?"}, headers=lines)
    assert reply.status_code == 202
    streamed = [("Accept", "application/json"), ("Accept", "TEXT/EVENT-STREAM")]
    for path in (reply.headers["location"], f"{reply.headers['location']}/events"):
        events = http.get(path, headers=streamed)
        assert events.headers["content-type"].startswith(EVENTS)
    whole = http.get(reply.headers["location"], headers={"Accept": f"{EVENTS};q=0"})
    assert whole.headers["content-type"] == "application/json"


def posting(version: str, accept: str) -> bytes:
    body = b'{"problem": "6 x 7?"}'
    return (
        f"POST {SOLVES} HTTP/{version}\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def split(answer: bytes) -> tuple[list[str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode().lower().split("\r\n"), body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_says_one_thing_of_its_connection(gateway: Gateway, version: str) -> None:
    head, _ = split(exchange(gateway, posting(version, EVENTS)))
    assert [line for line in head if line.startswith("connection:")] == ["connection: close"]


def test_old_clients_get_a_stream_that_is_not_in_chunks(gateway: Gateway) -> None:
    head, body = split(exchange(gateway, posting("1.0", EVENTS)))
    assert not any(line.startswith(("transfer-encoding:", "content-length:")) for line in head)
    assert body.startswith(b"id: ")
    assert body.endswith(b"}\n\n")
    assert b"event: solve.finished" in body


def test_old_clients_get_a_result_of_known_length(gateway: Gateway) -> None:
    head, body = split(exchange(gateway, posting("1.0", "application/json")))
    assert f"content-length: {len(body)}" in head
