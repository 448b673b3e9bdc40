"""The wire schema: every request, result and event that crosses HTTP. The only one.

The journal's rows are these events, SSE sends them, the page and the replay read them. Times are
seconds; `at` counts from the creation of the solve. Unknown fields in a request are refused;
clients must ignore event types and fields that they do not know.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    field_validator,
    model_validator,
)

#: Longest problem accepted, in characters. The longest problem of MATH is 4,300 characters; a
#: problem of this length still leaves room to think in an 8,192-token context.
MAX_PROBLEM_CHARS = 16_000
MAX_ATTEMPTS = 256
MAX_SEED = 2**31 - 1


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
    REPETITION = "repetition"
    """The model fell into a degenerate loop, and no answer could be forced out of it."""
    EARLY_STOP = "early_stop"
    """The vote was decided without it."""
    CANCELLED = "cancelled"
    """The caller cancelled the solve or went away."""
    ENGINE_LOST = "engine_lost"
    """The engine died and was not back before the deadline."""
    ENGINE_ERROR = "engine_error"
    """The engine refused the request or answered with nonsense."""
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


class SegmentKind(StrEnum):
    """Where a segment's tokens come from; the training mask is this kind."""

    SAMPLED = "sampled"
    APPENDED = "appended"


class WireModel(BaseModel):
    """Base of everything on the wire: immutable, unknown fields ignored when read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RequestModel(BaseModel):
    """Base of requests: immutable, unknown fields refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SolveRequest(RequestModel):
    """One problem to solve. A field left out takes the server's setting."""

    problem: str = Field(
        description="The statement, as plain text (Markdown and LaTeX welcome).",
        max_length=MAX_PROBLEM_CHARS,
        examples=["What is the remainder when $7^{2024}$ is divided by 1000?"],
    )
    problem_id: str | None = Field(default=None, max_length=200, description="The caller's name.")
    answer_kind: AnswerKind = Field(
        default=AnswerKind.TEXT, description="`integer`: contest mode, 0-99999; `text`: any."
    )
    strategy: str | None = Field(
        default=None, max_length=40, description="How attempts are made and chosen, by name."
    )
    attempts: int | None = Field(default=None, ge=1, le=MAX_ATTEMPTS)
    agree: int | None = Field(
        default=None, ge=1, le=MAX_ATTEMPTS, description="Stop at this many equal answers."
    )
    max_turns: int | None = Field(
        default=None, ge=1, le=1_000, description="Most turns per attempt."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Most sampled tokens per attempt."
    )
    time_limit_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds that solving may take, the wait in the queue not counted.",
    )
    temperature: float | None = Field(default=None, ge=0, le=5)
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="Attempt i samples with seed + i.")
    tokens: bool = Field(
        default=False, description="Also send the token ids (`attempt.segment` events)."
    )

    @field_validator("problem")
    @classmethod
    def _problem_is_text(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the problem is empty: give its statement as text")
        unprintable = next((c for c in value if ord(c) < 32 and c not in "\t\n\r\f"), None)
        if unprintable is not None:
            raise ValueError(
                f"the problem holds the control character U+{ord(unprintable):04X}: "
                "it must be text; remove binary data"
            )
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValueError("the problem holds a lone surrogate: it must be valid Unicode text")
        return value

    @model_validator(mode="after")
    def _agreement_can_be_reached(self) -> Self:
        if self.agree is not None and self.attempts is not None and self.agree > self.attempts:
            raise ValueError(
                f"agree {self.agree}: must be at most attempts ({self.attempts}); "
                "lower agree or raise attempts"
            )
        return self


class BallotLine(WireModel):
    """One answer and who voted for it."""

    answer: str
    votes: int
    weight: float
    attempts: list[int]


class TokenCounts(WireModel):
    """Tokens of one attempt, or summed over a solve."""

    prompt: int = 0
    sampled: int = 0
    appended: int = Field(default=0, description="Tool results and forced endings.")


class AttemptReport(WireModel):
    """What became of one attempt."""

    attempt: int
    seed: int
    end: AttemptEnd
    detail: str = Field(default="", description="The reason in words.")
    answer: str | None = None
    weight: float = 0.0
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    tokens: TokenCounts = TokenCounts()
    seconds: float = 0.0
    engine_losses: int = Field(default=0, description="Times it went on after an engine restart.")
    token_exact: bool = Field(
        default=True, description="False: the engine's stream lost an id; not fit for training."
    )


class SolveResult(WireModel):
    """The answer object that every solve ends with, whatever happened."""

    solve_id: str
    problem_id: str | None = None
    answer: str | None = None
    end: SolveEnd
    detail: str = Field(description="Why it ended and how the answer was chosen, in words.")
    strategy: str
    ballot: list[BallotLine] = []
    attempts: list[AttemptReport] = []
    tokens: TokenCounts = TokenCounts()
    seconds: float = 0.0
    model: str = ""
    sandbox: str = Field(default="", description="How the kernels are confined.")


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
        description="The settings of `engine`, `sandbox` and `solve` in force, by section."
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


class AttemptEvent(EventBase):
    """Base of the events of one attempt."""

    attempt: int


class AttemptStarted(AttemptEvent):
    """An attempt began, with its own seed and sampling."""

    type: Literal["attempt.started"] = "attempt.started"
    seed: int
    temperature: float
    top_p: float
    min_p: float
    parent: int | None = Field(
        default=None, description="The attempt of this solve that it continues, if any."
    )
    parent_tokens: int | None = Field(
        default=None, description="How many of the parent's first tokens it goes on from."
    )


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
    confidence: list[float] | None = Field(
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
    | SolveFinished,
    Field(discriminator="type"),
]

EVENT_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


#: A part in this state will not get ready by itself: waiting for it is of no use.
PART_FAILED = "failed"


class PartStatus(WireModel):
    """Whether one part of the server can work, and why not."""

    ready: bool
    state: str
    detail: str = ""


class Readiness(WireModel):
    """Answer of `GET /ready` (200 when ready, 503 when not)."""

    ready: bool
    engine: PartStatus
    sandbox: PartStatus
    journal: PartStatus | None = Field(
        default=None, description="State of the journal; a server without one is ready too."
    )
    model: str = ""
    running: int = 0
    queued: int = 0


class Health(WireModel):
    """Answer of `GET /health`: the process lives and its event loop turns."""

    status: Literal["ok"] = "ok"
    version: str
    uptime_s: float


class InvalidField(WireModel):
    """One field of a refused request."""

    field: str
    message: str


class ProblemDetails(WireModel):
    """RFC 9457 problem details; every error of the API has this form."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[InvalidField] = []
    retry_after_s: float | None = None
