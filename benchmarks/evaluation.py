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
import random
import subprocess
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import anyio
import orjson
import typer

from benchmarks import evaluation_kills
from benchmarks.evaluation_kills import EVAL, KILLS, SERVER_KILLS
from benchmarks.report import Result, finish, print_table
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import wait_ready
from client.schema import AttemptEnd, AttemptReport, TokenCounts
from server.evaluation.api import Api
from server.evaluation.arms import read_arms
from server.evaluation.folder import EvaluationFolder
from server.evaluation.load import load_set
from server.evaluation.observe import ProgressObserver
from server.evaluation.problem import Problem, ProblemSet
from server.evaluation.recorded import AttemptRow
from server.evaluation.work import Wish, evaluate, make_plan, select

COUNT, ATTEMPTS, LIMIT_S = 24, 4, 60.0
#: For a selector that asks the model, so that three arms and it stay under the limit.
SELECT_S = 20.0
#: Nothing is pruned, as no attempt comes after so many; confidences are recorded.
WATCHED = "prune=deepconf(warm_up=256)"
ARMS = [
    f"name=tools; strategy=weighted_vote; {WATCHED}",
    f"name=plain; strategy=majority_vote; {WATCHED}",
    "name=greedy; strategy=greedy",
]
MOST_TABLE_S = 90 * 60.0
SCORED_PROBLEMS, SCORED_ATTEMPTS = 100, 100
MOST_SCORING_S = 60.0


class Part(StrEnum):
    """What is measured."""

    TABLE = "table"
    KILLS = "kills"
    SCORING = "scoring"


def main(
    part: Annotated[
        list[Part] | None, typer.Option(help="what is measured; else all that there is data for")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="problems for the table")] = None,
    out: Annotated[Path, typer.Option(help="the table's evaluation")] = Path("build/evaluation"),
    kills: Annotated[int, typer.Option(help="random moments at which the run is killed")] = KILLS,
    server_kills: Annotated[int, typer.Option(help="the same for the server")] = SERVER_KILLS,
    seed: Annotated[int, typer.Option(help="of the moments")] = 0,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    parts = part or [each for each in Part if each is not Part.TABLE or data is not None]
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        if Part.KILLS in parts:
            results += evaluation_kills.measure(Path(folder), kills, server_kills, seed)
        if Part.SCORING in parts:
            results += _scoring(Path(folder) / "scored")
    if Part.TABLE in parts:
        if data is None:
            raise typer.BadParameter("the table needs problems: name a file", param_hint="--data")
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
            await select(out, "genselect", api, SELECT_S, lambda _done, _total: None)
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
