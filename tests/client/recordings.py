"""Recorded solves: the events that a server sends, in the order and pace of a real one."""

from collections.abc import Iterator

from client.schema import (
    AnswerKind,
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    AttemptResult,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    BallotLine,
    Channel,
    Event,
    SolveEnd,
    SolveFinished,
    SolveQueued,
    SolveRequest,
    SolveResult,
    SolveStarted,
    TokenCounts,
)

CODE = """\
from sympy import divisors

def squares(n: int) -> list[int]:
    # those whose root divides n
    return [d * d for d in divisors(n) if d * d <= n]

print(sum(squares(1764)))
"""
THOUGHT = (
    "We need the sum of the squares that are at most 1764 and whose root divides it. "
    "Let me list the divisors first and check them with code. "
)
ANSWERS = ("42", "42", "41", "42")


def solve_events(request: SolveRequest, solve_id: str = "s1") -> list[Event]:
    """Return the events of a solve in which the third attempt is wrong and the rest agree."""
    attempts = request.attempts or 4
    events = [
        SolveQueued(solve_id=solve_id, at=0.0, position=0),
        _started(request, solve_id, attempts),
        *_attempt_events(solve_id, attempts),
        *_endings(solve_id, attempts),
        SolveFinished(solve_id=solve_id, at=60.0, result=result_of(request, solve_id)),
    ]
    in_time = sorted(events, key=lambda event: event.at)
    return [event.model_copy(update={"id": number}) for number, event in enumerate(in_time, 1)]


def result_of(
    request: SolveRequest, solve_id: str = "s1", answer: str | None = "42"
) -> SolveResult:
    """Return the result with which `solve_events` ends."""
    attempts = request.attempts or 4
    return SolveResult(
        solve_id=solve_id,
        problem_id=request.problem_id,
        answer=answer,
        end=SolveEnd.AGREEMENT if answer else SolveEnd.ALL_FINISHED,
        detail="three equal answers" if answer else "no attempt found an answer",
        strategy="tir",
        ballot=_ballot(range(attempts)) if answer else [],
        attempts=[_report(attempt) for attempt in range(attempts)],
        tokens=TokenCounts(prompt=400, sampled=4_800, appended=320),
        seconds=12.5,
        model="qwen2.5-coder-1.5b",
        sandbox="landlock, seccomp",
    )


def _started(request: SolveRequest, solve_id: str, attempts: int) -> SolveStarted:
    return SolveStarted(
        solve_id=solve_id,
        at=0.01,
        problem=request.problem,
        problem_id=request.problem_id,
        answer_kind=AnswerKind.INTEGER,
        strategy="tir",
        attempts=attempts,
        agree=min(3, attempts),
        max_turns=16,
        max_tokens=6_144,
        time_limit_s=request.time_limit_s or 240.0,
        seed=request.seed,
        model="qwen2.5-coder-1.5b",
        dialect="qwen",
    )


def _attempt_events(solve_id: str, attempts: int) -> Iterator[Event]:
    """Yield what all attempts do in step: think, write code, run it, think again."""
    for attempt in range(attempts):
        yield AttemptStarted(
            solve_id=solve_id,
            at=0.1,
            attempt=attempt,
            seed=attempt,
            temperature=0.7,
            top_p=0.95,
            min_p=0.02,
        )
    pieces = [(Channel.THINKING, word + " ") for word in THOUGHT.split()]
    pieces += [(Channel.CODE, line) for line in CODE.splitlines(keepends=True)]
    for step, (channel, text) in enumerate(pieces):
        for attempt in range(attempts):
            yield AttemptText(
                solve_id=solve_id,
                at=0.2 + 0.2 * step,
                attempt=attempt,
                turn=1,
                channel=channel,
                text=text,
                sampled=10 * (step + 1) + attempt,
            )
    for attempt in range(attempts):
        at = 8.0 + 0.1 * attempt
        common = {"solve_id": solve_id, "attempt": attempt, "turn": 1, "call": 1}
        yield AttemptCall.model_validate({"at": at, "code": CODE, **common})
        outcome = {"status": "ok", "output": "1764\n42\n", "seconds": 0.21, "state_lost": False}
        yield AttemptResult.model_validate({"at": at + 0.3, **outcome, **common})


def _endings(solve_id: str, attempts: int) -> Iterator[Event]:
    for attempt in range(attempts):
        at = 10.0 + 0.5 * attempt
        yield AttemptFinished(solve_id=solve_id, at=at, attempt=attempt, report=_report(attempt))
        lines = _ballot(range(attempt + 1))
        stop = lines[0].votes >= 3
        yield BallotChanged(
            solve_id=solve_id,
            at=at,
            lines=lines,
            running=attempts - attempt - 1,
            stop=stop,
            reason=f"{lines[0].votes} of 3 equal",
        )


def _report(attempt: int) -> AttemptReport:
    return AttemptReport(
        attempt=attempt,
        seed=attempt,
        end=AttemptEnd.ANSWERED,
        answer=ANSWERS[attempt % len(ANSWERS)],
        weight=1.0 + attempt / 10,
        turns=2,
        tool_calls=1,
        tokens=TokenCounts(prompt=100, sampled=1_200 + attempt, appended=80),
        seconds=10.0,
    )


def _ballot(attempts: range) -> list[BallotLine]:
    voters: dict[str, list[int]] = {}
    for attempt in attempts:
        voters.setdefault(ANSWERS[attempt % len(ANSWERS)], []).append(attempt)
    lines = [
        BallotLine(answer=answer, votes=len(who), weight=1.1 * len(who), attempts=who)
        for answer, who in voters.items()
    ]
    return sorted(lines, key=lambda line: -line.votes)
