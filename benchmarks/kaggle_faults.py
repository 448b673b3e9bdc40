"""Rehearsals of a contest's run with a fault at every place: is every problem answered, in time?

    make bench NAME=kaggle_faults

Each schedule is a notebook process with the real server, kernels and a rehearsed engine, and a
gateway that asks for 50 problems, some of them hostile; faults strike at moments drawn by seed. A
schedule with a fault that found nothing to strike is run again with other moments; one that never
struck counts as such. A problem counts as touched by a fault where it was at work while a fault
lasted: from its strike to its end, and while the server was not ready. Times are of this machine:
five hours are shrunk to some minutes, and an engine's load to nothing.
"""

import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.progress import track

from benchmarks.kaggle_rehearsal import Notebook, running_gateway, running_notebook
from benchmarks.kaggle_strikes import PROBLEMS, STALL_S, Fault, faults
from benchmarks.report import Result, finish, print_table
from kaggle_notebook.errors import KaggleError
from kaggle_notebook.files import read_json
from kaggle_notebook.wire import Wire

SCHEDULES = 44
LEAST_SCHEDULES = 40
#: Tries of a schedule until all its faults have struck.
TRIES = 3
#: A run's limit: a server that is started again takes some seconds here, as long as a problem's
#: even share of this; in the contest it takes two minutes of six.
LIMIT_S = 300.0
#: A notebook that takes longer than its limit by this has failed.
OVERTIME_S = 30.0
LOOK_EVERY_S = 0.05
UNTOUCHED_LEAST = 80.0
#: Where the records and logs of the schedules are kept.
KEPT = Path(tempfile.gettempdir()) / "kaggle-faults"


def problems(chance: random.Random) -> pl.DataFrame:
    """Return 50 problems, of which six are hostile in themselves."""
    texts = [
        f"Problem {n} of {chance.random()}: how many? [rehearsal: right=0.9]"
        for n in range(PROBLEMS)
    ]
    ids: list[str | None] = [f"{n:06x}" for n in range(PROBLEMS)]
    texts[0] = "Long. [rehearsal: right=0.9] " + "x + " * 25_000
    texts[1] = ""
    texts[2] = "数学 😀 \u202e ﷽ Größe [rehearsal: right=0.9]"
    texts[3] = "Controls \x01\x1b[31m and more [rehearsal: right=0.9]"
    ids[4] = None
    ids[5] = "an id " * 60
    return pl.DataFrame({"id": ids, "problem": texts})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one schedule."""

    number: int
    faults: tuple[str, ...]
    missed: tuple[str, ...]
    answered: int
    late: int
    raised: str
    rungs: Counter[str]
    untouched: int
    untouched_first: int
    lost_ballots: int
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether everything was answered in time and nothing raised."""
        return self.answered == PROBLEMS and not self.late and not self.raised


def main(
    schedules: Annotated[int, typer.Option(help="runs of 50 problems")] = SCHEDULES,
    jobs: Annotated[int, typer.Option(help="runs at once")] = 2,
    seed: Annotated[int, typer.Option(help="of faults, moments and problems")] = 0,
    only: Annotated[str, typer.Option(help="part of the name of the only fault")] = "",
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    with ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(_schedule, number, seed, only) for number in range(schedules)]
        outcomes = [each.result() for each in track(work, description="schedules")]
    _report(outcomes)


def _schedule(number: int, seed: int, only: str) -> Outcome:
    """Run a schedule, again with other moments while a fault of it has not struck."""
    outcomes: list[Outcome] = []
    while len(outcomes) < TRIES:
        outcomes.append(_try(number, random.Random(f"{seed}/{number}/{len(outcomes)}"), only))
        if not outcomes[-1].missed or not outcomes[-1].whole:
            break
    return outcomes[-1]


def _try(number: int, chance: random.Random, only: str) -> Outcome:
    kinds = faults(chance)
    if only:
        chosen = [each for each in kinds if only in each.name]
    else:
        # every kind comes in turn, with two others that may go with it
        chosen = [kinds[number % len(kinds)]]
        chosen += chance.sample([each for each in kinds if each not in chosen], 2)
    with tempfile.TemporaryDirectory(prefix="kaggle-faults-") as name, _room(Path(name)) as folder:
        return _run(number, chosen, chance, folder)


@contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """Yield a small file system of its own, so that it can be filled; else the folder."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _run(number: int, chosen: list[Fault], chance: random.Random, folder: Path) -> Outcome:
    problems(chance).write_csv(folder / "problems.csv")
    first = {each.name for each in chosen if each.before is not None and each.before(folder)}
    with _notebook(chosen, folder) as notebook, running_gateway(notebook) as gateway:
        notebook.struck |= first
        unready: list[tuple[float, float]] = []
        watch = threading.Thread(target=_watch_readiness, args=(notebook, unready), daemon=True)
        watch.start()
        striking = [each for each in chosen if each.strike is not None]
        moments = sorted(chance.randrange(1, PROBLEMS - 5) for _ in striking)
        for moment, fault in zip(moments, striking, strict=True):
            if _wait_answers(notebook, moment):
                time.sleep(chance.uniform(0, 0.3))
                if fault.strike is not None and fault.strike(notebook):
                    notebook.struck.add(fault.name)
        with suppress(subprocess.TimeoutExpired):
            gateway.wait(max(1.0, notebook.begun + LIMIT_S + OVERTIME_S - time.time()))
        seconds = time.time() - notebook.begun
        notebook.over.set()
        watch.join()
        notebook.struck |= {each.name for each in chosen if each.seen and each.seen(notebook)}
        return _outcome(number, chosen, notebook, unready, seconds)


@contextmanager
def _notebook(chosen: list[Fault], folder: Path) -> Iterator[Notebook]:
    server = {
        "engine.kind": "rehearsal",
        "rehearsal.speed": "0.5",
        "solve.attempts": 2,
        "solve.agree": 2,
        "sandbox.kernels": 2,
        "sandbox.spares": 2,
        "engine.max_restarts": 20,
    }
    settings: dict[str, Any] = {
        "folder": str(folder / "session"),
        "problems": PROBLEMS,
        "limit_s": LIMIT_S,
        "stall_s": STALL_S,
        "data": str(folder / "problems.csv"),
    }
    disturbances: dict[str, float] = {}
    for each in chosen:
        both = [server.get("rehearsal.faults"), each.server.get("rehearsal.faults")]
        server |= each.server
        if all(both):
            server["rehearsal.faults"] = ";".join(map(str, both))
        settings |= each.settings
        disturbances |= each.disturbances
    with running_notebook(folder, {**settings, "server": server}, disturbances) as notebook:
        yield notebook


def _wait_answers(notebook: Notebook, count: int) -> bool:
    """Wait until so many problems are answered; tell whether the notebook still runs."""
    while len(notebook.answers()) < count:
        if notebook.process.poll() is not None or time.time() > notebook.begun + LIMIT_S:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _watch_readiness(notebook: Notebook, unready: list[tuple[float, float]]) -> None:
    """Note the intervals in which the server was not ready, as anybody could see."""
    since: float | None = time.time()
    while not notebook.over.wait(LOOK_EVERY_S):
        ready = False
        with suppress(KaggleError):
            url = str(notebook.server().get("url") or "")
            ready = bool(url) and bool(Wire(url).call("GET", "/ready", timeout_s=1.0).get("ready"))
        now = time.time()
        if ready and since is not None:
            unready.append((since, now))
        since = None if ready else (since or now)
    if since is not None:
        unready.append((since, time.time()))


def _outcome(
    number: int,
    chosen: list[Fault],
    notebook: Notebook,
    unready: list[tuple[float, float]],
    seconds: float,
) -> Outcome:
    answers = notebook.answers()
    log = (notebook.folder / "notebook.log").read_text(errors="replace")
    result = read_json(notebook.submitted / "result.json") or {"Error": "the gateway did not end"}
    raised = str(result["Error"])[:200]
    if notebook.process.poll() is not None:
        raised = raised or f"the notebook ended with exit code {notebook.process.returncode}"
    for line in log.splitlines():
        if "predict failed" in line or "a defect" in line or "Traceback" in line:
            raised = raised or line[:200]
    answered = _submitted(notebook.submitted / "submission.parquet")
    windows = [*unready, *notebook.strikes]
    solvable = [each for each in answers if "the problem is empty" not in each["notes"]]
    untouched = [each for each in solvable if not _is_touched(each, windows)]
    fallback = read_json(notebook.session / "fallback.json") or {}
    given = {each["key"]: each for each in answers}
    left = [
        entry
        for run in fallback.get("runs", {}).values()
        for key, entry in run.get("problems", {}).items()
        if entry.get("answer") is not None
        and key in given
        and given[key]["rung"] == "default"
        and _moment(entry["at"]) < _moment(given[key]["at"])
    ]
    _keep(number, notebook)
    return Outcome(
        number=number,
        faults=tuple(each.name for each in chosen),
        missed=tuple(each.name for each in chosen if each.name not in notebook.struck),
        answered=answered,
        late=int(seconds > LIMIT_S),
        raised=raised,
        rungs=Counter(each["rung"] for each in answers),
        untouched=len(untouched),
        untouched_first=sum(each["rung"] == "vote" for each in untouched),
        lost_ballots=len(left),
        seconds=seconds,
    )


def _keep(number: int, notebook: Notebook) -> None:
    """Keep what a schedule wrote, for whoever wants to know why."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for file in (notebook.folder / "notebook.log", *notebook.session.glob("*.log")):
        shutil.copy(file, KEPT / f"{number}-{file.name}")
    with suppress(OSError):
        shutil.copy(notebook.session / "answers.jsonl", KEPT / f"{number}-answers.jsonl")


def _submitted(path: Path) -> int:
    """Return how many valid answers were submitted; a file that was cut has none."""
    try:
        answers = pl.read_parquet(path)["answer"]
    except (OSError, pl.exceptions.PolarsError):
        return 0
    return int(answers.is_between(0, 99_999).sum())


def _is_touched(answer: dict[str, Any], windows: list[tuple[float, float]]) -> bool:
    end = _moment(answer["at"])
    begin = end - answer["seconds"]
    lost = answer["engine_losses"] > 0 or answer["tries"] > 0
    return lost or any(start <= end and begin <= stop for start, stop in windows)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _report(outcomes: list[Outcome]) -> None:
    print_table(
        f"{PROBLEMS} problems in {LIMIT_S:g} s, with faults",
        ["schedule: faults", "not struck", "answered", "rungs", "untouched: vote", "raised", "s"],
        [
            (
                f"{each.number}: {', '.join(each.faults)}",
                ", ".join(each.missed) or "-",
                f"{each.answered}/{PROBLEMS}",
                ", ".join(f"{rung} {count}" for rung, count in each.rungs.most_common()),
                f"{each.untouched_first}/{each.untouched}",
                each.raised,
                f"{each.seconds:.0f}",
            )
            for each in outcomes
        ],
    )
    _print_kinds(outcomes)
    untouched = sum(each.untouched for each in outcomes)
    first = sum(each.untouched_first for each in outcomes)
    struck = [each for each in outcomes if not each.missed]
    missed = sum(len(each.missed) for each in outcomes)
    answered = sum(each.answered == PROBLEMS and not each.late for each in outcomes)
    finish(
        [
            Result("schedules_that_struck", len(struck), "runs", least=LEAST_SCHEDULES),
            Result("faults_not_struck", missed, "faults"),
            Result("not_all_answered_in_time", len(outcomes) - answered, "runs", most=0),
            Result("raised", sum(bool(each.raised) for each in outcomes), "runs", most=0),
            Result(
                "untouched_on_first_rung",
                100 * first / untouched if untouched else float("nan"),
                "% of problems",
                least=UNTOUCHED_LEAST,
            ),
            Result(
                "default_despite_ballot", sum(e.lost_ballots for e in outcomes), "problems", most=0
            ),
        ]
    )


def _print_kinds(outcomes: list[Outcome]) -> None:
    rows = []
    for kind in sorted({name for each in outcomes for name in each.faults}):
        those = [each for each in outcomes if kind in each.faults]
        struck = [each for each in those if kind not in each.missed]
        rungs: Counter[str] = sum((each.rungs for each in struck), Counter())
        whole = sum(each.whole for each in struck)
        counts = ", ".join(f"{rung} {count}" for rung, count in rungs.most_common())
        rows.append((kind, f"{len(struck)}/{len(those)}", f"{whole}/{len(struck)}", counts))
    print_table("by fault", ["fault", "struck", "whole", "rungs of all problems"], rows)


if __name__ == "__main__":
    typer.run(main)
