"""Builders of recorded attempts."""

from tests.voting.outcomes import answer
from voting.machine import Machine
from voting.policies import PolicyNames
from voting.replay.records import Dip, RecordedAttempt, RecordedProblem
from voting.replay.solve import Combination

#: One token a second for each stream, however many there are; nothing else takes time.
STEADY = Machine(name="steady", decode=((1, 1.0), (1_000, 1.0)), slots=1_000)
#: Two tokens a second in all, from two streams on.
SHARED = Machine(name="shared", decode=((1, 1.0), (2, 1.0)), slots=1_000)


def recorded(
    written: int | None,
    tokens: int,
    *,
    right: bool = False,
    calls: int = 0,
    dips: tuple[Dip, ...] = (),
    printed: bool | None = None,
) -> RecordedAttempt:
    return RecordedAttempt(
        answer=None if written is None else answer(written),
        right=right,
        tokens=tokens,
        tool_calls=calls,
        dips=dips,
        printed=printed,
    )


def right(tokens: int, *, calls: int = 0) -> RecordedAttempt:
    return recorded(1, tokens, right=True, calls=calls)


def wrong(tokens: int, written: int = 2) -> RecordedAttempt:
    return recorded(written, tokens)


def problem(name: str, *attempts: RecordedAttempt) -> RecordedProblem:
    return RecordedProblem(name, attempts)


def combination(name: str = "c", attempts: int = 8, agree: int = 4, **names: str) -> Combination:
    return Combination(name, PolicyNames(**names), attempts, agree)
