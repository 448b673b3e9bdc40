"""A contest rehearsed: fifty problems, five hours, one H100 that fails now and then.

    make bench NAME=contest

A real server with real kernels and journal, whose engine is a rehearsal of gpt-oss-120b on one H100
with time running faster. The problems come one after another in a run (`/v1/runs`) under one clock,
as in the contest; how long each may take is the run's budget to decide. Meanwhile the engine's
first start is slow, a stream stalls, the engine dies twice and hangs once, and the machine slows
down. Every problem must be answered, none after the run's end. All times are the contest's.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import anyio
import typer

from benchmarks.report import Result, finish, print_table
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.schema import AttemptEnd, RunRequest, SolveRequest, SolveResult
from server.engine.rehearsal.problems import synthetic

PROBLEMS = 50
LIMIT_S = 5 * 3600.0
#: Real seconds that a call may take beyond the problem's time: the answer's way back.
SLACK_S = 1.0
#: Of the contest: a start of a minute more, a silent stream, two deaths, ten slow minutes, and an
#: engine that lives and makes no tokens any more, which counts as a third death.
FAULTS = "load-slow@1+60; stall-one@2500; decode-die@5000; slow@8000+600x3; die@11000; hang@14000"
DEATHS = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """One problem: when it came and was answered, on the contest's clock, and how."""

    number: int
    begun_s: float
    ended_s: float
    right: bool
    result: SolveResult

    @property
    def losses(self) -> int:
        """Streams that broke."""
        return sum(report.engine_losses for report in self.result.attempts)

    @property
    def forced(self) -> int:
        """Attempts that were made to answer."""
        return sum(report.end is AttemptEnd.FORCED for report in self.result.attempts)


@dataclass(slots=True)
class Contest:
    """The clock and what has been answered; `speed` is how much faster than real."""

    speed: float
    begun: float = 0.0
    answers: list[Answered] = field(default_factory=list)
    restarts: int = 0

    def now(self) -> float:
        """Return seconds on the contest's clock."""
        return (anyio.current_time() - self.begun) * self.speed


def main(
    speed: Annotated[float, typer.Option(help="how many times faster than real")] = 60.0,
    grain: Annotated[int, typer.Option(help="tokens that one sent token stands for")] = 10,
    problems: Annotated[int, typer.Option(help="problems")] = PROBLEMS,
    seed: Annotated[int, typer.Option(help="of the problems and the attempts")] = 0,
) -> None:
    """Rehearse, print the time line, exit 1 when a target is missed."""
    contest = Contest(speed)
    anyio.run(_rehearse, contest, grain, problems, seed)
    _print_time_line(contest)
    finish(_results(contest, problems))


async def _rehearse(contest: Contest, grain: int, problems: int, seed: int) -> None:
    limit_s = LIMIT_S * problems / PROBLEMS / contest.speed
    with tempfile.TemporaryDirectory() as folder:
        async with (
            local_server(_arguments(contest.speed, grain, seed, Path(folder))) as server,
            AsyncQuorumClient(server.url) as client,
        ):
            contest.begun = anyio.current_time()
            run = await client.runs.open(RunRequest(problems=problems, limit_s=limit_s))
            await wait_ready(client, lambda _: None)
            for number, row in enumerate(synthetic(problems, seed), start=1):
                contest.answers.append(await _answer(client, contest, run.id, number, row))
            contest.restarts = _restarts(server.log)


def _arguments(speed: float, grain: int, seed: int, folder: Path) -> list[str]:
    values = {
        "engine-kind": "rehearsal",
        "engine-context-tokens": 81_920,
        "engine-stall-timeout-s": 60 / speed,
        "engine-slots": 8,
        "rehearsal-machine": "h100-gpt-oss-120b",
        "rehearsal-speed": speed,
        "rehearsal-grain": grain,
        "rehearsal-seed": seed,
        "rehearsal-faults": FAULTS,
        "solve-attempts": 8,
        "solve-agree": 4,
        "solve-max-turns": 128,
        "solve-max-tokens": 65_536,
        "solve-answer-reserve-s": 20 / speed,
        "sandbox-kernels": 8,
        "journal-path": folder / "journal.sqlite",
        "log-level": "info",
    }
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


async def _answer(
    client: AsyncQuorumClient, contest: Contest, run: str, number: int, row: dict[str, str]
) -> Answered:
    begun = contest.now()
    request = SolveRequest(problem=row["problem"], problem_id=row["id"], run=run)
    result = await client.solve(request)
    return Answered(number, begun, contest.now(), result.answer == row["answer"], result)


def _restarts(log: Path) -> int:
    return log.read_text(encoding="utf-8", errors="replace").count("engine.died")


def _print_time_line(contest: Contest) -> None:
    rows = []
    for each in contest.answers:
        hours, rest = divmod(round(each.begun_s), 3600)
        rows.append(
            (
                each.number,
                f"{hours}:{rest // 60:02d}:{rest % 60:02d}",
                f"{each.ended_s - each.begun_s:.0f}",
                each.result.end.value,
                each.result.answer or "none",
                "right" if each.right else "wrong",
                len(each.result.attempts),
                each.forced or "",
                each.losses or "",
            )
        )
    print_table(
        f"{len(rows)} problems; faults: {FAULTS}",
        ["problem", "at", "s", "ended by", "answer", "is", "attempts", "forced", "broken streams"],
        rows,
    )


def _results(contest: Contest, problems: int) -> list[Result]:
    answers = contest.answers
    limit_s = LIMIT_S * problems / PROBLEMS
    late = sum(each.ended_s > limit_s + SLACK_S * contest.speed for each in answers)
    used = max(each.ended_s for each in answers)
    return [
        Result("answered", sum(a.result.answer is not None for a in answers), "problems", problems),
        Result("late", late, "problems", most=0),
        Result("engine_deaths", contest.restarts, "deaths", least=DEATHS),
        Result("broken_streams", sum(each.losses for each in answers), "streams", least=1),
        Result("right", sum(each.right for each in answers), "problems"),
        Result("time_used", 100 * used / limit_s, "%"),
    ]


if __name__ == "__main__":
    typer.run(main)
