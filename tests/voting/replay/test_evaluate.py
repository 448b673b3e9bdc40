from dataclasses import replace

import numpy as np
import pytest

from tests.voting.replay.recorded import STEADY, combination, problem, right, wrong
from voting.errors import ReplayError
from voting.replay.evaluate import Evaluation, Evaluator, Measure, launch_order
from voting.replay.records import RecordedAttempt, RecordedProblem
from voting.replay.solve import replay_solve
from voting.replay.statistics import (
    Estimate,
    compare,
    estimate,
    paired_interval,
    tango,
    two_run_score,
)
from voting.replay.synthetic import Population, draw_population
from voting.replay.tuner import Goal, best, halves, search_space, tune

EASY = problem("easy", *(right(10),) * 8)
HARD = problem("hard", *(wrong(40),) * 6, right(100), right(100))
ALL = combination("all")
ONE = combination("one", attempts=1)


def evaluated(rounds: int = 20, seed: int = 0) -> Evaluation:
    return Evaluator([EASY, HARD], [ALL, ONE], STEADY, seed).run(rounds)


def test_measures_are_means_over_rounds() -> None:
    evaluation = evaluated()
    assert evaluation.by_problem(0, Measure.ACCURACY).tolist() == [1, 0]
    assert evaluation.by_problem(0, Measure.ORACLE).tolist() == [1, 1]
    assert evaluation.selection_loss(0).tolist() == [0, 1]
    assert evaluation.by_problem(0, Measure.TOKENS) == pytest.approx([80, 440])
    assert evaluation.by_problem(0, Measure.CONTESTED).tolist() == [0, 1]
    # One attempt of the hard problem is right in a quarter of all orders.
    assert 0.05 < evaluation.by_problem(1, Measure.ACCURACY)[1] < 0.5


def test_the_seed_alone_decides() -> None:
    assert np.array_equal(evaluated(seed=3).values, evaluated(seed=3).values)
    assert not np.array_equal(evaluated(seed=3).values, evaluated(seed=4).values)
    # Nor do other problems and combinations change a problem's orders.
    alone = Evaluator([HARD], [ONE], STEADY, 3).run(20)
    assert np.array_equal(alone.values[0, 0], evaluated(seed=3).values[1, 1])


def test_what_ended_before_an_interrupt_is_whole() -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 30
        if done == 7:
            raise KeyboardInterrupt

    evaluator = Evaluator([EASY, HARD], [ALL, ONE], STEADY, 0)
    with pytest.raises(KeyboardInterrupt):
        evaluator.run(30, interrupt)
    assert evaluator.evaluation().rounds == 7
    assert np.array_equal(evaluator.evaluation().values, evaluated(rounds=7).values)


def test_orders_are_drawn_without_replacement() -> None:
    order = launch_order(HARD, 0, 0)
    assert sorted(one.tokens for one in order) == sorted(one.tokens for one in HARD.attempts)
    assert launch_order(HARD, 0, 1) != order or launch_order(HARD, 0, 2) != order


def test_evaluations_of_nothing_are_refused() -> None:
    with pytest.raises(ReplayError, match="0 combinations on 1 problems"):
        Evaluator([EASY], [], STEADY, 0)
    with pytest.raises(ReplayError, match="different names"):
        Evaluator([EASY], [ALL, ALL], STEADY, 0)
    with pytest.raises(ReplayError, match="0 rounds"):
        Evaluator([EASY], [ALL], STEADY, 0).evaluation()
    with pytest.raises(ReplayError, match="'none': must be one of all, one"):
        evaluated(1).index("none")


def test_intervals_hold_the_mean_and_narrow_with_more_problems() -> None:
    draw = np.random.default_rng(0)
    few, many = draw.random(10), draw.random(1_000)
    wide, narrow = estimate(few, seed=0), estimate(many, seed=0)
    for each, values in ((wide, few), (narrow, many)):
        assert each.low < each.mean < each.high
        assert each.mean == pytest.approx(values.mean())
    assert narrow.high - narrow.low < (wide.high - wide.low) / 5
    assert wide == estimate(few, seed=0)


def test_a_paired_comparison_sees_what_intervals_hide() -> None:
    other = np.linspace(0, 0.99, 50)
    comparison = compare(other + 0.01, other, seed=0)
    assert comparison.better == 1
    assert 0.008 < comparison.difference.low < 0.01
    assert evaluated(2).compare(1, 1, Measure.ACCURACY, 0).difference == Estimate(0, 0, 0)
    with pytest.raises(ReplayError, match="must be the same ones"):
        compare(other, other[1:], seed=0)
    with pytest.raises(ReplayError, match="mean of 0 problems"):
        estimate(np.array([np.nan]), seed=0)


def test_two_runs_score_half_where_one_is_right() -> None:
    first, second = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0])
    assert two_run_score(first, second).tolist() == [1, 0.5, 0.5, 0]


def test_halves_part_problems_and_keep_groups_together() -> None:
    names = [f"p{number}" for number in range(9)]
    groups = ["a", "a", "a", "b", "b", "c", "c", "d", "e"]
    sizes = set()
    for number in range(20):
        one, other = halves(names, 0, number)
        assert sorted([*one, *other]) == list(range(9))
        sizes |= {len(one), len(other)}
        apart, rest = halves(names, 0, number, groups)
        assert not {groups[index] for index in apart} & {groups[index] for index in rest}
        assert sorted([*apart, *rest]) == list(range(9))
    assert sizes == {4, 5}
    with pytest.raises(ReplayError, match="1 groups"):
        halves(names, 0, 0, ["a"] * 9)


def with_values(*values: list[tuple[float, float]]) -> Evaluation:
    """Return an evaluation with these accuracies and tokens, a list a combination."""
    chosen = [combination(f"c{place}") for place in range(len(values))]
    array = np.zeros((len(values), len(values[0]), len(Measure)))
    for place, row in enumerate(values):
        for column, (accuracy, tokens) in enumerate(row):
            array[place, column, Measure.ACCURACY] = accuracy
            array[place, column, Measure.TOKENS] = tokens
    names = tuple(f"p{column}" for column in range(len(values[0])))
    return Evaluation(tuple(chosen), names, 1, array)


def test_the_best_is_the_most_accurate_within_the_tokens() -> None:
    evaluation = with_values([(0.5, 100)] * 4, [(0.9, 90)] * 4, [(0.6, 50)] * 4, [(0.6, 40)] * 4)
    problems = np.arange(4)
    assert best(evaluation, problems, 0, Goal(1.0)) == 1
    assert best(evaluation, problems, 0, Goal(0.6)) == 3
    assert best(evaluation, problems, 0, Goal(0.1)) == 3


def test_tuning_reports_on_problems_that_it_did_not_see() -> None:
    """Each of two choices is right on one problem alone: what looks best fails on the other."""
    evaluation = with_values([(0.5, 9), (0.5, 9)], [(1, 9), (0, 9)], [(0, 9), (1, 9)])
    tuned = tune(evaluation, 0, Goal(1.0), splits=20, seed=0)
    assert tuned.accuracy.tolist() == [0, 0]
    assert tuned.gain(0).difference.mean == -0.5
    assert tuned.token_share == 1
    assert set(tuned.choices) == {"c1", "c2"}
    with pytest.raises(ReplayError, match="0 splits"):
        tune(evaluation, 0, Goal(1.0), splits=0, seed=0)


def test_the_search_space_has_no_name_twice() -> None:
    names = [each.name for each in search_space()]
    assert len(set(names)) == len(names) > 20


def test_a_population_is_as_stated_and_by_seed() -> None:
    population = Population(problems=150, attempts=16, accuracy=0.7, trap=0.5)
    drawn = draw_population(population, 1)
    assert drawn == draw_population(population, 1) != draw_population(population, 2)
    assert np.mean([each.accuracy for each in drawn]) == pytest.approx(0.7, abs=0.08)
    wrongs = [one for each in drawn for one in each.attempts if not one.right]
    assert np.mean([one.key == "2" for one in wrongs]) == pytest.approx(0.5, abs=0.1)
    assert "150 problems of 16" in population.stated()
    with pytest.raises(ReplayError, match="correct the value"):
        Population(accuracy=1.5)


def test_the_interval_of_right_and_wrong_is_tangos() -> None:
    # Tango 1998, the contact lenses: 44 pairs, of which one differs.
    assert tango(0, 1, 44) == pytest.approx((-0.118, 0.059), abs=5e-4)
    square = 1.959964**2
    for problems in (1, 10, 44):
        low, high = tango(0, 0, problems)
        # None differs: the variance at a difference d is d (1 - d) / n.
        assert (low, high) == pytest.approx((-high, square / (problems + square)), rel=1e-5)
    for gained, lost in ((5, 0), (3, 1), (0, 5)):
        low, high = tango(gained, lost, 5)
        assert -1 <= low <= (gained - lost) / 5 <= high <= 1
        assert tango(lost, gained, 5) == pytest.approx((-high, -low))


@pytest.mark.parametrize("problems", [1, 3, 10, 30])
@pytest.mark.parametrize(("gain", "loss"), [(0.05, 0.02), (0.1, 0.05), (0.3, 0.2), (0.02, 0.0)])
@pytest.mark.parametrize("attempts", [1, 4])
def test_intervals_of_differences_hold_what_they_promise(
    problems: int, gain: float, loss: float, attempts: int
) -> None:
    """Also where no problem differs, which says little of few: then they are not of width 0."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        drawn = random.random((problems, attempts))
        won, lost = drawn < gain, (drawn >= gain) & (drawn < gain + loss)
        found = paired_interval(won.mean(axis=1), lost.mean(axis=1))
        assert found.low < found.high
        assert -1 <= found.low <= found.mean <= found.high <= 1
        held += found.low <= gain - loss <= found.high
    assert held / 300 >= 0.93


def test_differences_that_are_no_shares_have_an_interval_too() -> None:
    found = paired_interval(np.array([20.0, 31.0, 25.0]), np.array([18.0, 30.0, 25.0]))
    assert found.low < 0 < found.mean == 1 < found.high
    assert paired_interval(np.array([9.0, 8.0]), np.array([9.0, 8.0])) == Estimate(0, 0, 0)


def mixed(*, numbered: bool = True) -> list[RecordedProblem]:
    """Return problems of eight attempts by four entries: the third is right, all others differ."""

    def made(number: int) -> RecordedAttempt:
        one = right(10) if number % 4 == 2 else wrong(10, 10 + number)
        return replace(one, number=number) if numbered else one

    return [problem(f"p{place}", *map(made, range(8))) for place in range(6)]


@pytest.mark.parametrize("attempts", [4, 8])
def test_votes_weigh_what_their_entry_does_in_any_order(attempts: int) -> None:
    third, last, plain = (
        combination(f"{attempts} {weight}", attempts=attempts, weight=weight, selector="weighted")
        for weight in ("entries(1, 1, 3, 1)", "tool_errors*entries(1, 1, 1, 3)", "plain")
    )
    evaluation = Evaluator(mixed(), [third, last, plain], STEADY, 0).run(8)
    assert evaluation.by_problem(0, Measure.ACCURACY).tolist() == [1] * 6
    assert evaluation.by_problem(1, Measure.ACCURACY).tolist() == [0] * 6
    # All launch one attempt of each entry, also those that do not weigh by it.
    assert (evaluation.values[:, :, Measure.ORACLE] == 1).all()


def test_entries_are_launched_in_turn_as_far_as_there_are_any() -> None:
    (some, *_) = mixed()
    for number in range(5):
        order = launch_order(some, 0, number, 4)
        assert [(one.number or 0) % 4 for one in order] == [0, 1, 2, 3] * 2
    few = problem("few", *(replace(wrong(9), number=each) for each in (0, 0, 1, 4)))
    order = launch_order(few, 0, 0, 4)
    assert [(one.number or 0) % 4 for one in order][:2] == [0, 1]
    assert sorted(one.number or 0 for one in order) == [0, 0, 1, 4]


def test_weights_of_entries_need_attempts_that_tell_theirs() -> None:
    silent = mixed(numbered=False)
    chosen = combination(weight="entries(1, 2)")
    for attempt in (
        lambda: Evaluator(silent, [chosen], STEADY, 0).run(1),
        lambda: replay_solve(silent[0].attempts, chosen, chosen.make(), STEADY),
    ):
        with pytest.raises(ReplayError, match="8 of 8 attempts do not tell their entry"):
            attempt()
    even = combination(weight="entries(2, 2)")
    assert Evaluator(silent, [even], STEADY, 0).run(1).rounds == 1
