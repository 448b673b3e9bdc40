"""Selectors that check answers one by one: a program run again, the model's own yes or no."""

import math
from dataclasses import dataclass

from voting.errors import PolicyError
from voting.requests import Recheck, Reran, Rerun, Verdict
from voting.selectors import (
    Ask,
    Selection,
    SelectionReason,
    SelectionState,
    WeightedVote,
    representative,
    representatives,
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
#: Attempts of one line whose solutions are rechecked: a model that is asked about one alone is
#: swayed by how that is written.
DEFAULT_EACH = 4
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

    A line's score is its weight times the mean odds of "yes", to the power of `trust`, that the
    model gives up to `each` of its attempts. The model is asked for P(True) as by Kadavath et al.
    (arXiv 2207.05221); that votes weigh its odds is ours. Without a verdict, odds are even.

    Raises:
        PolicyError: `trust` is not from 0 to 1, `each` or `most` is below 1, or `least_s` negative
            or not a number.
    """

    trust: float = DEFAULT_TRUST
    each: int = DEFAULT_EACH
    most: int = DEFAULT_MOST_LINES
    least_s: float = DEFAULT_RECHECK_S

    def __post_init__(self) -> None:
        _require(min(self.each, self.most), self.least_s)
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
        wanted = [tuple(map(Recheck, representatives(line, state, self.each))) for line in lines]
        asked = [request for requests in wanted for request in requests]
        missing = tuple(each for each in asked if each not in state.replies)
        if missing:
            return by_weight if state.left_s < self.least_s else Ask(missing, by_weight)
        if not any(isinstance(state.replies.get(each), Verdict) for each in asked):
            return by_weight
        scores = [
            line.weight * self._odds(requests, state)
            for line, requests in zip(lines, wanted, strict=True)
        ]
        best = max(range(len(lines)), key=scores.__getitem__)
        return Selection(
            lines[best].answer, SelectionReason.RECHECK, scores[best] / math.fsum(scores), 1.0
        )

    def _odds(self, requests: tuple[Recheck, ...], state: SelectionState) -> float:
        """Return the mean odds of the verdicts, tempered; 1 without any."""
        replies = (state.replies.get(each) for each in requests)
        told = [reply.log_odds for reply in replies if isinstance(reply, Verdict)]
        odds = [
            math.exp(self.trust * max(-MOST_LOG_ODDS, min(MOST_LOG_ODDS, each)))
            for each in told
            if not math.isnan(each)
        ]
        return math.fsum(odds) / len(odds) if odds else 1.0


def _require(most: int, least_s: float) -> None:
    if most < 1 or not least_s >= 0:
        raise PolicyError(
            f"{most} answers to check in at least {least_s} s: must be at least 1, and 0 s; "
            "leave them out for ours"
        )
