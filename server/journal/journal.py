"""The journal of a running server: takes every event, writes behind the solve loop.

What is on disk when: batches are committed 0.4 s after their first event, the end of a solve at
once, to SQLite's write-ahead log with `synchronous=NORMAL`. A commit is then in the system's page
cache: it outlives `kill -9` of the server, which loses what was not committed yet, and a crash of
the machine or a power cut can take the commits since the last checkpoint (about 4 MB of log) with
it. Neither leaves a damaged file: every transaction is there whole or not at all.
"""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """Where the journal is and how much it keeps; None is no bound."""

    path: Path
    max_size_bytes: int | None = None
    keep_days: float | None = None
    max_queued_bytes: int = MOST_QUEUED_BYTES


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

    Entering it raises `JournalInUse` or `JournalUnusable`. A file that is damaged, newer than this
    program or read-only is kept under another name, with a warning in the log, and a new one begun.
    """

    def __init__(self, options: JournalOptions) -> None:
        self._options = options
        self._backlog = Backlog(options.max_queued_bytes)
        self._file: JournalFile | None = None
        self._writer: Writer | None = None
        self._unfinished: tuple[UnfinishedSolve, ...] = ()
        self._last_id = 0

    async def __aenter__(self) -> Self:
        with anyio.CancelScope(shield=True):
            # The checks at opening are bounded; a thread that is left alone would keep the lock.
            await anyio.to_thread.run_sync(self._open)
        return self

    def _open(self) -> None:
        options = self._options
        file = JournalFile.open(options.path)
        try:
            self._unfinished = find_unfinished(file.connection)
            last = file.connection.execute("SELECT max(id) FROM events").fetchone()[0]
        except BaseException:
            file.close()
            raise
        # The clock's microseconds: ids grow over a restart even where the last ones were lost with
        # the server or with the file. They stay under 2**53, JavaScript's bound, until 2255.
        self._last_id = max(last or 0, time.time_ns() // 1_000)
        keep_s = options.keep_days * DAY_S if options.keep_days else None
        self._file = file
        self._writer = Writer(file, self._backlog, Retention(options.max_size_bytes, keep_s))
        self._writer.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._backlog.close()
        if self._writer is None:
            return
        with anyio.CancelScope(shield=True):
            ended = await anyio.to_thread.run_sync(self._writer.join, JOIN_S)
        if not ended:
            log.error("journal.hangs", path=str(self._options.path), error=self._writer.error)

    @property
    def path(self) -> Path:
        """The file."""
        return self._options.path

    def next_id(self) -> int:
        """Return an id for the next event: greater than any before, over restarts too."""
        self._last_id += 1
        return self._last_id

    def append(self, event: Event) -> None:
        """Take an event; it is written soon. Never waits, never raises."""
        self._backlog.put(event)

    def put_run(self, row: RunRow) -> None:
        """Take a run's row; it is written at once. Never waits, never raises."""
        self._backlog.put(row)

    def put_answer(self, row: AnswerRow) -> None:
        """Take what a run's caller answered, after the run's own row. As for `put_run`."""
        self._backlog.put(row)

    async def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that was appended before is committed; False: not in `timeout_s`."""
        wait = partial(self._backlog.wait_done, timeout_s)
        return await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)

    def status(self) -> JournalStatus:
        """Return how the writing goes."""
        queued, behind_s = self._backlog.waiting()
        writer, file = self._writer, self._file
        return JournalStatus(
            path=self._options.path,
            queued=queued,
            behind_s=behind_s,
            dropped=self._backlog.dropped + (writer.left_out if writer else 0),
            error=writer.error if writer else "",
            set_aside=tuple(file.set_aside) if file else (),
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
