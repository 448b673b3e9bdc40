"""Every event of a solve."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from client.schema.base import WireModel
from client.schema.results import AttemptReport, BallotLine, SolveResult
from client.schema.values import AnswerKind, Channel, SegmentKind


class EventBase(WireModel):
    """Common to all events: `id` only grows, with a journal over restarts of the server too."""

    id: int = 0
    solve_id: str
    at: float = Field(description="Seconds since the creation of the solve.")


class SolveQueued(EventBase):
    """Accepted; `position` solves are ahead of it."""

    type: Literal["solve.queued"] = "solve.queued"
    position: int


class SolveVersions(WireModel):
    """What worked on a solve: enough to tell two solves apart, or to repeat one."""

    quorum: str = Field(description="Version of Quorum.")
    model_file: str = Field(description="Name of the weights' file, without its folder.")
    model_bytes: int = Field(description="Size of the weights' file, in bytes.")
    prompts: str = Field(description="SHA-256 of the prompt texts, in hexadecimal.")
    settings: dict[str, JsonValue] = Field(
        description="The settings of engines, `sandbox` and `solve` in force, by section."
    )


class SolveRequested(EventBase):
    """What was asked, and what works on it: with the seed in it, enough to repeat the solve."""

    type: Literal["solve.requested"] = "solve.requested"
    request: dict[str, JsonValue] = Field(
        description="The request with its defaults, without what it leaves to the settings."
    )
    versions: SolveVersions = Field(description="Versions of Quorum, model, prompts, settings.")


class SolveStarted(EventBase):
    """The values in force, settings and request together."""

    type: Literal["solve.started"] = "solve.started"
    problem: str
    problem_id: str | None
    answer_kind: AnswerKind
    strategy: str
    attempts: int
    agree: int
    max_turns: int
    max_tokens: int
    time_limit_s: float
    seed: int
    model: str
    dialect: str
    recipe: str = Field(default="", description="How further engines take part; empty: not.")


class AttemptEvent(EventBase):
    """Base of the events of one attempt, or of a plan that a further engine wrote for attempts.

    A plan is told as an attempt is, under a number below 0; it has no answer and no vote.
    """

    attempt: int

    @property
    def is_plan(self) -> bool:
        """Whether it is of a plan."""
        return self.attempt < 0


class AttemptStarted(AttemptEvent):
    """An attempt began, with its own seed and sampling."""

    type: Literal["attempt.started"] = "attempt.started"
    seed: int
    temperature: float
    top_p: float
    min_p: float
    top_k: int = 0
    variant: str = Field(default="", description="What it is told beside the prompt, by name.")
    parent: int | None = Field(
        default=None, description="The attempt of this solve that it continues, if any."
    )
    parent_tokens: int | None = Field(
        default=None, description="How many of the parent's first tokens it goes on from."
    )
    plan: int | None = Field(
        default=None, description="The plan that its prompt has, by its number below 0."
    )
    engine: str = Field(default="", description="The engine of a plan, by name.")
    model: str = Field(default="", description="The model of a plan; an attempt's is the solve's.")
    dialect: str = Field(default="", description="How the model of a plan writes.")


class AttemptText(AttemptEvent):
    """Newly sampled text; `sampled` counts all tokens of the attempt so far."""

    type: Literal["attempt.text"] = "attempt.text"
    turn: int
    channel: Channel
    text: str
    sampled: int


class AttemptCall(AttemptEvent):
    """A tool call is being executed."""

    type: Literal["attempt.call"] = "attempt.call"
    turn: int
    call: int
    code: str


class AttemptResult(AttemptEvent):
    """What the tool call came to, as the model was told."""

    type: Literal["attempt.result"] = "attempt.result"
    turn: int
    call: int
    status: str
    output: str
    seconds: float
    state_lost: bool


class AttemptSegment(AttemptEvent):
    """Tokens `start` … of the attempt's list, exactly as sampled or appended."""

    type: Literal["attempt.segment"] = "attempt.segment"
    turn: int
    kind: SegmentKind
    start: int
    token_ids: list[int]
    logprobs: list[float | None] | None = None
    confidence: list[float | None] | None = Field(
        default=None,
        description="For each sampled id: minus the mean log-probability of the likeliest tokens.",
    )


class AttemptGap(AttemptEvent):
    """The journal had to leave out texts or tokens of the attempt: it could not write in time."""

    type: Literal["attempt.gap"] = "attempt.gap"
    events: int = Field(description="Events left out, this one's id being the last one's.")
    tokens: int = Field(description="Token ids in them.")


class AttemptWaiting(AttemptEvent):
    """The engine is gone; the attempt keeps its tokens and waits for it."""

    type: Literal["attempt.waiting"] = "attempt.waiting"
    reason: str
    kept_tokens: int


class AttemptFinished(AttemptEvent):
    """The attempt ended."""

    type: Literal["attempt.finished"] = "attempt.finished"
    report: AttemptReport


class BallotChanged(EventBase):
    """The ballot after an attempt ended, and what the early-stop policy made of it."""

    type: Literal["ballot"] = "ballot"
    lines: list[BallotLine]
    running: int
    stop: bool
    reason: str


class BudgetDecided(EventBase):
    """How long the problem may take: told at its start and after every vote, in a run."""

    type: Literal["budget"] = "budget"
    limit_s: float = Field(description="Seconds that the problem may take, from its start.")
    reason: str
    elapsed_s: float = Field(description="Seconds that it has taken so far.")
    run_s: float = Field(description="Seconds of the run that were gone when it started.")
    left_s: float = Field(description="Seconds that are left of the run.")
    problems_left: int = Field(description="Problems still to be answered, this one included.")


class AttemptRated(AttemptEvent):
    """A process reward model rated the attempt's solution, which a selector asked for."""

    type: Literal["attempt.rated"] = "attempt.rated"
    steps: list[float] = Field(description="For each step, the probability that it is right.")


class SolveResumed(EventBase):
    """The server died, and this one goes on with the solve, from the tokens of the journal."""

    type: Literal["solve.resumed"] = "solve.resumed"
    attempts: list[int] = Field(description="The attempts that go on.")
    away_s: float = Field(description="Seconds between the last event and this one.")


class AttemptResumed(AttemptEvent):
    """The attempt goes on from its tokens; its kernel is gone."""

    type: Literal["attempt.resumed"] = "attempt.resumed"
    kept_tokens: int
    cells: int = Field(description="Cells that its new kernel is to run again, to be as it was.")


class SolveFinished(EventBase):
    """The last event of a solve."""

    type: Literal["solve.finished"] = "solve.finished"
    result: SolveResult


Event = Annotated[
    SolveQueued
    | SolveRequested
    | SolveStarted
    | AttemptStarted
    | AttemptText
    | AttemptCall
    | AttemptResult
    | AttemptSegment
    | AttemptGap
    | AttemptWaiting
    | AttemptFinished
    | BallotChanged
    | BudgetDecided
    | AttemptRated
    | SolveResumed
    | AttemptResumed
    | SolveFinished,
    Field(discriminator="type"),
]

EVENT_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)
