"""Calls, retries and the reading of events, without a server."""

import httpx
import pytest
from httpx_sse import ServerSentEvent

from client import errors
from client.exchange import (
    EVENT_TYPES,
    Exchange,
    RetryPolicy,
    health_call,
    read_event,
    ready_call,
    stream_call,
)
from client.schema import AttemptText, SolveRequest
from tests.client.recordings import solve_events

URL = "http://127.0.0.1:8642"
REQUEST = SolveRequest(problem="sum", time_limit_s=30.0)


def test_every_phase_of_every_call_has_a_time_limit() -> None:
    for call in (stream_call(REQUEST), health_call(), ready_call()):
        assert all(seconds is not None for seconds in call.timeout.as_dict().values())


def test_retries_wait_longer_each_time_and_end() -> None:
    exchange = Exchange(health_call(), RetryPolicy(retries=3, first_wait_s=1.0), URL)
    lost = httpx.ReadError("reset")
    waits = [exchange.after_error(lost) for _ in range(3)]
    for wait, expected in zip(waits, (1.0, 2.0, 4.0), strict=True):
        assert 0.75 * expected <= wait <= 1.25 * expected
    with pytest.raises(errors.ConnectionLost):
        exchange.after_error(lost)


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.ConnectTimeout("no answer"), True),
        (httpx.ReadError("reset"), False),
        (httpx.ReadTimeout("silent"), False),
        (httpx.WriteError("reset"), False),
        (httpx.RemoteProtocolError("hung up"), False),
    ],
)
def test_a_solve_is_repeated_only_if_nothing_was_sent(error: Exception, repeated: bool) -> None:
    exchange = Exchange(stream_call(REQUEST), RetryPolicy(retries=1, first_wait_s=0.0), URL)
    if repeated:
        assert exchange.after_error(error) == 0.0
    else:
        with pytest.raises(errors.TransportError):
            exchange.after_error(error)


def busy(seconds: str) -> httpx.Response:
    request = httpx.Request("POST", URL)
    return httpx.Response(429, headers={"retry-after": seconds}, request=request)


def test_patience_with_a_full_queue_is_bounded_in_all() -> None:
    exchange = Exchange(stream_call(REQUEST), RetryPolicy(busy_patience_s=5.0), URL)
    assert [exchange.after_refusal(busy("2")) for _ in range(2)] == [2.0, 2.0]
    with pytest.raises(errors.ServerBusy):
        exchange.after_refusal(busy("2"))


def test_a_queue_that_is_free_at_once_is_not_asked_in_a_tight_loop() -> None:
    exchange = Exchange(stream_call(REQUEST), RetryPolicy(busy_patience_s=5.0), URL)
    assert exchange.after_refusal(busy("0")) > 0


def test_problem_details_are_never_taken_for_an_answer() -> None:
    response = httpx.Response(
        503,
        json={"title": "shutting down", "status": 503, "detail": "bye"},
        headers={"content-type": "application/problem+json"},
        request=httpx.Request("GET", URL),
    )
    exchange = Exchange(ready_call(), RetryPolicy(), URL)
    assert not exchange.accepts(response)
    with pytest.raises(errors.ServerUnavailable, match="bye"):
        exchange.after_refusal(response)


def test_the_schema_s_event_types_are_known() -> None:
    assert {event.type for event in solve_events(REQUEST)} < EVENT_TYPES
    assert len(EVENT_TYPES) == 17


def test_events_are_read_back_as_they_were_sent() -> None:
    for event in solve_events(REQUEST):
        assert read_event(ServerSentEvent(data=event.model_dump_json())) == event


def test_fields_of_a_later_version_are_ignored() -> None:
    event = next(event for event in solve_events(REQUEST) if isinstance(event, AttemptText))
    data = event.model_dump_json()[:-1] + ', "mood": "good"}'
    assert read_event(ServerSentEvent(data=data)) == event


@pytest.mark.parametrize(
    ("data", "warned"),
    [
        ("", False),
        ('{"type": "solve.dreamt"}', False),
        ('{"type": "attempt.text"}', True),
        ("{broken", True),
        ("[]", True),
        ("\udcff", True),
        ("[" * 200_000, True),
    ],
)
def test_what_cannot_be_read_is_skipped(
    data: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_event(ServerSentEvent(data=data)) is None
    assert bool(caplog.records) is warned


@pytest.mark.parametrize(
    "sse",
    [
        ServerSentEvent(data='{"type": "solve.finished"}'),
        ServerSentEvent(event="solve.finished", data="{broken"),
        ServerSentEvent(event="solve.finished", data="[" * 200_000),
    ],
)
def test_the_last_event_must_be_readable(sse: ServerSentEvent) -> None:
    with pytest.raises(errors.InvalidResponse):
        read_event(sse)
