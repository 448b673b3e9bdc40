"""Selectors that check answers one by one: a program run again, the model's own yes or no."""

import math
from dataclasses import dataclass

from voting.ballot import BallotLine
from voting.errors import PolicyError
from voting.requests import Recheck, Reran, Rerun, Verdict
from voting.selectors import (
    Ask,
    Selection,
    SelectionReason,
    SelectionState,
    WeightedVote,
    representative,
)

#: Lines that are checked: beyond these an answer has next to no votes.
DEFAULT_MOST_LINES = 8
#: Below this time, in seconds, nothing is run again: a fresh kernel and a cell of some seconds.
DEFAULT_RERUN_S = 10.0
#: Below this time, in seconds, nothing is rechecked: one prefill of a solution and one token.
DEFAULT_RECHECK_S = 5.0
#: How far a model's yes or no is believed against votes: its log-odds are far too sure of
#: themselves, so half of them counts.
DEFAULT_TRUST = 0.5
#: No verdict counts for more than this, in nats: e^8 is a likelihood ratio of 3,000.
MOST_LOG_ODDS = 8.0


@dataclass(frozen=True, slots=True)
class RerunVote:
    """The heaviest answer that its attempt's last program prints again, alone in a fresh kernel.

    Where no program does, or there is no time, the heaviest answer.

    Raises:
        PolicyError: `most` is below 1, or `least_s` negative or not a number.
    """

    most: int = DEFAULT_MOST_LINES
    least_s: float = DEFAULT_RERUN_S

    def __post_init__(self) -> None:
        _require(self.most, self.least_s)

    def decide(self, state: SelectionState) -> Selection | Ask:
        """Return the answer, or the programs to run."""
        by_weight = WeightedVote().decide(state)
        lines = state.ballot.lines[: self.most]
        wanted = {line.answer.key: Rerun(representative(line, state)) for line in lines}
        missing = tuple(each for each in wanted.values() if each not in state.replies)
        if len(lines) < 2 or (missing and state.left_s < self.least_s):
            return by_weight
        if missing:
            return Ask(missing, by_weight)
        replies = ((line, state.replies.get(wanted[line.answer.key])) for line in lines)
        printed = [line for line, reply in replies if isinstance(reply, Reran) and reply.printed]
        if not printed:
            return by_weight
        total = math.fsum(line.weight for line in printed)
        return Selection(printed[0].answer, SelectionReason.RERUN, printed[0].weight, total)


@dataclass(frozen=True, slots=True)
class RecheckVote:
    """The answer that votes and the model's own yes or no speak for together.

    A line's score is the logarithm of its share of the weight plus `trust` times the log-odds of
    "yes" that the model gives its representative (naive Bayes); without a verdict, no log-odds.

    Raises:
        PolicyError: `trust` is not from 0 to 1, `most` is below 1, or `least_s` negative or not a
            number.
    """

    trust: float = DEFAULT_TRUST
    most: int = DEFAULT_MOST_LINES
    least_s: float = DEFAULT_RECHECK_S

    def __post_init__(self) -> None:
        _require(self.most, self.least_s)
        if not 0 <= self.trust <= 1:
            raise PolicyError(
                f"trust {self.trust}: must be from 0 to 1; leave it out for {DEFAULT_TRUST}"
            )

    def decide(self, state: SelectionState) -> Selection | Ask:
        """Return the answer, or the answers to recheck; ``weight`` is its probability."""
        by_weight = WeightedVote().decide(state)
        lines = state.ballot.lines[: self.most]
        if len(lines) < 2 or lines[0].weight <= 0:
            return by_weight
        wanted = {line.answer.key: Recheck(representative(line, state)) for line in lines}
        missing = tuple(each for each in wanted.values() if each not in state.replies)
        if missing:
            return by_weight if state.left_s < self.least_s else Ask(missing, by_weight)
        if not any(isinstance(state.replies.get(each), Verdict) for each in wanted.values()):
            return by_weight
        scores = [self._score(line, wanted[line.answer.key], state) for line in lines]
        best = max(range(len(lines)), key=scores.__getitem__)
        odds = [math.exp(score - scores[best]) for score in scores]
        return Selection(
            lines[best].answer, SelectionReason.RECHECK, odds[best] / math.fsum(odds), 1.0
        )

    def _score(self, line: BallotLine, request: Recheck, state: SelectionState) -> float:
        reply = state.replies.get(request)
        log_odds = 0.0
        if isinstance(reply, Verdict) and not math.isnan(reply.log_odds):
            log_odds = max(-MOST_LOG_ODDS, min(MOST_LOG_ODDS, reply.log_odds))
        share = line.weight / state.ballot.lines[0].weight
        return (math.log(share) if share > 0 else -math.inf) + self.trust * log_odds


def _require(most: int, least_s: float) -> None:
    if most < 1 or not least_s >= 0:
        raise PolicyError(
            f"{most} answers to check in at least {least_s} s: must be at least 1, and 0 s; "
            "leave them out for ours"
        )
