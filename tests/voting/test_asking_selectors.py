"""Selectors that need a model or a process: what they ask, and what they make of the replies."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import answer, ballot, outcome
from voting.ballot import Ballot, Vote
from voting.cascade import Cascade
from voting.errors import ClockError, PolicyError
from voting.process_rewards import Aggregate, ProcessRewardVote, aggregate
from voting.rechecks import RecheckVote, RerunVote
from voting.requests import (
    Compare,
    Judgment,
    Recheck,
    Reply,
    Request,
    Reran,
    Rerun,
    ScoreSteps,
    StepScores,
    Verdict,
)
from voting.selecting import MAX_ROUNDS, rounds, select
from voting.selectors import (
    Ask,
    PluralityVote,
    Selection,
    SelectionReason,
    SelectionState,
    Selector,
    WeightedVote,
    representative,
)
from voting.tournament import MOST_REPEATS, Tournament, draw

#: 3 votes for 5, 2 for 7, 1 for 8; attempts 0, 3 and 5 stand for them.
VOTES: list[tuple[str | int, float]] = [(5, 1.0), (5, 1.0), (5, 1.0), (7, 1.0), (7, 1.0), (8, 1.0)]
BALLOT = ballot(*VOTES)
OUTCOMES = [outcome(attempt, written) for attempt, (written, _) in enumerate(VOTES)]
FOUR, SEVEN, EIGHT = 0, 3, 5

ASKING: list[Selector] = [
    Tournament(),
    Tournament(size=3, repeats=2),
    RerunVote(),
    RecheckVote(),
    ProcessRewardVote(),
    Cascade(WeightedVote(), Tournament(), settled=0.9),
    Cascade(PluralityVote(), Cascade(RerunVote(), RecheckVote()), settled=0.9),
]


def preferring(attempt: int) -> Callable[[Request], Reply | None]:
    """Return a judge that takes this attempt wherever it is shown, else the first one shown."""

    def answer_to(request: Request) -> Reply | None:
        match request:
            case Compare():
                return Judgment(attempt if attempt in request.attempts else request.attempts[0])
            case Recheck():
                return Verdict(8.0 if request.attempt == attempt else -8.0)
            case Rerun():
                return Reran(request.attempt == attempt)
            case ScoreSteps():
                return StepScores((0.9, 0.9) if request.attempt == attempt else (0.9, 0.01))
        return None

    return answer_to


def recording(
    asked: list[Request], judge: Callable[[Request], Reply | None]
) -> Callable[[Request], Reply | None]:
    def recorded(request: Request) -> Reply | None:
        asked.append(request)
        return judge(request)

    return recorded


def chosen(selector: Selector, judge: Callable[[Request], Reply | None]) -> str | None:
    selection = select(selector, BALLOT, OUTCOMES, judge)
    return selection.answer.key if selection.answer else None


@pytest.mark.parametrize("selector", ASKING, ids=str)
@pytest.mark.parametrize(("attempt", "key"), [(FOUR, "5"), (EIGHT, "8")])
def test_what_is_found_out_decides(selector: Selector, attempt: int, key: str) -> None:
    assert chosen(selector, preferring(attempt)) == key


@pytest.mark.parametrize("selector", ASKING, ids=str)
def test_where_everything_fails_the_heaviest_answer_stands(selector: Selector) -> None:
    assert chosen(selector, lambda _: None) == "5"


@pytest.mark.parametrize("selector", ASKING, ids=str)
@pytest.mark.parametrize(
    ("votes", "key"), [([], None), ([(5, 1.0)], "5"), ([(5, 1.0), (5, 1.0)], "5")]
)
def test_nothing_is_asked_where_nothing_is_contested(
    selector: Selector, votes: list[tuple[str | int, float]], key: str | None
) -> None:
    outcomes = [outcome(attempt, written) for attempt, (written, _) in enumerate(votes)]
    decision = selector.decide(SelectionState(ballot=ballot(*votes), outcomes=outcomes))
    assert isinstance(decision, Selection)
    assert (decision.answer.key if decision.answer else None) == key


@pytest.mark.parametrize("selector", ASKING, ids=str)
def test_without_time_nothing_is_asked(selector: Selector) -> None:
    state = SelectionState(ballot=BALLOT, outcomes=OUTCOMES, left_s=0.0)
    asking = rounds(selector, BALLOT, OUTCOMES, lambda: 0.0)
    with pytest.raises(StopIteration) as end:
        next(asking)
    assert end.value.value.answer == answer(5)
    decision = selector.decide(state)
    assert isinstance(decision, Selection)


@pytest.mark.parametrize("selector", ASKING, ids=str)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=24), right=st.integers(0, 23))
def test_any_ballot_is_settled_within_the_rounds(
    selector: Selector, counts: list[int], right: int
) -> None:
    votes: list[tuple[str | int, float]] = [
        (value, 1.0) for value, count in enumerate(counts) for _ in range(count)
    ]
    outcomes = [outcome(attempt, written) for attempt, (written, _) in enumerate(votes)]
    asked: list[Request] = []
    judge = preferring(right % len(votes))

    selection = select(selector, ballot(*votes), outcomes, recording(asked, judge))
    assert selection.answer is not None
    assert len(asked) == len(set(asked))
    assert select(selector, ballot(*votes), outcomes, judge) == selection


class TestTournament:
    def test_every_solution_stands_in_every_place(self) -> None:
        decision = Tournament(size=3).decide(SelectionState(ballot=BALLOT, outcomes=OUTCOMES))
        assert isinstance(decision, Ask)
        assert decision.requests == (Compare((0, 3, 5)), Compare((3, 5, 0)), Compare((5, 0, 3)))

    def test_a_judge_that_takes_the_first_place_changes_nothing(self) -> None:
        def first(request: Request) -> Reply | None:
            return Judgment(request.attempts[0]) if isinstance(request, Compare) else None

        for size in (2, 3, 8):
            assert chosen(Tournament(size), first) == "5"

    def test_heavy_lines_meet_late(self) -> None:
        lines = ballot(*[(value, 9.0 - value) for value in range(8)]).lines
        groups = draw(lines, 2)
        assert [[line.answer.key for line in group] for group in groups] == [
            ["0", "7"], ["1", "6"], ["2", "5"], ["3", "4"],
        ]  # fmt: skip

    def test_a_knock_out_asks_twice_a_match(self) -> None:
        votes: list[tuple[str | int, float]] = [(value, 1.0) for value in range(16)]
        outcomes = [outcome(attempt, written) for attempt, (written, _) in enumerate(votes)]
        asked: list[Request] = []
        judge = preferring(9)
        selection = select(Tournament(), ballot(*votes), outcomes, recording(asked, judge))
        assert selection.answer == answer(9)
        assert selection.reason is SelectionReason.TOURNAMENT
        assert len(asked) == 2 * 15

    def test_time_that_runs_out_between_rounds_leaves_the_heaviest_in_the_cup(self) -> None:
        votes: list[tuple[str | int, float]] = [(value, 9.0 - value) for value in range(4)]
        outcomes = [outcome(attempt, written) for attempt, (written, _) in enumerate(votes)]
        left = iter([60.0, 5.0, 5.0])
        asking = rounds(Tournament(), ballot(*votes), outcomes, lambda: next(left))
        requests = next(asking)
        with pytest.raises(StopIteration) as end:
            asking.send({one: Judgment(3) for one in requests if 3 in getattr(one, "attempts", ())})
        assert end.value.value.answer == answer(1)


def test_a_representative_finished_with_its_answer_printed() -> None:
    outcomes = [
        outcome(0, 5, finished=False),
        outcome(1, 5, tokens=10),
        outcome(2, 5, tokens=99, printed=True, tool_calls=1),
        outcome(3, 5, tokens=50, printed=True, tool_calls=1),
    ]
    [line] = Ballot.of(Vote(each.attempt, answer(5)) for each in outcomes).lines
    assert representative(line, SelectionState(outcomes=outcomes)) == 3


def test_a_cascade_leaves_out_answers_that_are_not_plausible() -> None:
    cascade = Cascade(WeightedVote(), RerunVote(), settled=0.9, plausible=0.5)
    decision = cascade.decide(SelectionState(ballot=BALLOT, outcomes=OUTCOMES))
    assert isinstance(decision, Ask)
    assert decision.requests == (Rerun(FOUR), Rerun(SEVEN))
    assert decision.otherwise == WeightedVote().decide(SelectionState(ballot=BALLOT))


class TestRecheck:
    """Votes are worth the odds that the model gives them."""

    def decided(self, log_odds: dict[int, float], **parameters: float) -> str | None:
        def told(request: Request) -> Reply | None:
            assert isinstance(request, Recheck)
            return Verdict(log_odds[request.attempt]) if request.attempt in log_odds else None

        return chosen(RecheckVote(**parameters), told)  # type: ignore[arg-type]

    def test_all_solutions_of_an_answer_speak_for_it(self) -> None:
        asked: list[Request] = []
        select(RecheckVote(), BALLOT, OUTCOMES, recording(asked, preferring(FOUR)))
        assert asked == [Recheck(attempt) for attempt in range(6)]
        # The one that stands for 7 alone would lose against that of 8.
        odds = {0: 0.0, 1: 0.0, 2: 0.0, 3: 1.0, 4: 3.0, 5: 2.0}
        assert self.decided(odds, trust=1.0) == "7"
        assert self.decided(odds, trust=1.0, each=1) == "8"

    def test_trust_is_weighed_against_votes(self) -> None:
        odds = {0: 1.0, 1: 1.0, 2: 1.0, 3: 2.0, 4: 2.0, 5: 2.0}
        assert self.decided(odds, trust=1.0) == "7"
        assert self.decided(odds, trust=0.25) == "5"

    def test_a_verdict_that_is_missing_is_that_of_the_other_solutions(self) -> None:
        assert self.decided({4: 3.0, 0: 1.0, 5: 1.0}, trust=1.0) == "7"
        assert self.decided({}, trust=1.0) == "5"


@pytest.mark.parametrize("log_odds", [math.nan, math.inf, -math.inf, 1e300])
def test_absurd_verdicts_are_bounded(log_odds: float) -> None:
    selection = select(RecheckVote(), BALLOT, OUTCOMES, lambda _: Verdict(log_odds))
    assert selection.answer == answer(5)
    assert 0 < selection.share <= 1


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Aggregate.LEAST, 0.5), (Aggregate.PRODUCT, 0.4),
        (Aggregate.LAST, 0.8), (Aggregate.MEAN, 0.65 + 0.35 / 3),
    ],
)  # fmt: skip
def test_steps_make_one_rating(how: Aggregate, expected: float) -> None:
    assert aggregate([1.0, 0.5, 0.8], how) == pytest.approx(expected)
    assert aggregate([math.nan, 2.0, -1.0], how) is not None
    assert aggregate([math.nan], how) is None


def test_a_selector_that_asks_for_ever_is_stopped() -> None:
    class Curious:
        def decide(self, state: SelectionState) -> Selection | Ask:
            otherwise = WeightedVote().decide(state)
            return Ask((Recheck(len(state.replies)),), otherwise)

    asked: list[Request] = []
    selection = select(Curious(), BALLOT, OUTCOMES, recording(asked, lambda _: None))
    assert selection.answer == answer(5)
    assert len(asked) == MAX_ROUNDS


@pytest.mark.parametrize("left_s", [-1.0, math.nan])
def test_a_clock_that_jumped_is_refused(left_s: float) -> None:
    with pytest.raises(ClockError, match="seconds left to select"):
        SelectionState(left_s=left_s)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tournament(1), lambda: Tournament(repeats=0),
        lambda: Tournament(repeats=MOST_REPEATS + 1), lambda: RerunVote(0),
        lambda: RecheckVote(trust=2.0), lambda: RecheckVote(each=0),
        lambda: RecheckVote(least_s=math.nan),
        lambda: ProcessRewardVote(most=0), lambda: Cascade(WeightedVote(), WeightedVote(), 2.0),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(make: Callable[[], Selector]) -> None:
    with pytest.raises(PolicyError, match="must be"):
        make()
