"""What the policies decide on."""

import math
from dataclasses import dataclass

from voting.answers import Answer
from voting.errors import OutcomeError
from voting.scores import TokenScores


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """How one attempt ended, right or wrong, whole or cut.

    ``attempt`` is its index in the solve, from 0. ``answer`` is what it committed to, None where it
    committed to nothing. ``finished`` is whether it came to its own end, rather than being stopped
    by a limit, a deadline or a failure. ``tokens`` are sampled tokens, ``tool_errors`` those of
    ``tool_calls`` that ended in an error or a time-out. ``seconds`` is how long it ran, and
    ``started_s`` when it started, in seconds from the start of the solve. ``scores`` are those of
    its tokens, where the engine gave log-probabilities. ``printed`` is whether its code printed the
    answer, None where there is no code or no answer. ``pruned`` is whether a `Prune` policy ended
    it: then it has no vote.

    Raises:
        OutcomeError: a count or time is negative, a time is infinite or not a number, or there are
            more tool errors than tool calls.
    """

    attempt: int
    answer: Answer | None
    finished: bool
    tokens: int = 0
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    seconds: float = 0.0
    started_s: float = 0.0
    scores: TokenScores | None = None
    printed: bool | None = None
    pruned: bool = False

    def __post_init__(self) -> None:
        for name in ("attempt", "tokens", "turns", "tool_calls", "tool_errors"):
            if (count := getattr(self, name)) < 0:
                raise OutcomeError(
                    f"attempt {self.attempt}: {name} {count}: must be at least 0; "
                    "count what the attempt did"
                )
        for name in ("seconds", "started_s"):
            if not 0 <= (seconds := getattr(self, name)) < math.inf:
                raise OutcomeError(
                    f"attempt {self.attempt}: {name} {seconds}: must be finite and at least 0; "
                    "measure on a monotonic clock"
                )
        if self.tool_errors > self.tool_calls:
            raise OutcomeError(
                f"attempt {self.attempt}: {self.tool_errors} tool errors: must be at most the "
                f"{self.tool_calls} tool calls; count each failing call once"
            )

    @property
    def ended_s(self) -> float:
        """When the attempt ended, in seconds from the start of the solve."""
        return self.started_s + self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptProgress:
    """Where a running attempt is.

    ``tokens`` are sampled so far, all turns together; ``seconds`` is how long it has run.
    ``group_confidence`` is the mean confidence of the last whole window of tokens (see
    `TokenScores`), None before there is one or where the engine gives no log-probabilities.

    Raises:
        OutcomeError: a count or time is negative, or a number is infinite or none.
    """

    attempt: int
    tokens: int = 0
    seconds: float = 0.0
    group_confidence: float | None = None

    def __post_init__(self) -> None:
        for name in ("attempt", "tokens", "seconds", "group_confidence"):
            number = getattr(self, name)
            if number is not None and not 0 <= number < math.inf:
                raise OutcomeError(
                    f"attempt {self.attempt}: {name} {number}: must be finite and at least 0; "
                    "measure what the attempt did on a monotonic clock"
                )
