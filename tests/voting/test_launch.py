import pytest

from voting.errors import PolicyError
from voting.launch import AllAtOnce, LaunchDecision, LaunchReason
from voting.state import SolveState


@pytest.mark.parametrize(
    ("launched", "running", "expected"),
    [
        (0, 0, LaunchDecision(8, LaunchReason.ALL_AT_ONCE)),
        (3, 3, LaunchDecision(5, LaunchReason.ALL_AT_ONCE)),
        (8, 8, LaunchDecision(0, LaunchReason.ALL_LAUNCHED)),
        (8, 0, LaunchDecision(0, LaunchReason.ALL_LAUNCHED)),
        (9, 1, LaunchDecision(0, LaunchReason.ALL_LAUNCHED)),
    ],
)
def test_all_attempts_start_once(launched: int, running: int, expected: LaunchDecision) -> None:
    assert AllAtOnce(8).decide(SolveState(launched=launched, running=running)) == expected


@pytest.mark.parametrize("attempts", [0, -1])
def test_fewer_than_one_attempt_is_refused(attempts: int) -> None:
    with pytest.raises(PolicyError, match=f"{attempts} attempts: must be at least 1"):
        AllAtOnce(attempts)


@pytest.mark.parametrize(("launched", "running"), [(0, 1), (1, 2), (1, -1), (-1, -1)])
def test_an_impossible_state_is_refused(launched: int, running: int) -> None:
    with pytest.raises(PolicyError, match=f"{running} attempts running of {launched} launched"):
        SolveState(launched=launched, running=running)
