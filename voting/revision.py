"""Whether an attempt that has answered is asked to review its last step."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.answers import Answer
from voting.errors import PolicyError

#: Reviews until the answer is stable, at most: in self-refinement studies (arXiv 2303.17651,
#: figure 4) later rounds change next to nothing.
DEFAULT_MOST_REVIEWS = 3


class RevisionReason(StrEnum):
    """Why an attempt reviews its answer, or does not."""

    #: The policy asks for no review.
    NEVER = "never"
    #: There is no answer to review.
    NO_ANSWER = "no_answer"
    #: The answer was not reviewed yet, or a review changed it.
    NOT_STABLE = "not_stable"
    #: The last review left the answer as it was.
    STABLE = "stable"
    #: There were as many reviews as the policy allows.
    ENOUGH = "enough"
    #: Too little time is left for another turn.
    NO_TIME = "no_time"


@dataclass(frozen=True, slots=True)
class RevisionDecision:
    """Whether to ask for a review now."""

    review: bool
    reason: RevisionReason


class Revision(Protocol):
    """Decides, each time an attempt ends its message with an answer, whether it is reviewed."""

    def decide(self, answers: Sequence[Answer | None], left_s: float) -> RevisionDecision:
        """Return whether to ask the attempt to review its last step.

        `answers` are those that it gave, one for its own message and one for each review; `left_s`
        is the time that it has left. Raises nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoReview:
    """Take every answer as it comes."""

    def decide(
        self,
        answers: Sequence[Answer | None],  # noqa: ARG002
        left_s: float,  # noqa: ARG002
    ) -> RevisionDecision:
        """Return that the answer stands."""
        return RevisionDecision(review=False, reason=RevisionReason.NEVER)


@dataclass(frozen=True, slots=True)
class ReviewUntilStable:
    """Ask for reviews until one leaves the answer as it was, `most` at most.

    With `most` 1, every answer is reviewed once. Nothing is reviewed with less than `least_s`
    seconds left.

    Raises:
        PolicyError: `most` is below 1, or `least_s` negative or not a number.
    """

    most: int = DEFAULT_MOST_REVIEWS
    least_s: float = 0.0

    def __post_init__(self) -> None:
        if self.most < 1:
            raise PolicyError(
                f"{self.most} reviews: must be at least 1; use the revision `none` for no review"
            )
        if not self.least_s >= 0:
            raise PolicyError(f"least_s {self.least_s}: must be at least 0; give it in seconds")

    def decide(self, answers: Sequence[Answer | None], left_s: float) -> RevisionDecision:
        """Return whether the answer is to be reviewed (again)."""
        reviews = len(answers) - 1
        if not answers or answers[-1] is None:
            return RevisionDecision(review=False, reason=RevisionReason.NO_ANSWER)
        if reviews >= 1:
            before = answers[-2]
            if before is not None and before.key == answers[-1].key:
                return RevisionDecision(review=False, reason=RevisionReason.STABLE)
        if reviews >= self.most:
            return RevisionDecision(review=False, reason=RevisionReason.ENOUGH)
        if not left_s >= self.least_s:
            return RevisionDecision(review=False, reason=RevisionReason.NO_TIME)
        return RevisionDecision(review=True, reason=RevisionReason.NOT_STABLE)
