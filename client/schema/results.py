"""What became of a solve and of each of its attempts."""

from pydantic import Field

from client.schema.base import WireModel
from client.schema.values import AttemptEnd, SolveEnd


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


class Savings(WireModel):
    """What stopping early saved, estimated by the attempts that came to their own end."""

    attempts_cut: int = Field(default=0, description="Attempts stopped or pruned while they ran.")
    attempts_unlaunched: int = Field(default=0, description="Attempts that were never started.")
    tokens: int = Field(default=0, description="Tokens not sampled, an estimate.")


class SolveResult(WireModel):
    """The answer object that every solve ends with, whatever happened."""

    solve_id: str
    problem_id: str | None = None
    answer: str | None = None
    end: SolveEnd
    detail: str = Field(description="Why it ended and how the answer was chosen, in words.")
    strategy: str
    ballot: list[BallotLine] = Field(default=[])
    attempts: list[AttemptReport] = Field(default=[])
    tokens: TokenCounts = Field(
        default=TokenCounts(), description="Of all attempts; plans and judgments are not in it."
    )
    plans: list[AttemptReport] = Field(
        default=[], description="What further engines wrote for the attempts, by number below 0."
    )
    engines: dict[str, TokenCounts] = Field(
        default={},
        description="Tokens by engine, plans and judgments too, where a recipe uses more than"
        " `main`.",
    )
    saved: Savings = Field(default=Savings(), description="What stopping early saved.")
    seconds: float = 0.0
    model: str = ""
    sandbox: str = Field(default="", description="How the kernels are confined.")
    replayed: bool = Field(
        default=False, description="The problem had this result in its run; nothing was solved."
    )
