"""How often the embedded model is right: single attempt, vote, oracle.

    make bench NAME=accuracy ARGS="--data problems.jsonl --timed hard.jsonl"

`--data`: the integer-answer problems of levels 1 to 3, the first 24 by sha256 of their id, 4
attempts each that all run to their end, seeds fixed. The comparison in the same run is the mean
single attempt. `--count 100 --at-once 4` takes more problems, several at a time, so that the
engine's batch is full. `--timed` (any number of files, `FILE:COUNT` takes the first COUNT):
problems far above a small model, once each under a deadline; what counts is that each ends in time
with an answer or a stated reason.
"""

import statistics
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.progress import track

from benchmarks.problem_files import OWN_PROBLEMS, Problem, easy_integers, load
from benchmarks.report import Result, finish, print_table
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.schema import AnswerKind as WireAnswerKind
from client.schema import AttemptReport, SolveRequest, SolveResult
from voting.answers import AnswerKind, parse_answer

ATTEMPTS = 4
COUNT = 24
HIGHEST_LEVEL = 3
#: Ends a problem that never would; ordinary ones take 20-60 s on two cores.
SAFETY_LIMIT_S = 300.0
#: What an answer may take beyond its deadline: one HTTP reply on a busy machine, in seconds.
REPLY_S = 1.0


def main(
    data: Annotated[Path, typer.Option(help="problems to measure accuracy on")] = OWN_PROBLEMS,
    timed: Annotated[list[str] | None, typer.Option(help="FILE or FILE:COUNT, once each")] = None,
    deadline: Annotated[float, typer.Option(help="seconds for each timed problem")] = 60.0,
    count: Annotated[int, typer.Option(min=1, help="problems of --data")] = COUNT,
    at_once: Annotated[int, typer.Option(min=1, help="problems of --data solved at a time")] = 1,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    problems = easy_integers(load(data), count, HIGHEST_LEVEL)
    hard = [problem for spec in timed or [] for problem in _timed_problems(spec)]
    finish(anyio.run(_measure, problems, hard, deadline, at_once))


def _timed_problems(spec: str) -> list[Problem]:
    path, _, count = spec.partition(":")
    problems = load(Path(path))
    return problems[: int(count)] if count else problems


async def _measure(
    problems: list[Problem], hard: list[Problem], deadline: float, at_once: int
) -> list[Result]:
    arguments = _room_for(at_once)
    async with local_server(arguments) as server, AsyncQuorumClient(server.url) as client:
        await wait_ready(client, lambda _: None)
        results = await _accuracy(client, problems, at_once)
        if hard:
            results += await _in_time(client, hard, deadline)
    return results


def _room_for(at_once: int) -> list[str]:
    """Return what a server is told that solves so many problems at a time."""
    if at_once == 1:
        return []
    attempts = str(ATTEMPTS * at_once)
    sizes = {"gateway-max-running": str(at_once), "engine-slots": attempts}
    sizes["sandbox-kernels"] = attempts
    return [word for name, value in sizes.items() for word in (f"--{name}", value)]


async def _accuracy(
    client: AsyncQuorumClient, problems: list[Problem], at_once: int
) -> list[Result]:
    solves: dict[str, SolveResult] = {}
    waiting = iter(track(problems, description="accuracy"))

    async def solve_the_waiting() -> None:
        for problem in waiting:
            result = await client.solve(_request(problem, at_once))
            solves[problem.id] = result
            _print_progress(problem, result)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(solve_the_waiting)
    return _scores(problems, [(problem, solves[problem.id]) for problem in problems])


def _request(problem: Problem, at_once: int) -> SolveRequest:
    return SolveRequest(
        problem=problem.text,
        problem_id=problem.id,
        answer_kind=WireAnswerKind.TEXT,
        early_stop="none",
        attempts=ATTEMPTS,
        time_limit_s=SAFETY_LIMIT_S * at_once,
        seed=0,
    )


def _scores(problems: list[Problem], solved: list[tuple[Problem, SolveResult]]) -> list[Result]:
    _print_solves(f"{len(problems)} problems, {ATTEMPTS} attempts each", solved)
    attempts = [(p, a) for p, result in solved for a in result.attempts]
    single = statistics.mean(_right(p, a.answer) for p, a in attempts) * 100
    vote = statistics.mean(_right(p, r.answer) for p, r in solved) * 100
    oracle = statistics.mean(any(_right(p, a.answer) for a in r.attempts) for p, r in solved) * 100
    return [
        Result("single_attempt_accuracy", single, "%"),
        Result("majority_accuracy", vote, "%", least=85.0),
        Result("majority_minus_single", vote - single, "points", least=0.1),
        Result("oracle_accuracy", oracle, "%"),
        *_effort([attempt for _, attempt in attempts]),
        Result("seconds_per_problem", statistics.mean(r.seconds for _, r in solved), "s"),
    ]


def _effort(attempts: list[AttemptReport]) -> list[Result]:
    return [
        Result("tokens_per_attempt", statistics.mean(a.tokens.sampled for a in attempts), "tokens"),
        Result("tool_calls_per_attempt", statistics.mean(a.tool_calls for a in attempts), "calls"),
        Result(
            "tool_errors_per_attempt", statistics.mean(a.tool_errors for a in attempts), "calls"
        ),
    ]


async def _in_time(
    client: AsyncQuorumClient, problems: list[Problem], deadline: float
) -> list[Result]:
    solved: list[tuple[Problem, SolveResult]] = []
    elapsed: list[float] = []
    for problem in track(problems, description="in time"):
        request = SolveRequest(
            problem=problem.text, problem_id=problem.id, time_limit_s=deadline, seed=0
        )
        begun = anyio.current_time()
        solved.append((problem, await client.solve(request)))
        elapsed.append(anyio.current_time() - begun)
        _print_progress(*solved[-1])
    _print_solves(f"{len(problems)} hard problems, {deadline:g} s each", solved)
    in_time = sum(
        seconds <= deadline + REPLY_S and (result.answer is not None or bool(result.detail))
        for seconds, (_, result) in zip(elapsed, solved, strict=True)
    )
    answered = sum(result.answer is not None for _, result in solved)
    right = sum(_right(problem, result.answer) for problem, result in solved)
    return [
        Result("timed_in_time", 100 * in_time / len(problems), "%", least=100.0),
        Result("timed_longest", max(elapsed), "s", most=deadline + REPLY_S),
        Result("timed_answered", 100 * answered / len(problems), "%"),
        Result("timed_right", right, f"of_{len(problems)}"),
    ]


def _right(problem: Problem, answer: str | None) -> bool:
    parsed = None if answer is None else parse_answer(answer, AnswerKind.TEXT)
    return parsed is not None and parsed.key == problem.answer.key


def _print_solves(title: str, solved: list[tuple[Problem, SolveResult]]) -> None:
    rows = [
        (
            problem.id[-28:],
            problem.answer.key,
            result.answer or "-",
            "yes" if _right(problem, result.answer) else "no",
            " ".join(_mark(problem, attempt) for attempt in result.attempts),
            result.end.value,
            result.tokens.sampled,
            sum(attempt.tool_calls for attempt in result.attempts),
            sum(attempt.tool_errors for attempt in result.attempts),
            f"{result.seconds:.1f}",
        )
        for problem, result in solved
    ]
    columns = ["id", "truth", "vote", "right", "attempts", "end", "tokens", "calls", "errors", "s"]
    print_table(title, columns, rows)


def _print_progress(problem: Problem, result: SolveResult) -> None:
    """Say how it goes where no progress bar can be drawn."""
    if not sys.stdout.isatty():
        marks = " ".join(_mark(problem, attempt) for attempt in result.attempts)
        right = "right" if _right(problem, result.answer) else "wrong"
        line = (
            f"{problem.id[-28:]}: {result.answer or '-'} {right} ({marks}) {result.seconds:.0f} s"
        )
        print(line, flush=True)


def _mark(problem: Problem, attempt: AttemptReport) -> str:
    if attempt.answer is None:
        return "-"
    return "+" if _right(problem, attempt.answer) else "x"


if __name__ == "__main__":
    typer.run(main)
