"""What people say of attempts, span by span: the rows of a `reflections.csv`."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from client.schema.base import Integer, RequestModel, WireModel

#: Labels of one request, and characters of a reason.
MAX_LABELS = 100
MAX_REASON_CHARS = 4_000
#: No attempt is longer.
_MAX_POSITION = 2**40
_Name = Annotated[str, StringConstraints(max_length=256)]


class LabelTag(StrEnum):
    """What a span is; the last three are of continuations that part at its beginning."""

    BREAKTHROUGH = "breakthrough"
    """From here on the solution is decided."""
    INSIGHT = "insight"
    """A fact or reformulation that helps and that the statement does not say."""
    MISTAKE = "mistake"
    """False, or code that does not compute what the text says."""
    QUESTIONABLE = "questionable"
    """Used without proof or check."""
    MISSED = "missed"
    """A result was on the page and was not used."""
    WASTED = "wasted"
    """Nothing of it is used later, and nothing is ruled out by it."""
    VERIFICATION = "verification"
    """An independent check."""
    FINAL = "final"
    """The span that states the answer."""
    BETTER = "better"
    """The better continuation."""
    NEUTRAL = "neutral"
    """A continuation as good as the others."""
    WORSE = "worse"
    """The worse continuation."""


#: Those of continuations.
COMPARED_TAGS = frozenset({LabelTag.BETTER, LabelTag.NEUTRAL, LabelTag.WORSE})


class LabelBody(RequestModel):
    """What is said of a span of an attempt, or of a continuation."""

    solve_id: Annotated[_Name, Field(min_length=1)] = Field(description="The solve.")
    attempt: Integer = Field(ge=0, lt=2**31, description="The attempt, counted from 0.")
    alternate: Integer | None = Field(
        default=None, ge=0, lt=2**31, description="The continuation; absent: the attempt's own."
    )
    problem_id: _Name = Field(default="", description="The problem's name.")
    annotator: _Name = Field(default="", description="Who says it; absent: the key's name.")
    tag: LabelTag = Field(description="What it is.")
    begin: Integer = Field(ge=0, lt=_MAX_POSITION, description="Position of its first token id.")
    end: Integer = Field(gt=0, lt=_MAX_POSITION, description="Position after its last one.")
    source: Integer | None = Field(
        default=None, ge=0, lt=_MAX_POSITION, description="Where a mistake comes from."
    )
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARS, description="Why, in words.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.end <= self.begin:
            raise ValueError(f"end {self.end} must be above begin {self.begin}")
        if not self.reason.strip():
            raise ValueError("reason must not be blank")
        if self.tag is LabelTag.MISTAKE and self.source is None:
            raise ValueError("a mistake must have its source, a position at or before begin")
        if self.source is not None and self.source > self.begin:
            raise ValueError(f"source {self.source} must be at or before begin {self.begin}")
        if self.alternate is not None and self.tag not in COMPARED_TAGS:
            raise ValueError("an alternate is better, neutral or worse; other tags are of attempts")
        return self


class LabelBatch(RequestModel):
    """Labels that are stored together, or not at all."""

    labels: Annotated[list[LabelBody], Field(min_length=1, max_length=MAX_LABELS)] = Field(
        description="What is said."
    )

    @model_validator(mode="after")
    def _better_and_worse(self) -> Self:
        places: dict[tuple[str, int, int, str], set[LabelTag]] = {}
        for each in self.labels:
            place = (each.solve_id, each.attempt, each.begin, each.annotator)
            places.setdefault(place, set()).add(each.tag)
        for (_, _, begin, _), tags in places.items():
            if len(tags & {LabelTag.BETTER, LabelTag.WORSE}) == 1:
                raise ValueError(
                    f"position {begin}: better and worse must go together; say which continuation "
                    "is the opposite, or call all neutral"
                )
        return self


class Label(WireModel):
    """What was said, with its name and when."""

    id: str = Field(description="Name of the label.")
    at: float = Field(description="When, in seconds since 1970.")
    problem_id: str = Field(description="The problem's name.")
    solve_id: str = Field(description="The solve.")
    attempt: int = Field(description="The attempt, counted from 0.")
    alternate: int | None = Field(description="The continuation; null: the attempt's own.")
    annotator: str = Field(description="Who says it.")
    tag: LabelTag = Field(description="What it is.")
    begin: int = Field(description="Position of its first token id.")
    end: int = Field(description="Position after its last one.")
    source: int | None = Field(description="Where a mistake comes from.")
    reason: str = Field(description="Why, in words.")


class LabelList(WireModel):
    """Labels, in the order in which they came."""

    labels: list[Label] = Field(description="What was said.")
