"""An evaluation under way: every attempt of every arm and problem, each exactly once."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.to_thread

from client.schema import (
    AttemptFinished,
    AttemptReport,
    SolveEnd,
    SolveFinished,
    SolveResult,
    SolveStarted,
)
from server.evaluation.api import Api
from server.evaluation.arms import Arm
from server.evaluation.errors import ServerProblem
from server.evaluation.folder import EvaluationFolder, ranges
from server.evaluation.judge import Judge
from server.evaluation.problem import Kind, Problem
from server.evaluation.recorded import UNSETTLED, AttemptRow, SolveRow
from server.evaluation.scored import decider, voted
from server.evaluation.server_run import ServerRun
from server.groups import collapsed

#: Times that a problem is asked for while attempts of it are lost to the engine or cancelled.
MOST_ROUNDS = 3
#: Characters of a problem's name at the server, which takes 200.
LONGEST_NAME = 180


@dataclass(slots=True)
class ArmTally:
    """How far an arm is: problems with all their attempts, and what is right of them."""

    problems: int = 0
    votes_right: int = 0
    attempts: int = 0
    attempts_right: int = 0


@dataclass(slots=True)
class Standing:
    """How far an evaluation is. `short` counts attempts that could not be had."""

    total: int
    done: int = 0
    short: int = 0
    arms: dict[str, ArmTally] = field(default_factory=dict)


class Observer(Protocol):
    """Hears how an evaluation goes."""

    def begin(self, standing: Standing) -> None:
        """Hear how much there is to do, and how much is done."""

    def note(self, line: str, standing: Standing) -> None:
        """Hear of a problem that is done."""


@dataclass(frozen=True, slots=True)
class Task:
    """One problem of one arm."""

    arm: Arm
    problem: Problem


class EvaluationRun:
    """One pass over what an evaluation's folder lacks."""

    def __init__(
        self,
        folder: EvaluationFolder,
        arms: Sequence[Arm],
        api: Api,
        judge: Judge,
        observer: Observer,
    ) -> None:
        self._folder = folder
        self._api = api
        self._judge = judge
        self._observer = observer
        self._run = ServerRun(api, folder.plan)
        self._tasks = [Task(arm, one) for one in folder.problems.values() for arm in arms]
        self.standing = Standing(
            total=len(self._tasks), arms={arm.name: ArmTally() for arm in arms}
        )

    async def complete(self, parallel: int = 1) -> Standing:
        """Have every attempt that is missing, `parallel` problems at once.

        Raises:
            ServerProblem: the server refuses, or was gone for too long.
            EvaluationUnusable: an attempt cannot be written.
        """
        missing = []
        for task in self._tasks:
            if self._folder.missing(task.arm, task.problem.id):
                missing.append(task)
            else:
                await self._count(task)
        self._observer.begin(self.standing)
        if not missing:
            return self.standing
        await self._run.open(len(self._tasks))
        queue = iter(missing)
        with collapsed():
            async with anyio.create_task_group() as group:
                for _ in range(min(parallel, len(missing))):
                    group.start_soon(self._work, queue)
        if not self.standing.short:
            await self._run.finish()
        return self.standing

    async def _work(self, queue: Iterator[Task]) -> None:
        for task in queue:
            left = len(self._folder.missing(task.arm, task.problem.id))
            tries = MOST_ROUNDS
            while left and tries:
                await self._api.patiently(partial(self._solve, task))
                before, left = left, len(self._folder.missing(task.arm, task.problem.id))
                tries -= left == before
            self.standing.short += left
            line = await self._count(task)
            self._observer.note(line, self.standing)

    async def _solve(self, task: Task, heard: Callable[[], None]) -> None:
        """Have attempts that are missing, in one solve; each is kept when it ends.

        A solve that was asked for before, by this process or one that was killed, is joined.
        """
        arm, name = task.arm, task.problem.id
        begun = self._folder.under_way(arm, name)
        joining = begun is not None and await self._api.knows(begun)
        first, count = ranges(self._folder.missing(arm, name, joining=joining))[0]
        asked = len(self._folder.recorded.solves_of(arm.name, name))
        async with self._run.solving(self._body(task, first, count)) as events:
            async for event in events:
                heard()
                match event:
                    case SolveStarted():
                        first, count = event.seed, event.attempts
                    case AttemptFinished() if not event.is_plan:
                        await self._keep(task, event.solve_id, event.report, asked)
                    case SolveFinished():
                        await self._end(task, first, count, event.result, asked)
                    case _:
                        pass

    async def _end(
        self, task: Task, first: int, count: int, result: SolveResult, asked: int
    ) -> None:
        if result.end is SolveEnd.DEADLINE and not result.attempts:
            raise ServerProblem(f"{result.detail}; the same command goes on from here")
        for report in result.attempts:
            await self._keep(task, result.solve_id, report, asked)
        kept = self._folder.recorded.seeds_of(task.arm.name, task.problem.id)
        without = [seed for seed in range(first, first + count) if seed not in kept]
        row = _solve_row(task, first, count, result, without)
        await anyio.to_thread.run_sync(self._folder.add_solve, row)

    async def _keep(self, task: Task, solve_id: str, report: AttemptReport, asked: int) -> None:
        if report.end in UNSETTLED:
            return
        row = AttemptRow(task.arm.name, task.problem.id, solve_id, report, asked)
        await anyio.to_thread.run_sync(self._folder.add_attempt, row)

    def _body(self, task: Task, first: int, count: int) -> dict[str, Any]:
        """Return the request. Its problem_id is the same again until the solve is kept."""
        plan = self._folder.plan
        earlier = len(self._folder.recorded.solves_of(task.arm.name, task.problem.id))
        again = f"~{earlier}" if earlier else ""
        body: dict[str, Any] = {
            **task.arm.fields,
            "problem": task.problem.statement,
            "problem_id": problem_name(task.arm.name, task.problem.id, again),
            "answer_kind": "integer" if task.problem.kind is Kind.INTEGER else "text",
            "attempts": count,
            "seed": first,
            "offset": first - self._folder.first_seed(task.problem.id),
        }
        if "agree" in body:
            body["agree"] = min(body["agree"], count)
        if plan.time_limit_s is not None:
            body["time_limit_s"] = plan.time_limit_s
        return body

    async def _count(self, task: Task) -> str:
        """Count a problem that is done; return a line about it."""
        arm, problem = task.arm.name, task.problem
        rows = self._folder.recorded.of(arm, problem.id)
        solves = self._folder.recorded.solves_of(arm, problem.id)
        whole = decider(rows, solves)
        written = [whole.answer if whole else None, *(row.report.answer for row in rows)]
        vote, *attempts = await self._judge.judge(problem, written)
        chosen, won = (whole.answer, vote.right) if whole else voted(rows, attempts)
        tally = self.standing.arms[arm]
        right = sum(each.right for each in attempts)
        tally.problems += 1
        tally.votes_right += won
        tally.attempts += len(attempts)
        tally.attempts_right += right
        self.standing.done += 1
        verdict = "right" if won else "wrong" if chosen is not None else "no answer"
        return f"{arm}, {problem.id}: {verdict}, {right} of {len(attempts)} attempts right"


def problem_name(arm: str, problem: str, again: str = "") -> str:
    """Return the name under which the server knows a problem of an arm, of bounded length."""
    name = f"{arm}/{problem}"
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        name = f"{name[: LONGEST_NAME - 17]}-{digest}"
    return name + again


def _solve_row(
    task: Task, first: int, count: int, result: SolveResult, without: list[int]
) -> SolveRow:
    return SolveRow(
        arm=task.arm.name,
        problem=task.problem.id,
        solve_id=result.solve_id,
        first_seed=first,
        count=count,
        end=result.end.value,
        answer=result.answer,
        detail=result.detail,
        seconds=result.seconds,
        sampled=result.tokens.sampled,
        model=result.model,
        without=without,
    )
