"""The faults of the contest's rehearsals: what strikes a notebook, its server and its engine."""

import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.kaggle_rehearsal import Notebook

PROBLEMS = 50
#: Silence after which a session takes a stream for stalled.
STALL_S = 2.0
#: Faults that last, in seconds.
LASTS_S = 3.0
#: A fault waits at most this long for what it strikes: a server may just be starting again.
PATIENCE_S = 20.0
LOOK_EVERY_S = 0.05

Strike = Callable[[Notebook], bool]
"""Strikes, and tells whether there was anything to strike."""
Seen = Callable[[Notebook], bool]
"""Tells afterwards whether a fault has struck that nobody here has dealt out."""


def awaited(look: Callable[[], bool], notebook: Notebook) -> bool:
    """Wait until something can be done; False where that does not come."""
    end = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > end or notebook.process.poll() is not None:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def kill_first(words: str) -> Strike:
    """Return a fault that kills the first process of some words."""

    def killed(notebook: Notebook) -> bool:
        for process in notebook.descendants(words):
            with suppress(psutil.Error):
                process.kill()
                notebook.strike()
                return True
        return False

    return lambda notebook: awaited(lambda: killed(notebook), notebook)


def kill_gateway(notebook: Notebook) -> bool:
    """Kill the server's process."""
    return awaited(lambda: _signalled(notebook, signal.SIGKILL), notebook)


def kill_gateway_twice(notebook: Notebook) -> bool:
    """Kill the server's process, and the next one while it takes up what the first one left."""
    first = int(notebook.server().get("pid") or 0)
    return kill_gateway(notebook) and awaited(
        lambda: (
            notebook.server().get("pid") not in (0, first) and _signalled(notebook, signal.SIGKILL)
        ),
        notebook,
    )


def kill_next_to_the_engine(notebook: Notebook) -> bool:
    """Kill the engine and, in the same moment, the server."""
    return kill_first("server.engine.rehearsal")(notebook) and kill_gateway(notebook)


def stall_stream(notebook: Notebook) -> bool:
    """Stop the server's process for a while: connections stay, and nothing comes."""
    return _frozen(notebook, LASTS_S)


def freeze_gateway(notebook: Notebook) -> bool:
    """Stop the server's process for good."""
    return awaited(lambda: _signalled(notebook, signal.SIGSTOP, PATIENCE_S), notebook)


def _frozen(notebook: Notebook, seconds: float) -> bool:
    pids: list[int] = []

    def stop() -> bool:
        pids[:] = [int(notebook.server().get("pid") or 0)]
        return _signalled(notebook, signal.SIGSTOP, seconds + STALL_S)

    if not awaited(stop, notebook):
        return False
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pids[0], signal.SIGCONT)
    return True


def _signalled(notebook: Notebook, number: signal.Signals, lasts_s: float = 0.0) -> bool:
    """Signal the server's process; False where none runs now."""
    pid = int(notebook.server().get("pid") or 0)
    if pid <= 0:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    notebook.strike(lasts_s)
    return True


def lock_journal(notebook: Notebook) -> bool:
    """Hold the journal's file for a while."""

    def locked() -> bool:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(notebook.journal, timeout=2.0)) as connection,
        ):
            connection.execute("BEGIN EXCLUSIVE")
            notebook.strike(LASTS_S)
            time.sleep(LASTS_S)
            return True
        return False

    return awaited(locked, notebook)


def damage_journal(notebook: Notebook) -> bool:
    """Write over a page in the middle of the journal."""
    with suppress(OSError), notebook.journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
        notebook.strike()
        return True
    return False


def tear_fallback(notebook: Notebook) -> bool:
    """Leave half of `fallback.json` behind and, at once, nobody who writes it again."""
    path = notebook.session / "fallback.json"
    if not awaited(path.exists, notebook):
        return False
    with suppress(OSError):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    return kill_gateway(notebook)


def fill_disk(notebook: Notebook) -> bool:
    """Take all the room that is left for a while."""
    if not fill(notebook.folder):
        return False
    notebook.strike(LASTS_S)
    time.sleep(LASTS_S)
    (notebook.folder / "ballast").unlink(missing_ok=True)
    return True


def fill(folder: Path) -> bool:
    """Fill a file system of its own; False where the folder is of a larger one, or it is not full.

    The machine's own disk is never filled.
    """
    if not os.path.ismount(folder):
        return False
    full = False
    for size in (65_536, 1):
        try:
            with (folder / "ballast").open("ab", buffering=0) as file:
                while file.write(b"\0" * size):
                    pass
        except OSError:
            full = True
    return full


def filled_at_the_start(folder: Path) -> bool:
    """Fill the disk before the notebook starts, and free it some seconds later."""
    filled = fill(folder)

    def free() -> None:
        (folder / "ballast").unlink(missing_ok=True)

    timer = threading.Timer(2 * LASTS_S, free)
    timer.daemon = True
    timer.start()
    return filled


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: something that strikes in mid-run, or settings of the whole run.

    Whether it struck is told by whoever strikes, or is ``seen`` afterwards.
    """

    name: str
    strike: Strike | None = None
    before: Callable[[Path], bool] | None = None
    seen: Seen | None = None
    server: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    disturbances: dict[str, float] = field(default_factory=dict)


def died_in(where: str) -> Seen:
    """Return whether the server's log tells of the rehearsed engine's death there."""
    return lambda notebook: f"died, as scheduled: {where}" in notebook.log("server.log")


def disturbed(what: str) -> Seen:
    """Return whether the notebook's process told that it did something to itself."""
    return lambda notebook: f"disturbed: {what}" in notebook.log("../notebook.log")


def saw_garbage(notebook: Notebook) -> bool:
    """Tell whether the journal has an attempt that met what the engine must not send."""
    query = "SELECT count(*) FROM events WHERE type LIKE 'attempt.%' AND body LIKE '%garbage%'"
    with suppress(sqlite3.Error), closing(sqlite3.connect(notebook.journal)) as connection:
        return bool(connection.execute(query).fetchone()[0])
    return False


def faults(chance: random.Random) -> list[Fault]:
    """Return all kinds, with moments drawn: seconds of the engine, and numbers of problems."""

    def engine(kind: str) -> dict[str, str]:
        return {"rehearsal.faults": f"{kind}@{chance.uniform(4, 9):.2f}"}

    def number() -> int:
        return chance.randrange(2, PROBLEMS)

    def ahead(seconds: float) -> dict[str, float]:
        return {"clock_at": number(), "clock_step_s": seconds}

    install = [sys.executable, "-c", "print('no'); raise SystemExit(1)"]
    silence = f"stall@{chance.uniform(3, 4):.2f}+3;die"
    return [
        Fault(
            "engine killed in load",
            seen=died_in("load"),
            server={"rehearsal.faults": "load-die@1"},
        ),
        Fault("engine killed in prefill", seen=died_in("prefill"), server=engine("prefill-die")),
        Fault("engine killed in decode", seen=died_in("decode"), server=engine("decode-die")),
        Fault("engine killed outright", kill_first("server.engine.rehearsal")),
        Fault("engine silent", seen=died_in("idle or not"), server=engine(silence)),
        Fault("engine sends garbage", seen=saw_garbage, server=engine("garbage")),
        Fault("gateway killed", kill_gateway),
        Fault("supervisor killed", kill_first("kaggle_notebook.supervisor")),
        Fault("kernel template killed", kill_first("template.py")),
        Fault("disk full", fill_disk),
        Fault("journal locked", lock_journal),
        Fault("stalled stream", stall_stream),
        Fault("clock jumps ahead", seen=disturbed("clock"), disturbances=ahead(86_400)),
        Fault("clock jumps back", seen=disturbed("clock"), disturbances=ahead(-86_400)),
        Fault("two calls with one id", seen=disturbed("twin"), disturbances={"twin_at": number()}),
        Fault(
            "install fails",
            seen=lambda notebook: "no" in notebook.log("install.log"),
            settings={"install": install},
        ),
        Fault("gateway killed again as it resumes", kill_gateway_twice),
        Fault("engine and gateway killed at once", kill_next_to_the_engine),
        Fault("gateway frozen for good", freeze_gateway),
        Fault("fallback torn, gateway killed", tear_fallback),
        Fault("journal damaged", damage_journal),
        Fault("disk full at the start", before=filled_at_the_start),
    ]
