"""Libraries of budgets as values: written, read again, refused where they are none."""

from typing import Any

import pytest

from voting.budget import BudgetClock, BudgetState
from voting.budgets import Fitted, make_budget
from voting.catalogue import Context
from voting.errors import PolicyError
from voting.library import MAX_PATHS, RecordedPaths, read_paths
from voting.paths import ProblemPath, RatedPath, VoteMark


def path(first_s: float, *right: float) -> RatedPath:
    marks = tuple(
        VoteMark(first_s * (number + 1), number + 1, number + 1, number + 1)
        for number in range(len(right))
    )
    return RatedPath(ProblemPath(marks, first_s * max(len(right), 1), whole=True), right)


LIBRARY = RecordedPaths("made here", 8, 4, (path(20.0, 1, 1, 1), path(90.0, 0, 1), path(300.0)))


def test_what_is_written_is_read_again() -> None:
    assert read_paths(LIBRARY.as_json()) == LIBRARY


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"version": 2},
        {"paths": []},
        {"paths": None},
        {"paths": [{"seconds": 5, "whole": True, "marks": []}]},
        {"paths": [{"seconds": 5, "whole": True, "marks": [[9, 1, 1, 1, 1]]}]},
        {"paths": [{"seconds": 5, "whole": True, "marks": [[1, 1, 1, 1, 2]]}]},
        {"paths": [{"seconds": float("nan"), "whole": True, "marks": [[1, 1, 1, 1, 1]]}]},
        {"paths": [{"seconds": 5, "whole": True, "marks": [[1, 1, 1]]}]},
        {"paths": [{"seconds": 5}]},
        {"paths": [{}] * (MAX_PATHS + 1)},
        {"attempts": "many"},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match=r"quorum replay --library"):
        read_paths(LIBRARY.as_json() | change)


@pytest.mark.parametrize("values", [None, [], "x", 3, {}])
def test_other_values_are_refused(values: object) -> None:
    with pytest.raises(PolicyError):
        read_paths(values)


def test_a_budget_begins_with_what_it_knows() -> None:
    """Of quick problems recorded here, a budget expects votes soon; the made-up ones are slow."""
    quick = tuple(path(2.0, 1, 1, 1) for _ in range(40))
    known = make_budget("adaptive", Context(8, 4, quick))
    assert isinstance(known, Fitted)
    assert known.of_this_machine
    assert known.first_s == pytest.approx(2.0, rel=0.2)
    history: tuple[ProblemPath, ...] = ()
    clock = BudgetClock(now_s=0.0, deadline_s=18_000.0, problems_left=50)
    state = BudgetState(clock=clock, history=history)
    assert known.factor(state) == 1.0
    usual = tuple(ProblemPath((VoteMark(3.0, 1, 1, 1),), 6.0, whole=True) for _ in range(9))
    assert known.factor(BudgetState(clock=clock, history=usual)) == 1.0
    slow = tuple(ProblemPath((VoteMark(30.0, 1, 1, 1),), 60.0, whole=True) for _ in range(9))
    assert known.factor(BudgetState(clock=clock, history=slow)) > 5


def test_a_library_without_a_vote_is_refused() -> None:
    with pytest.raises(PolicyError, match="must have a vote"):
        make_budget("adaptive", Context(8, 4, (path(30.0),)))
