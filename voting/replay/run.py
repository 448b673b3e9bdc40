"""A run of problems under one clock, replayed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from voting.allocation import PathLibrary
from voting.budget import Budget, BudgetClock, FixedBudget
from voting.errors import PolicyError
from voting.machine import Machine
from voting.paths import ProblemPath, RatedPath
from voting.policies import Policies
from voting.replay.evaluate import launch_order
from voting.replay.records import RecordedAttempt, RecordedProblem
from voting.replay.solve import Combination, ReplayedSolve, TimeLimit, replay_solve
from voting.replay.synthetic import Population, draw_population
from voting.weights import entry_count

#: Solves of each recorded problem in a library, and made-up problems beside them. Twelve solves
#: gained more than four on one made-up population (12 pairs of runs); more were not tried. Sixty
#: made-up problems gained less than 240 on recorded and on harder ones, by themselves too.
ROUNDS = 12
SMOOTHING = 240


@dataclass(frozen=True, slots=True)
class RunProblem:
    """One problem of a run: which it is, and its attempts in the order of their launch."""

    id: str
    attempts: tuple[RecordedAttempt, ...]


@dataclass(frozen=True, slots=True)
class ReplayedRun:
    """What a run came to: its solves in order, and its end in seconds."""

    problems: tuple[RunProblem, ...]
    solves: tuple[ReplayedSolve, ...]
    seconds: float

    @property
    def right(self) -> int:
        """How many answers are right."""
        return sum(solve.right for solve in self.solves)

    @property
    def without_share(self) -> int:
        """How many problems got no time."""
        return sum(solve.first_limit_s <= 0 for solve in self.solves)

    @property
    def least_s(self) -> float:
        """The least time that a problem could have had until its first vote."""
        return min(solve.first_limit_s for solve in self.solves)


def draw_run(
    problems: Sequence[RecordedProblem],
    count: int,
    seed: int,
    pair: int,
    member: int = 0,
    *,
    entries: int = 1,
) -> tuple[RunProblem, ...]:
    """Draw a run: problems with replacement, each with its attempts in an order of its own.

    Runs of one pair have the same problems in the same order, and the attempts in other ones.
    `entries` and errors are as for `launch_order`.
    """
    chosen = np.random.default_rng((seed, pair)).integers(0, len(problems), count)
    first = (2 * pair + member) * count
    return tuple(
        RunProblem(
            problems[index].id,
            tuple(launch_order(problems[index], seed, first + place, entries)),
        )
        for place, index in enumerate(chosen)
    )


def replay_run(
    problems: Sequence[RunProblem],
    combination: Combination,
    policies: Policies,
    machine: Machine,
    budget: Budget,
    limit_s: float,
    *,
    tops_up: bool = False,
) -> ReplayedRun:
    """Replay problems one after another under one clock of `limit_s` seconds.

    The run's end is hard: a problem that a budget would let go on is cut there, and those that come
    after it have no time. `tops_up` is as in `TimeLimit`.
    """
    now_s = 0.0
    solves: list[ReplayedSolve] = []
    history: tuple[ProblemPath, ...] = ()
    for place, problem in enumerate(problems):
        clock = BudgetClock(now_s=now_s, deadline_s=limit_s, problems_left=len(problems) - place)
        limit = TimeLimit(clock, budget, history, tops_up)
        solve = replay_solve(problem.attempts, combination, policies, machine, limit)
        now_s += solve.seconds
        history = (*history, solve.path)
        solves.append(solve)
    return ReplayedRun(tuple(problems), tuple(solves), now_s)


def rated_paths(
    problems: Sequence[RecordedProblem],
    combination: Combination,
    machine: Machine,
    seed: int,
    rounds: int,
) -> list[RatedPath]:
    """Return paths of problems without a time limit, rated by what is recorded: 1 right, 0 wrong.

    Each problem is solved `rounds` times. `PathLibrary` makes of them what a budget learns from.
    """
    policies = combination.make()
    entries = entry_count(policies.weight)
    paths = []
    for problem in problems:
        for number in range(rounds):
            attempts = launch_order(problem, seed, number, entries)
            paths.append(_rated(attempts, combination, policies, machine))
    return paths


def path_library(
    recorded: Sequence[RecordedProblem], combination: Combination, machine: Machine, seed: int
) -> PathLibrary:
    """Return what a budget learns from: paths of recorded problems, smoothed by made-up ones.

    Few problems are recorded, and rules chosen on them alone fit them more than others: in replayed
    runs a library of eleven other problems gains about half of what one of the very problems gains.
    Smoothing helped at 5 h and on made-up runs, and made no clear difference at 1 and 2 h.
    Without recorded problems the library is that of the default `Population`, which is stated.
    """
    made_up = draw_population(Population(problems=SMOOTHING, attempts=combination.attempts), seed)
    smooth = rated_paths(made_up, combination, machine, seed, 1)
    return PathLibrary([*smooth, *rated_paths(recorded, combination, machine, seed, ROUNDS)])


def library_of(
    paths: Sequence[RatedPath], combination: Combination, machine: Machine, seed: int
) -> PathLibrary:
    """Return what a budget learns from, given paths that were recorded: smoothed as above.

    The made-up paths are those of `machine`, as much faster or slower as the recorded first votes
    came on the median.

    Raises:
        PolicyError: no path has a vote.
    """
    made_up = draw_population(Population(problems=SMOOTHING, attempts=combination.attempts), seed)
    smooth = rated_paths(made_up, combination, machine, seed, 1)
    factor = _first_vote_s(paths) / _first_vote_s(smooth)
    return PathLibrary([*(_slowed(each, factor) for each in smooth), *paths])


def _first_vote_s(paths: Sequence[RatedPath]) -> float:
    first = [max(rated.path.marks[0].seconds, 1e-3) for rated in paths if rated.path.marks]
    if not first:
        raise PolicyError(
            f"library of {len(paths)} paths: must have a vote at least; record solves that come to "
            "an answer"
        )
    return median(first)


def _slowed(rated: RatedPath, factor: float) -> RatedPath:
    marks = tuple(replace(mark, seconds=mark.seconds * factor) for mark in rated.path.marks)
    path = ProblemPath(marks, rated.path.seconds * factor, rated.path.whole)
    return RatedPath(path, rated.right)


def _rated(
    attempts: Sequence[RecordedAttempt],
    combination: Combination,
    policies: Policies,
    machine: Machine,
) -> RatedPath:
    """Solve, and again with the time up to each vote, to see what the answer would be there."""
    whole = replay_solve(attempts, combination, policies, machine)
    right = []
    for mark in whole.path.marks[:-1]:
        limit = TimeLimit(BudgetClock(now_s=0.0), FixedBudget(mark.seconds))
        cut = replay_solve(attempts, combination, policies, machine, limit)
        right.append(float(cut.right))
    return RatedPath(whole.path, (*right, float(whole.right)) if whole.path.marks else ())
