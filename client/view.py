"""The state of a solve as its events tell it: a reducer without clock, terminal or I/O.

`SolveView.apply(event)` takes every event in order; what shows a solve reads the result. Text is
kept as it came: whoever shows it makes it safe (`client.escape`).
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from client.schema import (
    AttemptCall,
    AttemptEnd,
    AttemptEvent,
    AttemptFinished,
    AttemptReport,
    AttemptResult,
    AttemptStarted,
    AttemptText,
    AttemptWaiting,
    BallotChanged,
    BallotLine,
    Channel,
    Event,
    SolveFinished,
    SolveQueued,
    SolveResult,
    SolveStarted,
)

#: Characters of text, code and output kept per attempt: more than the largest lane can show.
TAIL_CHARS = 8_000
#: Seconds over which the speed of an attempt is measured: steady enough to read, short enough to
#: fall when a tool call runs.
PACE_WINDOW_S = 5.0


class LaneState(StrEnum):
    """What an attempt is doing; the value is what is shown."""

    PENDING = "pending"
    STARTED = "reading"
    THINKING = "thinking"
    CODING = "writing code"
    RUNNING = "running code"
    ANSWERING = "answering"
    WAITING = "waiting"
    FINISHED = "finished"


_STATE_OF_CHANNEL = {
    Channel.THINKING: LaneState.THINKING,
    Channel.CODE: LaneState.CODING,
    Channel.FINAL: LaneState.ANSWERING,
}


@dataclass(slots=True)
class Lane:
    """One attempt, as far as it got."""

    attempt: int
    seed: int = 0
    state: LaneState = LaneState.PENDING
    turn: int = 0
    sampled: int = 0
    calls: int = 0
    text: str = ""
    code: str = ""
    output: str = ""
    output_status: str = ""
    detail: str = ""
    report: AttemptReport | None = None
    _pace: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def name(self) -> str:
        """Its number; a plan's, which is below 0, is told as `p0`, `p1`, …"""
        return str(self.attempt) if self.attempt >= 0 else f"p{-1 - self.attempt}"

    @property
    def answer(self) -> str | None:
        """The attempt's answer, once it has ended with one."""
        return self.report.answer if self.report else None

    @property
    def end(self) -> AttemptEnd | None:
        """Why it ended, once it has."""
        return self.report.end if self.report else None

    def tokens_per_s(self, at: float) -> float:
        """Return sampled tokens a second over the last `PACE_WINDOW_S` before `at`."""
        recent = [(when, count) for when, count in self._pace if when >= at - PACE_WINDOW_S]
        if not recent or self.state is LaneState.FINISHED:
            return 0.0
        older = [(when, count) for when, count in self._pace if when < at - PACE_WINDOW_S]
        start, before = older[-1] if older else recent[0]
        seconds = min(at - start, PACE_WINDOW_S)
        return max(0, self.sampled - before) / seconds if seconds > 0 else 0.0

    def apply(self, event: AttemptEvent) -> None:
        """Take one event of this attempt."""
        match event:
            case AttemptStarted():
                self.seed = event.seed
                self.state = LaneState.STARTED
                self._note_pace(event.at, 0)
            case AttemptText():
                self._apply_text(event)
            case AttemptCall():
                self.state = LaneState.RUNNING
                self.turn, self.calls = event.turn, self.calls + 1
                self.code, self.output, self.output_status = event.code[-TAIL_CHARS:], "", ""
            case AttemptResult():
                self.state = LaneState.STARTED
                self.turn = event.turn
                self.output, self.output_status = event.output[-TAIL_CHARS:], event.status
                self.text = ""
            case AttemptWaiting():
                self.state = LaneState.WAITING
                self.detail = event.reason
            case AttemptFinished():
                self._apply_finished(event.report)

    def _apply_text(self, event: AttemptText) -> None:
        self.turn = event.turn
        self.detail = ""
        if event.channel is Channel.CODE:
            if self.state is not LaneState.CODING:
                self.code = self.output = self.output_status = ""
            self.code = (self.code + event.text)[-TAIL_CHARS:]
        else:
            self.text = (self.text + event.text)[-TAIL_CHARS:]
        self.state = _STATE_OF_CHANNEL[event.channel]
        self.sampled = max(self.sampled, event.sampled)
        self._note_pace(event.at, self.sampled)

    def _apply_finished(self, report: AttemptReport) -> None:
        self.state = LaneState.FINISHED
        self.report = report
        self.detail = report.detail
        self.turn = max(self.turn, report.turns)
        self.calls = max(self.calls, report.tool_calls)
        self.sampled = max(self.sampled, report.tokens.sampled)

    def _note_pace(self, at: float, sampled: int) -> None:
        self._pace.append((at, sampled))
        # one entry older than the window stays: the count at the window's start
        while len(self._pace) > 2 and self._pace[1][0] < at - PACE_WINDOW_S:
            self._pace.popleft()


@dataclass(slots=True)
class SolveView:
    """A solve, as far as its events went; `at` is the time of the last one."""

    at: float = 0.0
    position: int | None = None
    started: SolveStarted | None = None
    lanes: dict[int, Lane] = field(default_factory=dict)
    ballot: list[BallotLine] = field(default_factory=list)
    decision: str = ""
    result: SolveResult | None = None

    @property
    def sampled(self) -> int:
        """Tokens sampled by all attempts."""
        return sum(lane.sampled for lane in self.lanes.values())

    def tokens_per_s(self, at: float) -> float:
        """Return sampled tokens a second of all attempts together."""
        return sum(lane.tokens_per_s(at) for lane in self.lanes.values())

    def apply(self, event: Event) -> None:
        """Take the next event; events out of their order do no harm."""
        self.at = max(self.at, event.at)
        match event:
            case SolveQueued():
                self.position = event.position
            case SolveStarted():
                self.started, self.position = event, None
                for attempt in range(event.attempts):
                    self._lane(attempt)
            case AttemptEvent():
                self._lane(event.attempt).apply(event)
            case BallotChanged():
                self.ballot = list(event.lines)
                self.decision = event.reason.replace("_", " ")
            case SolveFinished():
                self.result = event.result
                self.ballot = list(event.result.ballot)

    def _lane(self, attempt: int) -> Lane:
        if attempt not in self.lanes:
            self.lanes[attempt] = Lane(attempt)
        return self.lanes[attempt]
