"""How many attempts to add now."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.errors import PolicyError
from voting.stages import Stage, rising
from voting.state import SolveState


class LaunchReason(StrEnum):
    """Why attempts are added, or not."""

    #: All attempts start at once.
    ALL_AT_ONCE = "all_at_once"
    #: As many as the policy wants were launched already.
    ALL_LAUNCHED = "all_launched"
    #: The first attempts of a stage, or those of it that had to wait.
    STAGE = "stage"
    #: The stage before cannot agree any more: the ballot is open.
    OPEN = "open"
    #: The running attempts can still decide the stage.
    UNDECIDED = "undecided"
    #: The stage's agreement is reached.
    DECIDED = "decided"
    #: An attempt started now would not end in time.
    NO_TIME = "no_time"
    #: The engine has no slot free.
    NO_SLOT = "no_slot"


@dataclass(frozen=True, slots=True)
class LaunchDecision:
    """How many attempts to add now, at least 0."""

    add: int
    reason: LaunchReason


class Launch(Protocol):
    """Decides, at the start of a solve and after every attempt's end, how many attempts to add.

    A solve in which nothing runs and to which nothing is added has ended.
    """

    def decide(self, state: SolveState) -> LaunchDecision:
        """Return how many attempts to add now. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class AllAtOnce:
    """Start all `attempts` at the beginning.

    Raises:
        PolicyError: `attempts` is below 1.
    """

    attempts: int

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise PolicyError(f"{self.attempts} attempts: must be at least 1; ask for one or more")

    def decide(self, state: SolveState) -> LaunchDecision:
        """Return the attempts that are still to be launched."""
        missing = self.attempts - state.launched
        if missing <= 0:
            return LaunchDecision(0, LaunchReason.ALL_LAUNCHED)
        return LaunchDecision(missing, LaunchReason.ALL_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Staged:
    """Start few attempts, and more only while the ballot is open.

    The attempts of the first stage start at once. A later stage starts as soon as the running
    attempts can no longer bring the agreement of the stage before, whichever answer they all gave:
    waiting for them would only lose time. With `waits` it starts once none of them runs. Where time
    or slots are short, fewer are added; with nothing running, one always is if there is time.

    Raises:
        PolicyError: no stages, or not each larger than the one before.
    """

    stages: tuple[Stage, ...]
    waits: bool = False

    def __post_init__(self) -> None:
        rising(self.stages)

    def decide(self, state: SolveState) -> LaunchDecision:
        """Return what is missing of the stage that the ballot calls for."""
        target, reason = self._target(state)
        missing = target - state.launched
        if missing <= 0:
            return LaunchDecision(0, reason)
        return within_means(missing, reason, state)

    def _target(self, state: SolveState) -> tuple[int, LaunchReason]:
        """Return how many attempts should have been launched by now, and why."""
        reached = [stage for stage in self.stages if stage.attempts >= state.launched]
        if not reached:
            return state.launched, LaunchReason.ALL_LAUNCHED
        stage, following = reached[0], reached[1:]
        leader = state.ballot.most_votes
        votes = leader.count if leader is not None else 0
        if votes >= stage.agree:
            return state.launched, LaunchReason.DECIDED
        if state.launched < stage.attempts:
            first = stage is self.stages[0]
            return stage.attempts, LaunchReason.STAGE if first else LaunchReason.OPEN
        if not following:
            return state.launched, LaunchReason.ALL_LAUNCHED
        if state.running > 0 if self.waits else votes + state.running >= stage.agree:
            return state.launched, LaunchReason.UNDECIDED
        return following[0].attempts, LaunchReason.OPEN


def within_means(missing: int, reason: LaunchReason, state: SolveState) -> LaunchDecision:
    """Cut a number of attempts to what time and slots allow."""
    if state.left_s <= 0 or state.left_s < state.attempt_s:
        return LaunchDecision(0, LaunchReason.NO_TIME)
    slots = missing if state.free_slots is None else state.free_slots
    if slots == 0 and state.running == 0:
        slots = 1
    if slots == 0:
        return LaunchDecision(0, LaunchReason.NO_SLOT)
    return LaunchDecision(min(missing, slots), reason)
