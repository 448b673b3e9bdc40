"""The ballot: who voted for what, and how much it weighs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from voting.answers import Answer
from voting.errors import DuplicateVoteError, WeightError
from voting.types import AttemptOutcome
from voting.weights import Weight


@dataclass(frozen=True, slots=True)
class Vote:
    """One attempt's vote.

    Raises:
        WeightError: the weight is negative, infinite or not a number.
    """

    attempt: int
    answer: Answer
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise WeightError(
                f"attempt {self.attempt}: vote of weight {self.weight}: must be finite and at "
                "least 0; check the weight policy"
            )


@dataclass(frozen=True, slots=True)
class BallotLine:
    """One answer and the votes for it.

    ``answer`` is as the earliest of ``attempts`` has it in its vote: of equal answers in different
    spellings that is the one which `AnswerClasses` met first, so that it depends on which attempt
    ended first. ``attempts`` are in rising order, and ``weights`` what their votes weigh, in the
    same order; ``weight`` is the correctly rounded sum of these, whatever their order.
    """

    answer: Answer
    weight: float
    attempts: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def count(self) -> int:
        """The number of votes."""
        return len(self.attempts)


@dataclass(frozen=True, slots=True)
class Ballot:
    """All votes of a solve so far, one line an answer; immutable.

    Lines are ordered by weight, the heaviest first; equal weights by count, the higher first; equal
    counts by the lowest attempt index, the lower first. As an attempt votes once, no two lines are
    equal in all three: the order never depends on the order of the votes.
    """

    lines: tuple[BallotLine, ...] = ()

    @classmethod
    def of(cls, votes: Iterable[Vote]) -> "Ballot":
        """Count votes.

        Raises:
            DuplicateVoteError: an attempt votes twice.
            WeightError: the weights of one answer add up to more than a float holds.
        """
        by_key: dict[str, list[Vote]] = {}
        seen: set[int] = set()
        for vote in votes:
            if vote.attempt in seen:
                raise DuplicateVoteError(
                    f"attempt {vote.attempt}: two votes: must be at most one; "
                    "pass each attempt's last outcome only"
                )
            seen.add(vote.attempt)
            by_key.setdefault(vote.answer.key, []).append(vote)
        lines = [_line(votes_for_it) for votes_for_it in by_key.values()]
        lines.sort(key=lambda line: (-line.weight, -line.count, line.attempts[0]))
        return cls(tuple(lines))

    @classmethod
    def cast(cls, outcomes: Iterable[AttemptOutcome], weight: Weight) -> "Ballot":
        """Let every attempt that has an answer vote, finished or not, weighed by a policy.

        Raises:
            DuplicateVoteError: an attempt has two outcomes with answers.
            WeightError: the policy returned a weight that cannot be counted.
        """
        return cls.of(
            Vote(outcome.attempt, outcome.answer, weight.decide(outcome).weight)
            for outcome in outcomes
            if outcome.answer is not None
        )

    @property
    def count(self) -> int:
        """The number of votes."""
        return sum(line.count for line in self.lines)

    @property
    def weight(self) -> float:
        """The weight of all votes; infinite where it is more than a float holds."""
        return sum(line.weight for line in self.lines)

    @property
    def most_votes(self) -> BallotLine | None:
        """The line with the highest count, the first in order of equals; None without votes."""
        return max(self.lines, key=lambda line: line.count, default=None)


def _line(votes: list[Vote]) -> BallotLine:
    votes = sorted(votes, key=lambda vote: vote.attempt)
    first = votes[0]
    try:
        weight = math.fsum(vote.weight for vote in votes)
    except OverflowError as error:
        raise WeightError(
            f"answer {first.answer.key[:40]}: the sum of {len(votes)} weights: must be finite; "
            "bound the weight policy"
        ) from error
    return BallotLine(
        first.answer,
        weight,
        tuple(vote.attempt for vote in votes),
        tuple(vote.weight for vote in votes),
    )
