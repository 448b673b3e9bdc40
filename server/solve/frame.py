"""The time of one solve: when it began, when it must have ended, and who may move that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from client.schema import BudgetDecided
from server.solve.plan import SolvePlan
from voting.ballot import Ballot


@dataclass(frozen=True, slots=True)
class PaceDecision:
    """How long a solve may go on from now, in seconds, and what is told about it.

    ``share_left_s`` is what is left of the problem's even share of its run's time, ``told`` the
    fields of the event that tells it.
    """

    left_s: float
    share_left_s: float
    told: dict[str, Any]


class Pace(Protocol):
    """Says how long a solve may take: asked at its start and after every attempt's end."""

    def decide(self, ballot: Ballot) -> PaceDecision:
        """Return what holds from now on. Raises nothing."""
        ...

    def note(self, ballot: Ballot) -> None:
        """Take in the last ballot of a solve that its own policies have ended. Raises nothing."""
        ...


@dataclass(slots=True)
class TimeFrame:
    """When a solve thinks and ends, in event-loop time; `move` sets another end.

    `thinking_ends` is when the attempts must have ended, so that a selector has time to ask.
    Whoever is `told` hears of a new end, so that what waits for the old one is woken in time.
    """

    plan: SolvePlan
    pace: Pace | None = None
    started: float = field(init=False)
    ends: float = field(init=False)
    share_ends: float = field(init=False)
    reason: str = ""
    """Why the end is where it is, where a pace has set it."""
    _listeners: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, elapsed_s: float = 0.0) -> None:
        """Begin now, or so long ago."""
        self.started = anyio.current_time() - elapsed_s
        self.ends = self.share_ends = self.started + self.plan.time_limit_s

    @property
    def limit_s(self) -> float:
        """Seconds from the start to the end."""
        return self.ends - self.started

    @property
    def thinking_ends(self) -> float:
        """When the attempts must have ended."""
        return self.ends - self.plan.select_reserve(self.limit_s)

    @property
    def reserve_s(self) -> float:
        """Seconds kept for forcing an answer."""
        return self.plan.reserve(self.limit_s)

    @contextmanager
    def told(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have `listener` hear of a new end for the length of the block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def note(self, ballot: Ballot) -> None:
        """Tell the pace, if there is one, of the ballot with which the solve ends."""
        if self.pace is not None:
            self.pace.note(ballot)

    def consult(self, ballot: Ballot, emit: Callable[..., None]) -> None:
        """Ask the pace, if there is one, tell what it says, and move the end."""
        if self.pace is None:
            return
        decision = self.pace.decide(ballot)
        emit(BudgetDecided, **decision.told)
        now = anyio.current_time()
        self.share_ends = now + decision.share_left_s
        self.ends = now + decision.left_s
        self.reason = str(decision.told["reason"])
        for listener in list(self._listeners):
            listener()
