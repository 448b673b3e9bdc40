"""The journal of a running server: takes every event, writes behind the solve loop.

What is on disk when: batches are committed 0.4 s after their first event, the end of a solve at
once, to SQLite's write-ahead log with `synchronous=NORMAL`. A commit is then in the system's page
cache: it outlives `kill -9` of the server, which loses what was not committed yet, and a crash of
the machine or a power cut can take the commits since the last checkpoint (about 4 MB of log) with
it. Neither leaves a damaged file: every transaction is there whole or not at all.
"""

import sqlite3
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
import structlog

from client.schema import Event, PartStatus, SolveFinished
from server.journal.backlog import Backlog
from server.journal.errors import JournalError
from server.journal.file import JournalFile
from server.journal.retention import DAY_S, Retention
from server.journal.runs import AnswerRow, RunRow
from server.journal.unfinished import UnfinishedSolve, find_unfinished
from server.journal.writer import CLOSE_S, Writer

log = structlog.get_logger(__name__)

MIB = 2**20
#: Memory for events that cannot be written yet: about 900,000 tokens with log-probabilities.
MOST_QUEUED_BYTES = 64 * MIB
#: The journal counts as behind when an event waits longer than this, in seconds.
BEHIND_S = 2.0
#: The writer closes the file in this time after its last batch; then the thread is left alone.
JOIN_S = CLOSE_S + 2.0
#: Pauses between tries to open a file that could not be had, doubled each time.
OPEN_AGAIN_FIRST_S = 0.5
OPEN_AGAIN_MOST_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """Where the journal is and how much it keeps; None is no bound.

    Where the file cannot be had at first, as another server holds it or the disk is full, a journal
    that is `patient` takes events all the same, into memory, until `wait_open` has opened it.
    """

    path: Path
    max_size_bytes: int | None = None
    keep_days: float | None = None
    max_queued_bytes: int = MOST_QUEUED_BYTES
    patient: bool = False


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """How the writing goes.

    `queued` events are not written yet, the oldest for `behind_s` seconds; `dropped` were left out
    since the start; `error` says why nothing can be written now; files found in the journal's place
    that could not be used are in `set_aside`.
    """

    path: Path
    queued: int
    behind_s: float
    dropped: int
    error: str
    set_aside: tuple[Path, ...]


class Journal:
    """Writes one journal for the length of an `async with` block.

    Entering it raises `JournalInUse` or `JournalUnusable`, unless it is patient. A file that is
    damaged, newer than this program or read-only is kept under another name, with a warning in the
    log, and a new one begun.
    """

    def __init__(self, options: JournalOptions) -> None:
        self._options = options
        self._backlog = Backlog(options.max_queued_bytes)
        self._file: JournalFile | None = None
        self._writer: Writer | None = None
        self._unfinished: tuple[UnfinishedSolve, ...] = ()
        self._why_closed = "it is not open yet"
        self._set_aside: list[Path] = []
        # The clock's microseconds: ids grow over a restart even where the last ones were lost with
        # the server or with the file. They stay under 2**53, JavaScript's bound, until 2255.
        self._last_id = self._before_first = time.time_ns() // 1_000

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except JournalError as error:
            if not self._options.patient:
                raise
            self._why_closed = str(error)
            log.warning("journal.behind", path=str(self.path), error=str(error))
        return self

    async def wait_open(self) -> None:
        """Return once the file is open; where it is not, try, with growing pauses."""
        pause = OPEN_AGAIN_FIRST_S
        while not self.is_open:
            await anyio.sleep(pause)
            pause = min(2 * pause, OPEN_AGAIN_MOST_S)
            try:
                await self._open()
            except JournalError as error:
                self._why_closed = str(error)
            else:
                log.info("journal.writing_again", path=str(self.path))

    async def _open(self) -> None:
        with anyio.CancelScope(shield=True):
            # The checks at opening are bounded; a thread that is left alone would keep the lock.
            file, unfinished, last = await anyio.to_thread.run_sync(self._open_file)
        # Ids were given out that the file has, where two servers began at about the same time.
        taken = max(last - self._before_first, 0)
        self._backlog.renumber(taken)
        self._last_id += taken
        self._unfinished = unfinished
        options = self._options
        keep_s = options.keep_days * DAY_S if options.keep_days else None
        self._file = file
        self._writer = Writer(file, self._backlog, Retention(options.max_size_bytes, keep_s))
        self._writer.start()

    def _open_file(self) -> tuple[JournalFile, tuple[UnfinishedSolve, ...], int]:
        """Return the file, the solves in it that have no result, and its last event's id."""
        file = JournalFile.open(self._options.path, self._set_aside)
        try:
            unfinished, last = file.first_read(_look)
        except BaseException:
            file.close()
            raise
        return file, unfinished, last

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is None:
            await self._try_at_last()
        self._backlog.close()
        if self._writer is None:
            return
        with anyio.CancelScope(shield=True):
            ended = await anyio.to_thread.run_sync(self._writer.join, JOIN_S)
        if not ended:
            log.error("journal.hangs", path=str(self._options.path), error=self._writer.error)

    async def _try_at_last(self) -> None:
        """Open the file for what waits, where it could not be had so far."""
        queued, _ = self._backlog.waiting()
        if not queued:
            return
        try:
            await self._open()
        except JournalError as error:
            log.error("journal.not_written", events=queued, error=str(error))

    @property
    def is_open(self) -> bool:
        """Whether the file is held, so that it can be read and is written."""
        return self._writer is not None

    @property
    def path(self) -> Path:
        """The file."""
        return self._options.path

    def next_id(self) -> int:
        """Return an id for the next event: greater than any before, over restarts too."""
        self._last_id += 1
        return self._last_id

    def append(self, event: Event, recorded: float | None = None) -> None:
        """Take an event; it is written soon. Never waits, never raises."""
        self._backlog.put(event, recorded)

    def put_run(self, row: RunRow) -> None:
        """Take a run's row; it is written at once. Never waits, never raises."""
        self._backlog.put(row)

    def put_answer(self, row: AnswerRow) -> None:
        """Take what a run's caller answered, after the run's own row. As for `put_run`."""
        self._backlog.put(row)

    async def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that was appended before is committed; False: not in `timeout_s`.

        Where the file is not open, nobody knows when it will be: then this is False at once.
        """
        if not self.is_open:
            return False
        wait = partial(self._backlog.wait_done, timeout_s)
        return await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)

    def status(self) -> JournalStatus:
        """Return how the writing goes."""
        queued, behind_s = self._backlog.waiting()
        writer = self._writer
        return JournalStatus(
            path=self._options.path,
            queued=queued,
            behind_s=behind_s,
            dropped=self._backlog.dropped + (writer.left_out if writer else 0),
            error=writer.error if writer else self._why_closed,
            set_aside=tuple(self._set_aside),
        )

    def part_status(self) -> PartStatus:
        """Return the same for `/ready`: `on`, or `behind` with the reason."""
        status = self.status()
        behind = bool(status.error) or status.behind_s > BEHIND_S
        sentences = [str(status.path)]
        if behind:
            sentences.append(f"{status.queued} events behind by {status.behind_s:.0f} s")
        if status.error:
            sentences.append(status.error)
        if status.dropped:
            sentences.append(f"{status.dropped} events left out")
        sentences += [f"set aside: {path.name}" for path in status.set_aside]
        return PartStatus(
            ready=not behind, state="behind" if behind else "on", detail="; ".join(sentences)
        )

    def unfinished(self) -> tuple[UnfinishedSolve, ...]:
        """Return the solves that were found in flight at opening, oldest first."""
        return self._unfinished

    def close_unfinished(self, *, runs: bool = True) -> None:
        """Append a result, `interrupted`, to each of them; their votes until then count.

        Without `runs`, those of runs are left open: they may be gone on with.
        """
        for solve in self._unfinished:
            if runs or solve.run is None:
                self.interrupt(solve)

    def interrupt(self, solve: UnfinishedSolve) -> SolveFinished:
        """Close one of them, and return what was appended."""
        event = SolveFinished(
            id=self.next_id(), solve_id=solve.solve_id, at=solve.at, result=solve.interrupted()
        )
        self.append(event)
        log.warning("solve.interrupted", solve_id=solve.solve_id)
        return event


def _look(connection: sqlite3.Connection) -> tuple[tuple[UnfinishedSolve, ...], int]:
    """Return the solves without a result, and the last event's id; 0 without one."""
    last = connection.execute("SELECT max(id) FROM events").fetchone()[0]
    return find_unfinished(connection), last or 0
