"""What is taken up of a dead server's solve: the votes cast, and what is known of each."""

import itertools

import anyio
import pytest

from client.schema import (
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    AttemptResult,
    AttemptSegment,
    SegmentKind,
    SolveEnd,
)
from server.equivalence.pool import EquivalencePool
from server.solve.events import EventLog
from server.solve.past import PastAttempt, past_of, voted
from server.solve.solver import Solver
from tests.server.solve.rehearsal import Part, Stage, boxed, lines, python
from voting.answers import AnswerKind

TEXT = AnswerKind.TEXT


class Algebra(EquivalencePool):
    """Knows one equality; needs no worker."""

    async def are_equal(self, one: str, other: str) -> bool | None:
        return {one, other} == {"x^{2}-1", "(x-1)(x+1)"}


def report(end: AttemptEnd, *, weight: float = 1.0, answer: str | None = "42") -> AttemptReport:
    return AttemptReport(attempt=0, seed=1, end=end, answer=answer, weight=weight)


@pytest.mark.parametrize(
    ("told", "votes"),
    [
        (report(AttemptEnd.ANSWERED), True),
        (report(AttemptEnd.ANSWERED, weight=0.0), True),
        (report(AttemptEnd.FAILED), True),
        (report(AttemptEnd.FAILED, weight=0.0), False),
        (report(AttemptEnd.EARLY_STOP, weight=0.0), False),
        (report(AttemptEnd.PRUNED, weight=0.0), False),
        (report(AttemptEnd.ANSWERED, answer=None), False),
    ],
)
def test_who_voted(told: AttemptReport, votes: bool) -> None:
    assert (voted(told, TEXT) is not None) is votes
    assert (PastAttempt(0).outcome(told, TEXT).answer is not None) is votes


def told(log: EventLog) -> PastAttempt:
    """Return the attempt that a log of one tells of."""
    (attempt,) = past_of("solve-1", log.events).attempts
    return attempt


def a_log() -> EventLog:
    return EventLog("solve-1", itertools.count(1).__next__)


@pytest.mark.parametrize(("status", "printed"), [("ok", True), ("error", False)])
async def test_whether_its_code_printed_the_answer_is_known(status: str, printed: bool) -> None:
    log = a_log()
    log.emit(AttemptCall, attempt=0, turn=1, call=0, code="print(42)")
    log.emit(
        AttemptResult,
        attempt=0,
        turn=1,
        call=0,
        status=status,
        output="42\n",
        seconds=0.1,
        state_lost=False,
    )
    outcome = told(log).outcome(report(AttemptEnd.ANSWERED), TEXT)
    assert outcome.printed is printed


async def test_its_scores_are_known_where_they_are_asked_for() -> None:
    log = a_log()
    confidence = [1.0, 2.0, None, 4.0]
    log.emit(
        AttemptSegment,
        attempt=0,
        turn=1,
        kind=SegmentKind.SAMPLED,
        start=0,
        token_ids=[1, 2, 3, 4],
        confidence=confidence,
    )
    past = told(log)
    scores = past.outcome(report(AttemptEnd.ANSWERED), TEXT, 2).scores
    assert scores is not None
    assert (scores.tokens, scores.lowest_group, scores.tail) == (3, 1.5, 3.0)
    assert past.outcome(report(AttemptEnd.ANSWERED), TEXT).scores is None


async def test_what_is_equal_as_mathematics_is_found_out_before_attempts_go_on(
    stage: Stage,
) -> None:
    spelled = ["x^2-1", "(x-1)(x+1)"]

    def play(attempt: int, _stream: int) -> list[Part]:
        return boxed(spelled[attempt]) if attempt < 2 else ["Let me see", anyio.Event()]

    solve = stage.rehearse(play, attempts=3, agree=2, equivalence=Algebra())
    await solve.run()
    events = solve.log.events
    ends = [place for place, event in enumerate(events) if isinstance(event, AttemptFinished)]
    past = past_of("solve-1", events[: ends[1] + 1])
    solve.engine.requests.clear()
    log = EventLog("solve-1", itertools.count(1000).__next__)
    result = await Solver(solve.parts, solve.plan, log, past=past).run()
    assert (result.end, result.ballot[0].attempts) == (SolveEnd.AGREEMENT, [0, 1])
    assert result.attempts[2].end is AttemptEnd.EARLY_STOP
    assert solve.engine.requests == []


def unknown(tool: str) -> list[Part]:
    """Return a call of a tool that there is not."""
    return [f'<tool_call>\n{{"name": "{tool}", "arguments": {{}}}}\n</tool_call>']


@pytest.mark.parametrize(
    "before",
    [
        # What no kernel has run is not run again, nor is one such call taken for another.
        [[python("x = 41")], unknown("shell"), unknown("browser"), unknown("search")],
        # What ended with its kernel left nothing: only what came after it is to be had again.
        [[python("y = 1")], [python("import os; os._exit(1)")], [python("x = 41")]],
    ],
)
async def test_the_kernel_of_a_dead_server_is_made_again(
    stage: Stage, before: list[list[Part]]
) -> None:
    play = lines(*before, boxed("1"), [python("print(x + 1)")], boxed("42"))
    solve = stage.rehearse(play, tokens=True, max_turns=16)
    assert (await solve.run()).answer == "1"
    events = solve.log.events
    results = [place for place, event in enumerate(events) if isinstance(event, AttemptResult)]
    assert len(results) == len(before)
    # Up to the tokens of the last result.
    past = past_of("solve-1", events[: results[-1] + 2], rebuild_s=10.0)
    log = EventLog("solve-1", itertools.count(1000).__next__)
    result = await Solver(solve.parts, solve.plan, log, past=past).run()
    shown = [event.output for event in log.events if isinstance(event, AttemptResult)]
    assert shown == ["42\n"]
    assert (result.answer, result.attempts[0].end) == ("42", AttemptEnd.ANSWERED)
