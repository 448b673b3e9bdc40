"""Budgets by name, and the one that learns fitted to a machine whose speed is not known."""

import math
from dataclasses import dataclass, replace
from statistics import median

from voting.allocation import DEFAULT_FLOOR, SCALES, AdaptiveBudget
from voting.arguments import Arguments
from voting.budget import (
    GREEDY_BASE_S,
    GREEDY_CAP_S,
    Budget,
    BudgetClock,
    BudgetDecision,
    BudgetReason,
    BudgetState,
    FixedBudget,
    GreedyBudget,
)
from voting.catalogue import Catalogue, Context, Entry
from voting.machine import H100
from voting.paths import ProblemPath, VoteMark
from voting.policies import PolicyNames
from voting.replay.run import library_of, path_library
from voting.replay.solve import Combination

#: The run's own problems count as many times as there are of them, what was known before as one.
PRIOR = 1.0
#: Limits that differ by less, of one, are the same: they were told in other units.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Fitted:
    """A budget that learns, in the time of its library: a machine faster or slower by a factor.

    The library is of a described machine. The factor is reckoned from the run's own problems, by
    when their first votes came; a problem that was cut before its first vote says that it would
    have come later. Before the first problem, an even share of the run's time is taken to be enough
    for a first vote, or whoever chose the clock has chosen it for nothing: so a rehearsal with a
    clock a hundred times faster is one on a machine a hundred times faster.

    A problem without a vote keeps an even share of what is left, which can always be given: a few
    easy problems make a machine look fast, and a hard one must not be left for that before anything
    is known of it.

    ``first_s`` is the library's median time of the first vote, in seconds. Where the library is
    ``of_this_machine``, nothing is taken for granted before the first problem, and factors that
    the budget's own library has (`SCALES`) are left to it.
    """

    budget: Budget
    first_s: float
    of_this_machine: bool = False

    def decide(self, state: BudgetState) -> BudgetDecision:
        """Return the limit, with all times told in the library's."""
        factor = self.factor(state)
        decision = self.budget.decide(_scaled(state, 1 / factor))
        # There and back again, times differ in their last digits: never by more than is left.
        limit_s = min(decision.limit_s * factor, state.clock.left_s)
        even_s = state.clock.left_s / state.clock.problems_left
        if not state.marks and limit_s < even_s * (1 - ROUNDING) < math.inf:
            return BudgetDecision(even_s, BudgetReason.FIRST_VOTE)
        return BudgetDecision(limit_s, decision.reason)

    def factor(self, state: BudgetState) -> float:
        """Return by how much slower than the library's machine this one is taken to be."""
        start = state.clock.left_s + math.fsum(path.seconds for path in state.history)
        share_s = start / (state.clock.problems_left + len(state.history))
        prior = min(math.log(max(share_s, 1e-6) / self.first_s), 0.0)
        if self.of_this_machine:
            prior = 0.0
        seen = [self._seen(path, prior) for path in state.history]
        weight = len(seen) / (len(seen) + PRIOR)
        factor = math.exp(weight * (median(seen) if seen else 0.0) + (1 - weight) * prior)
        if self.of_this_machine and min(SCALES) <= factor <= max(SCALES):
            return 1.0
        return factor

    def _seen(self, path: ProblemPath, prior: float) -> float:
        """Return the logarithm of the factor that one problem speaks for."""
        if path.marks:
            return math.log(max(path.marks[0].seconds, 1e-6) / self.first_s)
        return max(math.log(max(path.seconds, 1e-6) / self.first_s), prior)


def _scaled(state: BudgetState, factor: float) -> BudgetState:
    clock = state.clock
    # From 0: the difference of two large times would be off by what their scaling rounds.
    deadline_s = None if clock.deadline_s is None else clock.left_s * factor
    return BudgetState(
        clock=BudgetClock(now_s=0.0, deadline_s=deadline_s, problems_left=clock.problems_left),
        elapsed_s=state.elapsed_s * factor,
        marks=tuple(_mark(mark, factor) for mark in state.marks),
        history=tuple(
            ProblemPath(
                tuple(_mark(mark, factor) for mark in path.marks),
                path.seconds * factor,
                path.whole,
            )
            for path in state.history
        ),
    )


def _mark(mark: VoteMark, factor: float) -> VoteMark:
    return replace(mark, seconds=mark.seconds * factor)


def _adaptive(given: Arguments, context: Context) -> Budget:
    floor = given.number("floor", DEFAULT_FLOOR)
    names = PolicyNames(early_stop="agree")
    agree = min(context.agree, context.attempts)
    combination = Combination("run", names, context.attempts, agree)
    if context.paths:
        library = library_of(context.paths, combination, H100, seed=0)
    else:
        library = path_library((), combination, H100, seed=0)
    budget = AdaptiveBudget(library, floor=floor)
    return Fitted(budget, library.first_vote_s, of_this_machine=bool(context.paths))


def _greedy(given: Arguments, context: Context) -> Budget:
    del context
    base_s = given.number("base", GREEDY_BASE_S)
    return GreedyBudget(base_s, given.number("cap", max(GREEDY_CAP_S, base_s)), hard=True)


def _fixed(given: Arguments, context: Context) -> Budget:
    del context
    return FixedBudget(given.number("seconds", GREEDY_BASE_S))


BUDGETS: Catalogue[Budget] = Catalogue(
    "budget",
    (
        Entry(
            f"adaptive(floor={DEFAULT_FLOOR:g})",
            "learns from the run's own problems, banks what easy ones save, and gives it where an "
            "answer is open; each problem keeps the share `floor` of an even one",
            _adaptive,
        ),
        Entry(
            f"greedy(base={GREEDY_BASE_S:g}, cap={GREEDY_CAP_S:g})",
            "what is left minus `base` seconds for each problem to come, at most `cap`",
            _greedy,
        ),
        Entry(f"fixed(seconds={GREEDY_BASE_S:g})", "the same time for every problem", _fixed),
    ),
)


def make_budget(text: str, context: Context) -> Budget:
    """Return the budget that a text writes; one that learns is reckoned first (0.2 s).

    Raises:
        PolicyNameError: the text is malformed, or names what there is not.
        PolicyError: an argument is out of its range.
    """
    return BUDGETS.make(text, context)


def check_budget(text: str) -> None:
    """See that a text writes a budget. Errors as for `make_budget`."""
    make_budget(text, Context(attempts=1, agree=1))
