"""How a problem went by time: when votes came, and how far ahead they put an answer."""

import math
from dataclasses import dataclass
from itertools import pairwise

from voting.ballot import Ballot
from voting.errors import ClockError, PolicyError


@dataclass(frozen=True, slots=True)
class VoteMark:
    """The ballot after a vote, `seconds` after the problem's start.

    ``votes`` were cast in all, ``leader`` of them for the answer with most, ``lead`` more than for
    the next.
    """

    seconds: float
    votes: int
    leader: int
    lead: int

    @classmethod
    def of(cls, seconds: float, ballot: Ballot) -> "VoteMark":
        """Return the mark of a ballot that has at least one vote."""
        counts = sorted((line.count for line in ballot.lines), reverse=True)
        first, second = (*counts, 0, 0)[:2]
        return cls(seconds, ballot.count, first, first - second)


@dataclass(frozen=True, slots=True)
class ProblemPath:
    """A problem from its start until it had taken `seconds`, with a mark for each of its votes.

    ``whole`` is whether nothing more would have come: its own policies ended it, rather than its
    budget.

    Raises:
        ClockError: times are negative, infinite, not a number, or not in order.
        PolicyError: votes do not rise.
    """

    marks: tuple[VoteMark, ...]
    seconds: float
    whole: bool

    def __post_init__(self) -> None:
        times = [0.0, *(mark.seconds for mark in self.marks), self.seconds]
        if not all(math.isfinite(time) for time in times) or sorted(times) != times:
            raise ClockError(
                f"path with votes at {times[1:-1]} of {self.seconds} seconds: times must be finite "
                "and in order from 0; measure on a monotonic clock"
            )
        if any(later.votes <= earlier.votes for earlier, later in pairwise(self.marks)):
            raise PolicyError("path of a problem: votes must rise; give a mark for each new vote")


@dataclass(frozen=True, slots=True)
class RatedPath:
    """A path with, after each of its marks, the probability that the answer is right.

    Raises:
        PolicyError: not one probability a mark, or one not from 0 to 1.
    """

    path: ProblemPath
    right: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.right) != len(self.path.marks) or not all(0 <= p <= 1 for p in self.right):
            raise PolicyError(
                f"{len(self.right)} probabilities for {len(self.path.marks)} marks: must be one "
                "each, from 0 to 1; rate every mark of the path"
            )
