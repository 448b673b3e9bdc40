"""The enumerations of the wire: what each value means stands below it."""

from enum import StrEnum


class AnswerKind(StrEnum):
    """What counts as an answer: contest integers 0-99999, or any text."""

    INTEGER = "integer"
    TEXT = "text"


class AttemptEnd(StrEnum):
    """Why an attempt ended."""

    ANSWERED = "answered"
    """The model finished its message with an answer."""
    FORCED = "forced"
    """Time, turns, tokens or context ran out, or the message ended without an answer; the forced
    final answer was read."""
    NO_ANSWER = "no_answer"
    """As above, and even the forced final answer could not be read."""
    DEADLINE = "deadline"
    """The problem's deadline came before an answer could be forced."""
    PRUNED = "pruned"
    """The prune policy ended it: its tokens showed too little confidence."""
    REPETITION = "repetition"
    """The model fell into a degenerate loop, and no answer could be forced out of it."""
    PLANNED = "planned"
    """No attempt, but a plan that a further engine wrote for attempts: it was handed to them."""
    EARLY_STOP = "early_stop"
    """The vote was decided without it."""
    CANCELLED = "cancelled"
    """The caller cancelled the solve or went away."""
    ENGINE_LOST = "engine_lost"
    """The engine died and was not back before the deadline."""
    ENGINE_ERROR = "engine_error"
    """The engine refused the request, or answered with nonsense again and again."""
    SANDBOX_ERROR = "sandbox_error"
    """No kernel could be had."""
    FAILED = "failed"
    """A defect of Quorum itself; its text is in `detail`."""


class SolveEnd(StrEnum):
    """Why a solve ended."""

    AGREEMENT = "agreement"
    """Enough equal answers: the rest was stopped."""
    ALL_FINISHED = "all_finished"
    """Every attempt ended by itself."""
    DEADLINE = "deadline"
    """The problem's time ran out."""
    CANCELLED = "cancelled"
    """The caller cancelled or went away."""
    ENGINE_LOST = "engine_lost"
    """The engine did not come back in time."""
    INTERRUPTED = "interrupted"
    """The server died; found at its next start."""
    FAILED = "failed"
    """A defect of Quorum itself."""


class Channel(StrEnum):
    """What a stretch of sampled text is."""

    THINKING = "thinking"
    FINAL = "final"
    CODE = "code"


def attempt_name(attempt: int) -> str:
    """Return what people call an attempt, or a plan, whose number is below 0."""
    return f"attempt {attempt}" if attempt >= 0 else f"plan {-1 - attempt}"


class SegmentKind(StrEnum):
    """Where a segment's tokens come from; the training mask is this kind."""

    SAMPLED = "sampled"
    APPENDED = "appended"
