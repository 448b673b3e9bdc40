"""Selection by a process reward model, which rates a solution step by step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from voting.ballot import BallotLine
from voting.errors import PolicyError
from voting.requests import ScoreSteps, StepScores
from voting.selectors import Ask, Selection, SelectionReason, SelectionState, WeightedVote

#: Attempts of one line that are rated: their mean settles early.
DEFAULT_MOST_ATTEMPTS = 4
#: Below this time, in seconds, nothing is rated: one prefill of each solution.
DEFAULT_LEAST_S = 5.0


class Aggregate(StrEnum):
    """How the scores of a solution's steps make one."""

    #: A solution is as good as its worst step (math-shepherd, arXiv 2312.08935).
    LEAST = "least"
    #: All steps must be right (Let's Verify Step by Step, arXiv 2305.20050).
    PRODUCT = "product"
    #: The last step's score, which has seen all others (as Qwen2.5-Math-PRM is used for best-of-n).
    LAST = "last"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class ProcessRewardVote:
    """The answer whose solutions a process reward model rates best, times their votes.

    A line's score is its weight times the mean rating of up to `most` of its attempts; a line of
    which no attempt could be rated counts with the least rating of all. Without any rating, or
    without time, the heaviest answer.

    Raises:
        PolicyError: `most` is below 1, or `least_s` negative or not a number.
    """

    aggregate: Aggregate = Aggregate.LAST
    most: int = DEFAULT_MOST_ATTEMPTS
    least_s: float = DEFAULT_LEAST_S

    def __post_init__(self) -> None:
        if self.most < 1 or not self.least_s >= 0:
            raise PolicyError(
                f"{self.most} attempts to rate in at least {self.least_s} s: must be at least 1, "
                "and 0 s; leave them out for ours"
            )

    def decide(self, state: SelectionState) -> Selection | Ask:
        """Return the answer, or the attempts to rate."""
        by_weight = WeightedVote().decide(state)
        lines = state.ballot.lines
        if len(lines) < 2:
            return by_weight
        wanted = [ScoreSteps(attempt) for line in lines for attempt in self._rated(line)]
        missing = tuple(each for each in wanted if each not in state.replies)
        if missing:
            return by_weight if state.left_s < self.least_s else Ask(missing, by_weight)
        ratings = [self._rating(line, state) for line in lines]
        known = [rating for rating in ratings if rating is not None]
        if not known:
            return by_weight
        scores = [
            line.weight * (min(known) if rating is None else rating)
            for line, rating in zip(lines, ratings, strict=True)
        ]
        best = max(range(len(lines)), key=scores.__getitem__)
        reason = SelectionReason.PROCESS_REWARD
        return Selection(lines[best].answer, reason, scores[best], math.fsum(scores))

    def _rated(self, line: BallotLine) -> tuple[int, ...]:
        return line.attempts[: self.most]

    def _rating(self, line: BallotLine, state: SelectionState) -> float | None:
        replies = (state.replies.get(ScoreSteps(attempt)) for attempt in self._rated(line))
        ratings = [
            aggregate(reply.scores, self.aggregate)
            for reply in replies
            if isinstance(reply, StepScores)
        ]
        known = [rating for rating in ratings if rating is not None]
        return math.fsum(known) / len(known) if known else None


def aggregate(scores: Sequence[float], how: Aggregate) -> float | None:
    """Return one rating from 0 to 1 of a solution's steps; None where there is no valid score."""
    valid = [min(1.0, max(0.0, score)) for score in scores if not math.isnan(score)]
    if not valid:
        return None
    match how:
        case Aggregate.LEAST:
            return min(valid)
        case Aggregate.PRODUCT:
            return math.prod(valid)
        case Aggregate.LAST:
            return valid[-1]
        case Aggregate.MEAN:
            return math.fsum(valid) / len(valid)
