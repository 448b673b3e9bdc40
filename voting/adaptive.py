"""Policies that spend attempts only while the answer is open, and that trust effort.

On recorded attempts of gpt-oss-120b (22 problems with eight or more), stopping when an answer is
two votes ahead, and running no more attempts than that could take, keeps the accuracy of "eight
attempts, stop at four equal" for half of its tokens. There wrong answers come from shorter attempts
with fewer tool calls than right ones at the same problem, although over all problems wrong attempts
are the longer ones: hence `ByEffort`. `benchmarks/decide.py` measures both.
"""

import math
from dataclasses import dataclass

from voting.ballot import Ballot, BallotLine
from voting.early_stop import ROUNDING, StopDecision, StopReason
from voting.errors import PolicyError
from voting.launch import LaunchDecision, LaunchReason, within_means
from voting.state import SolveState
from voting.types import AttemptOutcome
from voting.weights import WeightDecision, WeightReason

#: Two votes ahead: the least lead that one more vote cannot level.
DEFAULT_LEAD = 2.0
#: A weight alone is no agreement: two votes for the answer at least, whatever they weigh.
LEAST_VOTES = 2
#: Effort counts up to here, so that the weight is bounded: the recorded attempts end at 97,000
#: tokens, three in a hundred of them call tools more often.
FULL_TOKENS = 98_304
FULL_CALLS = 63
#: A vote of less than this share of the heaviest one says next to nothing, and is no vote to count
#: a lead in. The floors of weights by tool errors and entries of presets are above it.
LEAST_SHARE = 0.1


def lead(ballot: Ballot, *, rivals_join: bool = False) -> float:
    """Return by how many votes the heaviest answer leads the next; 0 without votes.

    A vote weighs here what an answer's votes do on average, of the answer where that is most; votes
    of next to no weight are in no average, as they would make a lead of one vote look like one of
    many. With `rivals_join` it is how many it leads all others together, below 0 where those weigh
    more.
    """
    if not ballot.lines or ballot.lines[0].weight <= 0:
        return 0.0
    first = ballot.lines[0].weight
    second = sum(line.weight for line in ballot.lines[1 : None if rivals_join else 2])
    least = LEAST_SHARE * max(max(line.weights) for line in ballot.lines)
    counted = [[weight for weight in line.weights if weight >= least] for line in ballot.lines]
    # Means of bounded weights are finite where their sums may not be.
    one = max(math.fsum(weight / len(each) for weight in each) for each in counted if each)
    return (first - second) / one


def _agreed(ballot: Ballot) -> bool:
    """Whether the heaviest answer has the votes that any agreement takes."""
    return bool(ballot.lines) and ballot.lines[0].count >= LEAST_VOTES


@dataclass(frozen=True, slots=True)
class AheadBy:
    """Stop when an answer is `needed` votes ahead of the next (`lead`), and has two or more.

    With equal weights this is a sequential probability ratio test of the two best answers: its
    threshold is on the difference of their votes, not on how many were cast. Where the ballot is
    unsettled, the lead is over all other answers together.

    Raises:
        PolicyError: `needed` is not above 0 and finite.
    """

    needed: float = DEFAULT_LEAD

    def __post_init__(self) -> None:
        _require_lead(self.needed)

    def decide(self, state: SolveState) -> StopDecision:
        """Return whether the lead is large enough, and of which answer."""
        now = lead(state.ballot, rivals_join=state.unsettled)
        line: BallotLine | None = state.ballot.lines[0] if state.ballot.lines else None
        # Weights that add up to infinity make a lead that is no number, and no reason to stop.
        ahead = now >= self.needed - ROUNDING
        if line is None or not _agreed(state.ballot) or not ahead:
            return StopDecision(
                stop=False, answer=None, reason=StopReason.NOT_AHEAD, measure=now,
                needed=self.needed,
            )  # fmt: skip
        return StopDecision(
            stop=True, answer=line.answer, reason=StopReason.AHEAD, measure=now, needed=self.needed
        )


@dataclass(frozen=True, slots=True)
class TopUp:
    """Run as many attempts as it would take for an answer to be `needed` votes ahead, no more.

    At most `streams` run at once: a machine is slower with few, cheaper with fewer. `spare` more
    than needed are run, which costs tokens where they are cut and saves time.

    Raises:
        PolicyError: `needed` is not above 0 and finite, `streams` below 1, or `spare` below 0.
    """

    needed: float = DEFAULT_LEAD
    streams: int = 8
    spare: int = 0

    def __post_init__(self) -> None:
        _require_lead(self.needed)
        if self.streams < 1 or self.spare < 0:
            raise PolicyError(
                f"{self.streams} streams and {self.spare} spare attempts: must be at least 1 and "
                "0; give how many attempts may run at once"
            )

    def decide(self, state: SolveState) -> LaunchDecision:
        """Return what is missing of the attempts that could decide the ballot."""
        open_votes = self.needed - lead(state.ballot)
        if open_votes <= ROUNDING and _agreed(state.ballot):
            return LaunchDecision(0, LaunchReason.DECIDED)
        cast = state.ballot.lines[0].count if state.ballot.lines else 0
        could_decide = max(math.ceil(open_votes - ROUNDING), LEAST_VOTES - cast, 1)
        missing = min(self.streams, could_decide + self.spare) - state.running
        if missing <= 0:
            return LaunchDecision(0, LaunchReason.UNDECIDED)
        missing = min(missing, state.attempts - state.launched)
        if missing <= 0:
            return LaunchDecision(0, LaunchReason.ALL_LAUNCHED)
        reason = LaunchReason.OPEN if state.launched else LaunchReason.STAGE
        return within_means(missing, reason, state)


@dataclass(frozen=True, slots=True)
class ByEffort:
    """A vote weighs more the more its attempt did: a power of its tokens and of its tool calls.

    The weight is ``(tokens / 98304) ** tokens_power * ((1 + tool_calls) / 64) ** calls_power``,
    each ratio 1 at most. Powers below 0 weigh effort the other way round, and then the weight is
    relative to one token or no call. Which sign is right is a question to the recorded attempts of
    the model at hand: `quorum replay --tune` answers it.

    Raises:
        PolicyError: a power is not between -4 and 4.
    """

    tokens_power: float = 1.0
    calls_power: float = 1.0

    def __post_init__(self) -> None:
        for power in (self.tokens_power, self.calls_power):
            if not -4 <= power <= 4:
                raise PolicyError(
                    f"effort to the power of {power}: must be from -4 to 4; "
                    "1 is in proportion, 0 leaves it out"
                )

    @property
    def most(self) -> float:
        """One."""
        return 1.0

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return a weight above 0 and at most 1."""
        weight = _power(outcome.tokens, FULL_TOKENS, self.tokens_power) * _power(
            1 + outcome.tool_calls, 1 + FULL_CALLS, self.calls_power
        )
        return WeightDecision(weight, WeightReason.EFFORT)


def _power(count: int, full: int, power: float) -> float:
    within = float(min(max(count, 1), full))
    return math.pow(within / full if power >= 0 else within, power)


def _require_lead(needed: float) -> None:
    if not 0 < needed < math.inf:
        raise PolicyError(
            f"lead of {needed} votes: must be finite and above 0; leave it out for {DEFAULT_LEAD:g}"
        )
