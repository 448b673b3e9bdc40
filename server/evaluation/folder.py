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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import orjson

from server.evaluation.arms import Arm
from server.evaluation.errors import EvaluationUnusable
from server.evaluation.problem import ProblemSet
from server.evaluation.recorded import (
    ATTEMPTS,
    PLAN,
    PROBLEMS,
    SELECTIONS,
    SOLVES,
    AttemptRow,
    Plan,
    SelectionRow,
    SolveRow,
    read_plan,
    read_recorded,
)


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
        return self.plan.first_seed(self.problems[problem])

    def under_way(self, arm: Arm, problem: str) -> str | None:
        """Return the solve that was under way when the last attempt was kept, if any."""
        asked = len(self.recorded.solves_of(arm.name, problem))
        rows = [row for row in self.recorded.of(arm.name, problem) if row.asked == asked]
        return rows[-1].solve_id if rows else None

    def missing(self, arm: Arm, problem: str, *, joining: bool = False) -> list[int]:
        """Return the seeds of the attempts that are still to be had, rising.

        Copies of a problem have the seeds that come after those of the earlier ones. Of the solve
        that is under way, those it has brought are not missing, unless it is asked for again to
        join it (`joining`): that request must be the one that began it. A solve settles of its own
        seeds those that have no attempt by its rules; one whose row has been lost is had again.
        """
        asked = len(self.recorded.solves_of(arm.name, problem))
        rows = self.recorded.of(arm.name, problem)
        settled = {row.report.seed for row in rows if not joining or row.asked < asked}
        for solve in self.recorded.solves_of(arm.name, problem):
            settled.update(solve.settles)
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
