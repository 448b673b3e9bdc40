"""Every refusal is problem details with the right status, and takes no place."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from client.schema import MAX_PROBLEM_CHARS, ProblemDetails
from server.api import limits
from server.api.problems import MOST_FIELDS
from tests.server.api.gateway import Gateway

SOLVES = "/v1/solves"
JSON = {"Content-Type": "application/json"}


def problem_of(reply: httpx.Response, status: int) -> ProblemDetails:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    details = ProblemDetails.model_validate_json(reply.content)
    assert details.status == status
    assert details.detail
    return details


@pytest.fixture(autouse=True)
def nothing_was_asked_of_the_engine(gateway: Gateway) -> Iterator[None]:
    asked = len(gateway.engine.requests)
    yield
    assert len(gateway.engine.requests) == asked


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"problem": ""}, "problem", "empty"),
        ({"problem": " \n\t "}, "problem", "empty"),
        ({"problem": "\x00\x01ELF"}, "problem", "U+0000"),
        ({"problem": "a\x1b[31m"}, "problem", "U+001B"),
        ({"problem": "x" * (MAX_PROBLEM_CHARS + 1)}, "problem", "16000"),
        ({}, "problem", "required"),
        ({"problem": 7}, "problem", "string"),
        ({"problem": None}, "problem", "string"),
        ({"problem": "?", "attempts": 0}, "attempts", "greater than or equal to 1"),
        ({"problem": "?", "attempts": 1.5}, "attempts", "integer"),
        ({"problem": "?", "attempts": 10**30}, "attempts", "less than or equal to 256"),
        ({"problem": "?", "time_limit_s": -1}, "time_limit_s", "greater than 0"),
        ({"problem": "?", "time_limit_s": 0}, "time_limit_s", "greater than 0"),
        ({"problem": "?", "temperature": -0.1}, "temperature", "greater than or equal to 0"),
        ({"problem": "?", "top_p": 0}, "top_p", "greater than 0"),
        ({"problem": "?", "min_p": 1}, "min_p", "less than 1"),
        ({"problem": "?", "seed": -1}, "seed", "greater than or equal to 0"),
        ({"problem": "?", "answer_kind": "real"}, "answer_kind", "'integer' or 'text'"),
        ({"problem": "?", "temprature": 1}, "temprature", "not permitted"),
        ({"problem": "?", "attempts": 2, "agree": 3}, "body", "agree 3: must be at most attempts"),
        ({"problem": "?", "strategy": "best"}, "strategy", "must be one of greedy"),
        ([], "body", "valid dictionary"),
        ("text", "body", "valid dictionary"),
    ],
)
def test_malformed_requests(http: httpx.Client, body: object, field: str, says: str) -> None:
    details = problem_of(http.post(SOLVES, json=body), 422)
    assert [error.field for error in details.errors] == [field]
    assert says in details.errors[0].message
    assert says in details.detail


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"problem": "?", "temperature": NaN}', "finite number"),
        (b'{"problem": "?", "time_limit_s": Infinity}', "finite number"),
        (b'{"problem": "\\ud800"}', "problem"),
        (b'{"problem": "?", "problem_id": "\\udfff"}', "problem_id"),
        (b'{"problem": "?", "\\ud800": 1}', "unable to parse raw data as a unicode string"),
        (b'{"problem": ', "JSON"),
        (b"\x7fELF\x02\x01", "JSON"),
        (b"", "required"),
    ],
)
def test_malformed_json(http: httpx.Client, content: bytes, says: str) -> None:
    details = problem_of(http.post(SOLVES, content=content, headers=JSON), 422)
    assert says in details.detail


@pytest.mark.parametrize(
    "content", [b'{"problem": "\xff\xfe"}', b"[" * 50_000, b'{"seed": ' + b"9" * 5_000 + b"}"]
)
def test_json_that_cannot_be_parsed(http: httpx.Client, content: bytes) -> None:
    reply = http.post(SOLVES, content=content, headers=JSON)
    assert reply.status_code in {400, 422}
    problem_of(reply, reply.status_code)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_other_content_types(http: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    problem_of(http.post(SOLVES, content=b'{"problem": "?"}', headers=headers), 422)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1.evil.example:8642", "null", "http://[::1"]
)
def test_pages_of_others(http: httpx.Client, origin: str) -> None:
    details = problem_of(http.post(SOLVES, json={"problem": "?"}, headers={"Origin": origin}), 403)
    assert origin in details.detail


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:80"])
def test_pages_of_this_machine_pass(http: httpx.Client, origin: str) -> None:
    reply = http.post(SOLVES, json={"problem": ""}, headers={"Origin": origin})
    assert problem_of(reply, 422).errors[0].field == "problem"


def test_a_thousand_mistakes_get_a_short_answer(http: httpx.Client) -> None:
    body = {"problem": "?", **{f"unknown_{number}": number for number in range(1_000)}}
    reply = http.post(SOLVES, json=body)
    assert len(problem_of(reply, 422).errors) == MOST_FIELDS
    assert len(reply.content) < 10_000


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/solves/solve-1/more", 404, None),
        ("DELETE", f"{SOLVES}/solve-none", 404, None),
        ("DELETE", f"{SOLVES}/%F0%9F%98%80", 404, None),
        ("GET", SOLVES, 405, "POST"),
        ("PUT", SOLVES, 405, "POST"),
        ("POST", "/health", 405, "GET"),
    ],
)
def test_wrong_addresses(
    http: httpx.Client, method: str, path: str, status: int, allowed: str | None
) -> None:
    reply = http.request(method, path)
    problem_of(reply, status)
    assert reply.headers.get("allow") == allowed


class TestBodies:
    MOST = 64 * 1024

    @pytest.mark.parametrize("size", [MOST + 1, 1_000_000, 6_000_000])
    def test_too_large_as_declared(self, http: httpx.Client, size: int) -> None:
        reply = http.post(SOLVES, content=b"x" * size, headers=JSON)
        assert str(self.MOST) in problem_of(reply, 413).detail

    @pytest.mark.parametrize("size", [MOST + 1, 1_000_000, 6_000_000])
    def test_too_large_in_chunks(self, http: httpx.Client, size: int) -> None:
        def chunks() -> Iterator[bytes]:
            for start in range(0, size, 16_384):
                yield b"x" * min(16_384, size - start)

        problem_of(http.post(SOLVES, content=chunks(), headers=JSON), 413)

    def test_the_largest_body_is_read(self, http: httpx.Client) -> None:
        content = json.dumps({"problem": ""}).encode()
        content += b" " * (self.MOST - len(content))
        details = problem_of(http.post(SOLVES, content=content, headers=JSON), 422)
        assert "empty" in details.detail

    def test_a_body_that_never_comes(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.3)
        with socket.create_connection(gateway.address, timeout=5) as connection:
            connection.sendall(
                b"POST /v1/solves HTTP/1.1\r\nHost: quorum\r\nContent-Type: application/json\r\n"
                b'Content-Length: 100\r\n\r\n{"problem": '
            )
            reply = b"".join(iter(lambda: connection.recv(4096), b""))
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in reply

    def test_a_caller_that_goes_away_in_its_body(self, gateway: Gateway) -> None:
        with socket.create_connection(gateway.address, timeout=5) as connection:
            connection.sendall(
                b"POST /v1/solves HTTP/1.1\r\nHost: quorum\r\nContent-Type: application/json\r\n"
                b'Content-Length: 100\r\n\r\n{"problem": "6 x 7?"}'
            )
        assert httpx.get(f"{gateway.url}/health", trust_env=False).status_code == 200
        assert gateway.parts[0].service.running == 0
