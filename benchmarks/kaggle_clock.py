"""Rehearsed runs of five hours: how much of the clock is used, and how much the engine works.

    make bench NAME=kaggle_clock

A notebook's process, the real server and kernels, a gateway that asks for 50 problems, and an
engine that plays gpt-oss-120b on one H100, all fifty times faster than the contest. No attempt is
right but by chance, so a problem ends by its budget or with its last attempt. The engine counts as
busy while any attempt is not in a tool call; its load and its install count as not busy. What the
machine takes itself, such as the server's start and a call of the gateway, is not fifty times
faster and so counts fifty times: the table says where the time went.
"""

import subprocess
import tempfile
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.progress import track

from benchmarks.kaggle_rehearsal import Notebook, running_gateway, running_notebook
from benchmarks.report import Result, finish, print_table
from client.schema import AttemptCall, AttemptFinished, AttemptResult, AttemptStarted, Event
from server.journal.reader import JournalReader

PROBLEMS = 50
CONTEST_S = 18_000.0
#: Five hours take six minutes.
SPEED = 50.0
LEAST_USED, LEAST_BUSY = 97.0, 90.0
#: Seconds that a notebook may take over its limit here before it is cut.
OVERTIME_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one run; shares of the limit in percent."""

    answered: int
    rungs: str
    used: float
    busy: float
    longest_s: float
    idle: "Idle"


@dataclass(frozen=True, slots=True)
class Idle:
    """Where the engine was not busy; shares of the limit in percent."""

    before: float
    """Until the first problem's first attempt."""
    between: float
    """From a problem's end to the next one's first attempt."""
    within: float
    """While all attempts were in tool calls."""
    after: float
    """From the last problem's end to the limit: the margins."""


def main(
    runs: Annotated[int, typer.Option(help="runs of 50 hard problems")] = 2,
    speed: Annotated[float, typer.Option(help="times faster than the contest")] = SPEED,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    found = [_run(number, speed) for number in track(range(runs), description="runs")]
    print_table(
        f"{PROBLEMS} hard problems in five hours, {speed:g} times faster",
        ["run", "answered", "rungs", "clock used", "engine busy", "longest problem s"],
        [
            (number, each.answered, each.rungs, f"{each.used:.1f} %", f"{each.busy:.1f} %",
             f"{each.longest_s:.0f}")
            for number, each in enumerate(found, 1)
        ],
    )  # fmt: skip
    print_table(
        "where the engine was not busy",
        ["run", "before the first", "between problems", "in tool calls", "after the last"],
        [
            (number, *(f"{share:.2f} %" for share in astuple(each.idle)))
            for number, each in enumerate(found, 1)
        ],
    )
    finish(
        [
            Result("answered_least", min(each.answered for each in found), "problems", PROBLEMS),
            Result("clock_used_least", min(each.used for each in found), "%", least=LEAST_USED),
            Result("clock_used_most", max(each.used for each in found), "%", most=100.0),
            Result("engine_busy_least", min(each.busy for each in found), "%", least=LEAST_BUSY),
        ]
    )


def _run(number: int, speed: float) -> Run:
    limit_s = CONTEST_S / speed
    with tempfile.TemporaryDirectory(prefix="kaggle-clock-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        texts = [f"Run {number}, problem {n}. [rehearsal: right=0.02]" for n in range(PROBLEMS)]
        ids = [f"{n:06x}" for n in range(PROBLEMS)]
        pl.DataFrame({"id": ids, "problem": texts}).write_csv(folder / "problems.csv")
        with (
            running_notebook(folder, _settings(folder, limit_s, speed), {}) as notebook,
            running_gateway(notebook) as gateway,
        ):
            with suppress(subprocess.TimeoutExpired):
                gateway.wait(limit_s + OVERTIME_S)
            return _result(notebook, limit_s, speed)


def _settings(folder: Path, limit_s: float, speed: float) -> dict[str, Any]:
    return {
        "folder": str(folder / "session"),
        "problems": PROBLEMS,
        "limit_s": limit_s,
        "data": str(folder / "problems.csv"),
        "server": {
            "engine.kind": "rehearsal",
            "engine.context_tokens": 65_536,
            "rehearsal.machine": "h100-gpt-oss-120b",
            "rehearsal.speed": speed,
            # as many times fewer tokens: what is sent in a second stays the same
            "rehearsal.grain": round(speed),
            "solve.attempts": 8,
            "solve.agree": 4,
            "solve.max_turns": 128,
            "sandbox.kernels": 16,
            "sandbox.spares": 4,
        },
    }


def _result(notebook: Notebook, limit_s: float, speed: float) -> Run:
    answers = notebook.answers()
    # to the last answer: what the gateway's process takes to end is not a hundred times faster
    last = max(datetime.fromisoformat(each["at"]).timestamp() for each in answers)
    used_s = last - notebook.begun
    rungs = pl.Series([each["rung"] for each in answers]).value_counts(sort=True).rows()
    spans = _spans(notebook.journal)
    busy_s = sum(span.busy_s for span in spans)
    gaps_s = sum(max(0.0, b.begun - a.ended) for a, b in pairwise(spans))
    idle_s = (
        spans[0].begun - notebook.begun,
        gaps_s,
        sum(span.ended - span.begun - span.busy_s for span in spans),
        notebook.begun + limit_s - spans[-1].ended,
    )
    return Run(
        answered=len(answers),
        rungs=", ".join(f"{rung} {count}" for rung, count in rungs),
        used=100 * used_s / limit_s,
        busy=100 * busy_s / limit_s,
        longest_s=max(each["seconds"] for each in answers) * speed,
        idle=Idle(*(100 * each / limit_s for each in idle_s)),
    )


@dataclass(frozen=True, slots=True)
class Span:
    """A solve from its first attempt to its end, in seconds since 1970; how long it sampled."""

    begun: float
    ended: float
    busy_s: float


def _spans(journal: Path) -> list[Span]:
    """Return the solves of a run, by the journal, in their order."""
    spans = []
    with JournalReader(journal) as reader:
        for solve in reader.solves():
            events = list(reader.events(solve_id=solve.id))
            first = [event.at for event in events if isinstance(event, AttemptStarted)]
            if first:
                begun, ended = solve.created + min(first), solve.created + events[-1].at
                spans.append(Span(begun, ended, _sampling_s(events)))
    return sorted(spans, key=lambda span: span.begun)


def _sampling_s(events: list[Event]) -> float:
    """Return for how long at least one attempt of a solve was not in a tool call."""
    sampling: set[int] = set()
    total = since = 0.0
    for event in sorted(events, key=lambda event: event.at):
        if sampling:
            total += event.at - since
        since = event.at
        match event:
            case AttemptStarted() | AttemptResult():
                sampling.add(event.attempt)
            case AttemptCall() | AttemptFinished():
                sampling.discard(event.attempt)
            case _:
                pass
    return total


if __name__ == "__main__":
    typer.run(main)
