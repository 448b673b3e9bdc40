"""Whether the votes so far are enough."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.answers import Answer
from voting.ballot import Ballot, BallotLine
from voting.errors import PolicyError
from voting.stages import Stage, rising
from voting.state import SolveState

#: BetaSC's and AdaptiveSC's published thresholds (arXiv 2305.11860, section 3.2).
DEFAULT_POSTERIOR = 0.95
#: Where AdaptiveSC with doubling batches stops: three of the first four votes.
DEFAULT_SHARE = 0.75
#: Sums of weights that should be equal differ in their last digits, by less than this share.
ROUNDING = 1e-9
#: A share of fewer votes says little: one vote is all of one.
DEFAULT_LEAST_VOTES = 4


class StopReason(StrEnum):
    """Why a solve stops early, or does not."""

    #: Enough attempts gave the same answer.
    ENOUGH_AGREE = "enough_agree"
    #: No answer has enough votes yet.
    TOO_FEW_AGREE = "too_few_agree"
    #: Whatever the attempts to come answer, the leader stays ahead.
    CANNOT_BE_OVERTAKEN = "cannot_be_overtaken"
    #: The attempts to come could still change the leader.
    CAN_BE_OVERTAKEN = "can_be_overtaken"
    #: The leader is probably what most attempts would answer.
    PROBABLY_DECIDED = "probably_decided"
    #: That is not probable enough yet.
    NOT_PROBABLE_ENOUGH = "not_probable_enough"
    #: The leader has enough of the votes cast.
    ENOUGH_SHARE = "enough_share"
    #: The leader has too small a share, or too few votes were cast.
    TOO_SMALL_SHARE = "too_small_share"
    #: An answer is enough votes ahead of the next.
    AHEAD = "ahead"
    #: No answer is enough votes ahead, or too few votes were cast.
    NOT_AHEAD = "not_ahead"
    #: The policy never stops early.
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Whether to stop, and the answer that is sufficiently agreed on if so, else None.

    ``measure`` is what the policy looked at and ``needed`` what it asks of it: votes, weight, a
    probability or a share.
    """

    stop: bool
    answer: Answer | None
    reason: StopReason
    measure: float = 0.0
    needed: float = 0.0


class EarlyStop(Protocol):
    """Decides, after every vote, whether the attempts to come can change enough to go on."""

    def decide(self, state: SolveState) -> StopDecision:
        """Return whether to stop the running attempts and to launch no more. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Never:
    """Let every attempt end."""

    def decide(self, state: SolveState) -> StopDecision:  # noqa: ARG002
        """Return that the solve goes on."""
        return StopDecision(stop=False, answer=None, reason=StopReason.NEVER)


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

    def decide(self, state: SolveState) -> StopDecision:
        """Return whether some answer has `needed` votes, and which has most."""
        line = state.ballot.most_votes
        count = line.count if line is not None else 0
        good = StopReason.ENOUGH_AGREE if count >= self.needed else StopReason.TOO_FEW_AGREE
        return _decision(line, good, count, self.needed, stop=count >= self.needed)


@dataclass(frozen=True, slots=True)
class StagedAgreement:
    """Stop when as many attempts agree as the stage asks that the launched attempts are in.

    Raises:
        PolicyError: no stages, or not each larger than the one before.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        rising(self.stages)

    def decide(self, state: SolveState) -> StopDecision:
        """Return what `AgreeingAnswers` says at the stage's number."""
        in_force = self.stages[-1]
        for stage in reversed(self.stages):
            if state.launched <= stage.attempts:
                in_force = stage
        return AgreeingAnswers(in_force.agree).decide(state)


@dataclass(frozen=True, slots=True)
class CannotBeOvertaken:
    """Stop when no answers of the attempts to come can change the leader.

    With `by_weight`, the leader's weight must be more than the runner-up's and the most that all
    votes to come can weigh together; else votes are counted. A tie does not count as ahead. Where
    the ballot is unsettled, all that is not the leader's counts as the runner-up's.
    """

    by_weight: bool = True

    def decide(self, state: SolveState) -> StopDecision:
        """Return whether the leader's lead is more than what may still come."""
        to_come = float(state.to_come)
        if self.by_weight:
            line = state.ballot.lines[0] if state.ballot.lines else None
            standing = [each.weight for each in state.ballot.lines]
            # 0 votes of unbounded weight are 0, not undefined.
            to_come = to_come * state.most_weight if to_come else 0.0
        else:
            line = state.ballot.most_votes
            standing = sorted((float(each.count) for each in state.ballot.lines), reverse=True)
        rivals = standing[1:] if state.unsettled else standing[1:2]
        lead = standing[0] - sum(rivals) if standing else 0.0
        # Rounding must not let a tie through. Infinite weights make no number, and no stop.
        rounding = ROUNDING * (sum(standing) + to_come) if self.by_weight else 0.0
        stop = line is not None and lead - to_come > rounding
        reason = StopReason.CANNOT_BE_OVERTAKEN if stop else StopReason.CAN_BE_OVERTAKEN
        return _decision(line, reason, lead, to_come, stop=stop)


@dataclass(frozen=True, slots=True)
class BetaPosterior:
    """BetaSC: stop when the leader probably has the majority over the runner-up.

    With v1 and v2 votes for the two best answers and an even prior, the leader's share of the two
    is distributed as Beta(v1 + 1, v2 + 1); the solve stops once that is over one half with at least
    the probability `threshold` (arXiv 2305.11860). Where the ballot is unsettled, all votes but the
    leader's count as the runner-up's.

    Raises:
        PolicyError: the threshold is not between 0 and 1.
    """

    threshold: float = DEFAULT_POSTERIOR

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise PolicyError(
                f"posterior threshold {self.threshold}: must be above 0 and under 1; "
                f"leave it out for {DEFAULT_POSTERIOR}"
            )

    def decide(self, state: SolveState) -> StopDecision:
        """Return whether the leader's posterior reaches the threshold."""
        line = state.ballot.most_votes
        probability = majority_probability(state.ballot, rivals_join=state.unsettled)
        stop = line is not None and probability >= self.threshold
        reason = StopReason.PROBABLY_DECIDED if stop else StopReason.NOT_PROBABLE_ENOUGH
        return _decision(line, reason, probability, self.threshold, stop=stop)


@dataclass(frozen=True, slots=True)
class VoteShare:
    """Stop when an answer has `share` of the votes cast, and those are `least` or more.

    Raises:
        PolicyError: the share is not above 0 and at most 1, or `least` is below 1.
    """

    share: float = DEFAULT_SHARE
    least: int = DEFAULT_LEAST_VOTES

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.least < 1:
            raise PolicyError(
                f"share {self.share} of {self.least} votes: the share must be above 0 and at most "
                "1, the votes at least 1; for example share 0.75 of 4 votes"
            )

    def decide(self, state: SolveState) -> StopDecision:
        """Return whether the leader's share is enough."""
        line = state.ballot.most_votes
        share = line.count / state.ballot.count if line is not None else 0.0
        stop = state.ballot.count >= self.least and share >= self.share
        reason = StopReason.ENOUGH_SHARE if stop else StopReason.TOO_SMALL_SHARE
        return _decision(line, reason, share, self.share, stop=stop)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Stop when one of some policies does; the first that does gives the reason.

    Raises:
        PolicyError: there are none.
    """

    policies: tuple[EarlyStop, ...]

    def __post_init__(self) -> None:
        if not self.policies:
            raise PolicyError("any of 0 policies: must be at least 1; use Never to never stop")

    def decide(self, state: SolveState) -> StopDecision:
        """Return the first decision to stop, else the first one."""
        decisions = [policy.decide(state) for policy in self.policies]
        return next((each for each in decisions if each.stop), decisions[0])


def majority_probability(ballot: Ballot, *, rivals_join: bool = False) -> float:
    """Return the probability that the first of the two best answers is the likelier one of both.

    The prior is even; without votes it is one half. Exact, from the binomial form of the incomplete
    beta function at one half. With `rivals_join`, all votes but the first's are one answer's.
    """
    counts = sorted((line.count for line in ballot.lines), reverse=True)
    first, second = (*counts, 0, 0)[:2]
    second = sum(counts[1:]) if rivals_join else second
    draws = first + second + 1
    favourable = sum(math.comb(draws, wins) for wins in range(first + 1))
    return float(favourable / (1 << draws))


def _decision(
    line: BallotLine | None, reason: StopReason, measure: float, needed: float, *, stop: bool
) -> StopDecision:
    answer = line.answer if stop and line is not None else None
    return StopDecision(stop, answer, reason, float(measure), float(needed))
