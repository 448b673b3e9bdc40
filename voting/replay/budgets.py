"""Budgets compared: the same runs, under the same clock, with the same policies."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from voting.budget import Budget
from voting.errors import ReplayError
from voting.machine import Machine
from voting.replay.records import RecordedProblem
from voting.replay.run import ReplayedRun, draw_run, replay_run
from voting.replay.solve import Combination
from voting.replay.statistics import Comparison, Estimate, Floats, compare, estimate, two_run_score
from voting.weights import entry_count

#: A run that ends this much after its clock is late: sums of many times differ in the last digits.
ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class RunSetting:
    """Runs to draw: `pairs` of them, of `count` problems each, under a clock of `limit_s` seconds.

    The two runs of a pair have the same problems, as the contest runs a submission twice.

    Raises:
        ReplayError: a number is below 1, or the clock is not above 0 and finite.
    """

    limit_s: float
    count: int = 50
    pairs: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.pairs < 1 or not 0 < self.limit_s < math.inf:
            raise ReplayError(
                f"{self.pairs} pairs of runs of {self.count} problems in {self.limit_s} seconds: "
                "must be at least 1 each, the clock above 0 and finite; correct the number"
            )


@dataclass(frozen=True, slots=True)
class BudgetResult:
    """What runs came to under one budget.

    ``score`` is the two-run score of each pair, ``seconds`` the later end of its two runs, both of
    shape (pairs,). ``late`` counts runs that ended after their clock, ``without_share`` problems
    that got no time, ``least_s`` the least seconds that one could have had until its first vote.
    ``by_problem`` has the share of right answers at each problem that was drawn.
    ``first`` is the first run, to look at.
    """

    name: str
    score: Floats
    seconds: Floats
    late: int
    without_share: int
    least_s: float
    by_problem: Mapping[str, float]
    first: ReplayedRun

    def estimate(self, seed: int) -> Estimate:
        """Return the mean score, with the interval over pairs of runs."""
        return estimate(self.score, seed=seed)


def replay_budgets(
    problems: Sequence[RecordedProblem],
    combination: Combination,
    machine: Machine,
    budgets: Mapping[str, Budget],
    setting: RunSetting,
    observe: Callable[[int, int], None] | None = None,
) -> list[BudgetResult]:
    """Replay the same runs under each budget; `observe` is told how many pairs of all are done."""
    policies = combination.make()
    entries = entry_count(policies.weight)
    replayed: dict[str, list[ReplayedRun]] = defaultdict(list)
    for pair, member in product(range(setting.pairs), range(2)):
        drawn = draw_run(problems, setting.count, setting.seed, pair, member, entries=entries)
        for name, budget in budgets.items():
            run = replay_run(drawn, combination, policies, machine, budget, setting.limit_s)
            replayed[name].append(run)
        if observe is not None and member == 1:
            observe(pair + 1, setting.pairs)
    return [_result(name, replayed[name], setting.limit_s) for name in budgets]


def compare_runs(one: BudgetResult, other: BudgetResult, seed: int) -> Comparison:
    """Compare the scores of two budgets, paired by pair of runs."""
    return compare(one.score, other.score, seed=seed)


def _result(name: str, runs: Sequence[ReplayedRun], limit_s: float) -> BudgetResult:
    right: dict[str, list[bool]] = defaultdict(list)
    for run in runs:
        for problem, solve in zip(run.problems, run.solves, strict=True):
            right[problem.id].append(solve.right)
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    return BudgetResult(
        name=name,
        score=np.array([two_run_score(_right(a), _right(b)).sum() for a, b in pairs]),
        seconds=np.array([max(a.seconds, b.seconds) for a, b in pairs]),
        late=sum(run.seconds > limit_s + ROUNDING_S for run in runs),
        without_share=sum(run.without_share for run in runs),
        least_s=min(run.least_s for run in runs),
        by_problem={problem: sum(answers) / len(answers) for problem, answers in right.items()},
        first=runs[0],
    )


def _right(run: ReplayedRun) -> Floats:
    return np.array([float(solve.right) for solve in run.solves])
