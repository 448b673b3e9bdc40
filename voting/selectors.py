"""Which answer a solve gives: the protocol, and the selectors that only count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from voting.answers import Answer
from voting.ballot import Ballot, BallotLine
from voting.errors import ClockError
from voting.requests import NO_REPLIES, Replies, Request
from voting.types import AttemptOutcome


class SelectionReason(StrEnum):
    """Why a selector chose an answer, or none."""

    #: No attempt ended: no answer.
    NO_ATTEMPTS = "no_attempts"
    #: Attempts ended, none with an answer: no answer.
    ALL_FAILED = "all_failed"
    #: The early-stop policy found the answer sufficiently agreed on, and it stands.
    AGREED = "agreed"
    #: All votes are for the answer.
    UNANIMOUS = "unanimous"
    #: The answer has the most votes.
    MOST_VOTES = "most_votes"
    #: The answer's votes weigh the most.
    MOST_WEIGHT = "most_weight"
    #: Several answers share the first place; the ballot's order decided.
    TIE = "tie"
    #: The answer is that of the first attempt to finish with one.
    FIRST_FINISHED = "first_finished"
    #: No attempt with an answer finished; the answer is that of the first one cut.
    FIRST_CUT = "first_cut"
    #: The model preferred a solution with the answer to those with the others.
    TOURNAMENT = "tournament"
    #: A program printed the answer again.
    RERUN = "rerun"
    #: The votes and the model's own yes or no speak for the answer.
    RECHECK = "recheck"
    #: A process reward model rates the answer's solutions best.
    PROCESS_REWARD = "process_reward"


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer of a solve, or None, and why.

    ``weight`` is what speaks for the answer and ``total`` what was cast, in the selector's own
    measure: votes where it counts, weight where it weighs. Their ratio is the answer's share.
    """

    answer: Answer | None
    reason: SelectionReason
    weight: float = 0.0
    total: float = 0.0

    @property
    def share(self) -> float:
        """The answer's share, from 0 to 1; 0 where nothing was cast."""
        return self.weight / self.total if 0 < self.total < math.inf else 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What a selector must know to go on.

    ``requests`` are independent of each other and without repetition. ``otherwise`` is what it
    chooses by what it knows already: the answer if no time is left for more.
    """

    requests: tuple[Request, ...]
    otherwise: Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionState:
    """What a selector decides on.

    ``outcomes`` are those of all attempts that ended, in any order, with an answer or without;
    ``ballot`` holds the votes of those with one. ``replies`` has what was found out so far; a
    request that is in it is not asked again. ``left_s`` is the time left for selecting.

    Raises:
        ClockError: the time is negative or not a number.
    """

    ballot: Ballot = field(default_factory=Ballot)
    outcomes: Sequence[AttemptOutcome] = ()
    replies: Replies = field(default_factory=lambda: NO_REPLIES)
    left_s: float = math.inf

    def __post_init__(self) -> None:
        if not self.left_s >= 0:
            raise ClockError(
                f"{self.left_s} seconds left to select: must be at least 0; "
                "pass 0 once the deadline has passed"
            )

    def outcome(self, attempt: int) -> AttemptOutcome | None:
        """Return an attempt's outcome, if it is known."""
        return next((each for each in self.outcomes if each.attempt == attempt), None)


class Selector(Protocol):
    """Chooses the answer of a solve.

    A selector is a pure function of the state. One that needs a model or a process returns an
    `Ask`; its caller does what is asked, adds the replies to the state and asks again, until it
    gets a `Selection` or has no time left: then `otherwise` stands. See `voting.selecting`.
    """

    def decide(self, state: SelectionState) -> Selection | Ask:
        """Return the answer, None only where no attempt has one; or what must be known first.

        With every request answered, None being an answer, it returns a selection after a number of
        rounds that is bounded by the number of ballot lines. Raises nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class PluralityVote:
    """The answer with the most votes; of equal counts, the first in the ballot's order."""

    def decide(self, state: SelectionState) -> Selection:
        """Return the answer with the most votes."""
        ballot = state.ballot
        line = ballot.most_votes
        if line is None:
            return no_answer(state.outcomes)
        tied = sum(other.count == line.count for other in ballot.lines) > 1
        reason = _reason(ballot, SelectionReason.MOST_VOTES, tied=tied)
        return Selection(line.answer, reason, float(line.count), float(ballot.count))


@dataclass(frozen=True, slots=True)
class WeightedVote:
    """The answer whose votes weigh most; of equal weights, the first in the ballot's order."""

    def decide(self, state: SelectionState) -> Selection:
        """Return the answer whose votes weigh most."""
        ballot = state.ballot
        if not ballot.lines:
            return no_answer(state.outcomes)
        line: BallotLine = ballot.lines[0]
        tied = len(ballot.lines) > 1 and ballot.lines[1].weight == line.weight
        reason = _reason(ballot, SelectionReason.MOST_WEIGHT, tied=tied)
        return Selection(line.answer, reason, line.weight, ballot.weight)


@dataclass(frozen=True, slots=True)
class FirstBoxed:
    """The answer of the attempt that finished first with one.

    Attempts that ended at the same time are in the order of their indices. Where no attempt with an
    answer finished, the first of those that were cut counts: some answer is better than none.
    """

    def decide(self, state: SelectionState) -> Selection:
        """Return the first answer; ``weight`` is the votes that agree with it."""
        by_attempt = {attempt: line for line in state.ballot.lines for attempt in line.attempts}
        answered = [outcome for outcome in state.outcomes if outcome.attempt in by_attempt]
        if not answered:
            return no_answer(state.outcomes)
        first = min(answered, key=lambda one: (not one.finished, one.ended_s, one.attempt))
        reason = SelectionReason.FIRST_FINISHED if first.finished else SelectionReason.FIRST_CUT
        line = by_attempt[first.attempt]
        return Selection(line.answer, reason, float(line.count), float(state.ballot.count))


def no_answer(outcomes: Sequence[AttemptOutcome]) -> Selection:
    """Return the selection of an empty ballot."""
    reason = SelectionReason.ALL_FAILED if outcomes else SelectionReason.NO_ATTEMPTS
    return Selection(None, reason)


def representative(line: BallotLine, state: SelectionState) -> int:
    """Return the attempt whose solution stands for a ballot line: the first representative."""
    return representatives(line, state, 1)[0]


def representatives(line: BallotLine, state: SelectionState, most: int) -> tuple[int, ...]:
    """Return up to `most` attempts whose solutions stand for a ballot line, the best first.

    An attempt that finished comes before one that was cut, one whose code printed the answer before
    others, fewer failed calls before more, fewer tokens before more, then the lower index.
    """
    known = [each for each in state.outcomes if each.attempt in line.attempts]
    if not known:
        return line.attempts[:most]
    known.sort(
        key=lambda one: (
            not one.finished,
            not one.printed,
            one.tool_errors,
            one.tokens,
            one.attempt,
        )
    )
    return tuple(each.attempt for each in known[:most])


def _reason(ballot: Ballot, otherwise: SelectionReason, *, tied: bool) -> SelectionReason:
    if len(ballot.lines) == 1:
        return SelectionReason.UNANIMOUS
    return SelectionReason.TIE if tied else otherwise
