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
        (
            {"problem": "x" * (MAX_PROBLEM_CHARS + 1)},
            "problem",
            "problem of 16001 characters: must have at most 16000 characters; shorten it",
        ),
        ({}, "problem", "problem: must be given; add it to the request"),
        ({"problem": 7}, "problem", "problem 7: must be text; put it in quotes"),
        ({"problem": None}, "problem", "problem null: must be text"),
        ({"problem": "?", "attempts": 0}, "attempts", "attempts 0: must be at least 1; raise it"),
        ({"problem": "?", "attempts": 1.5}, "attempts", "attempts 1.5: must be an integer"),
        ({"problem": "?", "attempts": "4"}, "attempts", 'attempts "4": must be an integer'),
        ({"problem": "?", "attempts": True}, "attempts", "attempts true: must be an integer"),
        ({"problem": "?", "attempts": [4]}, "attempts", "attempts […]: must be an integer"),
        ({"problem": "?", "attempts": 1e300}, "attempts", "attempts 1e+300: must be an integer"),
        ({"problem": "?", "tokens": "no"}, "tokens", 'tokens "no": must be true or false'),
        ({"problem": "?", "top_p": {}}, "top_p", "top_p {}: must be a number"),
        ({"problem": "?", "strategy": "x" * 41}, "strategy", "must have at most 40 characters"),
        ({"problem": "?", "attempts": 10**30}, "attempts", "must be at most 256; lower it"),
        ({"problem": "?", "time_limit_s": -1}, "time_limit_s", "must be above 0; raise it"),
        ({"problem": "?", "time_limit_s": 0}, "time_limit_s", "must be above 0; raise it"),
        (
            {"problem": "?", "temperature": -0.1},
            "temperature",
            "temperature -0.1: must be at least 0",
        ),
        ({"problem": "?", "top_p": 0}, "top_p", "must be above 0; raise it"),
        ({"problem": "?", "min_p": 1}, "min_p", "min_p 1: must be under 1; lower it"),
        ({"problem": "?", "seed": -1}, "seed", "seed -1: must be at least 0"),
        ({"problem": "?", "answer_kind": "real"}, "answer_kind", "must be 'integer' or 'text'"),
        (
            {"problem": "?", "temprature": 1},
            "temprature",
            "temprature: must be a field of this request",
        ),
        ({"problem": "?", "attempts": 2, "agree": 3}, "body", "agree 3: must be at most attempts"),
        ({"problem": "?", "strategy": "best"}, "strategy", "must be one of greedy"),
        ([], "body", "body []: must be a JSON object"),
        ("text", "body", 'body "text": must be a JSON object'),
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
        (b'{"problem": "?", "temperature": NaN}', "temperature NaN: must be a finite number"),
        (b'{"problem": "?", "time_limit_s": Infinity}', "Infinity: must be a finite number"),
        (b'{"problem": "?", "time_limit_s": 1e999}', "Infinity: must be a finite number"),
        (b'{"problem": "?", "attempts": ' + b"9" * 4_000 + b"}", "must be at most 256"),
        (b'{"problem": "\\ud800"}', "problem"),
        (b'{"problem": "?", "problem_id": "\\udfff"}', "problem_id"),
        (b'{"problem": "?", "\\ud800": 1}', "must be valid Unicode text"),
        (b"", "body: must be given"),
    ],
)
def test_values_that_json_cannot_or_should_not_spell(
    http: httpx.Client, content: bytes, says: str
) -> None:
    details = problem_of(http.post(SOLVES, content=content, headers=JSON), 422)
    assert says in details.detail


def test_a_chat_that_is_no_unicode_is_refused_as_the_others_are(http: httpx.Client) -> None:
    """What a refusal quotes of it must not make the refusal itself unwritable."""
    content = b'{"messages": [{"role": "user", "content": "\\ud800 6 x 7?"}]}'
    reply = http.post("/v1/chat/completions", content=content, headers=JSON)
    details = problem_of(reply, 400)
    assert "must be valid Unicode text" in details.detail
    assert details.errors[0].message == reply.json()["error"]["message"] == details.detail


@pytest.mark.parametrize(
    "content",
    [
        b'{"problem": ',
        b"{'problem': '?'}",
        b"\x7fELF\x02\x01",
        b'{"problem": "\xff\xfe"}',
        b"[" * 50_000,
        b'{"seed": ' + b"9" * 5_000 + b"}",
    ],
)
def test_malformed_json(http: httpx.Client, content: bytes) -> None:
    details = problem_of(http.post(SOLVES, content=content, headers=JSON), 400)
    assert details.detail.startswith("body")
    assert ": must be JSON" in details.detail


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_other_content_types(http: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    reply = http.post(SOLVES, content=b'{"problem": "?"}', headers=headers)
    assert "must be application/json; send" in problem_of(reply, 415).detail


def test_every_route_with_a_body_says_how_it_is_refused(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    operations = [one for path in description["paths"].values() for one in path.values()]
    with_body = [one["responses"] for one in operations if "requestBody" in one]
    assert with_body
    for responses in with_body:
        assert {"400", "408", "413", "415", "422"} <= set(responses)
        assert list(responses["415"]["content"]) == ["application/problem+json"]


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
        ("PUT", f"{SOLVES}/solve-1/select", 405, "POST"),
        ("PUT", SOLVES, 405, "GET, HEAD, POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("POST", "/static/page.css", 405, "GET, HEAD"),
    ],
)
def test_wrong_addresses(
    http: httpx.Client, method: str, path: str, status: int, allowed: str | None
) -> None:
    reply = http.request(method, path)
    assert ": " in problem_of(reply, status).detail
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
                b"POST /v1/solves HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b'Content-Length: 100\r\n\r\n{"problem": '
            )
            reply = b"".join(iter(lambda: connection.recv(4096), b""))
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in reply

    def test_a_caller_that_goes_away_in_its_body(self, gateway: Gateway) -> None:
        with socket.create_connection(gateway.address, timeout=5) as connection:
            connection.sendall(
                b"POST /v1/solves HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b'Content-Length: 100\r\n\r\n{"problem": "6 x 7?"}'
            )
        assert httpx.get(f"{gateway.url}/health", trust_env=False).status_code == 200
        assert gateway.service.running == 0


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example"])
def test_names_that_are_not_ours(http: httpx.Client, host: str) -> None:
    """A page of somebody else whose name resolves to this machine (DNS rebinding)."""
    reply = http.get("/v1/settings", headers={"Host": host})
    assert host in problem_of(reply, 421).detail


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8642", "LOCALHOST"])
def test_names_that_are_ours(http: httpx.Client, host: str) -> None:
    assert http.get("/health", headers={"Host": host}).status_code == 200
