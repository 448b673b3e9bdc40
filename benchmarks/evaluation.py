"""Evaluations: every strategy on the embedded model, runs that are killed, speed of scoring.

    make bench NAME=evaluation                                        # kills and scoring
    make bench NAME=evaluation ARGS="--data math500.jsonl --out FOLDER"   # the table too; resumes

The table: integer answers, the first 24 by sha256 of id, 4 attempts, 60 s a problem, with and
without the Python tool, and greedily, in one evaluation that the same command resumes. Kills: an
evaluation on the rehearsal engine is killed at ten random moments, and the server is killed three
times more; the peer is the same evaluation left alone. Scoring: 10,000 recorded attempts with
answers that are fractions, roots, junk and bombs.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import anyio
import httpx
import orjson
import typer

from benchmarks.report import Result, finish, print_table
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.schema import AttemptEnd, AttemptReport, TokenCounts
from server.engine.rehearsal.problems import synthetic
from server.evaluation.api import Api
from server.evaluation.arms import read_arms
from server.evaluation.folder import AttemptRow, EvaluationFolder, read_recorded
from server.evaluation.load import load_set
from server.evaluation.observe import ProgressObserver
from server.evaluation.problem import Problem, ProblemSet
from server.evaluation.work import Wish, evaluate, make_plan, select
from server.journal.reader import JournalReader

COUNT, ATTEMPTS, LIMIT_S = 24, 4, 60.0
#: Nothing is pruned, as no attempt comes after so many; confidences are recorded.
WATCHED = "prune=deepconf(warm_up=256)"
ARMS = [
    f"name=tools; strategy=weighted_vote; {WATCHED}",
    f"name=plain; strategy=majority_vote; {WATCHED}",
    "name=greedy; strategy=greedy",
]
MOST_TABLE_S = 90 * 60.0
KILLS, SERVER_KILLS = 10, 3
REHEARSED = 40
SCORED_PROBLEMS, SCORED_ATTEMPTS = 100, 100
MOST_SCORING_S = 60.0
#: A server answers by then, on a busy machine too.
START_S = 60.0
EVAL = [sys.executable, "-c", "from server.evaluation.commands import app; app()"]


def main(
    data: Annotated[Path | None, typer.Option(help="problems for the table")] = None,
    out: Annotated[Path, typer.Option(help="the table's evaluation")] = Path("build/evaluation"),
    kills: Annotated[int, typer.Option(help="random moments at which the run is killed")] = KILLS,
    server_kills: Annotated[int, typer.Option(help="the same for the server")] = SERVER_KILLS,
    scoring: Annotated[bool, typer.Option(help="measure scoring")] = True,
    seed: Annotated[int, typer.Option(help="of the moments")] = 0,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        if kills or server_kills:
            results += _kills(Path(folder), kills, server_kills, seed)
        if scoring:
            results += _scoring(Path(folder) / "scored")
    if data is not None:
        out.mkdir(parents=True, exist_ok=True)
        results += anyio.run(_table, data, out)
    finish(results)


# The table


async def _table(data: Path, out: Path) -> list[Result]:
    chosen = load_set(str(data))
    integers = [p for p in chosen.problems if p.truth.integer is not None]
    problems = chosen.having(integers).first(COUNT)
    journal = out / "journal.db"
    begun = time.monotonic()
    arguments = ["--journal-path", str(journal)]
    async with local_server(arguments) as server, AsyncQuorumClient(server.url) as client:
        await wait_ready(client, lambda _waiting: None)
        wish = Wish(
            problems=problems, arms=read_arms(ARMS), attempts=ATTEMPTS, seed=0,
            time_limit_s=LIMIT_S, out=out, url=server.url,
        )  # fmt: skip
        with ProgressObserver() as observer:
            standing = await evaluate(wish, observer)
        async with Api(server.url) as api:
            await select(out, "genselect", api, LIMIT_S, lambda _done, _total: None)
    spent_s = _spent(out / "spent.json", time.monotonic() - begun)
    command = [*EVAL, "rescore", str(out), "--journal", str(journal), "--json"]
    told = await anyio.run_process(command)
    return _table_results(orjson.loads(told.stdout), spent_s, standing.short)


def _spent(path: Path, seconds: float) -> float:
    """Return the seconds of all the runs that it took, these included."""
    before = float(json.loads(path.read_text())) if path.is_file() else 0.0
    path.write_text(json.dumps(before + seconds))
    return before + seconds


def _table_results(report: dict[str, Any], spent_s: float, short: int) -> list[Result]:
    sections = report["sections"]
    for arm in ("tools", "plain", "greedy"):
        rows = [
            (name, *(f"{100 * value:.1f}" for value in told["accuracy"]))
            for name, told in sections[f"strategies {arm}"].items()
        ]
        print_table(f"{arm}: accuracy in %", ["strategy", "mean", "low", "high"], rows)
    for name, told in sections["compared"].items():
        mean, low, high = (100 * value for value in told["difference"])
        print(f"{name} against tools: {mean:+.1f} points ({low:+.1f} to {high:+.1f})")
    single = sections["compared"]["plain, single attempt"]["difference"]
    answer = sections["compared"]["plain, server's answer"]["difference"]
    return [
        Result("tool_effect_single_attempt", -100 * single[0], "points"),
        Result("tool_effect_single_low", -100 * single[2], "points"),
        Result("tool_effect_single_high", -100 * single[1], "points"),
        Result("tool_effect_answer", -100 * answer[0], "points"),
        Result("tool_effect_answer_low", -100 * answer[2], "points"),
        Result("tool_effect_answer_high", -100 * answer[1], "points"),
        Result("attempts_not_had", short, "attempts", most=0),
        Result("table_minutes", spent_s / 60, "min", most=MOST_TABLE_S / 60),
    ]


# Kills


def _kills(folder: Path, kills: int, server_kills: int, seed: int) -> list[Result]:
    problems = folder / "rehearsed.jsonl"
    rows = synthetic(REHEARSED, seed=11)
    problems.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    journal = folder / "journal.db"
    port = _free_port()
    with _Rehearsal(port, journal) as server:
        url = f"http://127.0.0.1:{port}"
        whole, broken = folder / "whole", folder / "broken"
        begun = time.monotonic()
        _run(_command(problems, whole, url, journal))
        whole_s = time.monotonic() - begun
        chance = random.Random(seed)
        moments = _kill_often(_command(problems, broken, url, journal), whole_s, kills, chance)
        for _ in range(server_kills):
            with _running(_command(problems, broken, url, journal)) as child:
                time.sleep(chance.uniform(1.5, 3.0))
                server.kill()
                server.start()
                child.send_signal(signal.SIGKILL)
        _run(_command(problems, broken, url, journal))
        again = read_recorded(broken)
    rows_of = {name: _attempts(path) for name, path in (("whole", whole), ("broken", broken))}
    wanted = REHEARSED * ATTEMPTS
    twice = _done_twice(journal)
    print_table(
        f"{kills} kills of the run at {', '.join(f'{m:.1f}' for m in moments)} s, "
        f"{server_kills} of the server",
        ["", "attempts", "seconds"],
        [("left alone", len(rows_of["whole"]), f"{whole_s:.1f}"),
         ("killed", len(rows_of["broken"]), "-")],
    )  # fmt: skip
    same = sum(rows_of["whole"].get(name) == row for name, row in rows_of["broken"].items())
    return [
        Result("kills", kills, "times", least=float(kills)),
        Result("attempts_lost", wanted - len(rows_of["broken"]), "attempts", most=0),
        Result("attempts_recorded_twice", again.doubled, "attempts", most=0),
        Result("attempts_done_twice", twice, "attempts", most=0),
        Result("attempts_equal_to_unbroken", 100 * same / wanted, "%", least=100.0),
        Result("report_equal_to_unbroken", float(_figures(whole) == _figures(broken)), "bool",
               least=1.0),
    ]  # fmt: skip


def _command(problems: Path, out: Path, url: str, journal: Path) -> list[str]:
    return [
        *EVAL, "run", "--set", str(problems), "--out", str(out), "--attempts", str(ATTEMPTS),
        "--url", url, "--journal", str(journal), "--time-limit", "60",
    ]  # fmt: skip


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kill_often(
    command: list[str], whole_s: float, kills: int, chance: random.Random
) -> list[float]:
    """Kill the run so often, at moments that leave something to do; return the moments."""
    start_s = 1.0
    moments = []
    for _ in range(kills):
        moment = start_s + chance.random() * max(0.3, (whole_s - start_s) / kills)
        with _running(command) as child:
            time.sleep(moment)
            child.send_signal(signal.SIGKILL)
        moments.append(moment)
    return moments


@contextmanager
def _running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


class _Rehearsal:
    """A server with a rehearsed model on one port, which can be killed and started again."""

    def __init__(self, port: int, journal: Path) -> None:
        self._port = port
        self._journal = journal

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(START_S)

    def start(self) -> None:
        command = [
            sys.executable, "-m", "client.main", "serve", "--gateway-port", str(self._port),
            "--engine-kind", "rehearsal", "--journal-path", str(self._journal),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self._port}/ready", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"the server was not ready within {START_S:g} s")

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _attempts(folder: Path) -> dict[tuple[str, int], tuple[str | None, str, int]]:
    return {
        (problem, seed): (row.report.answer, row.report.end.value, row.report.tokens.sampled)
        for (_, problem), rows in read_recorded(folder).attempts.items()
        for seed, row in rows.items()
    }


def _done_twice(journal: Path) -> int:
    """Count attempts that the server brought to an end of their own more often than asked for.

    Two evaluations were made, the one left alone and the killed one: each attempt belongs twice.
    """
    own = (AttemptEnd.ANSWERED, AttemptEnd.FORCED, AttemptEnd.NO_ANSWER)
    with JournalReader(journal) as reader:
        rows = reader.query(
            "SELECT s.problem_id, a.seed FROM attempts AS a JOIN solves AS s ON s.id = a.solve_id "
            "WHERE a.outcome IN (?, ?, ?)",
            [end.value for end in own],
        )
    counts = Counter((name.partition("~")[0], seed) for name, seed in rows)
    return sum(max(0, count - 2) for count in counts.values())


def _figures(folder: Path) -> Any:  # noqa: ANN401 - JSON
    """Return what a report says, without the times of this machine."""
    sections = json.loads((folder / "report.json").read_text())["sections"]
    accuracy = {name: one["accuracy"] for name, one in sections["strategies recorded"].items()}
    kept = ("summary", "at k recorded", "lengths recorded", "errors recorded")
    return accuracy, [sections[name] for name in kept]


# Scoring


def _scoring(folder: Path) -> list[Result]:
    _record(folder)
    begun = time.monotonic()
    command = [*EVAL, "rescore", str(folder), "--json", "--out", str(folder / "report")]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds = time.monotonic() - begun
    summary = orjson.loads(told.stdout)["sections"]["summary"]["recorded"]
    print_table(
        "scoring recorded attempts", ["attempts", "seconds", "single attempt, %"],
        [(summary["attempts"], f"{seconds:.1f}", f"{100 * summary['single'][0]:.1f}")],
    )  # fmt: skip
    return [
        Result("scored_attempts", summary["attempts"], "attempts", least=10_000.0),
        Result("scoring_seconds", seconds, "s", most=MOST_SCORING_S),
    ]


def _record(folder: Path) -> None:
    """Write an evaluation whose answers are written in many ways, right in six of ten."""
    chance = random.Random(0)
    problems = [_problem(number) for number in range(SCORED_PROBLEMS)]
    chosen = ProblemSet(name="made up", problems=tuple(problems))
    wish = Wish(
        problems=chosen, arms=read_arms([]), attempts=SCORED_ATTEMPTS, seed=0, time_limit_s=None,
        out=folder, url="",
    )  # fmt: skip
    with EvaluationFolder(folder, make_plan(wish, ""), chosen) as evaluation:
        evaluation.sync = False
        for number, problem in enumerate(problems):
            for seed in range(SCORED_ATTEMPTS):
                report = AttemptReport(
                    attempt=seed, seed=seed, end=AttemptEnd.ANSWERED,
                    answer=_answer(number, chance), tool_calls=chance.randrange(5),
                    tokens=TokenCounts(sampled=chance.randrange(200, 5_000)),
                )  # fmt: skip
                row = AttemptRow("recorded", problem.id, f"solve-{number}", report)
                evaluation.add_attempt(row)


def _problem(number: int) -> Problem:
    answers = (f"{number}", f"\\frac{{{number}}}{{7}}", f"{number}\\sqrt{{2}}", f"({number}, 1)")
    answer = answers[number % len(answers)]
    return Problem(id=f"p{number}", statement=f"{number}?", answer=answer)


def _answer(number: int, chance: random.Random) -> str | None:
    if chance.random() < 0.6:
        forms = (
            (f"{number}", f"{number}.0"),
            (f"\\frac{{{number}}}{{7}}", f"{number}/7", f"\\dfrac{{{2 * number}}}{{14}}"),
            (f"{number}\\sqrt{{2}}", f"\\sqrt{{{2 * number * number}}}"),
            (f"({number}, 1)", f"({number},1)"),
        )
        return chance.choice(forms[number % len(forms)])
    wrong = chance.randrange(1_000)
    return chance.choice(
        (None, f"{wrong}", f"\\sqrt{{{wrong}}}+\\pi", "9^{9^{9}}", "see above", f"x^{wrong}")
    )


if __name__ == "__main__":
    typer.run(main)
