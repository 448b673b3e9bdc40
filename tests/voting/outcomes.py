"""Builders of what the policies decide on."""

from voting.answers import Answer, AnswerKind, parse_answer
from voting.ballot import Ballot, Vote
from voting.scores import TokenScores
from voting.state import SolveState
from voting.types import AttemptOutcome


def answer(written: str | int) -> Answer:
    parsed = parse_answer(str(written), AnswerKind.TEXT)
    assert parsed is not None
    return parsed


def outcome(
    attempt: int,
    written: str | int | None,
    *,
    finished: bool = True,
    tool_calls: int = 0,
    tool_errors: int = 0,
    seconds: float = 0.0,
    started_s: float = 0.0,
    tokens: int = 0,
    scores: TokenScores | None = None,
    printed: bool | None = None,
) -> AttemptOutcome:
    return AttemptOutcome(
        attempt=attempt,
        answer=None if written is None else answer(written),
        finished=finished,
        tool_calls=tool_calls,
        tool_errors=tool_errors,
        seconds=seconds,
        started_s=started_s,
        tokens=tokens,
        scores=scores,
        printed=printed,
    )


def ballot(*votes: tuple[str | int, float]) -> Ballot:
    """Return the ballot of attempts 0, 1, 2, … that vote for these answers with these weights."""
    return Ballot.of(
        Vote(attempt, answer(written), weight) for attempt, (written, weight) in enumerate(votes)
    )


def state(
    *votes: tuple[str | int, float],
    running: int = 0,
    failed: int = 0,
    attempts: int = 0,
    most_weight: float = 1.0,
) -> SolveState:
    """Return a solve with these votes, and attempts that run or ended without an answer."""
    return SolveState(
        ballot=ballot(*votes),
        launched=len(votes) + running + failed,
        running=running,
        attempts=attempts,
        most_weight=most_weight,
    )
