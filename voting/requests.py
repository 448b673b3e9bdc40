"""What selectors ask for: work that needs a process or a model, done by the server or the replay.

Requests are values: equal ones ask for the same, so a reply is found under its request, and whoever
answers may keep replies. Attempts are named by their index in the solve; who answers has their
texts. A reply of None says that the work failed or did not end in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from voting.answers import Answer


@dataclass(frozen=True, slots=True)
class Compare:
    """Which of these attempts' solutions is right? They are shown in this order.

    ``repeat`` tells samples of the same question apart: it belongs in the seed.
    """

    attempts: tuple[int, ...]
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Judgment:
    """Reply to `Compare`: the attempt whose solution the judge takes."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Recheck:
    """Is this attempt's answer right, yes or no?"""

    attempt: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Reply to `Recheck`: log-probability of yes minus that of no, in nats."""

    log_odds: float


@dataclass(frozen=True, slots=True)
class Rerun:
    """Does this attempt's last program, run by itself in a fresh kernel, print its answer?"""

    attempt: int


@dataclass(frozen=True, slots=True)
class Reran:
    """Reply to `Rerun`."""

    printed: bool


@dataclass(frozen=True, slots=True)
class ScoreSteps:
    """How good is each step of this attempt's solution, by a process reward model?"""

    attempt: int


@dataclass(frozen=True, slots=True)
class StepScores:
    """Reply to `ScoreSteps`: for each step, the probability that it is right, in order."""

    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Same:
    """Are these two answers equal as mathematics? Equal in both orders."""

    one: Answer
    other: Answer


@dataclass(frozen=True, slots=True)
class Sameness:
    """Reply to `Same`."""

    equal: bool


Request = Compare | Recheck | Rerun | ScoreSteps | Same
Reply = Judgment | Verdict | Reran | StepScores | Sameness
Replies = Mapping[Request, Reply | None]

NO_REPLIES: Replies = MappingProxyType({})
