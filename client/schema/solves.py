"""Solves as the server knows them: the list, one of them, and a selector run again."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from client.schema.base import Number, RequestModel, WireModel
from client.schema.requests import MAX_POLICY_CHARS
from client.schema.results import BallotLine, SolveResult, TokenCounts
from client.schema.values import SolveEnd

#: Most solves on one page of a list.
MAX_PAGE = 500
#: Longest that a selector may be given to choose again, in seconds.
MAX_SELECT_S = 3_600


class SolveState(StrEnum):
    """Where a solve is."""

    QUEUED = "queued"
    """It waits for its turn."""
    RUNNING = "running"
    """Its attempts are at work."""
    FINISHED = "finished"
    """It has a result."""
    LOST = "lost"
    """It has no result and does not run: the server that ran it died and could not write on."""


class SolveInfo(WireModel):
    """One solve in a list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "solve_id": "solve-5b0c7d1f2a3e",
                    "state": "finished",
                    "created": "2026-03-01T12:00:00.000000Z",
                    "problem": "What is the remainder when $7^{2024}$ is divided by 1000?",
                    "problem_id": "p-17",
                    "strategy": "tir",
                    "model": "qwen2.5-coder-1.5b-instruct-q4_k_m",
                    "attempts": 4,
                    "answer": "401",
                    "end": "agreement",
                    "seconds": 21.4,
                    "tokens": {"prompt": 1620, "sampled": 1043, "appended": 96},
                }
            ]
        }
    )

    solve_id: str = Field(description="Name of the solve, made by the server.")
    state: SolveState = Field(description="Where it is.")
    created: str = Field(description="When it was created: ISO 8601, UTC.")
    problem: str = Field(description="The statement.")
    problem_id: str | None = Field(default=None, description="The caller's name for the problem.")
    run: str | None = Field(default=None, description="The run that it belongs to, if any.")
    strategy: str | None = Field(default=None, description="The strategy by name.")
    model: str | None = Field(default=None, description="Name of the model; null while it waits.")
    attempts: int | None = Field(default=None, description="Attempts planned.")
    answer: str | None = Field(default=None, description="The answer; null where there is none.")
    end: SolveEnd | None = Field(default=None, description="Why it ended; null where it has not.")
    seconds: float | None = Field(default=None, description="How long it took, in seconds.")
    tokens: TokenCounts | None = Field(default=None, description="Tokens of all its attempts.")


class SolveDetail(SolveInfo):
    """One solve, with its result once it has one."""

    result: SolveResult | None = Field(default=None, description="The answer object.")


class SolveList(WireModel):
    """A page of solves, newest first."""

    solves: list[SolveInfo] = Field(description="The solves.")
    next: str | None = Field(
        default=None, description="What `after` must be for the next page; null on the last one."
    )


class SelectRequest(RequestModel):
    """A selector to run on the attempts of a solve that has ended."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"selector": "weighted", "weight": "tool_errors"}]}
    )

    selector: str | None = Field(
        default=None,
        max_length=MAX_POLICY_CHARS,
        description="How the answer is chosen, by name; the solve's own if absent.",
    )
    weight: str | None = Field(
        default=None,
        max_length=MAX_POLICY_CHARS,
        description="What a vote weighs, by name; the solve's own if absent.",
    )
    time_limit_s: Number = Field(
        default=60.0, gt=0, le=MAX_SELECT_S, description="Seconds that choosing may take."
    )


class SelectReport(WireModel):
    """What a selector chose. The solve's own result stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "solve_id": "solve-5b0c7d1f2a3e",
                    "selector": "weighted",
                    "weight_by": "tool_errors",
                    "answer": "401",
                    "reason": "most_weight",
                    "weight": 2.5,
                    "total": 3.5,
                    "ballot": [{"answer": "401", "votes": 3, "weight": 2.5, "attempts": [0, 1, 3]}],
                    "seconds": 0.002,
                }
            ]
        }
    )

    solve_id: str = Field(description="The solve whose attempts were chosen from.")
    selector: str = Field(description="The selector, as it is written in settings.")
    weight_by: str = Field(description="What a vote weighed, as it is written in settings.")
    answer: str | None = Field(description="The answer chosen; null where no attempt has one.")
    reason: str = Field(description="Why, in a word.")
    weight: float = Field(description="What speaks for the answer, in the selector's measure.")
    total: float = Field(description="What was cast, in the same measure.")
    ballot: list[BallotLine] = Field(description="One line an answer, the heaviest first.")
    seconds: float = Field(description="How long choosing took, in seconds.")
