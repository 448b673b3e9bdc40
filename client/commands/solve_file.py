"""`quorum solve --file`."""

import dataclasses
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from client.batch import ResultFile, read_problems
from client.batch_run import BatchObserver, BatchRun, LineObserver, ProgressObserver, progress_bar
from client.commands.solve_problem import run_interruptibly
from client.commands.wishes import Wish
from client.errors import QuorumClientError
from client.exchange import RetryPolicy
from client.http import AsyncQuorumClient
from client.interrupts import Interruption
from client.schema import RunRequest
from client.session import ServerChoice, WaitingNotice, session
from client.solving import Show, write_line

#: Seconds that a problem waits for a place in a full queue: the longest budget of a contest
#: problem is 960 s, so within this time some other solve has most likely ended.
BUSY_PATIENCE_S = 600.0
#: Seconds for ending what runs of a run as the command ends.
CANCEL_S = 3.0


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a file is solved: shown how, how many problems at once, all within `time_s` seconds."""

    show: Show
    parallel: int = 1
    time_s: float | None = None


def solve_file(file: Path, out: Path, wish: Wish, choice: ServerChoice, plan: BatchPlan) -> int:
    """Solve the problems that `out` lacks and return the exit code (1: some failed).

    Raises `QuorumClientError`; faults in the files are found before anything is started.
    """
    wish.check()
    problems = read_problems(file, wish.request_of)
    patient = dataclasses.replace(choice, retry=RetryPolicy(busy_patience_s=BUSY_PATIENCE_S))
    with ResultFile(out) as results:
        batch = BatchRun(problems, results)
        code = _run(batch, patient, plan) if batch.pending else 0
    if plan.show is Show.JSON:
        write_line(batch.tally.as_json())
    else:
        write_line(f"{batch.tally}; results: {out}")
    return code or int(bool(batch.tally.failed))


def _run(batch: BatchRun, choice: ServerChoice, plan: BatchPlan) -> int:
    async def run(interruption: Interruption) -> int:
        with WaitingNotice(sys.stderr) as notice:
            async with session(choice, notice.show, interruption.impatient) as client:
                notice.clear()
                with _observer(batch, plan.show) as observer:
                    async with _clocked(client, batch, plan.time_s) as run:
                        await batch.solve(client, observer, plan.parallel, run)
        return 0

    return run_interruptibly(run)


@asynccontextmanager
async def _clocked(
    client: AsyncQuorumClient, batch: BatchRun, time_s: float | None
) -> AsyncIterator[str | None]:
    """Open a run for the pending problems where they have a clock; at the end cancel its rest."""
    if time_s is None:
        yield None
        return
    run = await client.runs.open(RunRequest(problems=len(batch.pending), limit_s=time_s))
    try:
        yield run.id
    finally:
        # Solves of a run go on without their caller: an interrupt must end them.
        with anyio.move_on_after(CANCEL_S, shield=True), suppress(QuorumClientError):
            await client.runs.cancel(run.id)


@contextmanager
def _observer(batch: BatchRun, show: Show) -> Iterator[BatchObserver]:
    if show is Show.LIVE:
        with progress_bar(sys.stdout) as progress:
            yield ProgressObserver(progress, batch.tally)
    elif show is Show.PLAIN:
        yield LineObserver(write_line)
    else:
        yield LineObserver(lambda line: print(line, file=sys.stderr))  # noqa: T201
