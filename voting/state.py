"""Where a solve stands, as the policies are told."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from voting.ballot import Ballot
from voting.errors import ClockError, PolicyError
from voting.types import AttemptOutcome


def attempt_seconds(outcomes: Iterable[AttemptOutcome]) -> float:
    """Return how long one more attempt is expected to take; 0 where nothing is known.

    It is the shortest that came to an end of its own: one more is worth its start if it may end in
    time.
    """
    return min((outcome.seconds for outcome in outcomes if outcome.finished), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveState:
    """A solve at one moment: at its start, or after an attempt's end.

    ``ballot`` has the votes of the attempts that ended. ``launched`` attempts were started so far,
    ``running`` of them have not ended, and at most ``attempts`` may be started in all (as many as
    were launched where that is more). ``most_weight`` is the most that one vote can weigh, infinite
    where the weight policy has no bound. ``free_slots`` is how many more attempts the engine can
    decode at once without slowing others, None where that is not known. ``left_s`` is the time to
    the deadline, infinite where there is none and 0 where it has passed; ``attempt_s`` is how long
    one more attempt is expected to take (`attempt_seconds`). ``unsettled`` is whether answers on
    different lines of the ballot may yet be found equal.

    Raises:
        PolicyError: not 0 <= running <= launched, or a negative number of slots.
        ClockError: a time is negative or not a number; a clock that jumped back shows here.
    """

    ballot: Ballot = field(default_factory=Ballot)
    launched: int = 0
    running: int = 0
    attempts: int = 0
    most_weight: float = 1.0
    free_slots: int | None = None
    left_s: float = math.inf
    attempt_s: float = 0.0
    unsettled: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.running <= self.launched:
            raise PolicyError(
                f"{self.running} attempts running of {self.launched} launched: must be at least 0 "
                "and at most those launched; count an attempt when it starts"
            )
        if self.free_slots is not None and self.free_slots < 0:
            raise PolicyError(
                f"{self.free_slots} free slots: must be at least 0; leave it out if not known"
            )
        if not self.most_weight >= 0:
            raise PolicyError(
                f"votes of at most {self.most_weight}: must be at least 0, or infinite; "
                "bound the weight policy"
            )
        if not self.left_s >= 0 or not 0 <= self.attempt_s < math.inf:
            raise ClockError(
                f"{self.left_s} seconds left, {self.attempt_s} an attempt: must be at least 0, "
                "the second finite; measure on a monotonic clock"
            )

    @property
    def to_come(self) -> int:
        """The votes that may still come: of running attempts and of those not yet launched."""
        return self.running + max(0, self.attempts - self.launched)
