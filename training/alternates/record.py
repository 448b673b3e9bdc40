"""A file of alternates: one line of JSON a position, with all its continuations."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.errors import BadTraces, reading
from training.traces.read import MOST_ID


class AlternateEnd(StrEnum):
    """Why a continuation ended."""

    BOUNDARY = "boundary"
    """At the end of its paragraph."""
    TURN = "turn"
    """The model ended its turn, or called a tool."""
    LENGTH = "length"
    """At the most tokens that were asked for."""


class Alternate(BaseModel):
    """A continuation, its ids as they were sampled."""

    model_config = ConfigDict(frozen=True)

    alternate: int = Field(ge=0)
    ids: list[Annotated[int, Field(ge=0, lt=MOST_ID)]] = Field(min_length=1)
    text: str
    end: AlternateEnd
    seed: int
    logprobs: list[float | None] | None = None


class Position(BaseModel):
    """A place in a trace, and how it may go on there.

    `begin` is how many ids come before it; the trace's own paragraph goes on to `end`. `before` is
    the end of the text up to there, `own` that paragraph's text. `priority` is 0 to 1; `named`: a
    reflection names it.
    """

    model_config = ConfigDict(frozen=True)

    problem_id: str
    problem: str = ""
    truth: str | None = None
    solve_id: str
    attempt: int
    answer: str | None = None
    begin: int = Field(gt=0)
    end: int
    before: str
    own: str
    priority: float
    named: bool
    temperature: float
    model: str = ""
    alternates: list[Alternate]

    @model_validator(mode="after")
    def _in_order(self) -> "Position":
        if self.end <= self.begin:
            raise ValueError(f"end {self.end} must be above begin {self.begin}")
        if len({each.alternate for each in self.alternates}) < len(self.alternates):
            raise ValueError("two alternates have one number")
        return self

    @property
    def trace(self) -> tuple[str, int]:
        """What names the trace."""
        return self.solve_id, self.attempt

    @property
    def key(self) -> tuple[str, int, int]:
        """What names the place."""
        return self.solve_id, self.attempt, self.begin

    def length(self, alternate: int | None) -> int | None:
        """Return how many ids a continuation has, the trace's own for None; None: no such one."""
        if alternate is None:
            return self.end - self.begin
        found = next((each for each in self.alternates if each.alternate == alternate), None)
        return None if found is None else len(found.ids)

    def row(self) -> dict[str, Any]:
        """Return it as a line holds it."""
        return self.model_dump(mode="json", exclude_none=True)


def read_positions(path: Path) -> Iterator[Position]:
    """Yield the positions of a file, one in memory at a time.

    Raises:
        BadTraces: the file cannot be read, or a line is no position; its number is named.
    """
    with reading(path, BadTraces), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield Position.model_validate(orjson.loads(line))
            except (orjson.JSONDecodeError, ValidationError) as error:
                raise BadTraces(
                    f"{path}, line {number}: no alternates of `quorum train alternates` ({error})"
                ) from None
