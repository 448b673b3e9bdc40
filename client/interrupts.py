"""Ending in order when the user or the system asks for it."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus

from client.groups import collapsed

#: What asks a command to end: Ctrl-C, `kill`, a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Which signal asked for the end, and whether a second one asked for haste."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.impatient = anyio.Event()

    @property
    def exit_code(self) -> int | None:
        """128 + the signal's number, as shells count; None: nothing asked for the end."""
        return None if self.signal is None else 128 + self.signal


@asynccontextmanager
async def interruptible() -> AsyncIterator[Interruption]:
    """Cancel the body at the first signal of `SIGNALS`; tear-down in the body still runs.

    The caller reads `exit_code` afterwards. A second signal sets `impatient`, for tear-down that
    can be shortened. The signals' own effects are off meanwhile.
    """
    interruption = Interruption()

    async def watch(
        body: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(*SIGNALS) as received:
            task_status.started()
            async for number in received:
                if interruption.signal is None:
                    interruption.signal = int(number)
                    body.cancel()
                else:
                    interruption.impatient.set()

    with collapsed():
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as body:
                await group.start(watch, body)
                yield interruption
            group.cancel_scope.cancel()
