import math
from dataclasses import FrozenInstanceError, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import answer, ballot, outcome
from voting.ballot import Ballot, Vote
from voting.errors import DuplicateVoteError, WeightError
from voting.types import AttemptOutcome
from voting.weights import ByToolErrors, WeightDecision, WeightReason


def keys(counted: Ballot) -> list[str]:
    return [line.answer.key for line in counted.lines]


def test_no_votes_make_an_empty_ballot() -> None:
    empty = Ballot.of([])
    assert empty == Ballot()
    assert (empty.lines, empty.count, empty.weight, empty.most_votes) == ((), 0, 0, None)


def test_spellings_of_one_answer_share_a_line_written_as_the_earliest_did() -> None:
    votes = [Vote(5, answer("042")), Vote(2, answer("x = 42")), Vote(9, answer(r"\text{42}"))]
    [line] = Ballot.of(votes).lines
    assert (line.answer.key, line.answer.written) == ("42", "x = 42")
    assert (line.attempts, line.count, line.weight) == ((2, 5, 9), 3, 3.0)


@pytest.mark.parametrize(
    ("votes", "order"),
    [
        pytest.param([(1, 0.5), (2, 0.9)], ["2", "1"], id="by weight"),
        pytest.param([(1, 1.0), (2, 0.5), (2, 0.5)], ["2", "1"], id="then by count"),
        pytest.param([(3, 1.0), (2, 1.0), (1, 1.0)], ["3", "2", "1"], id="then by attempt"),
        pytest.param([(1, 0.0), (2, 0.0), (2, 0.0)], ["2", "1"], id="weights of zero"),
    ],
)
def test_the_order_of_lines(votes: list[tuple[str | int, float]], order: list[str]) -> None:
    assert keys(ballot(*votes)) == order


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), max_size=12).flatmap(
        lambda votes: st.tuples(st.just(votes), st.permutations(range(len(votes))))
    )
)
def test_the_order_of_votes_never_matters(
    votes_and_order: tuple[list[tuple[int, float]], list[int]],
) -> None:
    drawn, order = votes_and_order
    votes = [Vote(attempt, answer(value), weight) for attempt, (value, weight) in enumerate(drawn)]
    counted = Ballot.of(votes)
    assert Ballot.of(votes[index] for index in order) == counted
    assert counted.count == len(votes)
    assert counted.weight == pytest.approx(math.fsum(vote.weight for vote in votes))
    assert sorted(a for line in counted.lines for a in line.attempts) == list(range(len(votes)))


def test_a_ballot_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        ballot((1, 1.0)).lines = ()  # type: ignore[misc]


@pytest.mark.parametrize("weight", [-0.1, math.inf, -math.inf, math.nan])
def test_a_weight_that_cannot_be_counted_is_refused(weight: float) -> None:
    with pytest.raises(WeightError, match=f"attempt 3: vote of weight {weight}: must be finite"):
        Vote(3, answer(42), weight)


def test_weights_whose_sum_overflows_are_refused() -> None:
    with pytest.raises(WeightError, match="the sum of 2 weights: must be finite"):
        ballot((42, 1.7e308), (42, 1.7e308))


def test_an_attempt_votes_once() -> None:
    with pytest.raises(DuplicateVoteError, match="attempt 1: two votes: must be at most one"):
        Ballot.of([Vote(1, answer(5)), Vote(1, answer(7))])


def test_attempts_without_an_answer_do_not_vote_and_cut_ones_with_one_do() -> None:
    counted = Ballot.cast(
        [
            outcome(0, 5, finished=False),
            outcome(1, None),
            outcome(2, 7, tool_calls=2, tool_errors=1),
        ],
        ByToolErrors(),
    )
    assert [(line.answer.key, line.weight, line.attempts) for line in counted.lines] == [
        ("5", 1.0, (0,)),
        ("7", 0.75, (2,)),
    ]


@dataclass(frozen=True)
class Broken:
    """A weight policy that divided by zero."""

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:  # noqa: ARG002
        return WeightDecision(math.nan, WeightReason.EQUAL)


def test_a_broken_weight_policy_is_found_out() -> None:
    with pytest.raises(WeightError, match="vote of weight nan"):
        Ballot.cast([outcome(0, 5)], Broken())
