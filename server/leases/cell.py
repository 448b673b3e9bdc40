"""One cell that runs for a caller of the API: its output so far, and how it ended."""

from collections.abc import AsyncIterator

import anyio

from sandbox.execution import Interruption
from sandbox.types import CellResult
from server.leases.errors import LeaseServiceError


class LeasedCell:
    """Filled by the lease that runs it, followed by the request that asked for it."""

    def __init__(self, code: str, timeout_s: float | None) -> None:
        self.code = code
        self.timeout_s = timeout_s
        self.interruption = Interruption()
        self._texts: list[str] = []
        self._outcome: CellResult | LeaseServiceError | None = None
        self._changed = anyio.Event()

    @property
    def ended(self) -> bool:
        """Whether there is a result, or a reason why there is none."""
        return self._outcome is not None

    def interrupt(self) -> None:
        """Stop it before its time; one that has ended stays as it is."""
        self.interruption.request()

    def add_output(self, text: str) -> None:
        """Take the next piece of its output."""
        self._texts.append(text)
        self._change()

    def end(self, outcome: CellResult | LeaseServiceError) -> None:
        """Take its result or the reason why there is none; the first one counts."""
        if self._outcome is None:
            self._outcome = outcome
            self._change()

    def result(self) -> CellResult:
        """Return the result of a cell that has ended; raises what it has failed by."""
        if self._outcome is None:
            raise RuntimeError("the cell still runs; this is a defect")
        if isinstance(self._outcome, LeaseServiceError):
            raise self._outcome
        return self._outcome

    async def wait(self) -> None:
        """Wait for its end; raises nothing of its own."""
        async for _text in self.follow():
            pass

    async def follow(self) -> AsyncIterator[str]:
        """Yield its output, from the first piece to the last."""
        position = 0
        while True:
            while position < len(self._texts):
                position += 1
                yield self._texts[position - 1]
            if self.ended:
                return
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
