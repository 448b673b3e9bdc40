"""Kills a process that writes a journal, at a random moment, and looks at what is left.

The child writes a stream that anyone can compute: 16 attempts, 200,000 tokens a second, so that the
write-ahead log is written back several times a second too. It notes in shared memory what it has
handed to the journal and when.
"""

import mmap
import multiprocessing
import os
import random
import signal
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import anyio
import numpy as np

from client.schema import (
    AnswerKind,
    AttemptSegment,
    AttemptStarted,
    SegmentKind,
    SolveEnd,
    SolveFinished,
    SolveResult,
    SolveStarted,
)
from server.journal.check import check
from server.journal.journal import Journal, JournalOptions
from server.journal.reader import JournalReader

ATTEMPTS = 16
#: Tokens of an attempt at a tick, and ticks a second.
TOKENS = 64
TICK_S = 0.005
#: A solve ends after this many ticks, so that ends are hit too.
TICKS = 60
#: Time of the first event that the child appended; time and id of the last.
PROGRESS = struct.Struct("<ddQ")
#: The child is killed within this time of its first event.
MOST_LIFE_S = 1.5
START_S = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """What a kill left: `faults` of the file, seconds of events lost, events handed over."""

    faults: list[str]
    lost_s: float
    life_s: float


def ids_at(attempt: int, start: int, count: int) -> list[int]:
    """Return the ids at these positions of an attempt: known to child and judge."""
    return [(7919 * n + 104_729 * attempt) % 152_000 for n in range(start, start + count)]


def run_child(path: str, progress_path: str, solve_name: str) -> None:
    """Write until killed."""
    with open(progress_path, "r+b") as file, mmap.mmap(file.fileno(), PROGRESS.size) as progress:  # noqa: PTH123
        anyio.run(_write, Path(path), progress, solve_name)


async def _write(path: Path, progress: mmap.mmap, solve_name: str) -> None:
    async with Journal(JournalOptions(path=path)) as journal:
        journal.close_unfinished()
        number = 0
        while True:
            await _write_solve(journal, progress, f"{solve_name}-{number}")
            number += 1


async def _write_solve(journal: Journal, progress: mmap.mmap, solve_id: str) -> None:
    begun = time.monotonic()
    journal.append(
        SolveStarted(
            id=journal.next_id(), solve_id=solve_id, at=0.0, problem="known", problem_id=None,
            answer_kind=AnswerKind.TEXT, strategy="tir", attempts=ATTEMPTS, agree=1, max_turns=1,
            max_tokens=1, time_limit_s=1.0, seed=0, model="none", dialect="none",
        )
    )  # fmt: skip
    for attempt in range(ATTEMPTS):
        journal.append(
            AttemptStarted(
                id=journal.next_id(), solve_id=solve_id, at=0.0, attempt=attempt, seed=0,
                temperature=1.0, top_p=1.0, min_p=0.0,
            )
        )  # fmt: skip
    for tick in range(TICKS):
        for attempt in range(ATTEMPTS):
            ids = ids_at(attempt, tick * TOKENS, TOKENS)
            event = AttemptSegment(
                id=journal.next_id(), solve_id=solve_id, at=time.monotonic() - begun,
                attempt=attempt, turn=1, kind=SegmentKind.SAMPLED, start=tick * TOKENS,
                token_ids=ids, logprobs=[-0.5] * TOKENS, confidence=[8.5] * TOKENS,
            )  # fmt: skip
            journal.append(event)
            _note(progress, event.id)
        await anyio.sleep(TICK_S)
    result = SolveResult(solve_id=solve_id, end=SolveEnd.ALL_FINISHED, detail="", strategy="tir")
    end = SolveFinished(
        id=journal.next_id(), solve_id=solve_id, at=time.monotonic() - begun, result=result
    )
    journal.append(end)
    _note(progress, end.id)


def _note(progress: mmap.mmap, event_id: int) -> None:
    """Note that an event was handed over now."""
    now = time.time()
    PROGRESS.pack_into(progress, 0, PROGRESS.unpack_from(progress)[0] or now, now, event_id)


def context() -> ForkServerContext:
    """Return where children come from: a process that has imported all of this and no more."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


def kill_round(processes: ForkServerContext, path: Path, name: str, source: random.Random) -> Round:
    """Start a child on a journal, kill it at a random moment, open the journal, and judge."""
    life_s = source.uniform(0.0, MOST_LIFE_S)
    with _shared(path.with_name(f"{name}.progress")) as (shared_path, progress):
        child = processes.Process(target=run_child, args=(str(path), str(shared_path), name))
        child.start()
        try:
            _await_first(progress)
            time.sleep(life_s)
        finally:
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join(START_S)
        first_at, last_at, last_id = PROGRESS.unpack_from(progress)
    faults, kept_at, kept_id = _judge(path, last_at)
    lost_s = 0.0 if kept_id >= last_id else last_at - max(kept_at, first_at)
    return Round(faults, lost_s, life_s)


def _judge(path: Path, last_at: float) -> tuple[list[str], float, int]:
    """Return what is wrong with the journal, and time and id of the last event that it kept."""
    faults = anyio.run(_reopen, path)
    with JournalReader(path) as reader:
        faults += [f"{finding.subject}: {finding.detail}" for finding in check(reader)]
        # What the reopening closed is not the child's.
        ((kept_at, kept_id),) = reader.query(
            "SELECT max(recorded), max(id) FROM events WHERE recorded <= ?", (last_at,)
        )
        for solve in reader.solves():
            faults += [
                f"{solve.id} attempt {attempt}: other tokens than written"
                for attempt in range(ATTEMPTS)
                if not _as_written(reader, solve.id, attempt)
            ]
    return faults, kept_at or 0.0, kept_id or 0


async def _reopen(path: Path) -> list[str]:
    """Open the journal as a server does, close what was in flight, and say what was wrong."""
    async with Journal(JournalOptions(path=path)) as journal:
        journal.close_unfinished()
        faults = [] if await journal.flush() else ["the journal cannot be written any more"]
        return faults + [f"set aside: {kept}" for kept in journal.status().set_aside]


def _as_written(reader: JournalReader, solve_id: str, attempt: int) -> bool:
    tokens = reader.tokens(solve_id, attempt)
    return tokens.complete and np.array_equal(
        tokens.ids, np.array(ids_at(attempt, 0, len(tokens.ids)), "<u4")
    )


@contextmanager
def _shared(path: Path) -> Iterator[tuple[Path, mmap.mmap]]:
    path.write_bytes(bytes(PROGRESS.size))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), PROGRESS.size) as shared:
        yield path, shared


def _await_first(progress: mmap.mmap) -> None:
    """Wait until the child has handed over its first event; polled, as nothing tells of memory."""
    until = time.monotonic() + START_S
    while not PROGRESS.unpack_from(progress)[2]:
        if time.monotonic() > until:
            raise TimeoutError(f"the child wrote nothing in {START_S:g} s")
        time.sleep(0.001)


def integrity(path: Path) -> str:
    """Return what SQLite itself says of a file, opened by nobody before."""
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
