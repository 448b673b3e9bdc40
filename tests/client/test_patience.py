"""How long a solve is waited for, with a clock of the test's own."""

import pytest

from client.errors import ServerTimeout
from client.patience import SOLVE_MARGIN_S, Patience
from client.schema import SolveQueued, SolveRequest, SolveStarted
from tests.client.recordings import solve_events

URL = "http://127.0.0.1:8642"
LIMIT_S = 30.0
STARTED = next(
    event
    for event in solve_events(SolveRequest(problem="sum", time_limit_s=LIMIT_S))
    if isinstance(event, SolveStarted)
)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("waited_s", [0.0, 99.0])
def test_the_limit_counts_from_the_start(waited_s: float) -> None:
    clock = Clock()
    patience = Patience(URL, 100.0, clock)
    patience.observe(SolveQueued(solve_id="s", at=0.0, position=3))
    clock.now += waited_s
    patience.check()
    patience.observe(STARTED)
    clock.now += LIMIT_S + SOLVE_MARGIN_S
    patience.check()
    clock.now += 0.1
    with pytest.raises(ServerTimeout, match="after its time limit of 30 s"):
        patience.check()


def test_a_solve_that_does_not_begin() -> None:
    clock = Clock()
    patience = Patience(URL, 100.0, clock)
    clock.now += 100.1
    with pytest.raises(ServerTimeout, match="within 100 s: raise queue_timeout_s"):
        patience.check()
