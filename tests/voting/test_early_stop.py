import pytest

from tests.voting.outcomes import state
from voting.early_stop import AgreeingAnswers, Never, StopReason
from voting.errors import PolicyError


@pytest.mark.parametrize(
    ("votes", "stops_at"),
    [
        ([], None),
        ([5], None),
        ([5, 7, 8], None),
        ([5, 7, 5], None),
        ([5, 7, 5, 5], "5"),
        ([5, 5, 5, 5], "5"),
        ([7, 5, 7, 5, 7, 5], "7"),
    ],
)
def test_three_equal_answers_are_enough(votes: list[int], stops_at: str | None) -> None:
    decision = AgreeingAnswers(3).decide(state(*((vote, 1.0) for vote in votes), running=2))
    assert decision.stop is (stops_at is not None)
    assert (decision.answer.key if decision.answer else None) == stops_at
    expected = StopReason.ENOUGH_AGREE if stops_at else StopReason.TOO_FEW_AGREE
    assert decision.reason is expected


def test_votes_count_whatever_they_weigh() -> None:
    heavy_loser = state((7, 9.0), (5, 0.1), (5, 0.1))
    decision = AgreeingAnswers(2).decide(heavy_loser)
    assert decision.answer is not None
    assert decision.answer.key == "5"


def test_never_does_not_stop() -> None:
    decision = Never().decide(state((5, 1.0), (5, 1.0), running=1))
    assert (decision.stop, decision.answer, decision.reason) == (False, None, StopReason.NEVER)


@pytest.mark.parametrize("needed", [0, -1])
def test_fewer_than_one_equal_answer_is_refused(needed: int) -> None:
    with pytest.raises(
        PolicyError, match=f"early stop at {needed} equal answers: must be at least"
    ):
        AgreeingAnswers(needed)
