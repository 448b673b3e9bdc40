"""One attempt's kernel: leased at its first call, and what its cells came to."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import anyio
import structlog

from sandbox.errors import SandboxError
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.types import CellResult, CellStatus, InterruptStep
from server.dialect.base import ToolCall
from server.solve.past import PastCall
from voting.printed import MAX_CHARACTERS as MAX_OUTPUT_CHARACTERS

log = structlog.get_logger(__name__)

#: Least time a cell is given, in seconds: its wait is bounded by the attempt's own end anyway.
LEAST_CELL_S = 0.05
#: The same program this many times is a loop; after the second the model is told so. A small model
#: that is stuck otherwise spends all its turns on it.
SAME_CALLS = 3
SAME_NOTE = "[this program was run before: write a different one, or give the answer]"
#: Told to give the answer, a small model guesses one that no program has found.
SAME_FAILURE_NOTE = (
    "[this program has failed before: write a different one, or work it out step by step without]"
)
#: What a model is told whose kernel could not be made as it was.
LOST_NOTE = "[the kernel was restarted: variables and imports of earlier cells are gone]"
#: Cells that ended otherwise left nothing that could be had again.
REPEATABLE = frozenset({CellStatus.OK.value, CellStatus.ERROR.value})


class Bench:
    """Runs the calls of one attempt; `until` returns the event-loop time at which cells end."""

    def __init__(
        self,
        pool: KernelPool,
        *,
        seed: int,
        owner: str,
        cell_timeout_s: float,
        until: Callable[[], float],
    ) -> None:
        self.calls = 0
        self.errors = 0
        self.failed = False
        """Whether the last call ended in an error."""
        self.program = ""
        self.outputs: list[str] = []
        self.lost = False
        """Whether no kernel could be had."""
        self._pool = pool
        self._seed = seed
        self._owner = owner
        self._cell_timeout_s = cell_timeout_s
        self._until = until
        self._lease: KernelLease | None = None
        self._waiting = anyio.CancelScope()
        self._programs: Counter[str] = Counter()
        self._again: list[PastCall] = []
        self._rebuild_s = 0.0

    def restore(self, calls: Sequence[PastCall], rebuild_s: float) -> None:
        """Take up calls that another kernel has run, which is gone."""
        for call in calls:
            if call.result is None:
                continue
            result = call.result
            # A call that could not be read has no code; its error comes first in what was shown.
            program = _essence(call.code) or result.output.partition("\n")[0]
            self._note(program, call.code, result.status, result.output)
            if result.state_lost:
                # Nothing from before it was there any more.
                self._again.clear()
                if result.status not in REPEATABLE:
                    # Nor from itself: it ended with its kernel.
                    continue
            if call.code.strip():
                self._again.append(call)
        self._rebuild_s = rebuild_s

    @property
    def cells_again(self) -> int:
        """How many cells its next kernel is to run first."""
        return len(self._again)

    @property
    def stuck(self) -> bool:
        """Whether a program was run again and again."""
        return max(self._programs.values(), default=0) >= SAME_CALLS

    def move(self) -> None:
        """Ask again when the cell under way must end."""
        self._waiting.deadline = self._until()

    async def run(self, stack: AsyncExitStack, call: ToolCall) -> tuple[CellResult, str]:
        """Execute a call; return its result, and what the model is told beside its output."""
        note = ""
        try:
            result, note = await self._execute(stack, call)
        except SandboxError as error:
            log.warning("attempt.sandbox_error", session=self._owner, error=str(error))
            result = not_run(str(error))
            self.lost = self._lease is None
        program = _essence(call.code) or str(call.error)
        self._note(program, call.code, result.status.value, result.output)
        if self._programs[program] > 1:
            same = SAME_NOTE if result.status is CellStatus.OK else SAME_FAILURE_NOTE
            note = f"{note}\n{same}" if note else same
        return result, note

    def _note(self, program: str, code: str, status: str, output: str) -> None:
        ran = status == CellStatus.OK.value
        self.calls += 1
        self.failed = not ran
        self.errors += not ran
        self._programs[program] += 1
        if ran:
            self.program = code
            self.outputs.append(output[-MAX_OUTPUT_CHARACTERS:])

    async def _execute(self, stack: AsyncExitStack, call: ToolCall) -> tuple[CellResult, str]:
        """Execute a call on the kernel; the wait for one ends with the time to think."""
        if call.error is not None:
            return not_run(call.error), ""
        until = self._until()
        self._waiting = anyio.CancelScope(deadline=until)
        with self._waiting:
            note = ""
            if self._lease is None:
                lease = self._pool.lease(seed=self._seed, owner=self._owner)
                self._lease = await stack.enter_async_context(lease)
                note = "" if await self._rebuild(self._lease) else LOST_NOTE
            left = max(until - anyio.current_time(), LEAST_CELL_S)
            timeout = min(self._cell_timeout_s, left)
            return await self._lease.execute(call.code, timeout=timeout), note
        return not_run("stopped: there is no time left to compute", CellStatus.TIMEOUT), ""

    async def _rebuild(self, lease: KernelLease) -> bool:
        """Run the cells of the kernel that is gone again; return whether all went as before.

        The seed is the same, so that what they drew at random is too.
        """
        again, self._again = self._again, []
        until = min(anyio.current_time() + self._rebuild_s, self._until())
        for call in again:
            left = min(until - anyio.current_time(), self._cell_timeout_s)
            if call.result is None or call.result.status not in REPEATABLE or left <= 0:
                return False
            result = await lease.execute(call.code, timeout=left)
            if result.status.value != call.result.status:
                return False
        return True


def _essence(code: str) -> str:
    """Return what two programs that differ in line ends, blank lines and comments have in common.

    It only tells programs apart: what looks like a comment within a text goes too.
    """
    lines = (line.rstrip() for line in code.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def not_run(reason: str, status: CellStatus = CellStatus.ERROR) -> CellResult:
    """Return the result of a call of which no kernel has told one."""
    return CellResult(
        output=reason,
        status=status,
        interrupt_step=InterruptStep.NONE,
        state_lost=False,
        seconds=0.0,
        truncated=False,
        error_name=None,
    )
