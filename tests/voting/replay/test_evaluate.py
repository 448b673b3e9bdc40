import numpy as np
import pytest

from tests.voting.replay.recorded import STEADY, combination, problem, right, wrong
from voting.errors import ReplayError
from voting.replay.evaluate import Evaluation, Evaluator, Measure, launch_order
from voting.replay.statistics import compare, estimate, two_run_score
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
    other = np.linspace(0, 1, 50)
    comparison = compare(other + 0.01, other, seed=0)
    assert comparison.better == 1
    assert comparison.difference.low == pytest.approx(0.01)
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
