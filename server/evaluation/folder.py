"""An evaluation's folder: its plan, its problems, and every attempt as soon as it has ended.

    plan.json        what is evaluated, fixed at the start
    problems.jsonl   the problems with their right answers, as they were at the start
    attempts.jsonl   a line for each attempt that has ended, with its report
    solves.jsonl     a line for each solve that has ended, with the answer that the server chose
    selections.jsonl a line for each choice that another selector made among a solve's attempts

The last three only grow, and a line that was cut off is removed when they are opened.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from client.schema import AttemptEnd, AttemptReport, SolveEnd
from server.evaluation.arms import Arm
from server.evaluation.errors import EvaluationUnusable
from server.evaluation.problem import Kind, Problem, ProblemSet

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
    """A solve that has ended: the seeds it was for, and what the server chose."""

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


class EvaluationFolder:
    """A folder that is written by one process at a time. Use as `with`.

    A line is on the disk before it counts; without ``sync`` the system decides when.

    Raises, when it is entered:
        EvaluationUnusable: the folder is another evaluation's, is in use, or cannot be written.
    """

    def __init__(self, path: Path, plan: Plan, problems: ProblemSet) -> None:
        self.path = path
        self.plan = plan
        self.problems = {problem.id: problem for problem in problems.problems}
        self._set = problems
        self.sync = True
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._attempts = self._opened(ATTEMPTS)
                self._lock(self._attempts)
                self._begin()
                _repair(self._attempts)
                self._solves = self._opened(SOLVES)
                _repair(self._solves)
                self._selections = self._opened(SELECTIONS)
                _repair(self._selections)
            except OSError as error:
                raise EvaluationUnusable(
                    f"{self.path}: cannot be written ({error.strerror or error}); free space, or "
                    "name a folder that can be written with --out"
                ) from error
            self.recorded = read_recorded(self.path)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # what a full disk keeps from being written was told when it was added
        with suppress(OSError):
            self._stack.close()

    def _opened(self, name: str) -> IO[bytes]:
        return self._stack.enter_context((self.path / name).open("a+b"))

    def _lock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvaluationUnusable(
                f"{self.path}: another process evaluates into it; wait for its end, or name "
                "another folder with --out"
            ) from None

    def _begin(self) -> None:
        """Write plan and problems, or see that those that are there are the same."""
        if not (self.path / PLAN).exists():
            rows = [orjson.dumps(asdict(problem)) + b"\n" for problem in self._set.problems]
            _write_whole(self.path / PROBLEMS, b"".join(rows))
            _write_whole(self.path / PLAN, self.plan.model_dump_json(indent=1).encode())
            return
        kept = read_plan(self.path)
        mine, theirs = self.plan.fixed(), kept.fixed()
        changed = [name for name in mine if mine[name] != theirs[name]]
        if changed:
            raise EvaluationUnusable(
                f"{self.path}: holds an evaluation with another {', '.join(changed)}; give the "
                "options that it was begun with to resume it, or name another folder with --out"
            )
        if kept.model and self.plan.model and kept.model != self.plan.model:
            raise EvaluationUnusable(
                f"{self.path}: was begun with the model {kept.model[:80]}, and the server has "
                f"{self.plan.model[:80]}; start that one, or name another folder with --out"
            )
        self.plan = kept

    def add_attempt(self, row: AttemptRow) -> bool:
        """Keep an attempt that has ended; return whether it was new. One that is there is left."""
        if self.recorded.has(row):
            return False
        body = {
            "arm": row.arm, "problem": row.problem, "solve_id": row.solve_id,
            "asked": row.asked, "report": row.report.model_dump(mode="json"),
        }  # fmt: skip
        self._append(self._attempts, body)
        self.recorded.add(row)
        return True

    def add_solve(self, row: SolveRow) -> None:
        """Keep a solve that has ended."""
        self._append(self._solves, asdict(row))
        self.recorded.add_solve(row)

    def add_selection(self, row: SelectionRow) -> None:
        """Keep a choice of another selector."""
        self._append(self._selections, asdict(row))
        self.recorded.add_selection(row)

    def first_seed(self, problem: str) -> int:
        """Return the seed of a problem's first attempt."""
        return self.plan.seed + self.problems[problem].copy * self.plan.attempts

    def under_way(self, arm: Arm, problem: str) -> str | None:
        """Return the solve that was under way when the last attempt was kept, if any."""
        asked = len(self.recorded.solves_of(arm.name, problem))
        rows = [row for row in self.recorded.of(arm.name, problem) if row.asked == asked]
        return rows[-1].solve_id if rows else None

    def missing(self, arm: Arm, problem: str, *, joining: bool = False) -> list[int]:
        """Return the seeds of the attempts that are still to be had, rising.

        Copies of a problem have the seeds that come after those of the earlier ones. Of the solve
        that is under way, those it has brought are not missing, unless it is asked for again to
        join it (`joining`): that request must be the one that began it.
        """
        asked = len(self.recorded.solves_of(arm.name, problem))
        rows = self.recorded.of(arm.name, problem)
        settled = {row.report.seed for row in rows if not joining or row.asked < asked}
        for solve in self.recorded.solves_of(arm.name, problem):
            if solve.end in SETTLED_SOLVES:
                settled.update(range(solve.first_seed, solve.first_seed + solve.count))
        first = self.first_seed(problem)
        count = arm.attempts(self.plan.attempts)
        return [seed for seed in range(first, first + count) if seed not in settled]

    def _append(self, file: IO[bytes], body: Mapping[str, Any]) -> None:
        try:
            file.write(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            if self.sync:
                os.fsync(file.fileno())
        except OSError as error:
            raise EvaluationUnusable(
                f"{self.path}: cannot be written ({error.strerror or error}); free space and run "
                "the command again, it goes on from there"
            ) from error


def _repair(file: IO[bytes]) -> None:
    """Remove a last line that is not whole."""
    file.seek(0)
    content = file.read()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def ranges(seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Return rising seeds as runs of consecutive ones: (first, count) of each."""
    runs: list[tuple[int, int]] = []
    for seed in seeds:
        if runs and sum(runs[-1]) == seed:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((seed, 1))
    return runs
