"""Which answer a solve gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.answers import Answer
from voting.ballot import Ballot, BallotLine
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


class Selector(Protocol):
    """Chooses the answer of a solve."""

    def decide(self, ballot: Ballot, outcomes: Sequence[AttemptOutcome]) -> Selection:
        """Return the answer; None only where no attempt has one.

        `outcomes` are those of all attempts that ended, in any order, with an answer or without;
        `ballot` holds the votes of those with one. Raises nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class PluralityVote:
    """The answer with the most votes; of equal counts, the first in the ballot's order."""

    def decide(self, ballot: Ballot, outcomes: Sequence[AttemptOutcome]) -> Selection:
        """Return the answer with the most votes."""
        line = ballot.most_votes
        if line is None:
            return _none(outcomes)
        tied = sum(other.count == line.count for other in ballot.lines) > 1
        reason = _reason(ballot, SelectionReason.MOST_VOTES, tied=tied)
        return Selection(line.answer, reason, float(line.count), float(ballot.count))


@dataclass(frozen=True, slots=True)
class WeightedVote:
    """The answer whose votes weigh most; of equal weights, the first in the ballot's order."""

    def decide(self, ballot: Ballot, outcomes: Sequence[AttemptOutcome]) -> Selection:
        """Return the answer whose votes weigh most."""
        if not ballot.lines:
            return _none(outcomes)
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

    def decide(self, ballot: Ballot, outcomes: Sequence[AttemptOutcome]) -> Selection:  # noqa: ARG002
        """Return the first answer; ``weight`` is the votes that agree with it."""
        answered = [outcome for outcome in outcomes if outcome.answer is not None]
        if not answered:
            return _none(outcomes)
        first = min(answered, key=lambda one: (not one.finished, one.ended_s, one.attempt))
        reason = SelectionReason.FIRST_FINISHED if first.finished else SelectionReason.FIRST_CUT
        keys = [outcome.answer.key for outcome in answered if outcome.answer is not None]
        agreeing = keys.count(first.answer.key) if first.answer is not None else 0
        return Selection(first.answer, reason, float(agreeing), float(len(keys)))


def _none(outcomes: Sequence[AttemptOutcome]) -> Selection:
    reason = SelectionReason.ALL_FAILED if outcomes else SelectionReason.NO_ATTEMPTS
    return Selection(None, reason)


def _reason(ballot: Ballot, otherwise: SelectionReason, *, tied: bool) -> SelectionReason:
    if len(ballot.lines) == 1:
        return SelectionReason.UNANIMOUS
    return SelectionReason.TIE if tied else otherwise
