"""What a solve's end says about its problem: whether it is done, or must be asked again."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from client.schema import SolveEnd, SolveResult

#: Ends by something else than the problem. As in a run of the server, which solves such a problem
#: anew when it is asked again (`server.runs.run.UNSETTLED`).
ABORTED = frozenset(
    {SolveEnd.CANCELLED, SolveEnd.INTERRUPTED, SolveEnd.ENGINE_LOST, SolveEnd.FAILED}
)


class Outcome(Enum):
    """What became of a problem."""

    DONE = auto()
    """It has a result, an answer or none."""
    ABORTED = auto()
    """The server or its caller ended the solve."""
    NOT_REACHED = auto()
    """The time was over before a token was sampled."""


def outcome_of(result: SolveResult) -> Outcome:
    """Return what became of the problem of a result."""
    return _outcome(result.answer, result.end, result.tokens.sampled, replayed=result.replayed)


def outcome_of_row(row: Mapping[str, Any]) -> Outcome:
    """Return the same for a row of a file of results, whoever wrote it.

    Raises `KeyError` or `TypeError` for what is no such row.
    """
    if "end" not in row:
        return Outcome.DONE
    sampled = row["tokens"]["sampled"] if "tokens" in row else None
    replayed = bool(row.get("replayed", False))
    return _outcome(row.get("answer"), row["end"], sampled, replayed=replayed)


def _outcome(answer: object, end: str, sampled: int | None, *, replayed: bool) -> Outcome:
    # An answer of a dead server's solve stands only where its run gave it out as the result.
    if end == SolveEnd.INTERRUPTED and not replayed:
        return Outcome.ABORTED
    if answer is not None:
        return Outcome.DONE
    if end in ABORTED:
        return Outcome.ABORTED
    return Outcome.NOT_REACHED if end == SolveEnd.DEADLINE and sampled == 0 else Outcome.DONE
