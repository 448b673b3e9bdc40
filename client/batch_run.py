"""Solving a file of problems: a few at a time, each result on the disk before it counts."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

import anyio
import anyio.to_thread
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from client.batch import Problem, ResultFile
from client.errors import QuorumClientError, TransportError
from client.escape import one_line
from client.groups import collapsed
from client.http import AsyncQuorumClient
from client.outcome import Outcome, outcome_of
from client.plain import verdict
from client.schema import SolveResult
from client.solving import follow

#: Problems that fail in a row for want of a connection before the rest is given up.
GIVE_UP_AFTER = 3


@dataclass(slots=True)
class Tally:
    """How far a batch is; problems of earlier calls count as done."""

    total: int
    done: int = 0
    judged: int = 0
    correct: int = 0
    failed: list[str] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing that was asked is left for another call."""
        return not self.failed and not self.not_reached

    def count(self, correct: bool | None) -> None:
        """Count a problem that is done."""
        self.done += 1
        self.judged += correct is not None
        self.correct += correct is True

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.total} done"]
        if self.judged:
            parts.append(f"{self.correct} of {self.judged} correct")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.not_reached:
            parts.append(f"{len(self.not_reached)} not reached; run again with more time")
        return ", ".join(parts)

    def as_json(self) -> str:
        """Return the tally as one line of JSON."""
        return json.dumps(
            {
                "total": self.total,
                "done": self.done,
                "judged": self.judged,
                "correct": self.correct,
                "failed": self.failed,
                "not_reached": self.not_reached,
            }
        )


class BatchObserver(Protocol):
    """Hears what becomes of each problem."""

    def note(self, line: str, tally: Tally, *, bad: bool) -> None:
        """Take a line about a problem; `bad` when it could not be solved or is wrong."""


class BatchRun:
    """One pass over the problems that the file of results lacks."""

    def __init__(self, problems: Sequence[Problem], results: ResultFile) -> None:
        """Count what is done; raises `InvalidFile` where that is of other problems."""
        self.tally = Tally(total=len(problems))
        self.pending = [problem for problem in problems if problem.id not in results.done]
        for problem in problems:
            if problem.id in results.done:
                results.check(problem)
                self.tally.count(results.done[problem.id].judged(problem))
        self._results = results
        self._writing = anyio.Lock()
        self._lost_in_a_row = 0

    async def solve(
        self,
        client: AsyncQuorumClient,
        observer: BatchObserver,
        parallel: int = 1,
        run: str | None = None,
    ) -> None:
        """Solve all pending problems, at most `parallel` at once, under the clock of `run`.

        A problem that fails, whose solve the server aborts, or that the time does not reach is
        reported and left for the next pass; after `GIVE_UP_AFTER` failures in a row without a
        connection the last `TransportError` is raised.
        """
        queue = iter(self.pending)
        with collapsed():
            async with anyio.create_task_group() as group:
                for _ in range(min(parallel, len(self.pending))):
                    group.start_soon(self._work, client, queue, observer, run)

    async def _work(
        self,
        client: AsyncQuorumClient,
        queue: Iterator[Problem],
        observer: BatchObserver,
        run: str | None,
    ) -> None:
        for problem in queue:
            of_run = {} if run is None else {"run": run, "problem_id": problem.id}
            request = problem.request.model_copy(update=of_run)
            try:
                result = await follow(client, request, lambda _event: None)
            except QuorumClientError as error:
                self._note_failure(problem, error, observer)
                continue
            self._lost_in_a_row = 0
            await self._take(problem, result, observer)

    async def _take(self, problem: Problem, result: SolveResult, observer: BatchObserver) -> None:
        """Write a result down; what is none leaves its problem to the next pass."""
        match outcome_of(result):
            case Outcome.DONE:
                async with self._writing:
                    await anyio.to_thread.run_sync(self._results.append, problem, result)
                correct = self._results.done[problem.id].correct
                self.tally.count(correct)
                line = solved_line(problem, result, correct)
                observer.note(line, self.tally, bad=correct is False)
            case Outcome.ABORTED:
                self.tally.failed.append(problem.id)
                observer.note(aborted_line(problem, result), self.tally, bad=True)
            case Outcome.NOT_REACHED:
                self.tally.not_reached.append(problem.id)
                observer.note(not_reached_line(problem), self.tally, bad=True)

    def _note_failure(
        self, problem: Problem, error: QuorumClientError, observer: BatchObserver
    ) -> None:
        self.tally.failed.append(problem.id)
        observer.note(failed_line(problem, error), self.tally, bad=True)
        if not isinstance(error, TransportError):
            self._lost_in_a_row = 0
            return
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= GIVE_UP_AFTER:
            raise error


class LineObserver:
    """Writes a line for each problem, with how far the batch is."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line

    def note(self, line: str, tally: Tally, *, bad: bool) -> None:  # noqa: ARG002 - one format
        """Write the line."""
        self._write_line(f"[{tally.done}/{tally.total}] {line}")


class ProgressObserver:
    """Shows a bar in a terminal, and above it a line for each problem."""

    def __init__(self, progress: Progress, tally: Tally) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=tally.total, completed=tally.done)
        self._show(tally)

    def note(self, line: str, tally: Tally, *, bad: bool) -> None:
        """Write the line above the bar, and move the bar."""
        self._progress.console.print(Text(line, style="red" if bad else ""), soft_wrap=True)
        self._show(tally)

    def _show(self, tally: Tally) -> None:
        score = f"{tally.correct} of {tally.judged} correct" if tally.judged else ""
        self._progress.update(self._task, completed=tally.done, description=score)


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Progress]:
    """Hold a progress bar at the bottom of a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream, highlight=False)) as progress:
        yield progress


def solved_line(problem: Problem, result: SolveResult, correct: bool | None) -> str:
    """Return the line of a solved problem."""
    judged = {True: " correct,", False: " wrong,", None: ""}[correct]
    return f"{one_line(problem.id)}:{judged} {verdict(result)}"


def failed_line(problem: Problem, error: QuorumClientError) -> str:
    """Return the line of a problem that could not be solved."""
    return f"{one_line(problem.id)}: failed, {one_line(str(error))}"


def aborted_line(problem: Problem, result: SolveResult) -> str:
    """Return the line of a problem whose solve was ended by something else than itself."""
    ended = f"{result.end.value.replace('_', ' ')}: {one_line(result.detail)}".rstrip(": ")
    return f"{one_line(problem.id)}: failed, the solve was aborted ({ended})"


def not_reached_line(problem: Problem) -> str:
    """Return the line of a problem for which no time was left."""
    return f"{one_line(problem.id)}: not reached in the time given"
