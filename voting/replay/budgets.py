"""Budgets compared: the same runs, under the same clock, with the same policies."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voting.budget import Budget
from voting.machine import Machine
from voting.replay.records import RecordedProblem
from voting.replay.run import ReplayedRun, draw_run, replay_run
from voting.replay.solve import Combination
from voting.replay.statistics import Comparison, Estimate, Floats, compare, estimate, two_run_score

#: A run that ends this much after its clock is late: sums of many times differ in the last digits.
ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class BudgetResult:
    """What runs came to under one budget, each array of shape (runs,).

    ``by_problem`` has, for each problem that was drawn, the mean of right answers at it and how
    often it was drawn. ``first`` is the first run, to look at.
    """

    name: str
    right: Floats
    seconds: Floats
    late: int
    without_share: int
    by_problem: Mapping[str, tuple[float, int]]
    first: ReplayedRun

    def estimate(self, seed: int) -> Estimate:
        """Return right answers a run, with the interval over runs."""
        return estimate(self.right, seed=seed)

    @property
    def two_runs(self) -> Floats:
        """The two-run score of each pair of runs, problem by problem, shape (runs // 2,).

        As in the contest, both runs of a pair have the same problems only in expectation: a pair is
        of two draws, so this is the mean of their numbers of right answers.
        """
        half = len(self.right) // 2
        return two_run_score(self.right[:half], self.right[half : 2 * half])


def replay_budgets(
    problems: Sequence[RecordedProblem],
    combination: Combination,
    machine: Machine,
    budgets: Mapping[str, Budget],
    limit_s: float,
    *,
    count: int,
    runs: int,
    seed: int,
    observe: Callable[[int, int], None] | None = None,
) -> list[BudgetResult]:
    """Replay runs of `count` problems, drawn from `problems`, under each budget."""
    policies = combination.make()
    replayed: dict[str, list[ReplayedRun]] = defaultdict(list)
    for number in range(runs):
        drawn = draw_run(problems, count, seed, number)
        for name, budget in budgets.items():
            run = replay_run(drawn, combination, policies, machine, budget, limit_s)
            replayed[name].append(run)
        if observe is not None:
            observe(number + 1, runs)
    return [_result(name, replayed[name], limit_s) for name in budgets]


def compare_runs(one: BudgetResult, other: BudgetResult, seed: int) -> Comparison:
    """Compare two budgets, paired by run: more right answers a run."""
    return compare(one.right, other.right, seed=seed)


def compare_problems(one: BudgetResult, other: BudgetResult, seed: int) -> Comparison:
    """Compare two budgets by problem: the difference in right answers at one, as it was drawn.

    Runs share problems, so that the interval over runs says what more draws from these problems
    would change; this one says what other problems would.
    """
    names = sorted(one.by_problem)
    mine = np.array([one.by_problem[name][0] for name in names])
    theirs = np.array([other.by_problem[name][0] for name in names])
    return compare(mine, theirs, seed=seed)


def _result(name: str, runs: Sequence[ReplayedRun], limit_s: float) -> BudgetResult:
    right: dict[str, list[bool]] = defaultdict(list)
    for run in runs:
        for problem, solve in zip(run.problems, run.solves, strict=True):
            right[problem.id].append(solve.right)
    return BudgetResult(
        name=name,
        right=np.array([float(run.right) for run in runs]),
        seconds=np.array([run.seconds for run in runs]),
        late=sum(run.seconds > limit_s + ROUNDING_S for run in runs),
        without_share=sum(run.without_share for run in runs),
        by_problem={
            problem: (sum(answers) / len(answers), len(answers))
            for problem, answers in right.items()
        },
        first=runs[0],
    )
