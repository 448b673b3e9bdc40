"""Part of `benchmarks/evaluation.py`: an evaluation that is killed, and its server too.

On the rehearsal engine, which is exactly repeatable: the peer is the same evaluation left alone.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import httpx
import orjson

from benchmarks.report import Result, print_table
from client.schema import AttemptEnd
from server.engine.rehearsal.problems import synthetic
from server.evaluation.recorded import ATTEMPTS as ATTEMPT_FILE
from server.evaluation.recorded import read_recorded
from server.journal.reader import JournalReader

ATTEMPTS = 4
KILLS, SERVER_KILLS = 10, 3
REHEARSED = 40
#: Between the moment by what is recorded and the kill.
MOST_DELAY_S = 0.5
#: For what is left of the run, on a busy machine too.
MOST_RUN_S = 300.0
#: A server answers by then, on a busy machine too.
START_S = 60.0
EVAL = [sys.executable, "-c", "from server.evaluation.commands import app; app()"]


def measure(folder: Path, kills: int, server_kills: int, seed: int) -> list[Result]:
    """Return whether an evaluation is the same whatever is killed; see the module."""
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
        command = _command(problems, broken, url, journal)
        moments = _break(command, broken, server, chance, kills, server_kills)
        again = read_recorded(broken)
    rows_of = {name: _attempts(path) for name, path in (("whole", whole), ("broken", broken))}
    wanted = REHEARSED * ATTEMPTS
    twice = _done_twice(journal)
    print_table(
        f"{wanted} attempts", ["", "attempts", "seconds", "killed after so many attempts"],
        [("left alone", len(rows_of["whole"]), f"{whole_s:.1f}", ""),
         ("killed", len(rows_of["broken"]), "", ", ".join(moments))],
    )  # fmt: skip
    same = sum(rows_of["whole"].get(name) == row for name, row in rows_of["broken"].items())
    return [
        Result("kills", sum("server" not in each for each in moments), "times", least=float(kills)),
        Result("server_kills", sum("server" in each for each in moments), "times",
               least=float(server_kills)),
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


def _break(
    command: list[str],
    out: Path,
    server: "_Rehearsal",
    chance: random.Random,
    kills: int,
    server_kills: int,
) -> list[str]:
    """Run to the end through kills of the run and of the server; return how far it was at each.

    Moments are random by what is recorded, and then by time, so that they fall all over the run:
    the next process may be killed while it starts.
    """
    wanted = REHEARSED * ATTEMPTS
    points = sorted(chance.sample(range(1, wanted - 2 * ATTEMPTS), kills + server_kills))
    of_server = set(chance.sample(range(len(points)), server_kills))
    moments = []
    child = _started(command)
    try:
        for number, point in enumerate(points):
            if not _wait_for(out / ATTEMPT_FILE, point, child):
                break
            time.sleep(chance.uniform(0.0, MOST_DELAY_S))
            done = _lines(out / ATTEMPT_FILE)
            if number in of_server:
                server.kill()
                server.start()
            else:
                child.kill()
                child.wait()
                child = _started(command)
            moments.append(f"{done} (server)" if number in of_server else str(done))
        child.wait(MOST_RUN_S)
    finally:
        child.kill()
        child.wait()
    _run(command)
    return moments


def _started(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait_for(path: Path, lines: int, child: "subprocess.Popen[bytes]") -> bool:
    """Wait until so much is recorded; False where the run has ended before."""
    deadline = time.monotonic() + MOST_RUN_S
    while _lines(path) < lines:
        if child.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise TimeoutError(f"{lines} attempts were not recorded within {MOST_RUN_S:g} s")
        time.sleep(0.005)
    return True


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
