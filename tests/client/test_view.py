"""The reducer: what a solve's events come to."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.schema import (
    AttemptEnd,
    AttemptResult,
    AttemptStarted,
    AttemptText,
    AttemptWaiting,
    Channel,
    Event,
    SolveQueued,
    SolveRequest,
)
from client.view import PACE_WINDOW_S, TAIL_CHARS, Lane, LaneState, SolveView
from tests.client.recordings import CODE, THOUGHT, solve_events

EVENTS = solve_events(SolveRequest(problem="sum"))


def view_after(events: Sequence[Event]) -> SolveView:
    view = SolveView()
    for event in events:
        view.apply(event)
    return view


def events_until(kind: str) -> list[Event]:
    """Return the events up to the last of a kind."""
    last = max(index for index, event in enumerate(EVENTS) if event.type == kind)
    return EVENTS[: last + 1]


def text(at: float, sampled: int, **changes: Any) -> AttemptText:  # noqa: ANN401 - any field
    fields = {"turn": 1, "channel": Channel.THINKING, "text": "x", **changes}
    return AttemptText(solve_id="s", at=at, attempt=0, sampled=sampled, **fields)


def test_queued_then_started() -> None:
    view = view_after([SolveQueued(solve_id="s", at=0.0, position=2)])
    assert (view.position, view.started, view.lanes) == (2, None, {})
    view = view_after(EVENTS[:2])
    assert view.position is None
    assert [lane.state for lane in view.lanes.values()] == [LaneState.PENDING] * 4


def test_text_is_kept_by_channel() -> None:
    view = view_after(events_until("attempt.text"))
    lane = view.lanes[0]
    assert lane.text == THOUGHT
    assert lane.code == CODE
    assert lane.state is LaneState.CODING
    assert view.sampled == sum(lane.sampled for lane in view.lanes.values()) == 1406


def test_a_call_and_its_result() -> None:
    view = view_after(events_until("attempt.call"))
    lane = view.lanes[3]
    assert (lane.state, lane.calls, lane.code) == (LaneState.RUNNING, 1, CODE)
    view = view_after(events_until("attempt.result"))
    lane = view.lanes[3]
    assert (lane.state, lane.output, lane.output_status) == (LaneState.STARTED, "1764\n42\n", "ok")


def test_new_code_takes_the_place_of_the_old_with_its_output() -> None:
    events = [*events_until("attempt.result"), text(9.0, 400, channel=Channel.CODE, text="y = 1")]
    lane = view_after(events).lanes[0]
    assert (lane.code, lane.output) == ("y = 1", "")


def test_waiting_for_the_engine_shows_until_text_comes() -> None:
    waiting = AttemptWaiting(solve_id="s", at=1.0, attempt=0, reason="restart", kept_tokens=9)
    view = view_after([*EVENTS[:20], waiting])
    assert (view.lanes[0].state, view.lanes[0].detail) == (LaneState.WAITING, "restart")
    view.apply(text(2.0, 99))
    assert (view.lanes[0].state, view.lanes[0].detail) == (LaneState.THINKING, "")


def test_the_end() -> None:
    view = view_after(EVENTS)
    assert view.result is not None
    assert view.result.answer == "42"
    assert [lane.answer for lane in view.lanes.values()] == ["42", "42", "41", "42"]
    assert {lane.end for lane in view.lanes.values()} == {AttemptEnd.ANSWERED}
    assert [(line.answer, line.votes) for line in view.ballot] == [("42", 3), ("41", 1)]


def test_an_attempt_that_was_not_announced_gets_a_lane() -> None:
    started = AttemptStarted(
        solve_id="s", at=0.0, attempt=7, seed=7, temperature=1.0, top_p=1.0, min_p=0.0
    )
    assert view_after([started]).lanes[7].seed == 7


def test_memory_is_bounded() -> None:
    lane = Lane(0)
    for step in range(2_000):
        lane.apply(text(step / 100, step, text="0123456789"))
    output = "x" * 100_000
    lane.apply(
        AttemptResult(
            solve_id="s", at=30.0, attempt=0, turn=1, call=1, status="ok", output=output,
            seconds=1.0, state_lost=False,
        )
    )  # fmt: skip
    assert len(lane.text) <= TAIL_CHARS
    assert len(lane.output) == TAIL_CHARS
    assert len(lane._pace) <= 100 * PACE_WINDOW_S + 2


@pytest.mark.parametrize(("at", "speed"), [(10.0, 20.0), (12.5, 10.0), (15.0, 0.0), (60.0, 0.0)])
def test_speed_is_that_of_the_last_seconds(at: float, speed: float) -> None:
    lane = Lane(0)
    for step in range(101):  # 20 tokens/s from 0 to 10 s, then silence
        lane.apply(text(step / 10, 2 * step))
    assert lane.tokens_per_s(at) == pytest.approx(speed, abs=0.5)


def test_speed_of_one_event_is_not_infinite() -> None:
    lane = Lane(0)
    lane.apply(text(1.0, 50))
    assert lane.tokens_per_s(1.0) == 0.0


@given(st.permutations(EVENTS[:60]), st.permutations(EVENTS[-12:]))
def test_any_order_is_taken(first: list[Event], last: list[Event]) -> None:
    view = view_after([*last, *first])
    assert view.at == EVENTS[-1].at
    assert view.result is not None
