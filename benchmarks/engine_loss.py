"""What a solve loses when its engine is killed: nothing, or it says what.

    make bench NAME=engine_loss

Each round sends a fresh problem through a real gateway with the embedded model, and kills the
engine's process (SIGKILL) in the prompt's prefill or, at a random token, in decode. The solve must
end by itself. An attempt's tokens are intact where its record joins without a gap, has the length
that its report counts, and begins with all that was streamed before the kill; an attempt that lost
something must say so in its report. Recovery is the time from the kill to the next sampled text;
the engine's first start in the same run is what it compares with.
"""

import os
import random
import signal
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Annotated

import anyio
import psutil
import typer
from rich.progress import track

from benchmarks.report import Result, finish, print_table
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.schema import (
    AttemptEnd,
    AttemptReport,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    AttemptWaiting,
    Event,
    SolveEnd,
    SolveFinished,
    SolveRequest,
)
from server.settings import load_settings
from server.vocabulary import Vocabulary
from server.weights import resolve

ATTEMPTS = 4
ROUNDS = 6
#: Sampled tokens an attempt: the kill falls into the first two thirds.
TOKENS = 48
#: A prompt of some 400 tokens takes five seconds of prefill on two cores; the kill falls into it.
LINES = 12
PREFILL_KILL_S = (0.2, 2.0)
#: Far above what a round takes: a solve that ends by it has not recovered.
TIME_LIMIT_S = 300.0
NATURAL_ENDS = (SolveEnd.AGREEMENT, SolveEnd.ALL_FINISHED)
#: Ends that say that the engine's death cost the attempt something.
TOLD_ENDS = (AttemptEnd.ENGINE_LOST, AttemptEnd.ENGINE_ERROR, AttemptEnd.DEADLINE)


@dataclass(slots=True)
class Watch:
    """What the events of one round tell, and when the engine was killed."""

    in_decode: bool
    kill_after_tokens: int
    kill_after_s: float
    killed_at: float | None = None
    recovered_at: float | None = None
    phase: str = ""
    sampled: dict[int, int] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=lambda: defaultdict(str))
    ids: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    gaps: set[int] = field(default_factory=set)
    kept: dict[int, int] = field(default_factory=dict)

    def observe(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, AttemptText):
            self.sampled[event.attempt] = event.sampled
            if self.killed_at is None:
                self.told[event.attempt] += event.text
            elif self.recovered_at is None and event.attempt in self.kept:
                self.recovered_at = anyio.current_time()
        elif isinstance(event, AttemptSegment):
            if event.start != len(self.ids[event.attempt]):
                self.gaps.add(event.attempt)
            self.ids[event.attempt] += event.token_ids
        elif isinstance(event, AttemptWaiting):
            self.kept[event.attempt] = event.kept_tokens

    def kill(self) -> None:
        """Kill the engine, once; what was streamed by now must be in the record."""
        (engine,) = engine_processes()
        os.kill(engine, signal.SIGKILL)
        self.killed_at = anyio.current_time()
        self.phase = "decode" if self.sampled else "prefill"


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one solve whose engine was killed."""

    phase: str
    finished: bool
    end: str
    intact: int
    lost_told: int
    lost_untold: int
    recovery_s: float
    seconds: float


def main(
    rounds: Annotated[int, typer.Option(help="kills, by turns in prefill and decode")] = ROUNDS,
    tokens: Annotated[int, typer.Option(help="sampled tokens an attempt")] = TOKENS,
    seed: Annotated[int, typer.Option(help="of the moments of the kills")] = 0,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    finish(anyio.run(_measure, rounds, tokens, seed))


async def _measure(rounds: int, tokens: int, seed: int) -> list[Result]:
    settings = load_settings()
    vocabulary = Vocabulary.load(resolve(settings.engine.model))
    chance = random.Random(seed)
    found = []
    begun = anyio.current_time()
    # every round is a death, and rounds are shorter than what counts as health
    arguments = ["--engine-max-restarts", str(rounds + 1)]
    async with local_server(arguments) as server, AsyncQuorumClient(server.url) as client:
        await wait_ready(client, lambda _: None)
        start_s = anyio.current_time() - begun
        for number in track(range(rounds), description="kills"):
            watch = Watch(
                in_decode=number % 2 == 1,
                kill_after_tokens=chance.randrange(1, ATTEMPTS * tokens * 2 // 3),
                kill_after_s=chance.uniform(*PREFILL_KILL_S),
            )
            found.append(await _round(client, _request(number, tokens), watch, vocabulary))
            await wait_ready(client, lambda _: None)
    return _report(found, start_s)


def _request(number: int, tokens: int) -> SolveRequest:
    terms = "\n".join(
        f"- a_{line} = {17 * line + number} + {line} * {number + 3}" for line in range(LINES)
    )
    return SolveRequest(
        problem=f"Round {number}. Given\n{terms}\nfind the sum of all a_i. Explain each step.",
        strategy="majority_vote",
        attempts=ATTEMPTS,
        agree=ATTEMPTS,
        max_tokens=tokens,
        time_limit_s=TIME_LIMIT_S,
        seed=1_000 * number,
        tokens=True,
    )


async def _round(
    client: AsyncQuorumClient, request: SolveRequest, watch: Watch, vocabulary: Vocabulary
) -> Round:
    """Solve, and kill the engine on the way."""
    begun = anyio.current_time()

    async def kill_in_prefill() -> None:
        await anyio.sleep(watch.kill_after_s)
        watch.kill()

    last: SolveFinished | None = None
    async with anyio.create_task_group() as group, client.stream(request) as events:
        timed = False
        async for event in events:
            watch.observe(event)
            if isinstance(event, AttemptStarted) and not watch.in_decode and not timed:
                timed = True
                group.start_soon(kill_in_prefill)
            enough = sum(watch.sampled.values()) >= watch.kill_after_tokens
            if watch.in_decode and enough and watch.killed_at is None:
                watch.kill()
            if isinstance(event, SolveFinished):
                last = event
    if last is None or watch.killed_at is None:
        raise RuntimeError("the solve ended before its engine was killed: raise --tokens")
    return _judged(last, watch, vocabulary, anyio.current_time() - begun)


def _judged(last: SolveFinished, watch: Watch, vocabulary: Vocabulary, seconds: float) -> Round:
    reports = last.result.attempts
    intact = [report for report in reports if _is_intact(report, watch, vocabulary)]
    lost = [report for report in reports if report not in intact]
    told = sum(not report.token_exact or report.end in TOLD_ENDS for report in lost)
    recovered = watch.recovered_at or float("nan")
    return Round(
        phase=watch.phase,
        finished=last.result.end in NATURAL_ENDS and len(reports) == ATTEMPTS,
        end=last.result.end.value,
        intact=len(intact),
        lost_told=told,
        lost_untold=ATTEMPTS - len(intact) - told,
        recovery_s=recovered - (watch.killed_at or recovered),
        seconds=seconds,
    )


def _is_intact(report: AttemptReport, watch: Watch, vocabulary: Vocabulary) -> bool:
    """Tell whether an attempt's record is whole and holds what was streamed before the kill."""
    ids, counts = watch.ids[report.attempt], report.tokens
    whole = len(ids) == counts.prompt + counts.sampled + counts.appended
    kept = counts.prompt <= watch.kept.get(report.attempt, counts.prompt) <= len(ids)
    sampled_text = vocabulary.decode(ids[counts.prompt :])
    return (
        report.token_exact
        and whole
        and kept
        and report.attempt not in watch.gaps
        and sampled_text.startswith(watch.told[report.attempt])
    )


def engine_processes() -> list[int]:
    """Return the engine processes among this process' descendants."""
    return [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if any("llamacpp_child" in word for word in process.cmdline())
    ]


def _report(rounds: list[Round], start_s: float) -> list[Result]:
    print_table(
        f"kill -9 of the engine in mid-solve, {ATTEMPTS} attempts",
        ["round", "killed in", "end", "intact", "lost, told", "lost, untold", "recovery s", "s"],
        [
            (
                number,
                each.phase,
                each.end,
                f"{each.intact}/{ATTEMPTS}",
                each.lost_told,
                each.lost_untold,
                f"{each.recovery_s:.1f}",
                f"{each.seconds:.1f}",
            )
            for number, each in enumerate(rounds, start=1)
        ],
    )
    attempts = ATTEMPTS * len(rounds)
    recovery_s = statistics.median(each.recovery_s for each in rounds)
    return [
        Result("rounds", len(rounds), "kills", least=ROUNDS),
        Result("killed_in_prefill", sum(each.phase == "prefill" for each in rounds), "rounds", 1),
        Result("killed_in_decode", sum(each.phase == "decode" for each in rounds), "rounds", 1),
        Result("finished", 100 * statistics.mean(r.finished for r in rounds), "%", least=100.0),
        Result("intact", 100 * sum(r.intact for r in rounds) / attempts, "% of attempts"),
        Result("lost_untold", sum(r.lost_untold for r in rounds), "attempts", most=0),
        Result("first_start", start_s, "s"),
        Result("recovery", recovery_s, "s"),
        Result("recovery_over_first_start", recovery_s / start_s, "ratio"),
    ]


if __name__ == "__main__":
    typer.run(main)
