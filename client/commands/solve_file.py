"""`quorum solve --file`."""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.batch import ResultFile, read_problems
from client.batch_run import BatchObserver, BatchRun, LineObserver, ProgressObserver, progress_bar
from client.commands.solve_problem import run_interruptibly
from client.commands.wishes import Wish
from client.exchange import RetryPolicy
from client.interrupts import Interruption
from client.session import ServerChoice, WaitingNotice, session
from client.solving import Show, write_line

#: Seconds that a problem waits for a place in a full queue: the longest budget of a contest
#: problem is 960 s, so within this time some other solve has most likely ended.
BUSY_PATIENCE_S = 600.0


def solve_file(
    file: Path, out: Path, wish: Wish, choice: ServerChoice, show: Show, parallel: int
) -> int:
    """Solve the problems that `out` lacks and return the exit code (1: some failed).

    Raises `QuorumClientError`; faults in the files are found before anything is started.
    """
    wish.check()
    problems = read_problems(file, wish.request_of)
    patient = dataclasses.replace(choice, retry=RetryPolicy(busy_patience_s=BUSY_PATIENCE_S))
    with ResultFile(out) as results:
        batch = BatchRun(problems, results)
        code = _run(batch, patient, show, parallel) if batch.pending else 0
    if show is Show.JSON:
        write_line(batch.tally.as_json())
    else:
        write_line(f"{batch.tally}; results: {out}")
    return code or int(bool(batch.tally.failed))


def _run(batch: BatchRun, choice: ServerChoice, show: Show, parallel: int) -> int:
    async def run(interruption: Interruption) -> int:
        with WaitingNotice(sys.stderr) as notice:
            async with session(choice, notice.show, interruption.impatient) as client:
                notice.clear()
                with _observer(batch, show) as observer:
                    await batch.solve(client, observer, parallel)
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
