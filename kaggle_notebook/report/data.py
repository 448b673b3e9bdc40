"""What a run report says; the JSON file is exactly this."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VERSION = 1


@dataclass(frozen=True, slots=True)
class Votes:
    """One answer of a ballot."""

    answer: str
    votes: int
    weight: float


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt; ``tokens`` are sampled ones."""

    attempt: int
    answer: str | None
    end: str
    weight: float
    turns: int
    tokens: int
    tool_calls: int
    tool_errors: int
    seconds: float
    engine_losses: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemLine:
    """One problem: what was answered, from where, and what it took. Times in seconds.

    ``budget_s`` is what it might have taken, ``expected`` the right answer where it is known,
    ``journaled`` the rung that the server's journal has, empty where it was not told.
    """

    number: int
    id: str
    answer: int
    rung: str
    seconds: float
    budget_s: float | None
    left_s: float
    end: str
    detail: str
    solve: str
    tokens: int
    tool_calls: int
    tool_errors: int
    engine_losses: int
    notes: tuple[str, ...] = ()
    expected: int | None = None
    journaled: str = ""
    votes: tuple[Votes, ...] = ()
    attempts: tuple[AttemptLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A whole run.

    ``cells`` counts results of tool calls by status; ``server`` is its last known state;
    ``findings`` are those of the notebook's checks; ``omitted`` counts problems left out of the
    list, never out of the totals.
    """

    session: str
    mode: str
    problems_expected: int
    limit_s: float
    elapsed_s: float
    problems: tuple[ProblemLine, ...]
    answered: int
    rungs: Mapping[str, int]
    right: int | None
    tokens: int
    tool_calls: int
    tool_errors: int
    engine_losses: int
    cells: Mapping[str, int] = field(default_factory=dict)
    kernels_lost: int = 0
    server: Mapping[str, Any] = field(default_factory=dict)
    sandbox: str = ""
    model: str = ""
    findings: tuple[Mapping[str, str], ...] = ()
    troubles: tuple[str, ...] = ()
    omitted: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the report fit for JSON."""
        return {"format": "quorum-run-report", "version": VERSION, **asdict(self)}
