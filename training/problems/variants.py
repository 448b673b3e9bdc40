"""Variants of a problem: other parameters, answers by a program; and answers taken modulo m.

A family is a TOML file with `statement`, a template with {names}; `solver`, Python that defines
`solve(names…)`; `ranges`, a table of [first, last] for each name; and where there is one, `check`,
an independent program that defines `solve` as well. Programs run in the server's sandbox. An answer
needs two runs that agree, in kernels that know nothing of each other and have other random numbers:
the solver's, and the check's, or for want of one the solver's again.
"""

import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import BadTraces, reading
from training.problems.read import Problem
from training.problems.sources import LEAST, MOST

#: Runs a program and returns what it printed; raises `ProgramFailed`.
Run = Callable[[str], str]
#: Programs in a row that may hang or kill their kernel before a family is given up: each such run
#: costs a time limit.
MOST_HUNG = 3
#: A program has names of its own: what others left in the kernel is not there.
_CELL = """\
_names = {{name: value for name, value in globals().items() if name not in ("solve", "_names")}}
exec(compile({program!r}, "program", "exec"), _names)
print("answer", _names["solve"](**{parameters!r}))
"""


class ProgramFailed(Exception):
    """A family's program ended with an error, or printed no integer."""


class ProgramHung(ProgramFailed):
    """A family's program did not end in time, or took its kernel with it."""


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
        named = _Named(dict.fromkeys(family.ranges, 1))
        family.statement.format_map(named)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise BadTraces(f"{path}: {error}") from None
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise BadTraces(
            f"{path}: its statement names {error}, which has no range; add it, or double the braces"
        ) from None
    empty = [name for name, (first, last) in family.ranges.items() if first > last]
    if empty:
        raise BadTraces(f"{path}: the range of {empty[0]} is empty; give [first, last]")
    unnamed = [name for name in family.ranges if name not in named.seen]
    if unnamed:
        raise BadTraces(
            f"{path}: its statement does not name {unnamed[0]}: variants would ask the same and "
            "have other answers; write it there, or take its range away"
        )
    return family


class _Named(dict[str, int]):
    """Parameters; `seen` are those that a template took."""

    def __init__(self, values: Mapping[str, int]) -> None:
        super().__init__(values)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> int:
        self.seen.add(name)
        return super().__getitem__(name)


def make(
    family: Family, count: int, runs: tuple[Run, Run], *, seed: int = 0
) -> tuple[list[Problem], list[Left]]:
    """Return at most `count` variants with other answers than the original's, and what was left.

    A variant is left out where a program fails, the two runs disagree, the answer is not an integer
    from 0 to 99999, or it is that of the original: then a corpus of variants would show it.

    Raises:
        BadTraces: the solver fails at the original's parameters, or programs hang again and again.
    """
    source = random.Random(f"{seed}/{family.id}")
    original = _original(family, runs)
    variants: list[Problem] = []
    left: list[Left] = []
    seen = {_key(family.original)} if family.original else set()
    hung = 0
    for _ in range(20 * count):
        if len(variants) == count:
            break
        parameters = {name: source.randint(*bounds) for name, bounds in family.ranges.items()}
        if _key(parameters) in seen:
            continue
        seen.add(_key(parameters))
        try:
            answer = _judged(family, parameters, original, runs)
        except ProgramFailed as error:
            left.append(Left(parameters, str(error)))
            hung = hung + 1 if isinstance(error, ProgramHung) else 0
            if hung == MOST_HUNG:
                raise BadTraces(
                    f"family {family.id}: its programs failed {hung} times in a row, the last time "
                    f"at {parameters}: {error}; correct them, or narrow the ranges"
                ) from None
            continue
        hung = 0
        variants.append(_variant(family, parameters, answer))
    return variants, left


def _variant(family: Family, parameters: dict[str, int], answer: int) -> Problem:
    return Problem(
        id=f"{family.id}-{_key(parameters)}",
        statement=family.statement.format(**parameters),
        answer=str(answer),
        source=f"variant of {family.id} ({family.source})",
        licence=family.licence,
        more={"family": family.id, "parameters": parameters},
    )


def _original(family: Family, runs: tuple[Run, Run]) -> int | None:
    """Return the original's answer; raises `BadTraces` where its programs fail or disagree."""
    if family.original is None:
        return None
    try:
        return _agreed(family, family.original, runs)
    except ProgramFailed as error:
        raise BadTraces(
            f"family {family.id}: its solver fails at the original's parameters: {error}"
        ) from None


def _judged(
    family: Family, parameters: dict[str, int], original: int | None, runs: tuple[Run, Run]
) -> int:
    """Return the answer of a variant; raises `ProgramFailed` where it has none that can be used."""
    answer = _agreed(family, parameters, runs)
    if not LEAST <= answer <= MOST:
        raise ProgramFailed(f"answer {answer}: must be {LEAST} to {MOST}")
    if answer == original:
        raise ProgramFailed("the answer is the original's")
    return answer


def _agreed(family: Family, parameters: dict[str, int], runs: tuple[Run, Run]) -> int:
    answer = _answer(family.solver, parameters, runs[0])
    again = _answer(family.check or family.solver, parameters, runs[1])
    if again != answer:
        told = "the check disagrees" if family.check else "the solver gives another one each time"
        raise ProgramFailed(f"{told}: {answer} and {again}")
    return answer


def _answer(program: str, parameters: dict[str, int], run: Run) -> int:
    printed = run(_CELL.format(program=program, parameters=parameters))
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
