"""The budget that learns: it buys right answers where a second brings most of them.

A run has so many seconds for so many problems, whose difficulty is not known before. Every rule for
leaving a problem (`voting.stopping`) brings some share of right answers and takes some seconds on
average. At a price of time, the best rule is the one with the most right answers minus price times
seconds; the price in force is the one at which the problems to come just take what is left. Where
the best rule at that price is between two, they alternate in the proportion that fits.

What rules bring is reckoned on a library of paths, each at several speeds. The run's own problems
shift the library's weights to the paths that they look like, as an empirical Bayes estimate of the
mixture: after each problem the weights are the prior's plus each problem's posterior over paths. A
problem that was cut counts for what was seen of it. Right and wrong of the own problems is never
needed. So what easy problems save raises what the next ones may take, and a run of hard problems
makes the policy leave hopeless ones sooner.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from voting.budget import BudgetClock, BudgetDecision, BudgetReason, BudgetState
from voting.errors import PolicyError
from voting.paths import ProblemPath, RatedPath
from voting.stopping import Floats, PathArrays, StopRule

#: How fast the library's paths may be passed here, and how probable that is before the run: a
#: library is recorded on the machine at hand, or described for it, and may be off by two.
SCALES = (0.5, 0.7, 1.0, 1.4, 2.0)
SCALE_PRIOR = (0.05, 0.15, 0.6, 0.15, 0.05)
#: Spread of the times of attempts at one problem, as a standard deviation of their logarithm. It is
#: 0.27 in the median recorded problem; a wider one forgives paths that fit none of the library.
SPREAD = 0.35
#: By how much less a path fits for each vote of the leader that it is off.
VOTE_PENALTY = 0.7
#: No path is impossible.
LEAST_LIKELIHOOD = 1e-6
#: The library counts as much as so many problems of the run. Chosen among 10, 40
#: and 150 with recorded and made-up runs in view (differences of about one standard error): a run's
#: own problems are few, and which paths they are of is told by little.
DEFAULT_PRIOR_PROBLEMS = 40.0
#: Of an even share of the run's time, each problem keeps this much for sure: 18 s of 50 problems in
#: 5 h, which is enough to force an answer. With 0.02 a rehearsed run (benchmarks/contest.py) left a
#: problem of 8 s without one; what that gains in replayed runs is little.
DEFAULT_FLOOR = 0.05
#: Prices of time tried, in right answers a second, from next to nothing (of rules that bring the
#: same, the quicker is better) to one every ten seconds.
PRICES = np.array([1e-8, *np.geomspace(1e-6, 0.1, 120)])
DIGITS = 6
#: Multiples of it, modulo 1, are the most evenly spread for any number of problems.
GOLDEN = (math.sqrt(5) - 1) / 2


class PathLibrary:
    """Paths at several speeds, with what every rule brings on each; made once, read often."""

    def __init__(self, paths: Sequence[RatedPath]) -> None:
        """Reckon the library.

        Raises:
            PolicyError: no path has a vote.
        """
        arrays = PathArrays(paths)
        self.rules = arrays.rules()
        outcomes = [arrays.outcomes(self.rules, scale) for scale in SCALES]
        self.right = np.concatenate([each.right for each in outcomes])
        self.seconds = np.concatenate([each.seconds for each in outcomes])
        self.prior = np.repeat(np.array(SCALE_PRIOR) / len(paths), len(paths))
        self._times = np.concatenate([arrays.times * scale for scale in SCALES])
        self._leaders = np.tile(arrays.leaders, (len(SCALES), 1))
        self._votes = np.isfinite(self._times).sum(axis=1)

    @property
    def first_vote_s(self) -> float:
        """The median time of the first vote, in seconds, at the speed of the recording."""
        first = self._times[:, 0]
        return float(np.median(first[np.isfinite(first)]))

    def learned(self, mass: Floats, path: ProblemPath) -> Floats:
        """Return the mass of each path, shape (speeds times paths,), after one more problem.

        The mass grows by 1 in all: by the problem's posterior over the paths.
        """
        fit = mass * self._likelihood(path)
        more: Floats = mass + fit / fit.sum()
        return more

    def _likelihood(self, path: ProblemPath) -> Floats:
        """Return how well each path of the library fits what was seen of one."""
        if not path.marks:
            return self._unanswered(path)
        last = path.marks[-1]
        votes = len(path.marks)
        rows = np.arange(len(self._votes))
        column = np.clip(np.minimum(self._votes, votes) - 1, 0, None)
        fit = _density(path.marks[0].seconds, self._times[:, 0])
        fit = fit * _density(last.seconds, self._times[rows, column])
        off = np.abs(self._leaders[rows, column] - last.leader)
        likelihood: Floats = fit * np.exp(-VOTE_PENALTY * off) + LEAST_LIKELIHOOD
        return likelihood

    def _unanswered(self, path: ProblemPath) -> Floats:
        """Return the probability that no vote comes within a path's time."""
        if path.whole:
            return np.where(self._votes == 0, 1.0, LEAST_LIKELIHOOD)
        with np.errstate(divide="ignore"):
            later = np.log(self._times[:, 0]) - math.log(max(path.seconds, 1e-9))
        likelihood: Floats = ndtr(later / SPREAD) + LEAST_LIKELIHOOD
        return likelihood


@dataclass(frozen=True, slots=True)
class Pace:
    """The rule in force for a problem, and the price of time at which it is the best."""

    rule: StopRule
    price: float


class AdaptiveBudget:
    """Leaves each problem when the rest of the run needs the time more.

    Every problem keeps `floor` of an even share of the run's time, whatever the ones before it
    took, and the run never ends late: limits are within what is left. Without a deadline a problem
    may take as long as any rule lets it.

    Raises:
        PolicyError: the floor is not above 0 and at most 1, or `prior_problems` not above 0.
    """

    def __init__(
        self,
        library: PathLibrary,
        *,
        floor: float = DEFAULT_FLOOR,
        prior_problems: float = DEFAULT_PRIOR_PROBLEMS,
    ) -> None:
        if not 0 < floor <= 1:
            raise PolicyError(
                f"floor {floor}: must be above 0 and at most 1; give the part of an even share "
                "that each problem keeps"
            )
        if not 0 < prior_problems < math.inf:
            raise PolicyError(
                f"prior of {prior_problems} problems: must be finite and above 0; give how many "
                "problems of the run weigh as much as the library"
            )
        self._library = library
        self._floor = floor
        self._prior_problems = prior_problems
        # What was reckoned last, with what it was reckoned from: a problem's votes all ask for the
        # same pace, and a run's history grows by one. It saves time and changes no decision.
        self._last: tuple[BudgetClock, tuple[ProblemPath, ...], Pace] | None = None
        self._learned: list[tuple[ProblemPath, Floats]] = []

    def decide(self, state: BudgetState) -> BudgetDecision:
        """Return how long the problem may take, given its votes so far."""
        left_s = state.clock.left_s
        if left_s <= 0:
            return BudgetDecision(0.0, BudgetReason.NOTHING_LEFT)
        rule = self.pace(state).rule
        others = state.clock.problems_left - 1
        least_s = self._floor_s(state)
        most_s = left_s - others * least_s
        if state.marks and rule.settles(state.marks[-1]):
            return BudgetDecision(state.marks[-1].seconds, BudgetReason.SETTLED)
        wanted_s, reason = rule.first_s, BudgetReason.FIRST_VOTE
        if state.marks:
            wanted_s, reason = rule.open_s, BudgetReason.OPEN
        if not math.isfinite(left_s):
            return BudgetDecision(wanted_s, reason)
        if wanted_s > most_s:
            reason = BudgetReason.KEPT_FOR_OTHERS if others else BudgetReason.ALL_THAT_IS_LEFT
        return BudgetDecision(min(max(wanted_s, least_s), most_s), reason)

    def _floor_s(self, state: BudgetState) -> float:
        """Return the seconds that every problem keeps: as much for the last as for the first.

        The run's time is what is left and what its problems took. Where more was lost between them
        than that leaves room for, the floor is an even share of what is left.
        """
        left_s, problems_left = state.clock.left_s, state.clock.problems_left
        run_s = left_s + math.fsum(path.seconds for path in state.history)
        even_s = run_s / (problems_left + len(state.history))
        return min(self._floor * even_s, left_s / problems_left)

    def pace(self, state: BudgetState) -> Pace:
        """Return the rule in force for the problem, which its own votes do not change."""
        if self._last is not None:
            clock, history, pace = self._last
            if clock == state.clock and history is state.history:
                return pace
        pace = self._pace(state)
        self._last = (state.clock, state.history, pace)
        return pace

    def _mass(self, history: Sequence[ProblemPath]) -> Floats:
        """Return the mass of each path of the library after some problems."""
        known = 0
        while known < min(len(history), len(self._learned)):
            if self._learned[known][0] is not history[known]:
                break
            known += 1
        del self._learned[known:]
        for path in history[known:]:
            self._learned.append((path, self._library.learned(self._top(), path)))
        return self._top()

    def _top(self) -> Floats:
        return self._learned[-1][1] if self._learned else self._library.prior * self._prior_problems

    def _pace(self, state: BudgetState) -> Pace:
        library = self._library
        mass = self._mass(state.history)
        weights = mass / mass.sum()
        # Rounded, so that rules which bring the same stay equal, whatever the last digits of times.
        right = np.round(weights @ library.right, DIGITS)
        seconds = np.round(weights @ library.seconds, DIGITS)
        share_s = state.clock.left_s / state.clock.problems_left
        if math.isfinite(share_s):
            # No problem is left before its floor, so that is what the shortest rule takes.
            seconds = np.maximum(seconds, self._floor_s(state))
        best = np.argmax(right - PRICES[:, None] * seconds, axis=1)
        affordable = seconds[best] <= share_s
        place = int(affordable.argmax()) if affordable.any() else len(best) - 1
        cheap, dear = int(best[place]), int(best[max(place - 1, 0)])
        gap_s = float(seconds[dear] - seconds[cheap])
        often = (share_s - float(seconds[cheap])) / gap_s if gap_s > 0 else 0.0
        if (len(state.history) + 1) * GOLDEN % 1 < often:
            cheap = dear
        return Pace(library.rules[cheap], float(PRICES[place]))


def _density(seconds: float, times: Floats) -> Floats:
    """Return how well times fit one that was seen: a normal density of their log ratio."""
    with np.errstate(divide="ignore"):
        distance = (math.log(max(seconds, 1e-9)) - np.log(times)) / SPREAD
    density: Floats = np.exp(-(distance**2) / 2)
    return density
