"""Chats and completions that the server ends, or lets wait: their callers are told so."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import orjson
import pytest
from starlette.exceptions import HTTPException

from client.schema import AttemptEnd, AttemptReport, SolveEnd, SolveResult, TokenCounts
from server.api import openai_stream
from server.api.chat import check_answered
from server.sections.gateway import GatewaySettings
from server.sections.solve import SolveSettings
from server.settings import Settings
from server.vocabulary import Vocabulary
from tests.server.api.gateway import Gateway, serving
from tests.server.solve.plain_logs import plain_logs

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ENDLESS: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "[hang]"}]},
    COMPLETIONS: {"prompt": "[hang]", "max_tokens": 100},
}
Post = Callable[..., Future[httpx.Response]]


@pytest.fixture
def narrow(vocabulary: Vocabulary) -> Iterator[Gateway]:
    """A gateway of its own, whose engine has two slots, and beside which one may wait."""
    settings = Settings(
        gateway=GatewaySettings(max_running=1, max_queued=1),
        solve=SolveSettings(attempts=1, time_limit_s=30.0),
    )
    with plain_logs(), serving(vocabulary, settings, slots=2) as gateway:
        yield gateway


@pytest.fixture
def post(narrow: Gateway) -> Iterator[Post]:
    """Ask, and do not wait for the answer."""
    with (
        httpx.Client(base_url=narrow.url, timeout=20.0, trust_env=False) as client,
        ThreadPoolExecutor() as threads,
    ):
        yield lambda path, **body: threads.submit(partial(client.post, path, json=body))


def told(reply: httpx.Response) -> dict[str, Any]:
    """Return the error with which a stream ends, or that is the whole answer."""
    if reply.status_code == 200:
        *_, last, done = [line for line in reply.text.split("\n\n") if line]
        assert done == "data: [DONE]"
        error: dict[str, Any] = orjson.loads(last.removeprefix("data: "))["error"]
    else:
        assert reply.status_code == 503, reply.text
        assert reply.headers["content-type"] == "application/problem+json"
        error = reply.json()["error"]
    return error


@pytest.mark.parametrize("stream", [False, True])
def test_a_shutdown_ends_chats(narrow: Gateway, post: Post, stream: bool) -> None:
    """The one that runs and the one that waits: an empty answer would count as a wrong one."""
    asked = [post(CHAT, **ENDLESS[CHAT], stream=stream) for _ in range(2)]
    narrow.wait_until(lambda: (narrow.service.running, narrow.service.queued) == (1, 1))
    narrow.wait_until(lambda: bool(narrow.engine.open_streams))
    narrow.close()
    for each in asked:
        error = told(each.result(timeout=5))
        assert error["type"] == "server_error"
        assert "ask again" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_shutdown_ends_completions(narrow: Gateway, post: Post, stream: bool) -> None:
    """Those that run, the one that waits for a slot, and those that come later."""
    asked = post(COMPLETIONS, **ENDLESS[COMPLETIONS], n=3, stream=stream)
    narrow.wait_until(lambda: len(narrow.engine.open_streams) == 2)
    narrow.close()
    assert "being shut down: ask again" in told(asked.result(timeout=5))["message"]
    narrow.wait_until(narrow.idle)
    assert told(post(COMPLETIONS, prompt="a", stream=stream).result(timeout=5))


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_whose_solve_is_cancelled(
    http: httpx.Client, gateway: Gateway, stream: bool
) -> None:
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(partial(http.post, CHAT, json={**ENDLESS[CHAT], "stream": stream}))
        gateway.wait_until(lambda: len(gateway.engine.open_streams) == 2)
        (solve,) = gateway.service.live()
        assert http.delete(f"/v1/solves/{solve.solve_id}").status_code == 204
        error = told(asked.result(timeout=5))
    assert solve.solve_id in error["message"]


def result(
    end: SolveEnd, *ends: AttemptEnd, answer: str | None = None, sampled: int = 1
) -> SolveResult:
    tokens = TokenCounts(prompt=1, sampled=sampled, appended=0)
    reports = [
        AttemptReport(attempt=index, seed=index, end=each, tokens=tokens)
        for index, each in enumerate(ends)
    ]
    return SolveResult(
        solve_id="solve-1",
        end=end,
        answer=answer,
        attempts=reports,
        tokens=tokens,
        strategy="tir",
        detail="why",
    )


class TestWithoutAnAnswer:
    @pytest.mark.parametrize(
        ("ended", "status"),
        [
            (result(SolveEnd.INTERRUPTED), 503),
            (result(SolveEnd.FAILED, AttemptEnd.FAILED), 500),
            (result(SolveEnd.ALL_FINISHED, AttemptEnd.ENGINE_ERROR), 503),
            (result(SolveEnd.ALL_FINISHED, AttemptEnd.SANDBOX_ERROR, AttemptEnd.ENGINE_LOST), 503),
        ],
    )
    def test_through_a_fault_of_the_server(self, ended: SolveResult, status: int) -> None:
        with pytest.raises(HTTPException) as raised:
            check_answered(ended)
        assert raised.value.status_code == status

    def test_for_want_of_room(self) -> None:
        """The problem alone fits, and what is said around it leaves nothing to write in."""
        ended = result(SolveEnd.ALL_FINISHED, AttemptEnd.NO_ANSWER, sampled=0)
        with pytest.raises(HTTPException) as raised:
            check_answered(ended)
        assert raised.value.status_code == 400
        assert getattr(raised.value, "code", None) == "context_length_exceeded"

    @pytest.mark.parametrize(
        "ended",
        [
            result(SolveEnd.ALL_FINISHED, AttemptEnd.NO_ANSWER),
            result(SolveEnd.ALL_FINISHED, AttemptEnd.NO_ANSWER, AttemptEnd.ENGINE_LOST),
            result(SolveEnd.DEADLINE, AttemptEnd.DEADLINE),
            result(SolveEnd.ALL_FINISHED),
            result(SolveEnd.CANCELLED, AttemptEnd.CANCELLED, answer="42"),
        ],
    )
    def test_through_no_fault_of_it(self, ended: SolveResult) -> None:
        check_answered(ended)


@pytest.mark.parametrize("body", [{"prompt": ["a"] * 32}, {"prompt": "a", "n": 64}])
def test_an_idle_server_takes_the_largest_request(post: Post, body: dict[str, object]) -> None:
    """It would be refused for ever, though the wire allows it."""
    reply = post(COMPLETIONS, max_tokens=2, **body).result(timeout=15)
    assert reply.status_code == 200, reply.text


def test_where_others_wait_the_queue_is_bounded(narrow: Gateway, post: Post) -> None:
    post(COMPLETIONS, **ENDLESS[COMPLETIONS], n=3)
    narrow.wait_until(lambda: len(narrow.engine.open_streams) == 2)
    reply = post(COMPLETIONS, prompt="a").result(timeout=5)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "15")
    narrow.close()


def test_a_completion_that_waits_is_heard_of(
    narrow: Gateway, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a proxy that hears nothing gives up; what goes wrong after that is in the stream."""
    monkeypatch.setattr(openai_stream, "PING_S", 0.05)
    post(COMPLETIONS, **ENDLESS[COMPLETIONS], n=2)
    narrow.wait_until(lambda: len(narrow.engine.open_streams) == 2)
    with (
        httpx.Client(base_url=narrow.url, timeout=10.0, trust_env=False) as client,
        client.stream("POST", COMPLETIONS, json={"prompt": "a", "stream": True}) as reply,
    ):
        lines = reply.iter_lines()
        assert next(lines) == ": ping"
        narrow.close()
        rest = [line for line in lines if line.startswith("data: ")]
    assert orjson.loads(rest[0].removeprefix("data: "))["error"]["type"] == "server_error"
    assert rest[1:] == ["data: [DONE]"]
