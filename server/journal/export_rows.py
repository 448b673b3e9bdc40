"""What an export holds: one row an attempt, with its tokens."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from client.schema import AttemptRated
from server.journal.reader import JournalReader, SolveFilter, StoredAttempt, StoredSolve
from server.journal.rows import EventRow, Float16s, Ids, sound_body, sound_event
from server.journal.unfinished import EVENT_COLUMNS
from server.sections.engines import MAIN

Column = str | int | float | bool | None


class ExportRow(NamedTuple):
    """One attempt. `values` has the columns of `COLUMNS`; arrays have shape (count,).

    `mask` is 1 for a sampled id and 0 for an appended one: what training learns from. `logprobs`
    and `confidence` are NaN where there is none, and None where there is none at all. `step_scores`
    are what a process reward model said of the solution's steps, None where none was asked.
    """

    values: dict[str, Column]
    ids: Ids
    mask: NDArray[np.uint8]
    logprobs: Float16s | None
    confidence: Float16s | None
    step_scores: NDArray[np.float32] | None = None


#: Name to type, of every column but the arrays. `end` is the attempt's, None where the server died
#: in it; `complete` says that all its tokens are here. `offset` is the request's: attempt i of the
#: solve was asked as attempt offset + i. A `role` of plan says that a further `engine` wrote it for
#: attempts; its number is below 0. `prompts` is the digest of the prompt texts.
COLUMNS: dict[str, type] = {
    "solve_id": str, "run": str, "problem_id": str, "problem": str, "answer_kind": str,
    "created": float,
    "strategy": str, "model": str, "dialect": str, "model_file": str, "prompts": str,
    "quorum": str, "solve_end": str, "solve_answer": str, "attempt": int, "offset": int,
    "role": str, "engine": str, "seed": int,
    "temperature": float, "top_p": float, "min_p": float, "parent": int, "parent_tokens": int,
    "end": str, "answer": str, "weight": float, "turns": int, "tool_calls": int,
    "tool_errors": int, "seconds": float, "token_exact": bool, "complete": bool,
}  # fmt: skip
FROM_SOLVE = (
    "problem_id", "problem", "answer_kind", "created", "strategy", "model", "dialect",
)  # fmt: skip
FROM_ATTEMPT = (
    "attempt", "seed", "temperature", "top_p", "min_p", "parent", "parent_tokens", "answer",
    "weight", "turns", "tool_calls", "tool_errors", "seconds",
)  # fmt: skip
FROM_VERSIONS = ("model_file", "prompts", "quorum")


def export_solves(reader: JournalReader, wanted: SolveFilter) -> list[StoredSolve]:
    """Return the solves that are exported, oldest first; those in flight still change."""
    return [solve for solve in reversed(reader.solves(wanted)) if solve.outcome is not None]


def export_rows(reader: JournalReader, solve: StoredSolve) -> Iterator[ExportRow]:
    """Yield the rows of a solve; one attempt's tokens are in memory at a time."""
    common: dict[str, Column] = {name: getattr(solve, name) for name in FROM_SOLVE}
    common |= {
        "run": solve.run_id,
        "solve_id": solve.id,
        "solve_end": solve.outcome,
        "solve_answer": solve.answer,
    }
    common |= _requested(reader, solve.id)
    rated = _rated(reader, solve.id)
    for attempt in reader.attempts(solve.id, plans=True):
        row = _row(reader, common, attempt)
        yield row._replace(step_scores=rated.get(attempt.attempt))


def _row(reader: JournalReader, common: dict[str, Column], attempt: StoredAttempt) -> ExportRow:
    tokens = reader.tokens(attempt.solve_id, attempt.attempt)
    reported = (attempt.prompt, attempt.sampled, attempt.appended)
    told = len(tokens.ids) == sum(count or 0 for count in reported)
    own: dict[str, Column] = {name: getattr(attempt, name) for name in FROM_ATTEMPT}
    own["end"] = attempt.outcome
    own["token_exact"] = None if attempt.token_exact is None else bool(attempt.token_exact)
    own["complete"] = tokens.complete and not attempt.lost_tokens and told
    own |= _role(reader, attempt)
    values = common | own
    return ExportRow(
        values={name: values[name] for name in COLUMNS},
        ids=tokens.ids,
        mask=tokens.sampled.astype(np.uint8),
        logprobs=_or_none(tokens.logprobs),
        confidence=_or_none(tokens.confidence),
    )


def _role(reader: JournalReader, attempt: StoredAttempt) -> dict[str, Column]:
    """Return whether it is an attempt or a plan; a plan is of an engine and a model of its own."""
    if attempt.attempt >= 0:
        return {"role": "attempt", "engine": MAIN}
    plan: dict[str, Column] = {"role": "plan", "model_file": None}
    plan.update(reader.writer(attempt.solve_id, attempt.attempt))
    return plan


def _requested(reader: JournalReader, solve_id: str) -> dict[str, Column]:
    rows = reader.query(
        "SELECT body FROM events WHERE solve_id = ? AND type = 'solve.requested'", (solve_id,)
    )
    body: dict[str, Any] = sound_body(rows[0][0]) if rows else {}
    versions, request = body.get("versions", {}), body.get("request", {})
    made = {name: versions.get(name) for name in FROM_VERSIONS}
    return {"offset": int(request.get("offset", 0)), **made}


def _rated(reader: JournalReader, solve_id: str) -> dict[int, NDArray[np.float32]]:
    """Return the last scores of each attempt that was rated."""
    rows = reader.query(
        f"SELECT {EVENT_COLUMNS} FROM events "  # noqa: S608 - our own names
        "WHERE solve_id = ? AND type = 'attempt.rated' ORDER BY id",
        (solve_id,),
    )
    # Whole events: which attempt it was is a column of its own, and no body has it.
    events = [sound_event(EventRow(*row)) for row in rows]
    return {
        event.attempt: np.asarray(event.steps, np.float32)
        for event in events
        if isinstance(event, AttemptRated)
    }


def _or_none(numbers: Float16s) -> Float16s | None:
    return None if np.isnan(numbers).all() else numbers
