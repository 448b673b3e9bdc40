"""`quorum solve PROBLEM`."""

import sys
from collections.abc import Awaitable, Callable

import anyio

from client.interrupts import Interruption, interruptible
from client.schema import SolveRequest
from client.session import ServerChoice, WaitingNotice, session
from client.solving import Show, solve_and_show

#: Exit code of a solve that ended without an answer.
NO_ANSWER = 3


def solve_problem(request: SolveRequest, choice: ServerChoice, show: Show) -> int:
    """Solve one problem, show it, and return the exit code; raises `QuorumClientError`."""

    async def run(interruption: Interruption) -> int:
        with WaitingNotice(sys.stderr) as notice:
            async with session(choice, notice.show, interruption.impatient) as client:
                notice.clear()
                result = await solve_and_show(client, request, show)
        return 0 if result.answer is not None else NO_ANSWER

    return run_interruptibly(run)


def run_interruptibly(run: Callable[[Interruption], Awaitable[int]]) -> int:
    """Run until it ends or a signal asks for the end; return the exit code."""

    async def main() -> int:
        code = 0
        async with interruptible() as interruption:
            code = await run(interruption)
        return interruption.exit_code or code

    return anyio.run(main)
