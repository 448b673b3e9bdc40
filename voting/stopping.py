"""When to leave a problem: rules, and what each would have got and taken on known paths."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from voting.errors import PolicyError
from voting.paths import RatedPath, VoteMark

Floats = NDArray[np.float64]

#: No number of votes is enough.
NEVER = 1_000_000
#: Equal answers and lead that settle a problem, from the first vote to never. At four equal
#: answers the public baseline stops by itself; more are not tried.
SETTLED = ((1, 1), (2, 2), (3, 2), (3, 3), (4, 3), (4, 4), (NEVER, 2), (NEVER, 3), (NEVER, NEVER))
#: Quantiles of the paths' vote times at which a rule may give a problem up, beside none and twice
#: the last: few, so that the table of rules stays small enough to read at every problem.
QUANTILES = (0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)


@dataclass(frozen=True, slots=True)
class StopRule:
    """Leave a problem once `agree` answers are equal or one is `lead` votes ahead, or in time.

    Without any vote it is left after `first_s` seconds, with one after `open_s`.
    """

    agree: int
    lead: int
    first_s: float
    open_s: float

    def settles(self, mark: VoteMark) -> bool:
        """Return whether a ballot is enough."""
        return mark.leader >= self.agree or mark.lead >= self.lead


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What rules bring on paths: ``right`` and ``seconds``, both of shape (paths, rules)."""

    right: Floats
    seconds: Floats


class PathArrays:
    """Rated paths as arrays; times are infinite where there is no vote.

    ``times`` and ``right`` are of shape (paths, most votes), ``leaders`` and ``leads`` too, and
    ``ends`` of shape (paths,).

    Raises:
        PolicyError: no path has a vote.
    """

    def __init__(self, paths: Sequence[RatedPath]) -> None:
        votes = max((len(rated.right) for rated in paths), default=0)
        if votes == 0:
            raise PolicyError(
                f"library of {len(paths)} paths: must have a vote at least; record solves that "
                "come to an answer"
            )
        shape = (len(paths), votes)
        self.times = np.full(shape, math.inf)
        self.right = np.zeros(shape)
        self.leaders = np.zeros(shape)
        self.leads = np.zeros(shape)
        self.ends = np.array([rated.path.seconds for rated in paths])
        for row, rated in enumerate(paths):
            for column, mark in enumerate(rated.path.marks):
                self.times[row, column] = mark.seconds
                self.right[row, column] = rated.right[column]
                self.leaders[row, column] = mark.leader
                self.leads[row, column] = mark.lead

    def rules(self) -> tuple[StopRule, ...]:
        """Return rules whose times suit these paths."""
        known = self.times[np.isfinite(self.times)]
        times = [0.0, *map(float, np.quantile(known, QUANTILES)), 2 * float(known.max())]
        return tuple(
            StopRule(agree, lead, first_s, open_s)
            for (agree, lead), first_s, open_s in product(SETTLED, times, times)
            if first_s <= open_s
        )

    def outcomes(self, rules: Iterable[StopRule], scale: float) -> Outcomes:
        """Return what each rule brings on each path, with all the paths' times times `scale`."""
        columns = [self._outcome(rule, scale) for rule in rules]
        right = np.stack([column[0] for column in columns], axis=1)
        seconds = np.stack([column[1] for column in columns], axis=1)
        return Outcomes(right, seconds)

    def _outcome(self, rule: StopRule, scale: float) -> tuple[Floats, Floats]:
        rows = np.arange(len(self.ends))
        times, ends = self.times * scale, self.ends * scale
        seen = (times <= rule.open_s).sum(axis=1) * (times[:, 0] <= rule.first_s)
        settled = (self.leaders >= rule.agree) | (self.leads >= rule.lead)
        settles = np.where(settled.any(axis=1), settled.argmax(axis=1), self.times.shape[1])
        last = np.where(settles < seen, settles, np.maximum(seen - 1, 0))
        right = np.where(seen > 0, self.right[rows, last], 0.0)
        given_up = np.minimum(np.where(seen > 0, rule.open_s, rule.first_s), ends)
        seconds = np.where(settles < seen, times[rows, last], given_up)
        return right, seconds
