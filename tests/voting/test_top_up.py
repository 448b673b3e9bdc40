"""Attempts beyond those planned."""

import pytest

from voting.state import SolveState
from voting.top_up import MOST_ATTEMPTS, top_up


@pytest.mark.parametrize(
    ("launched", "running", "left_s", "share_s", "slots", "expected"),
    [
        (4, 0, 100, 100, 8, 4),
        (4, 3, 100, 100, 8, 1),
        (4, 0, 100, 100, 2, 2),
        (4, 0, 100, 100, 0, 1),
        (4, 1, 100, 100, 0, 0),
        (4, 0, 9, 100, 8, 0),
        (4, 0, 100, 9, 8, 0),
        (4, 0, 100, -5, 8, 0),
        (3, 0, 100, 100, 8, 0),
        (MOST_ATTEMPTS - 1, 0, 100, 100, 8, 1),
        (MOST_ATTEMPTS, 0, 100, 100, 8, 0),
    ],
)
def test_as_many_as_there_is_time_and_room_for(
    launched: int, running: int, left_s: float, share_s: float, slots: int, expected: int
) -> None:
    state = SolveState(
        launched=launched, running=running, attempts=4, free_slots=slots, left_s=left_s,
        attempt_s=10,
    )  # fmt: skip
    assert top_up(state, share_s, agree=4).add == expected


def test_none_while_the_running_attempts_can_decide() -> None:
    state = SolveState(launched=4, running=3, attempts=4, left_s=100, attempt_s=10)
    assert top_up(state, 100, agree=3).add == 0
    assert top_up(state, 100, agree=4).add == 1


def test_none_where_no_attempt_has_come_to_its_own_end() -> None:
    assert top_up(SolveState(launched=4, attempts=4, left_s=100), 100, agree=3).add == 0
