import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import ballot, state
from voting.errors import PolicyError
from voting.launch import AllAtOnce, LaunchDecision, LaunchReason, Staged
from voting.stages import Stage, proportioned
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


STAGED = Staged((Stage(4, 3), Stage(8, 4), Stage(16, 6)))


@pytest.mark.parametrize(
    ("votes", "running", "failed", "add", "reason"),
    [
        ([], 0, 0, 4, LaunchReason.STAGE),
        ([], 4, 0, 0, LaunchReason.UNDECIDED),
        ([5], 3, 0, 0, LaunchReason.UNDECIDED),
        ([5, 7], 2, 0, 0, LaunchReason.UNDECIDED),
        ([5, 7], 1, 1, 4, LaunchReason.OPEN),
        ([5, 6, 7], 1, 0, 4, LaunchReason.OPEN),
        ([5, 5, 5], 1, 0, 0, LaunchReason.DECIDED),
        ([5, 5, 6, 7], 4, 0, 0, LaunchReason.UNDECIDED),
        ([1, 2, 3, 4], 4, 0, 0, LaunchReason.UNDECIDED),
        ([1, 2, 3, 4], 2, 2, 8, LaunchReason.OPEN),
        ([1, 2, 3, 4, 5, 6, 7, 8], 8, 0, 0, LaunchReason.ALL_LAUNCHED),
        ([], 0, 4, 4, LaunchReason.OPEN),
    ],
)
def test_more_start_only_while_the_stage_cannot_be_decided(
    votes: list[int], running: int, failed: int, add: int, reason: LaunchReason
) -> None:
    at = state(*[(vote, 1.0) for vote in votes], running=running, failed=failed)
    assert STAGED.decide(at) == LaunchDecision(add, reason)


@pytest.mark.parametrize(
    ("running", "slots", "left_s", "attempt_s", "expected"),
    [
        (0, None, 99.0, 0.0, LaunchDecision(4, LaunchReason.STAGE)),
        (0, 3, 99.0, 9.0, LaunchDecision(3, LaunchReason.STAGE)),
        (0, 0, 99.0, 9.0, LaunchDecision(1, LaunchReason.STAGE)),
        (2, 0, 99.0, 9.0, LaunchDecision(0, LaunchReason.NO_SLOT)),
        (0, None, 8.0, 9.0, LaunchDecision(0, LaunchReason.NO_TIME)),
        (0, None, 0.0, 0.0, LaunchDecision(0, LaunchReason.NO_TIME)),
    ],
)
def test_time_and_slots_limit_what_starts(
    running: int, slots: int | None, left_s: float, attempt_s: float, expected: LaunchDecision
) -> None:
    at = SolveState(
        launched=running, running=running, free_slots=slots, left_s=left_s, attempt_s=attempt_s
    )
    assert STAGED.decide(at) == expected


@given(
    st.integers(1, 256),
    st.integers(1, 256),
    st.lists(st.sampled_from([None, 1, 2, 3]), min_size=256, max_size=256),
)
def test_a_staged_solve_ends_and_launches_each_attempt_once(
    attempts: int, agree: int, answers: list[int | None]
) -> None:
    """Play it: attempts end one at a time; it is never stuck with the ballot open."""
    launch = Staged(proportioned(attempts, agree))
    votes: list[tuple[str | int, float]] = []
    launched = running = 0
    while True:
        at = SolveState(ballot=ballot(*votes), launched=launched, running=running)
        add = launch.decide(at).add
        launched, running = launched + add, running + add
        if not running:
            break
        running -= 1
        vote = answers[launched - running - 1]
        votes += [] if vote is None else [(vote, 1.0)]
    best = ballot(*votes).most_votes
    decided = best is not None and any(best.count >= stage.agree for stage in launch.stages)
    assert launched == attempts or (decided and launched < attempts)
