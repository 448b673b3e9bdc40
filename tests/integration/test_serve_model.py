"""The whole server with the default model: an easy problem, and an engine killed on the way."""

import os
import signal
from collections.abc import Iterator

import pytest
from httpx_sse import connect_sse

from client.schema import (
    EVENT_ADAPTER,
    AttemptEnd,
    AttemptSegment,
    AttemptText,
    AttemptWaiting,
    Event,
    SolveEnd,
    SolveFinished,
    SolveResult,
)
from server.vocabulary import Vocabulary
from server.weights import DEFAULT, resolve
from tests.integration.serving import Server, serving

pytestmark = pytest.mark.model

PROBLEM = {
    "problem": "What is the product of 17 and 23?",
    "answer_kind": "integer",
    "attempts": 2,
    "agree": 2,
    "time_limit_s": 45,
    "seed": 1,
}
ANSWER = "391"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--engine-slots", "2", "--sandbox-kernels", "2", "--sandbox-spares", "2")
    folder = tmp_path_factory.mktemp("serve")
    with serving(resolve(DEFAULT.name), folder, *flags) as server:
        server.wait_ready()
        yield server


def solve(server: Server, **request: object) -> Iterator[Event]:
    body = {**PROBLEM, **request}
    with server.client() as http, connect_sse(http, "POST", "/v1/solves", json=body) as source:
        # The decoder turns the comments of an idle stream into events without data.
        for event in filter(lambda one: one.data, source.iter_sse()):
            yield EVENT_ADAPTER.validate_json(event.data)


def joined(events: list[Event], attempt: int) -> list[int]:
    """Join the segments of an attempt; each must begin where the one before ended."""
    ids: list[int] = []
    for event in events:
        if isinstance(event, AttemptSegment) and event.attempt == attempt:
            assert event.start == len(ids)
            ids += event.token_ids
    return ids


def result_of(events: list[Event]) -> SolveResult:
    last = events[-1]
    assert isinstance(last, SolveFinished)
    return last.result


def test_an_easy_problem(server: Server) -> None:
    result = result_of(list(solve(server)))
    assert result.answer == ANSWER, result
    assert result.model.startswith("qwen2.5-coder")
    assert result.tokens.sampled > 0


def test_an_engine_killed_in_the_middle_of_a_solve(server: Server) -> None:
    """The attempts wait, go on from their own tokens, and the record still joins."""
    events: list[Event] = []
    killed = False
    for event in solve(server, tokens=True):
        events.append(event)
        if not killed and isinstance(event, AttemptText) and event.sampled > 10:
            (engine,) = server.children("llamacpp_child")
            os.kill(engine, signal.SIGKILL)
            killed = True
    result = result_of(events)
    waits = [event for event in events if isinstance(event, AttemptWaiting)]
    assert {event.attempt for event in waits} == {0, 1}
    assert result.end in {SolveEnd.AGREEMENT, SolveEnd.ALL_FINISHED}
    vocabulary = Vocabulary.load(resolve(DEFAULT.name))
    for report in result.attempts:
        assert report.token_exact
        ids = joined(events, report.attempt)
        counts = report.tokens
        assert len(ids) == counts.prompt + counts.sampled + counts.appended
        assert report.engine_losses >= 1
        kept = [event.kept_tokens for event in waits if event.attempt == report.attempt]
        assert all(counts.prompt <= tokens <= len(ids) for tokens in kept)
        text = vocabulary.decode(ids)
        told = [e for e in events if isinstance(e, AttemptText) and e.attempt == report.attempt]
        first = "".join(event.text for event in told if event.turn == 1)
        assert first.strip()
        # A forced answer begins with words that nobody sampled, and that are not told.
        assert first in text or report.end is AttemptEnd.FORCED
    assert server.readiness().engine.ready
