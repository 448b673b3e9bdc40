"""Runs: a set of problems under one clock."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from client.schema.base import Integer, Number, RequestModel, WireModel
from client.schema.requests import MAX_POLICY_CHARS, RUN_ID_PATTERN, SolveOptions

#: Most problems of a run: more would make its board and its listing slow.
MAX_RUN_PROBLEMS = 10_000
#: The longest clock of a run, in seconds: four weeks.
MAX_RUN_S = 2_419_200


class RunState(StrEnum):
    """Whether a run takes problems."""

    OPEN = "open"
    """It takes problems, as long as its time lasts."""
    FINISHED = "finished"
    """It was finished by its caller; what it has answered can still be asked for."""


class RunSolveState(StrEnum):
    """Where a problem of a run is."""

    QUEUED = "queued"
    """It waits for its turn."""
    RUNNING = "running"
    """Attempts are at work."""
    FINISHED = "finished"
    """It has a result."""


class AnswerRung(StrEnum):
    """Where an answer came from that a run's caller gave on, the surest first."""

    VOTE = "vote"
    """The solve ended, and its selector chose."""
    BALLOT = "ballot"
    """The solve did not end; its ballot so far decided."""
    BOXED = "boxed"
    """No vote: the last boxed answer in any attempt's text."""
    PRINTED = "printed"
    """No boxed answer: the last integer that code printed."""
    DEFAULT = "default"
    """Nothing was known."""


class RunRequest(SolveOptions):
    """A run to be opened. What is said of solves holds for those that do not say otherwise."""

    id: str | None = Field(
        default=None,
        pattern=RUN_ID_PATTERN,
        description="The caller's name for the run, by which it is found again; else one is made.",
        examples=["contest-2026-04-15"],
    )
    name: str | None = Field(default=None, max_length=200, description="What people read.")
    problems: Integer = Field(
        ge=1,
        le=MAX_RUN_PROBLEMS,
        description="How many problems are expected; more or fewer may come.",
        examples=[50],
    )
    limit_s: Number = Field(
        gt=0, le=MAX_RUN_S, description="Seconds for all problems together.", examples=[18_000]
    )
    elapsed_s: Number = Field(
        default=0.0, ge=0, le=MAX_RUN_S, description="Seconds of them that are gone already."
    )
    budget: str | None = Field(
        default=None,
        max_length=MAX_POLICY_CHARS,
        description="How the time is given out to the problems, by name; `none` gives nothing out: "
        "each problem has the time and the attempts that it asks for.",
        examples=["adaptive"],
    )


class RunFinish(RequestModel):
    """Why a run is finished."""

    reason: Annotated[str, Field(max_length=400)] = Field(
        default="its caller finished it", description="Why, in a sentence."
    )


class RunAnswer(RequestModel):
    """What the caller of a run answered to one of its problems, and from what."""

    problem_id: str = Field(min_length=1, max_length=256, description="The caller's name.")
    answer: str = Field(max_length=1_000, description="The answer as it was given on.")
    rung: AnswerRung = Field(description="Where it came from.")
    solve: str | None = Field(default=None, max_length=100, description="The solve, if any.")
    seconds: Number | None = Field(default=None, ge=0, description="From question to answer.")
    notes: list[Annotated[str, Field(max_length=1_000)]] = Field(
        default=[], max_length=100, description="What was odd."
    )


class GivenAnswer(WireModel):
    """An answer that the caller of a run gave on; the first one told of a problem stands."""

    problem_id: str = Field(description="The caller's name for the problem.")
    answer: str = Field(description="The answer as it was given on.")
    rung: AnswerRung = Field(description="Where it came from.")
    solve: str | None = Field(default=None, description="The solve, if any.")
    seconds: float | None = Field(default=None, description="From question to answer.")
    notes: list[str] = Field(default=[], description="What was odd.")
    told_at: datetime = Field(description="When the server was told.")


class RunSolve(WireModel):
    """One problem of a run; the last solve of it where there were several."""

    id: str = Field(description="Name of the solve.")
    problem_id: str
    state: RunSolveState = Field(description="Where the problem is.")
    answer: str | None = Field(
        default=None, description="The answer; while it runs, the leading one so far."
    )
    seconds: float | None = Field(default=None, description="How long it took, or has run so far.")
    limit_s: float | None = Field(default=None, description="How long it may or might take.")


class Run(WireModel):
    """A set of problems under one clock."""

    id: str = Field(description="The name by which the run is found again.")
    name: str | None = Field(default=None, description="What people read.")
    state: RunState = Field(description="Whether it takes problems.")
    problems: int = Field(description="How many problems are expected.")
    done: int = Field(description="Problems that have a result.")
    running: int = Field(description="Problems that run or wait for their turn.")
    limit_s: float = Field(description="Seconds for all problems together.")
    elapsed_s: float = Field(description="Seconds of them that are gone.")
    seconds_left: float = Field(description="Seconds until the run's end; 0 once it has passed.")
    created_at: datetime = Field(description="When it was opened.")
    finished_at: datetime | None = Field(default=None, description="When it was finished.")
    reason: str = Field(default="", description="Why it was finished.")
    budget: str = Field(description="How the time is given out, by name.")
    solves: list[RunSolve] = Field(default=[], description="Its problems, in order of arrival.")
    answers: list[GivenAnswer] = Field(
        default=[], description="What its caller said to have answered, in that order."
    )


class RunList(WireModel):
    """A page of runs: the answer of `GET /v1/runs`."""

    runs: list[Run] = Field(description="The newest first; without their problems.")
    next: str | None = Field(
        default=None, description="What `after` must be for the next page; null on the last one."
    )
