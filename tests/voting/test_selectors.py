import pytest

from tests.voting.outcomes import ballot, outcome
from voting.ballot import Ballot
from voting.selecting import select
from voting.selectors import (
    FirstBoxed,
    PluralityVote,
    Selection,
    SelectionReason,
    SelectionState,
    Selector,
    WeightedVote,
)
from voting.types import AttemptOutcome
from voting.weights import Plain

SELECTORS: list[Selector] = [PluralityVote(), WeightedVote(), FirstBoxed()]


def test_no_attempts_no_answer() -> None:
    for selector in SELECTORS:
        assert selector.decide(SelectionState()) == Selection(None, SelectionReason.NO_ATTEMPTS)


def test_all_failed_no_answer() -> None:
    outcomes = [outcome(0, None), outcome(1, None, finished=False)]
    for selector in SELECTORS:
        assert selector.decide(SelectionState(outcomes=outcomes)) == Selection(
            None, SelectionReason.ALL_FAILED
        )


@pytest.mark.parametrize(
    ("selector", "votes", "key", "reason", "weight", "total"),
    [
        (PluralityVote(), [(5, 0.1)], "5", SelectionReason.UNANIMOUS, 1, 1),
        (PluralityVote(), [(5, 1), (7, 1), (5, 1)], "5", SelectionReason.MOST_VOTES, 2, 3),
        (PluralityVote(), [(7, 9), (5, 1), (5, 1)], "5", SelectionReason.MOST_VOTES, 2, 3),
        (PluralityVote(), [(5, 1), (7, 1)], "5", SelectionReason.TIE, 1, 2),
        (PluralityVote(), [(5, 1), (7, 2)], "7", SelectionReason.TIE, 1, 2),
        (PluralityVote(), [(8, 1), (7, 1), (6, 1)], "8", SelectionReason.TIE, 1, 3),
        (WeightedVote(), [(5, 0.5), (5, 0.25)], "5", SelectionReason.UNANIMOUS, 0.75, 0.75),
        (
            WeightedVote(),
            [(5, 0.5), (5, 0.5), (7, 1.5)],
            "7",
            SelectionReason.MOST_WEIGHT,
            1.5,
            2.5,
        ),
        (WeightedVote(), [(7, 1), (5, 0.5), (5, 0.5)], "5", SelectionReason.TIE, 1, 2),
        (WeightedVote(), [(5, 1), (7, 1)], "5", SelectionReason.TIE, 1, 2),
        (WeightedVote(), [(5, 0), (7, 0)], "5", SelectionReason.TIE, 0, 0),
    ],
)
def test_votes(
    selector: Selector,
    votes: list[tuple[str | int, float]],
    key: str,
    reason: SelectionReason,
    weight: float,
    total: float,
) -> None:
    outcomes = [outcome(attempt, written) for attempt, (written, _) in enumerate(votes)]
    selection = select(selector, ballot(*votes), outcomes)
    assert selection.answer is not None
    assert selection.answer.key == key
    assert (selection.reason, selection.weight, selection.total) == (reason, weight, total)


def first(*outcomes: AttemptOutcome) -> Selection:
    return select(FirstBoxed(), Ballot.cast(outcomes, Plain()), outcomes)


def test_the_first_to_finish_with_an_answer_decides() -> None:
    selection = first(
        outcome(0, 5, seconds=9),
        outcome(1, 7, seconds=4),
        outcome(2, None, seconds=1),
        outcome(3, 5, seconds=8),
        outcome(4, 6, seconds=2, finished=False),
    )
    assert selection.answer is not None
    assert selection.answer.key == "7"
    assert selection.reason is SelectionReason.FIRST_FINISHED
    assert (selection.weight, selection.total) == (1, 4)


def test_a_late_starter_finishes_late() -> None:
    selection = first(outcome(0, 5, started_s=10, seconds=1), outcome(1, 7, seconds=9))
    assert selection.answer is not None
    assert selection.answer.key == "7"


def test_equal_ends_are_in_the_order_of_attempts() -> None:
    selection = first(outcome(3, 5), outcome(1, 7))
    assert selection.answer is not None
    assert selection.answer.key == "7"


def test_where_none_finished_the_first_cut_decides() -> None:
    selection = first(
        outcome(0, 5, seconds=9, finished=False), outcome(1, 7, seconds=8, finished=False)
    )
    assert selection.answer is not None
    assert (selection.answer.key, selection.reason) == ("7", SelectionReason.FIRST_CUT)
