"""Solves as their events tell them, made up but consistent: counts, segments and votes fit."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from client.schema import (
    AnswerKind,
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    AttemptResult,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    BallotLine,
    Channel,
    Event,
    SegmentKind,
    SolveEnd,
    SolveFinished,
    SolveQueued,
    SolveRequested,
    SolveResult,
    SolveStarted,
    SolveVersions,
    TokenCounts,
)
from server.journal.journal import JournalOptions

PROMPT = 40
STRETCH = 100
RESULT = 10
VERSIONS = SolveVersions(
    quorum="0.1.0", model_file="tiny.gguf", model_bytes=1, prompts="00", settings={"solve": {}}
)


def options(folder: Path, **changed: object) -> JournalOptions:
    """Return the options of a journal in a folder."""
    return JournalOptions(**{"path": folder / "journal.sqlite", **changed})  # type: ignore[arg-type]


def opening(
    solve_id: str, next_id: Callable[[], int], attempts: int = 2, problem: str = "What is 6 * 7?"
) -> Iterator[Event]:
    """Yield the events until the attempts begin."""
    yield SolveQueued(id=next_id(), solve_id=solve_id, at=0.0, position=0)
    named = f"name of {solve_id}"
    request = {"problem": problem, "problem_id": named, "seed": 7, "offset": 3}
    yield SolveRequested(
        id=next_id(), solve_id=solve_id, at=0.0, request=dict(request), versions=VERSIONS
    )
    yield SolveStarted(
        id=next_id(), solve_id=solve_id, at=0.1, problem=problem,
        problem_id=f"name of {solve_id}", answer_kind=AnswerKind.TEXT, strategy="tir",
        attempts=attempts, agree=2, max_turns=4, max_tokens=1000, time_limit_s=60.0, seed=7,
        model="tiny", dialect="qwen",
    )  # fmt: skip


def attempt_events(
    solve_id: str, next_id: Callable[[], int], attempt: int, turns: int = 2
) -> Iterator[Event]:
    """Yield the events of an attempt until its end; the tokens are those of `token_ids`."""
    whose = {"solve_id": solve_id, "attempt": attempt}
    ids, logprobs = token_ids(attempt, turns), log_probabilities(attempt, turns)
    yield AttemptStarted(
        id=next_id(), **whose, at=0.1, seed=7 + attempt, temperature=0.7, top_p=0.95, min_p=0.0
    )
    start = 0

    def segment(kind: SegmentKind, turn: int, length: int) -> AttemptSegment:
        nonlocal start
        sampled = kind is SegmentKind.SAMPLED
        made = AttemptSegment(
            id=next_id(), **whose, at=turn + 0.5, turn=turn, kind=kind, start=start,
            token_ids=ids[start : start + length],
            logprobs=logprobs[start : start + length] if sampled else None,
        )  # fmt: skip
        start += length
        return made

    yield segment(SegmentKind.APPENDED, 1, PROMPT)
    for turn in range(1, turns + 1):
        text = f"turn {turn} of attempt {attempt} \\boxed{{42}} "
        yield AttemptText(
            id=next_id(), **whose, at=turn + 0.3, turn=turn, channel=Channel.THINKING, text=text,
            sampled=start,
        )  # fmt: skip
        # Two pieces of one sampled stretch, as the narrator sends them.
        yield segment(SegmentKind.SAMPLED, turn, STRETCH // 2)
        yield segment(SegmentKind.SAMPLED, turn, STRETCH - STRETCH // 2)
        yield AttemptCall(
            id=next_id(), **whose, at=turn + 0.6, turn=turn, call=turn - 1, code="print(6 * 7)"
        )
        yield AttemptResult(
            id=next_id(), **whose, at=turn + 0.7, turn=turn, call=turn - 1, status="ok",
            output="42", seconds=0.01, state_lost=False,
        )  # fmt: skip
        yield segment(SegmentKind.APPENDED, turn, RESULT)


def finished(
    solve_id: str, next_id: Callable[[], int], attempt: int, turns: int = 2, answer: str = "42"
) -> AttemptFinished:
    """Return the end of an attempt."""
    return AttemptFinished(
        id=next_id(), solve_id=solve_id, at=turns + 1.0, attempt=attempt,
        report=report(attempt, turns, answer),
    )  # fmt: skip


def report(attempt: int, turns: int = 2, answer: str = "42") -> AttemptReport:
    """Return what is said of an attempt at its end."""
    return AttemptReport(
        attempt=attempt, seed=7 + attempt, end=AttemptEnd.ANSWERED, detail="it answered",
        answer=answer, weight=1.0, turns=turns, tool_calls=turns, seconds=turns + 0.9,
        tokens=TokenCounts(prompt=PROMPT, sampled=turns * STRETCH, appended=turns * RESULT),
    )  # fmt: skip


def solve_events(
    solve_id: str,
    next_id: Callable[[], int],
    attempts: int = 2,
    turns: int = 2,
    problem: str = "What is 6 * 7?",
) -> Iterator[Event]:
    """Yield all events of a solve."""
    yield from opening(solve_id, next_id, attempts, problem)
    for attempt in range(attempts):
        yield from attempt_events(solve_id, next_id, attempt, turns)
        yield finished(solve_id, next_id, attempt, turns)
    lines = [BallotLine(answer="42", votes=attempts, weight=attempts, attempts=[*range(attempts)])]
    yield BallotChanged(
        id=next_id(), solve_id=solve_id, at=turns + 1.1, lines=lines, running=0, stop=True,
        reason="agreement",
    )  # fmt: skip
    reports = [report(attempt, turns) for attempt in range(attempts)]
    result = SolveResult(
        solve_id=solve_id, problem_id=f"name of {solve_id}", answer="42", end=SolveEnd.AGREEMENT,
        detail="enough attempts agreed", strategy="tir", ballot=lines, attempts=reports,
        seconds=turns + 1.2, model="tiny",
    )  # fmt: skip
    yield SolveFinished(id=next_id(), solve_id=solve_id, at=turns + 1.2, result=result)


def token_ids(attempt: int, turns: int = 2) -> list[int]:
    """Return all ids of an attempt."""
    source = random.Random(attempt)
    return [source.randrange(152_000) for _ in range(PROMPT + turns * (STRETCH + RESULT))]


def log_probabilities(attempt: int, turns: int = 2) -> list[float]:
    """Return a number for each id that float16 holds exactly."""
    return [-(n % 64) / 16 for n in token_ids(attempt, turns)]


def mask(turns: int = 2) -> list[bool]:
    """Return which ids are sampled."""
    return [False] * PROMPT + ([True] * STRETCH + [False] * RESULT) * turns
