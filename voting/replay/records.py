"""What is replayed: attempts as they were recorded, by problem."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from voting.answers import Answer
from voting.errors import OutcomeError, ReplayError
from voting.machine import Machine
from voting.scores import TokenScores
from voting.types import AttemptOutcome

#: No solve has more attempts.
MOST_STREAMS = 256


@dataclass(frozen=True, slots=True)
class Dip:
    """A new lowest group confidence of an attempt: its value, and after how many tokens."""

    tokens: int
    group_confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """One attempt that ran to its own end, with all that it cost.

    ``right`` is whether its answer is the problem's. ``tokens`` are sampled ones. ``scores``,
    ``printed`` and the counts are as in `AttemptOutcome`. ``dips`` has every new low of its group
    confidence, by rising tokens, so that a `Prune` policy can be replayed. ``step_scores`` are what
    a process reward model gave the solution's steps, None where none was asked. ``took_s`` is how
    long it ran when it was recorded, in seconds, None where that is not known. ``number`` is what
    it was made as: its place among the attempts of its solve and those that were had before, from
    0, which tells its entry in a mix; None where the record does not say.

    Raises:
        ReplayError: a count is negative, there are more tool errors than calls, a step's score is
            not from 0 to 1, a time is below 0 or not finite, or an attempt without an answer is
            right.
    """

    answer: Answer | None
    right: bool
    tokens: int
    tool_calls: int = 0
    tool_errors: int = 0
    scores: TokenScores | None = None
    printed: bool | None = None
    dips: tuple[Dip, ...] = ()
    step_scores: tuple[float, ...] | None = None
    took_s: float | None = None
    number: int | None = None

    def __post_init__(self) -> None:
        if self.right and self.answer is None:
            raise ReplayError(
                "recorded attempt without an answer: cannot be right; correct the record"
            )
        if not all(0 <= score <= 1 for score in self.step_scores or ()):
            raise ReplayError(
                "recorded attempt: scores of steps must be from 0 to 1; give probabilities"
            )
        try:
            self.outcome(attempt=self.number or 0, started_s=0.0, seconds=self.took_s or 0.0)
        except OutcomeError as error:
            raise ReplayError(f"recorded {error}") from error

    def outcome(self, *, attempt: int, started_s: float, seconds: float) -> AttemptOutcome:
        """Return what the policies are told of the attempt at its own end.

        Raises:
            OutcomeError: a time is negative, infinite or not a number.
        """
        return AttemptOutcome(
            attempt=attempt,
            answer=self.answer,
            finished=self.answer is not None,
            tokens=self.tokens,
            tool_calls=self.tool_calls,
            tool_errors=self.tool_errors,
            seconds=seconds,
            started_s=started_s,
            scores=self.scores,
            printed=self.printed,
        )

    def made_as(self, outcome: AttemptOutcome) -> AttemptOutcome:
        """Return an outcome under the number that the attempt was made as, where that is known.

        A replay launches attempts in another order; what an entry of a mix weighs does not change.
        """
        return outcome if self.number is None else replace(outcome, attempt=self.number)

    @property
    def key(self) -> str | None:
        """The ballot line of the answer; None without one."""
        return None if self.answer is None else self.answer.key


@dataclass(frozen=True, slots=True)
class RecordedProblem:
    """All recorded attempts of one problem, in the order in which they were recorded.

    Raises:
        ReplayError: there are none.
    """

    id: str
    attempts: tuple[RecordedAttempt, ...]

    def __post_init__(self) -> None:
        if not self.attempts:
            raise ReplayError(
                f"problem {self.id[:40]!r}: 0 recorded attempts: must be at least 1; leave it out"
            )

    @property
    def accuracy(self) -> float:
        """The share of attempts that are right."""
        return sum(attempt.right for attempt in self.attempts) / len(self.attempts)


def with_attempts(problems: Sequence[RecordedProblem], least: int) -> list[RecordedProblem]:
    """Return the problems that have at least `least` recorded attempts.

    Raises:
        ReplayError: none has.
    """
    kept = [problem for problem in problems if len(problem.attempts) >= least]
    if not kept:
        most = max((len(problem.attempts) for problem in problems), default=0)
        raise ReplayError(
            f"{least} recorded attempts a problem: must be at most {most}, the most that a problem "
            "has; record more attempts, or ask for fewer"
        )
    return kept


def machine_of(problems: Sequence[RecordedProblem]) -> Machine:
    """Return the machine that the attempts were recorded on, as far as their times tell.

    Each stream is as fast as the median attempt was, tool calls and waits included, however many
    decode at once: the times do not tell how many did.

    Raises:
        ReplayError: no attempt has a time.
    """
    speeds = [
        attempt.tokens / attempt.took_s
        for problem in problems
        for attempt in problem.attempts
        if attempt.took_s and attempt.tokens
    ]
    if not speeds:
        raise ReplayError(
            "machine recorded: no attempt says how long it took; add the column seconds, or "
            "describe the machine"
        )
    speed = median(speeds)
    return Machine(name="recorded", decode=((1, speed), (MOST_STREAMS, speed)))
