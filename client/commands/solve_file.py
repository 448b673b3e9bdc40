"""`quorum solve --file`."""

import dataclasses
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client.batch import ResultFile, read_problems
from client.batch_clock import BatchClock, RunNote
from client.batch_run import BatchObserver, BatchRun, LineObserver, ProgressObserver, progress_bar
from client.commands.solve_problem import run_interruptibly
from client.commands.wishes import Wish
from client.errors import UsageError
from client.exchange import RetryPolicy
from client.interrupts import Interruption
from client.schema import MAX_RUN_PROBLEMS, MAX_RUN_S, RunRequest
from client.session import ServerChoice, WaitingNotice, session
from client.solving import Show, write_line

#: Seconds that a problem waits for a place in a full queue: the longest budget of a contest
#: problem is 960 s, so within this time some other solve has most likely ended.
BUSY_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a file is solved: shown how, how many problems at once, all within `time_s` seconds."""

    show: Show
    parallel: int = 1
    time_s: float | None = None

    def check(self) -> None:
        """Raise `UsageError` for a time that no run can have."""
        # Written so that what is no number is refused.
        if self.time_s is not None and not 0 < self.time_s <= MAX_RUN_S:
            raise UsageError(
                f"--time {self.time_s:g}: must be a number of at most {MAX_RUN_S:,} seconds, "
                "four weeks; give less, or leave it out"
            )

    def run_of(self, problems: int) -> RunRequest | None:
        """Return the run for so many problems; None without a clock. Raises `UsageError`."""
        if self.time_s is None or not problems:
            return None
        if problems > MAX_RUN_PROBLEMS:
            raise UsageError(
                f"--time: {problems:,} problems are left, and a run takes at most "
                f"{MAX_RUN_PROBLEMS:,}; split the file, or leave --time out"
            )
        name = f"file-{secrets.token_hex(8)}"
        return RunRequest(id=name, problems=problems, limit_s=self.time_s)


def solve_file(file: Path, out: Path, wish: Wish, choice: ServerChoice, plan: BatchPlan) -> int:
    """Solve the problems that `out` lacks and return the exit code (1: some are left).

    Raises `QuorumClientError`; faults in the files are found before anything is started.
    """
    wish.check()
    plan.check()
    problems = read_problems(file, wish.request_of if plan.time_s is None else wish.request_in_run)
    patient = dataclasses.replace(choice, retry=RetryPolicy(busy_patience_s=BUSY_PATIENCE_S))
    with ResultFile(out) as results:
        batch = BatchRun(problems, results)
        clock = BatchClock(RunNote(out), plan.run_of(len(batch.pending)))
        if batch.pending:
            code = _run(batch, patient, plan, clock)
        else:
            code = 0
            clock.note.remove()
    if plan.show is Show.JSON:
        write_line(batch.tally.as_json())
    else:
        write_line(f"{batch.tally}; results: {out}")
    return code or int(not batch.tally.is_complete)


def _run(batch: BatchRun, choice: ServerChoice, plan: BatchPlan, clock: BatchClock) -> int:
    async def run(interruption: Interruption) -> int:
        with WaitingNotice(sys.stderr) as notice:
            async with session(choice, notice.show, interruption.impatient) as client:
                notice.clear()
                with _observer(batch, plan.show) as observer:
                    async with clock.running(client) as run:
                        await batch.solve(client, observer, plan.parallel, run)
        return 0

    return run_interruptibly(run)


@contextmanager
def _observer(batch: BatchRun, show: Show) -> Iterator[BatchObserver]:
    if show is Show.LIVE:
        with progress_bar(sys.stdout) as progress:
            yield ProgressObserver(progress, batch.tally)
    elif show is Show.PLAIN:
        yield LineObserver(write_line)
    else:
        yield LineObserver(lambda line: print(line, file=sys.stderr))  # noqa: T201
