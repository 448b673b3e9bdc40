import pytest

from tests.voting.replay.recorded import STEADY, combination, problem, right, wrong
from voting.allocation import AdaptiveBudget
from voting.budget import Budget, GreedyBudget
from voting.errors import ReplayError
from voting.machine import H100
from voting.replay.budgets import RunSetting, compare_runs, replay_budgets
from voting.replay.run import draw_run, path_library, rated_paths, replay_run
from voting.replay.synthetic import Population, draw_population

PROBLEMS = draw_population(Population(problems=12, attempts=8), 0)
CHOSEN = combination(attempts=8, agree=4, early_stop="agree")


def test_pairs_of_runs_have_the_same_problems_and_other_orders() -> None:
    one, other, next_pair = (
        draw_run(PROBLEMS, 20, 0, 0), draw_run(PROBLEMS, 20, 0, 0, 1), draw_run(PROBLEMS, 20, 0, 1),
    )  # fmt: skip
    names = [each.id for each in one]
    assert names == [each.id for each in other] != [each.id for each in next_pair]
    assert [each.attempts for each in one] != [each.attempts for each in other]
    assert one == draw_run(PROBLEMS, 20, 0, 0)


def test_the_greedy_run_leaves_the_last_problems_nothing() -> None:
    """An hour for 50 problems: 300 s each, until the clock has run out."""
    drawn = draw_run([problem("slow", wrong(10_000), wrong(10_000, 3))], 50, 0, 0)
    run = replay_run(drawn, CHOSEN, CHOSEN.make(), STEADY, GreedyBudget(), 3_600)
    assert run.seconds == pytest.approx(3_600)
    assert [solve.seconds for solve in run.solves[:12]] == pytest.approx([300] * 12)
    assert run.without_share == 38
    assert run.right == 0


def test_ours_is_never_late_and_leaves_nobody_out() -> None:
    library = path_library(PROBLEMS[:6], CHOSEN, H100, 0)
    budgets: dict[str, Budget] = {"greedy": GreedyBudget(), "ours": AdaptiveBudget(library)}
    setting = RunSetting(3_600, count=20, pairs=2)
    told = []
    greedy, ours = replay_budgets(
        PROBLEMS[6:], CHOSEN, H100, budgets, setting, lambda *done: told.append(done)
    )
    assert told == [(1, 2), (2, 2)]
    assert (ours.late, ours.without_share) == (0, 0)
    assert ours.least_s >= 0.05 * 3_600 / 20 - 1e-6
    assert greedy.without_share > 0
    assert ours.seconds.max() <= 3_600 + 1e-6
    # The score of a pair is half of what its two runs have right.
    assert (2 * ours.score).tolist() == [int(2 * score) for score in ours.score]
    assert compare_runs(ours, greedy, 0).difference.mean == pytest.approx(
        ours.score.mean() - greedy.score.mean()
    )


def test_paths_are_rated_by_what_the_answer_would_have_been_there() -> None:
    (path,) = rated_paths([problem("p", right(10))], CHOSEN, STEADY, 0, 1)
    assert path.right == (1.0,)
    mixed = problem("m", wrong(10), right(20), right(30))
    (path,) = rated_paths([mixed], CHOSEN, STEADY, 0, 1)
    # Wrong at first; level at 20, where the earliest attempt decides; then right.
    assert (path.right[0], path.right[2]) == (0.0, 1.0)
    assert [mark.votes for mark in path.path.marks] == [1, 2, 3]


@pytest.mark.parametrize("bad", [{"count": 0}, {"pairs": 0}, {"limit_s": 0}, {"limit_s": 1e400}])
def test_runs_of_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ReplayError, match="at least 1 each"):
        RunSetting(**{"limit_s": 60, **bad})  # type: ignore[arg-type]
