"""The thread that writes: batches from the backlog to the file, whatever happens to the disk."""

import sqlite3
import threading
import time

import structlog

from server.journal.backlog import Backlog
from server.journal.bulk import Entry, total, without_bulk
from server.journal.errors import JournalError, is_damage
from server.journal.file import Defect, JournalFile
from server.journal.retention import (
    Retention,
    delete,
    delete_runs,
    empty_runs,
    has_room,
    next_to_go,
)
from server.journal.store import store

log = structlog.get_logger(__name__)

#: A batch is written this long after its first event came. With the solve loop's own delay
#: (`server.solve.narrator.TOKENS_EVERY_S`) less than a second is lost when the process is killed.
COMMIT_EVERY_S = 0.4
#: Most bytes of events, as weighed in memory, in one transaction: about 0.1 s of writing.
BATCH_BYTES = 16 * 2**20
#: Pauses between tries on a disk that is full or fails, doubled each time.
PAUSE_FIRST_S = 0.1
PAUSE_MOST_S = 2.0
#: Seconds after `close` in which what waits must be written.
CLOSE_S = 5.0
#: How often the bounds are looked at, and how long deleting may hold up the writing.
PRUNE_EVERY_S = 60.0
PRUNE_MOST_S = 0.25


class Writer:
    """Owns the file from `start` on, and closes it after the backlog's `close`."""

    def __init__(self, file: JournalFile, backlog: Backlog, retention: Retention) -> None:
        self.error = ""
        """Why nothing can be written now; empty while all is well."""
        self.left_out = 0
        """Events that were not written: the file may not grow, or they hold what none can."""
        self._file = file
        self._backlog = backlog
        self._retention = retention
        self._prune_at = 0.0
        self._broken = False
        # A disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                wait_s = max(self._prune_at - time.monotonic(), 0.0)
                batch = self._backlog.take(BATCH_BYTES, COMMIT_EVERY_S, wait_s)
                if batch is None or (batch and not self._write_at_last(batch)):
                    break
                if time.monotonic() >= self._prune_at:
                    self._try_to_prune()
        except Exception:
            # The server goes on; the status says that the journal does not.
            log.exception("journal.failed")
            self.error = "the writer failed; the log says why; restart the server"
        finally:
            self._file.close()

    def _write_at_last(self, batch: list[Entry]) -> bool:
        """Write a batch, trying until it works; False: there is no time left for it."""
        pause = PAUSE_FIRST_S
        while True:
            try:
                self._write(batch)
            except (sqlite3.Error, JournalError) as error:
                self._note_failure(error)
            else:
                self._note_success()
                return True
            closed_for_s = self._backlog.closed_for_s
            if closed_for_s is not None and closed_for_s > CLOSE_S:
                log.error("journal.not_written", events=len(batch), error=self.error)
                return False
            self._backlog.pause(pause if closed_for_s is None else PAUSE_FIRST_S)
            pause = min(2 * pause, PAUSE_MOST_S)

    def _write(self, batch: list[Entry]) -> None:
        if not self._broken and not self._file.in_place:
            log.warning("journal.gone", path=str(self._file.path))
            self._broken = True
        if self._broken:
            self._file.reopen()
            self._broken = False
        connection, written = self._file.connection, batch
        if not has_room(connection, self._retention):
            self._prune_until(time.monotonic() + PRUNE_MOST_S)
            if not has_room(connection, self._retention):
                written = without_bulk(batch, total(batch))
        unfit = store(connection, written)
        self.left_out += len(batch) - len(written) + unfit

    def _note_success(self) -> None:
        if self.error:
            log.info("journal.writing_again", path=str(self._file.path))
        self.error = ""
        self._backlog.done()

    def _note_failure(self, error: Exception) -> None:
        if not self.error:
            log.warning("journal.behind", path=str(self._file.path), error=str(error))
        self.error = str(error)
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._broken = True
            try:
                self._file.set_aside_open(Defect.DAMAGED, str(error))
            except JournalError as unusable:
                self.error = str(unusable)

    def _try_to_prune(self) -> None:
        try:
            finished = self._prune_until(time.monotonic() + PRUNE_MOST_S)
        except sqlite3.Error as error:
            log.warning("journal.not_pruned", error=str(error))
            finished = True
        self._prune_at = time.monotonic() + (PRUNE_EVERY_S if finished else 0.0)

    def _prune_until(self, until: float) -> bool:
        """Delete what is over the bounds; False: `until` (of `time.monotonic`) came first."""
        connection = self._file.connection
        deleted = 0
        while solve_id := next_to_go(connection, self._retention, time.time(), pruning=deleted > 0):
            if time.monotonic() >= until:
                return False
            delete(connection, solve_id)
            deleted += 1
            log.info("journal.pruned", solve_id=solve_id)
        delete_runs(connection, empty_runs(connection, self._retention, time.time()))
        return True
