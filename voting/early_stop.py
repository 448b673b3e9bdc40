"""Whether the votes so far are enough."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.answers import Answer
from voting.ballot import Ballot
from voting.errors import PolicyError


class StopReason(StrEnum):
    """Why a solve stops early, or does not."""

    #: Enough attempts gave the same answer.
    ENOUGH_AGREE = "enough_agree"
    #: No answer has enough votes yet.
    TOO_FEW_AGREE = "too_few_agree"
    #: The policy never stops early.
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Whether to stop, and the answer that is sufficiently agreed on if so, else None."""

    stop: bool
    answer: Answer | None
    reason: StopReason


class EarlyStop(Protocol):
    """Decides, after every vote, whether the attempts still running can change enough to go on."""

    def decide(self, ballot: Ballot, running: int) -> StopDecision:
        """Return whether to stop the `running` attempts, which have not voted.

        Raises:
            PolicyError: `running` is negative.
        """
        ...


@dataclass(frozen=True, slots=True)
class AgreeingAnswers:
    """Stop when `needed` attempts gave the same answer, whatever their votes weigh.

    Raises:
        PolicyError: `needed` is below 1.
    """

    needed: int

    def __post_init__(self) -> None:
        if self.needed < 1:
            raise PolicyError(
                f"early stop at {self.needed} equal answers: must be at least 1; "
                "use Never to let every attempt end"
            )

    def decide(self, ballot: Ballot, running: int) -> StopDecision:
        """Return whether some answer has `needed` votes, and which has most."""
        _require_running(running)
        line = ballot.most_votes
        if line is None or line.count < self.needed:
            return StopDecision(stop=False, answer=None, reason=StopReason.TOO_FEW_AGREE)
        return StopDecision(stop=True, answer=line.answer, reason=StopReason.ENOUGH_AGREE)


@dataclass(frozen=True, slots=True)
class Never:
    """Let every attempt end."""

    def decide(self, ballot: Ballot, running: int) -> StopDecision:  # noqa: ARG002
        """Return that the solve goes on."""
        _require_running(running)
        return StopDecision(stop=False, answer=None, reason=StopReason.NEVER)


def _require_running(running: int) -> None:
    if running < 0:
        raise PolicyError(
            f"{running} running attempts: must be at least 0; count those that have not ended"
        )
