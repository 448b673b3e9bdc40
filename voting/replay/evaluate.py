"""Many solves of many problems under many combinations of policies, on the same attempts."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from voting.errors import ReplayError
from voting.machine import Machine
from voting.replay.entries import in_turn
from voting.replay.records import RecordedAttempt, RecordedProblem
from voting.replay.solve import Combination, ReplayedSolve, replay_solve
from voting.replay.statistics import Comparison, Estimate, Floats, compare, estimate
from voting.weights import entry_count


class Measure(IntEnum):
    """What is measured of every solve, as the last axis of `Evaluation.values`."""

    #: 1 where the answer is right.
    ACCURACY = 0
    #: 1 where any vote was right: what a perfect selector would have got.
    ORACLE = 1
    #: Tokens sampled.
    TOKENS = 2
    #: Of these, tokens of attempts that were cut.
    CUT_TOKENS = 3
    #: Seconds on the machine.
    SECONDS = 4
    #: Attempts launched.
    LAUNCHED = 5
    #: 1 where the votes were not all for one answer.
    CONTESTED = 6


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over the rounds, of shape (combinations, problems, measures), with what they are of."""

    combinations: tuple[Combination, ...]
    problems: tuple[str, ...]
    rounds: int
    values: NDArray[np.float64]

    def by_problem(self, combination: int, measure: Measure) -> Floats:
        """Return the means of one combination, shape (problems,)."""
        means: Floats = self.values[combination, :, measure]
        return means

    def selection_loss(self, combination: int) -> Floats:
        """Return oracle minus accuracy by problem: what a better selector could win."""
        loss: Floats = self.by_problem(combination, Measure.ORACLE) - self.by_problem(
            combination, Measure.ACCURACY
        )
        return loss

    def estimate(self, combination: int, measure: Measure, seed: int) -> Estimate:
        """Return a mean over problems with its interval."""
        return estimate(self.by_problem(combination, measure), seed=seed)

    def compare(self, one: int, other: int, measure: Measure, seed: int) -> Comparison:
        """Compare two combinations, paired by problem; one does not differ from itself at all."""
        if one == other:
            return Comparison(Estimate(0.0, 0.0, 0.0), 0.0)
        return compare(self.by_problem(one, measure), self.by_problem(other, measure), seed=seed)

    def index(self, name: str) -> int:
        """Return the place of the combination of a name.

        Raises:
            ReplayError: there is none.
        """
        names = [combination.name for combination in self.combinations]
        if name not in names:
            raise ReplayError(
                f"combination {name[:60]!r}: must be one of {', '.join(names)}; choose one of these"
            )
        return names.index(name)


class Evaluator:
    """Evaluates round by round: in each, every combination solves every problem once.

    A round puts each problem's attempts in an order of its own, drawn from the seed, the problem
    and the round alone; all combinations launch them in that order. So results do not depend on
    which other problems or combinations there are, and a break after any round leaves means that
    are whole. Where votes of a combination weigh by entries of a mix, all launch the entries in
    turn, as a solve does: else it would be held against solves of another mix.

    Raises:
        ReplayError: there are no problems or combinations, two of the same name, or votes weigh by
            entries and an attempt does not tell its own.
    """

    def __init__(
        self,
        problems: Sequence[RecordedProblem],
        combinations: Sequence[Combination],
        machine: Machine,
        seed: int,
    ) -> None:
        names = [combination.name for combination in combinations]
        if not problems or not names or len(set(names)) < len(names):
            raise ReplayError(
                f"evaluation of {len(names)} combinations on {len(problems)} problems: must be at "
                "least one of each, under different names; correct the list"
            )
        self._problems = tuple(problems)
        self._combinations = tuple(combinations)
        self._policies = [combination.make() for combination in combinations]
        self._entries = math.lcm(*(entry_count(each.weight) for each in self._policies))
        self._machine = machine
        self._seed = seed
        self._sums = np.zeros((len(names), len(problems), len(Measure)))
        self.rounds = 0

    def step(self) -> None:
        """Do one more round."""
        sums = np.zeros_like(self._sums)
        for column, problem in enumerate(self._problems):
            attempts = launch_order(problem, self._seed, self.rounds, self._entries)
            for row, combination in enumerate(self._combinations):
                solve = replay_solve(attempts, combination, self._policies[row], self._machine)
                sums[row, column] = _measures(solve)
        self._sums += sums
        self.rounds += 1

    def run(self, rounds: int, observe: Callable[[int, int], None] | None = None) -> Evaluation:
        """Do rounds until there are so many; `observe` is told how many of how many are done."""
        while self.rounds < rounds:
            self.step()
            if observe is not None:
                observe(self.rounds, rounds)
        return self.evaluation()

    def evaluation(self) -> Evaluation:
        """Return the means of the rounds so far.

        Raises:
            ReplayError: there was none.
        """
        if not self.rounds:
            raise ReplayError("evaluation of 0 rounds: must be at least 1; let one end")
        problems = tuple(problem.id for problem in self._problems)
        return Evaluation(self._combinations, problems, self.rounds, self._sums / self.rounds)


def launch_order(
    problem: RecordedProblem, seed: int, number: int, entries: int = 1
) -> list[RecordedAttempt]:
    """Return a problem's attempts in the order of a round: drawn without replacement.

    With `entries` of a mix, each place has one that its entry made, as far as there are any.

    Raises:
        ReplayError: there are several entries, and an attempt does not tell its own.
    """
    order = random.Random(f"{seed}:{problem.id}:{number}")
    drawn = order.sample(problem.attempts, len(problem.attempts))
    return in_turn(drawn, entries) if entries > 1 else drawn


def _measures(solve: ReplayedSolve) -> list[float]:
    last = solve.path.marks[-1] if solve.path.marks else None
    contested = last is not None and last.leader < last.votes
    return [
        float(solve.right), float(solve.right_seen), float(solve.tokens), float(solve.cut_tokens),
        solve.seconds, float(solve.launched), float(contested),
    ]  # fmt: skip
