"""Variants of a problem: other parameters, answers by a program; and answers taken modulo m.

A family is a TOML file with `statement`, a template with {names}; `solver`, Python that defines
`solve(names…)`; `ranges`, a table of [first, last] for each name; and where there is one, `check`,
an independent program that defines `solve` as well. Programs run in the server's sandbox.
"""

import json
import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import BadTraces, reading
from training.problems.read import Problem
from training.problems.sources import LEAST, MOST

#: Runs a program and returns what it printed; raises `ProgramFailed`.
Run = Callable[[str], str]


class ProgramFailed(Exception):
    """A family's program ended with an error, or printed no integer."""


class Family(BaseModel):
    """A problem with parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    statement: str
    solver: str
    check: str | None = None
    ranges: dict[str, Annotated[tuple[int, int], Field()]] = Field(min_length=1)
    original: dict[str, int] | None = Field(None, description="The parameters of the original.")
    source: str = "own"
    licence: str = "not stated"


@dataclass(frozen=True, slots=True)
class Left:
    """Parameters whose variant was left out, and why."""

    parameters: dict[str, int]
    reason: str


def load_family(path: Path) -> Family:
    """Return the family of a file.

    Raises:
        BadTraces: it cannot be read, or its parts do not fit.
    """
    with reading(path, BadTraces):
        content = path.read_bytes()
    try:
        family = Family.model_validate(tomllib.loads(content.decode()))
        family.statement.format(**dict.fromkeys(family.ranges, 1))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise BadTraces(f"{path}: {error}") from None
    except (KeyError, IndexError, ValueError) as error:
        raise BadTraces(
            f"{path}: its statement names {error}, which has no range; add it, or double the braces"
        ) from None
    empty = [name for name, (first, last) in family.ranges.items() if first > last]
    if empty:
        raise BadTraces(f"{path}: the range of {empty[0]} is empty; give [first, last]")
    return family


def make(
    family: Family, count: int, run: Run, *, seed: int = 0
) -> tuple[list[Problem], list[Left]]:
    """Return at most `count` variants with other answers than the original's, and what was left.

    A variant is left out where a program fails, the check disagrees, the answer is not an integer
    from 0 to 99999, or it is that of the original: then a corpus of variants would show it.

    Raises:
        BadTraces: the solver fails at the original's parameters.
    """
    source = random.Random(f"{seed}/{family.id}")
    original = _original(family, run)
    variants: list[Problem] = []
    left: list[Left] = []
    seen = {_key(family.original)} if family.original else set()
    for _ in range(20 * count):
        if len(variants) == count:
            break
        parameters = {name: source.randint(*bounds) for name, bounds in family.ranges.items()}
        if _key(parameters) in seen:
            continue
        seen.add(_key(parameters))
        answer, reason = _judged(family, parameters, original, run)
        if answer is None:
            left.append(Left(parameters, reason))
            continue
        variants.append(
            Problem(
                id=f"{family.id}-{_key(parameters)}",
                statement=family.statement.format(**parameters),
                answer=str(answer),
                source=f"variant of {family.id} ({family.source})",
                licence=family.licence,
                more={"family": family.id, "parameters": parameters},
            )
        )
    return variants, left


def _original(family: Family, run: Run) -> int | None:
    """Return the original's answer; raises `BadTraces` where its program fails."""
    if family.original is None:
        return None
    try:
        return _answer(family.solver, family.original, run)
    except ProgramFailed as error:
        raise BadTraces(
            f"family {family.id}: its solver fails at the original's parameters: {error}"
        ) from None


def _judged(
    family: Family, parameters: dict[str, int], original: int | None, run: Run
) -> tuple[int | None, str]:
    try:
        answer = _answer(family.solver, parameters, run)
        if family.check is not None and _answer(family.check, parameters, run) != answer:
            return None, "the check disagrees"
    except ProgramFailed as error:
        return None, str(error)
    if not LEAST <= answer <= MOST:
        return None, f"answer {answer}: must be {LEAST} to {MOST}"
    if answer == original:
        return None, "the answer is the original's"
    return answer, ""


def _answer(program: str, parameters: dict[str, int], run: Run) -> int:
    printed = run(f"{program}\nprint('answer', solve(**{json.dumps(parameters)}))")
    last = printed.strip().rpartition("\n")[2]
    try:
        return int(last.removeprefix("answer "))
    except ValueError:
        raise ProgramFailed(f"printed {last[:80]!r}, not an integer") from None


def _key(parameters: dict[str, int]) -> str:
    return "-".join(f"{name}{value}" for name, value in sorted(parameters.items()))


def modulo(problem: Problem, modulus: int) -> Problem | None:
    """Return the problem with its answer asked modulo `modulus`; None where that says nothing new.

    The answer must be an integer of at least the modulus.
    """
    try:
        answer = int(problem.answer or "")
    except ValueError:
        return None
    if answer < modulus:
        return None
    asked = (
        f"{problem.statement.rstrip()}\n\nLet $N$ be the answer. What is the remainder when $N$ is "
        f"divided by ${modulus}$?"
    )
    more: dict[str, Any] = {**problem.more, "original": problem.id, "modulus": modulus}
    return Problem(
        f"{problem.id}-mod-{modulus}", asked, str(answer % modulus), problem.source,
        problem.licence, more,
    )  # fmt: skip
