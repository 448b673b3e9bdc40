"""How many attempts to add now."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from voting.ballot import Ballot
from voting.errors import PolicyError


class LaunchReason(StrEnum):
    """Why attempts are added, or not."""

    #: All attempts start at once.
    ALL_AT_ONCE = "all_at_once"
    #: As many as the policy wants were launched already.
    ALL_LAUNCHED = "all_launched"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchState:
    """Where a solve stands: attempts launched so far, those of them still running, the votes.

    Raises:
        PolicyError: not 0 <= running <= launched.
    """

    launched: int = 0
    running: int = 0
    ballot: Ballot = field(default_factory=Ballot)

    def __post_init__(self) -> None:
        if not 0 <= self.running <= self.launched:
            raise PolicyError(
                f"{self.running} attempts running of {self.launched} launched: must be at least 0 "
                "and at most those launched; count an attempt when it starts"
            )


@dataclass(frozen=True, slots=True)
class LaunchDecision:
    """How many attempts to add now, at least 0."""

    add: int
    reason: LaunchReason


class Launch(Protocol):
    """Decides, at the start of a solve and after every attempt's end, how many attempts to add."""

    def decide(self, state: LaunchState) -> LaunchDecision:
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

    def decide(self, state: LaunchState) -> LaunchDecision:
        """Return the attempts that are still to be launched."""
        missing = self.attempts - state.launched
        if missing <= 0:
            return LaunchDecision(0, LaunchReason.ALL_LAUNCHED)
        return LaunchDecision(missing, LaunchReason.ALL_AT_ONCE)
