"""What an evaluation's folder holds: its plan, its problems, and a row for whatever ended."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from client.schema import MAX_SEED, AttemptEnd, AttemptReport, SolveEnd
from server.evaluation.errors import EvaluationUnusable
from server.evaluation.problem import Kind, Problem

Made = TypeVar("Made")
PLAN, PROBLEMS, ATTEMPTS, SOLVES = "plan.json", "problems.jsonl", "attempts.jsonl", "solves.jsonl"
SELECTIONS = "selections.jsonl"
#: Ends of attempts that say nothing about the model: those are asked for again.
UNSETTLED = frozenset({AttemptEnd.CANCELLED, AttemptEnd.ENGINE_LOST})
#: Ends of solves by their own rules; whatever attempts these have is all that there will be.
SETTLED_SOLVES = frozenset({SolveEnd.AGREEMENT, SolveEnd.ALL_FINISHED, SolveEnd.DEADLINE})


class Plan(BaseModel):
    """What an evaluation is of, and where; `fixed` is what must be equal to resume it."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    id: str
    set: str
    digest: str
    origin: str
    licence: str
    notes: list[str] = []
    arms: list[dict[str, Any]]
    attempts: int
    seed: int
    time_limit_s: float | None
    model: str = ""
    created: float = 0.0
    url: str = ""

    def fixed(self) -> dict[str, Any]:
        """Return what must not change."""
        return self.model_dump(
            exclude={"id", "model", "created", "url", "origin", "notes", "licence"}
        )

    def first_seed(self, problem: Problem) -> int:
        """Return the seed of a problem's first attempt; copies have the seeds after its own."""
        return self.seed + problem.copy * self.attempts

    def number(self, problem: Problem, seed: int) -> int:
        """Return what the attempt of a seed was made as, in all solves of the problem: from 0."""
        return (seed - self.first_seed(problem)) % (MAX_SEED + 1)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt that has ended; arm, problem and the report's seed name it.

    `asked` counts the problem's solves that had ended before the one that it belongs to.
    """

    arm: str
    problem: str
    solve_id: str
    report: AttemptReport
    asked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRow:
    """A solve that has ended: the seeds it was for, and what the server chose.

    ``without`` are those of its seeds that have no attempt by its rules, as it stopped before they
    began; None in rows of versions that did not write them down.
    """

    arm: str
    problem: str
    solve_id: str
    first_seed: int
    count: int
    end: str
    answer: str | None
    detail: str = ""
    seconds: float = 0.0
    sampled: int = 0
    model: str = ""
    created: float = 0.0
    without: list[int] | None = None

    @property
    def settles(self) -> Iterable[int]:
        """The seeds that are done with this solve, whether they have an attempt or not."""
        if self.end not in SETTLED_SOLVES:
            return ()
        if self.without is None:
            return range(self.first_seed, self.first_seed + self.count)
        return self.without


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRow:
    """What a selector chose among the attempts of a solve that had ended."""

    arm: str
    problem: str
    solve_id: str
    selector: str
    answer: str | None
    seconds: float = 0.0


@dataclass(slots=True)
class Recorded:
    """What the folder holds. `doubled` counts attempts that were there already: none, ever."""

    attempts: dict[tuple[str, str], dict[int, AttemptRow]] = field(default_factory=dict)
    solves: dict[tuple[str, str], list[SolveRow]] = field(default_factory=dict)
    selections: dict[tuple[str, str], dict[str, SelectionRow]] = field(default_factory=dict)
    doubled: int = 0

    def has(self, row: AttemptRow) -> bool:
        """Whether the attempt is there."""
        return row.report.seed in self.attempts.get((row.arm, row.problem), {})

    def add(self, row: AttemptRow) -> None:
        """Take in an attempt."""
        self.doubled += self.has(row)
        self.attempts.setdefault((row.arm, row.problem), {}).setdefault(row.report.seed, row)

    def add_solve(self, row: SolveRow) -> None:
        """Take in a solve."""
        self.solves.setdefault((row.arm, row.problem), []).append(row)

    def add_selection(self, row: SelectionRow) -> None:
        """Take in a choice; a later one by the same selector takes the place of an earlier."""
        self.selections.setdefault((row.arm, row.problem), {})[row.selector] = row

    def of(self, arm: str, problem: str) -> list[AttemptRow]:
        """Return a problem's attempts, by seed."""
        rows = self.attempts.get((arm, problem), {})
        return [rows[seed] for seed in sorted(rows)]

    def seeds_of(self, arm: str, problem: str) -> set[int]:
        """Return the seeds of a problem's attempts."""
        return set(self.attempts.get((arm, problem), {}))

    def solves_of(self, arm: str, problem: str) -> list[SolveRow]:
        """Return a problem's solves, in the order in which they ended."""
        return self.solves.get((arm, problem), [])


def read_plan(folder: Path) -> Plan:
    """Return the plan of a folder.

    Raises:
        EvaluationUnusable: there is none, or it cannot be read.
    """
    path = folder / PLAN
    try:
        return Plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise EvaluationUnusable(
            f"{folder}: no evaluation is there (it has no {PLAN}); name the folder that "
            "`quorum eval run --out` wrote"
        ) from None
    except (OSError, ValidationError) as error:
        raise EvaluationUnusable(
            f"{path}: cannot be read as a plan ({type(error).__name__}); start anew in another "
            "folder"
        ) from error


def read_problems(folder: Path) -> list[Problem]:
    """Return the problems of a folder.

    Raises:
        EvaluationUnusable: they cannot be read.
    """
    path = folder / PROBLEMS
    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        return [Problem(**{**row, "kind": Kind(row["kind"])}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationUnusable(
            f"{path}: cannot be read ({error}); start anew in another folder"
        ) from error


def read_recorded(folder: Path) -> Recorded:
    """Return what a folder holds, while an evaluation writes it or not.

    Raises:
        EvaluationUnusable: a line, other than a last one that is not whole, is malformed.
    """
    recorded = Recorded()
    for attempt in _made(folder / ATTEMPTS, _attempt_row):
        recorded.add(attempt)
    for solve in _made(folder / SOLVES, lambda row: SolveRow(**row)):
        recorded.add_solve(solve)
    for selection in _made(folder / SELECTIONS, lambda row: SelectionRow(**row)):
        recorded.add_selection(selection)
    return recorded


def _attempt_row(row: dict[str, Any]) -> AttemptRow:
    return AttemptRow(**{**row, "report": AttemptReport.model_validate(row["report"])})


def _made(path: Path, make: Callable[[dict[str, Any]], Made]) -> Iterator[Made]:
    for number, row in enumerate(_lines(path), start=1):
        try:
            yield make(row)
        except (KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EvaluationUnusable(
                f"{path}, line {number}: not what an evaluation writes ({reason}); remove the line"
            ) from error


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvaluationUnusable(f"{path}: cannot be read ({error.strerror}); check it") from error
    whole = content[: content.rfind(b"\n") + 1]
    try:
        return [orjson.loads(line) for line in whole.splitlines()]
    except orjson.JSONDecodeError as error:
        raise EvaluationUnusable(
            f"{path}: a line is not JSON ({error}); remove the line, its attempts are done again"
        ) from error
