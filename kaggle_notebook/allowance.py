"""How long a problem may take, as far as the session itself must know it. No clock of its own.

The server's budget spends the run's time. The session only keeps the server from taking what the
problems to come need, and has a budget of its own for a server without runs.
"""

from dataclasses import dataclass

from voting.budget import BudgetClock, BudgetState, GreedyBudget

#: What every problem to come keeps, whatever the one at hand asks for: time enough for first votes
#: on an easy one. With less time per problem than twice that, half of its even share.
KEPT_EACH_S = 60.0
#: Of the published greedy policy: base and cap of 300 and 900 s in five hours, as shares.
BASE_SHARE = 1 / 60
CAP_SHARE = 1 / 20


@dataclass(frozen=True, slots=True)
class Allowance:
    """The time of one problem in seconds, from now: ``limit_s`` is its own, ``most_s`` the bound.

    ``even_s`` is what it would have if all that are left had the same. ``beyond`` tells that more
    problems came than were expected.
    """

    limit_s: float
    most_s: float
    even_s: float
    beyond: bool


def allowance(left_s: float, usable_s: float, expected: int, done: int) -> Allowance:
    """Return what a problem gets when `done` of the `expected` are answered.

    Past the expected number there may always be one more: half of what is left is kept.
    """
    others = max(expected - done, 1) - 1
    beyond = done >= expected
    if beyond:
        left_s /= 2
    kept_s = others * min(KEPT_EACH_S, left_s / (2 * (others + 1)))
    most_s = max(0.0, left_s - kept_s)
    if left_s <= 0:
        return Allowance(0.0, 0.0, 0.0, beyond)
    budget = GreedyBudget(usable_s * BASE_SHARE, usable_s * CAP_SHARE, hard=True)
    clock = BudgetClock(now_s=0.0, deadline_s=left_s, problems_left=others + 1)
    limit_s = budget.decide(BudgetState(clock=clock)).limit_s
    return Allowance(min(limit_s, most_s), most_s, left_s / (others + 1), beyond)
