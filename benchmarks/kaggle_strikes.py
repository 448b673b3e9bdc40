"""The faults of the contest's rehearsals: what strikes a notebook, its server and its engine."""

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks.kaggle_rehearsal import Notebook

PROBLEMS = 50
#: Silence after which a session takes a stream for stalled.
STALL_S = 2.0
#: Faults that last, in seconds.
LASTS_S = 3.0

Strike = Callable[[Notebook], None]


def kill_first(words: str) -> Strike:
    """Return a fault that kills the first process of some words."""

    def strike(notebook: Notebook) -> None:
        found = notebook.descendants(words)
        if not found:
            notebook.missed.append(words)
            return
        notebook.strike()
        with suppress(psutil.Error):
            found[0].kill()

    return strike


def kill_gateway(notebook: Notebook) -> None:
    """Kill the server's process."""
    _signal_gateway(notebook, signal.SIGKILL)


def stall_stream(notebook: Notebook) -> None:
    """Stop the server's process for a while: connections stay, and nothing comes."""
    pid = _signal_gateway(notebook, signal.SIGSTOP, LASTS_S + STALL_S)
    time.sleep(LASTS_S)
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _signal_gateway(notebook: Notebook, number: signal.Signals, lasts_s: float = 0.0) -> int:
    """Signal the server's process; return its id, 0 where none runs now."""
    pid = int(notebook.server().get("pid") or 0)
    if pid <= 0:
        notebook.missed.append(number.name)
        return 0
    notebook.strike(lasts_s)
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    return pid


def lock_journal(notebook: Notebook) -> None:
    """Hold the journal's file for a while."""
    notebook.strike(LASTS_S)
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(notebook.session / "journal.sqlite", timeout=2.0)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(LASTS_S)
        finally:
            connection.close()


def fill_disk(notebook: Notebook) -> None:
    """Take all the room that is left for a while."""
    notebook.strike(LASTS_S)
    ballast = notebook.folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * 65_536):
            pass
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"\0"):
            pass
    time.sleep(LASTS_S)
    ballast.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: something that strikes in mid-run, or settings of the whole run."""

    name: str
    strike: Strike | None = None
    server: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    disturbances: dict[str, float] = field(default_factory=dict)


def faults(chance: random.Random) -> list[Fault]:
    """Return all kinds, with moments drawn: seconds of the engine, and numbers of problems."""

    def engine(kind: str) -> dict[str, str]:
        return {"rehearsal.faults": f"{kind}@{chance.uniform(4, 9):.2f}"}

    def number() -> int:
        return chance.randrange(2, PROBLEMS)

    install = [sys.executable, "-c", "raise SystemExit(1)"]
    return [
        Fault("engine killed in load", server={"rehearsal.faults": "load-die@1"}),
        Fault("engine killed in prefill", server=engine("prefill-die")),
        Fault("engine killed in decode", server=engine("decode-die")),
        Fault("engine killed outright", kill_first("server.engine.rehearsal")),
        Fault("engine silent", server=engine(f"stall@{chance.uniform(4, 9):.2f}+3;die")),
        Fault("engine sends garbage", server=engine("garbage")),
        Fault("gateway killed", kill_gateway),
        Fault("supervisor killed", kill_first("kaggle_notebook.supervisor")),
        Fault("kernel template killed", kill_first("template.py")),
        Fault("disk full", fill_disk),
        Fault("journal locked", lock_journal),
        Fault("stalled stream", stall_stream),
        Fault("clock jumps ahead", disturbances={"clock_at": number(), "clock_step_s": 86_400}),
        Fault("clock jumps back", disturbances={"clock_at": number(), "clock_step_s": -86_400}),
        Fault("two calls with one id", disturbances={"twin_at": number()}),
        Fault("install fails", settings={"install": install}),
    ]
