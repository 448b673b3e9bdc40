"""Traces from a server: many attempts at each problem, none of them stopped by a vote."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import orjson

from client.http import AsyncQuorumClient
from client.schema import (
    AnswerKind,
    AttemptEvent,
    AttemptFinished,
    AttemptSegment,
    AttemptStarted,
    Event,
    SegmentKind,
    SolveFinished,
    SolveRequest,
    SolveRequested,
    SolveStarted,
)
from training.corpus.rules import reward_of
from training.errors import writing
from training.files import append_line, read_lines, whole_file, whole_folder
from training.parallel import run_all
from training.problems.ask import to_request
from training.problems.read import Problem
from training.provenance import provenance
from training.traces.read import to_trace

TRACES, ORIGIN = "traces.jsonl", "traces.json"
_PROGRESS = ".progress.jsonl"
#: Seeds of a stage are this far apart: attempt `i` samples with the solve's seed plus `i`.
_SEEDS = 10_000

#: Is told how many solves of how many are done, and how many right attempts there are.
Observe = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How traces are generated.

    `stages` are numbers of attempts: a problem goes on to the next stage while it has fewer than
    `enough` right attempts. `parallel` solves run at a time.
    """

    stages: tuple[int, ...] = (8,)
    enough: int = 4
    parallel: int = 1
    temperature: float | None = None
    max_tokens: int | None = None
    time_limit_s: float | None = None
    answer_kind: AnswerKind = AnswerKind.INTEGER
    seed: int = 0


@dataclass
class _Attempt:
    """An attempt as its events tell it."""

    values: dict[str, Any]
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    joined: bool = True

    def take(self, event: AttemptSegment) -> None:
        """Add a segment; one that does not begin where the last ended spoils the trace."""
        self.joined &= event.start == len(self.ids)
        self.ids += event.token_ids
        self.mask += [int(event.kind is SegmentKind.SAMPLED)] * len(event.token_ids)
        self.logprobs += event.logprobs or [None] * len(event.token_ids)


_OF_ATTEMPT = ("attempt", "seed", "temperature", "top_p", "min_p", "parent", "parent_tokens")


def _some(event: object, *names: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in names}


class Collector:
    """Makes rows, in the form of a journal's export, of a solve's events."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._common: dict[str, Any] = {
            "problem_id": problem.id, "problem": problem.statement, "truth": problem.answer,
            "source": problem.source, "licence": problem.licence,
        }  # fmt: skip
        self._attempts: dict[int, _Attempt] = {}
        self.rows: list[dict[str, Any]] = []

    def take(self, event: Event) -> None:
        """Take an event of the solve."""
        if isinstance(event, AttemptEvent) and event.is_plan:
            # Another model wrote it, with another vocabulary.
            return
        if isinstance(event, SolveRequested):
            self._common |= _some(event.versions, "quorum", "model_file", "prompts")
        elif isinstance(event, SolveStarted):
            self._common |= _some(event, "solve_id", "model", "dialect", "strategy")
        elif isinstance(event, AttemptStarted):
            self._attempts[event.attempt] = _Attempt(_some(event, *_OF_ATTEMPT))
        elif isinstance(event, AttemptSegment):
            self._attempts[event.attempt].take(event)
        elif isinstance(event, AttemptFinished):
            self._finish(event)

    def _finish(self, event: AttemptFinished) -> None:
        attempt, report = self._attempts.pop(event.attempt), event.report
        counts = report.tokens
        told = counts.prompt + counts.sampled + counts.appended
        self.rows.append(
            {
                **self._common, **attempt.values, "end": report.end.value,
                "answer": report.answer, "weight": report.weight, "turns": report.turns,
                "tool_calls": report.tool_calls, "tool_errors": report.tool_errors,
                "seconds": report.seconds, "token_exact": report.token_exact,
                "complete": attempt.joined and report.token_exact and told == len(attempt.ids),
                "ids": attempt.ids, "mask": attempt.mask, "logprobs": attempt.logprobs,
            }
        )  # fmt: skip


async def generate(
    url: str,
    problems: Sequence[Problem],
    target: Path,
    plan: Plan,
    *,
    observe: Observe | None = None,
) -> int:
    """Write the traces of all problems to the folder `target`; return how many.

    Stopped, the same call goes on with the solves that had not ended.

    Raises:
        BadTraces: a problem, or a setting, is none that a server takes.
        QuorumClientError: the server refuses, or is gone for long.
        OutputExists, OutputFailed: the folder cannot be written.
    """
    for problem in problems:  # all of them, before the first is asked
        for stage in range(len(plan.stages)):
            _request(problem, plan, stage)
    settings = {"url": url, "plan": asdict(plan)}
    # the server may have moved when the job goes on
    job = {"plan": asdict(plan), "problems": [asdict(problem) for problem in problems]}
    with whole_folder(target, job) as work:
        writer = _Writer(work)
        async with AsyncQuorumClient(url) as client:
            for stage in range(len(plan.stages)):
                waiting = [
                    problem
                    for problem in problems
                    if (problem.id, stage) not in writer.done
                    and writer.right.get(problem.id, 0) < plan.enough
                ]
                await _stage(client, waiting, writer, plan, stage, observe)
        told = provenance("traces generate", settings)
        told["figures"] = {"traces": writer.traces, "right": sum(writer.right.values())}
        with writing(work):
            (work / ORIGIN).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
            (work / _PROGRESS).unlink(missing_ok=True)
    return writer.traces


async def _stage(
    client: AsyncQuorumClient,
    problems: Sequence[Problem],
    writer: "_Writer",
    plan: Plan,
    stage: int,
    observe: Observe | None,
) -> None:
    finished = 0

    async def solve(problem: Problem) -> None:
        nonlocal finished
        collector = Collector(problem)
        request = _request(problem, plan, stage)
        async with client.stream(request) as events:
            async for event in events:
                collector.take(event)
                if isinstance(event, SolveFinished):
                    break
        writer.add(problem.id, stage, collector.rows)
        finished += 1
        if observe is not None:
            observe(finished, len(problems), sum(writer.right.values()))

    await run_all([partial(solve, problem) for problem in problems], plan.parallel)


def _request(problem: Problem, plan: Plan, stage: int) -> SolveRequest:
    return to_request(
        problem,
        {
            "answer_kind": plan.answer_kind, "attempts": plan.stages[stage],
            "temperature": plan.temperature, "max_tokens": plan.max_tokens,
            "time_limit_s": plan.time_limit_s, "seed": plan.seed + stage * _SEEDS,
        },
    )  # fmt: skip


class _Writer:
    """Appends the rows of whole solves; what a stopped job had half written is cut off."""

    def __init__(self, folder: Path) -> None:
        self._path, self._progress = folder / TRACES, folder / _PROGRESS
        self.done: set[tuple[str, int]] = set()
        self.right: dict[str, int] = {}
        self.traces = end = 0
        for line in self._kept():
            self._note(line)
            end = line["end"]
        if self._path.exists():
            with writing(self._path), self._path.open("r+b") as file:
                file.truncate(end)
        self._end = end

    def _kept(self) -> list[dict[str, Any]]:
        """Return the progress whose rows are there; what a power cut took the rows of is undone."""
        size = self._path.stat().st_size if self._path.exists() else 0
        lines = list(read_lines(self._progress))
        kept = list(takewhile(lambda line: line["end"] <= size, lines))
        if len(kept) < len(lines):
            with whole_file(self._progress) as partial_file:
                option = orjson.OPT_APPEND_NEWLINE
                partial_file.write_bytes(
                    b"".join(orjson.dumps(line, option=option) for line in kept)
                )
        return kept

    def _note(self, line: dict[str, Any]) -> None:
        problem = line["problem_id"]
        self.done.add((problem, line["stage"]))
        self.right[problem] = self.right.get(problem, 0) + line["right"]
        self.traces += line["traces"]

    def add(self, problem_id: str, stage: int, rows: list[dict[str, Any]]) -> None:
        """Write a solve's rows and note that it is done."""
        content = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        with writing(self._path):
            with self._path.open("ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._end += len(content)
            line = {
                "problem_id": problem_id, "stage": stage, "traces": len(rows), "end": self._end,
                "right": sum(reward_of(to_trace(row)) == 1 for row in rows),
            }  # fmt: skip
            append_line(self._progress, line)
        self._note(line)
