"""The problem sets that are known by name: `problem_sets.toml`, read once and checked."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.evaluation.errors import UnknownSet
from server.evaluation.problem import Kind

#: What a column of a problem is, and the names that it goes by where a set names none.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "problem_id", "unique_id", "problem_idx", "question_id", "uuid"),
    "statement": ("problem", "statement", "question", "problem_statement", "problem_text",
                  "question_text", "prompt", "query", "input"),
    "answer": ("answer", "correct_answer", "expected_answer", "final_answer", "right_answer",
               "answer_key", "correct", "ground_truth", "gold", "gold_answer", "reference_answer",
               "target"),
    "level": ("level", "difficulty"),
    "subject": ("subject", "type", "topic", "category"),
    "year": ("year",),
    "source": ("source",),
}  # fmt: skip


class SetSource(BaseModel):
    """Where a set is and what its columns are; see `problem_sets.toml`.

    Without a `kind`, a row that has choices is a multiple choice, and any other a text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: Literal["hub", "file"]
    licence: str = "not stated"
    repo: str = ""
    files: tuple[str, ...] = ()
    obtain: str = ""
    count: int | None = Field(default=None, ge=1)
    checked: bool = True
    kind: Kind | None = None
    columns: dict[str, str] = {}
    answer_from_solution: str | None = None
    where: dict[str, tuple[str, ...]] = {}
    contains: dict[str, str] = {}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        unknown = set(self.columns) - set(COLUMNS)
        if unknown:
            raise ValueError(f"columns {sorted(unknown)}: must be of {', '.join(COLUMNS)}")
        if self.source == "hub" and not (self.repo and self.files):
            raise ValueError("a set of the hub must name its repo and its files")
        if self.source == "file" and not self.obtain:
            raise ValueError("a set in a file must say how to obtain it")
        return self


@cache
def known_sets() -> Mapping[str, SetSource]:
    """Return the sets by name."""
    text = files("server.evaluation").joinpath("problem_sets.toml").read_text(encoding="utf-8")
    return {name: SetSource.model_validate(row) for name, row in tomllib.loads(text).items()}


def known_set(name: str) -> SetSource:
    """Return the set of a name.

    Raises:
        UnknownSet: there is none.
    """
    try:
        return known_sets()[name]
    except KeyError:
        raise UnknownSet(
            f"problem set {name[:60]!r}: must be one of {', '.join(known_sets())}, or a file that "
            "ends in .jsonl, .json, .csv or .parquet; choose one of these"
        ) from None
