"""One cell on one running kernel, over the Jupyter protocol.

A cell is done when both its reply on shell and its idle status on iopub have come. Past its time it
is interrupted by ever stronger steps, and between them the same two messages are awaited: so a
kernel is never handed on with an unfinished cell in it, which would spoil the following ones.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import anyio
import anyio.lowlevel

from sandbox.channels import Channel, Channels, KernelUnreachableError, Message
from sandbox.output import BoundedText
from sandbox.process import KernelProcess, wait_readable
from sandbox.types import InterruptStep

#: The reply and the idle status leave the kernel one after the other, on two sockets: the second
#: comes within milliseconds, or the cell has broken the kernel's own machinery. On a machine with
#: many more threads at work than cores it has taken over two seconds.
_SECOND_WAIT_S = 5.0

#: How long after a kernel's end messages it had already sent may still be on their way.
_LAST_MESSAGES_WAIT_S = 0.05

#: More characters than any cell can print in its time; numbers without bound cannot be written out.
_MOST_CUT = 10**15

#: A subscription that was not yet in force misses the idle status: ask again.
_HANDSHAKE_RETRY_S = 0.2


class Ending(Enum):
    """How an exchange with a kernel ended."""

    DONE = auto()
    #: The process ended before the answer was complete.
    EXITED = auto()
    #: It said that it was idle without replying, or the reverse: nothing can be relied on any more.
    BROKEN = auto()
    #: No interrupt ended it; the process has been killed.
    KILLED = auto()


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What came back for one cell."""

    ending: Ending
    step: InterruptStep
    text: BoundedText
    #: The execute_reply; empty when none came.
    reply: Mapping[str, Any]
    #: The steps were taken because somebody asked, not because the time was up.
    interrupted: bool = False


class Interruption:
    """Ends a running cell before its time, when somebody asks; as often as they like."""

    def __init__(self) -> None:
        self.requested = False
        self._patience = anyio.CancelScope()

    def request(self) -> None:
        """Take the first step now; a cell that has not begun is interrupted as it begins."""
        self.requested = True
        self._patience.cancel()

    def patience(self, timeout_s: float) -> anyio.CancelScope:
        """Return the scope of the wait for the cell to end by itself; to be entered once."""
        self._patience.deadline = anyio.current_time() + timeout_s
        return self._patience


class Exchange:
    """A request that was sent, and what has come back for it so far."""

    def __init__(
        self, channels: Channels, process: KernelProcess, request: str, max_output_chars: int = 0
    ) -> None:
        self._channels = channels
        self._process = process
        self._request = request
        self._idle = False
        self.reply: Mapping[str, Any] | None = None
        self.text = BoundedText(max_output_chars)

    async def wait(self) -> Ending:
        """Wait until it has ended. Cancelled, it loses nothing and may be called again."""
        try:
            return await self._wait()
        except KernelUnreachableError:
            return Ending.BROKEN

    async def _wait(self) -> Ending:
        while True:
            if await self._take_messages():
                return Ending.DONE
            if self._process.has_exited():
                return await self._take_last_messages()
            one_has_come = self._idle or self.reply is not None
            with anyio.move_on_after(_SECOND_WAIT_S if one_has_come else None) as scope:
                await wait_readable([*self._channels.descriptors, self._process.exit_descriptor])
            if scope.cancelled_caught:
                return Ending.BROKEN

    async def _take_messages(self) -> bool:
        """Take all that has come; True when the answer is complete."""
        more = True
        while more:
            messages, more = self._channels.receive()
            for message in messages:
                if message.parent == self._request:
                    self._take(message)
            if self._idle and self.reply is not None:
                return True
            if more:
                await anyio.lowlevel.checkpoint()
        return False

    async def _take_last_messages(self) -> Ending:
        with anyio.move_on_after(_LAST_MESSAGES_WAIT_S):
            while not await self._take_messages():
                await wait_readable(self._channels.descriptors)
            return Ending.DONE
        return Ending.EXITED

    def _take(self, message: Message) -> None:
        content = message.content
        if message.channel is Channel.SHELL:
            self.reply = content
        elif message.kind == "status":
            self._idle = self._idle or content.get("execution_state") == "idle"
        elif message.kind == "stream":
            text, cut = content.get("text"), content.get("cut", 0)
            if isinstance(cut, int):
                self.text.skip(min(cut, _MOST_CUT))
            if isinstance(text, str):
                self.text.append(text)


async def handshake(channels: Channels, process: KernelProcess) -> Ending:
    """Exchange greetings until both channels work; the caller bounds the time.

    Raises KernelUnreachableError.
    """
    while True:
        exchange = Exchange(channels, process, channels.send_kernel_info())
        with anyio.move_on_after(_HANDSHAKE_RETRY_S):
            return await exchange.wait()


async def run_cell(
    channels: Channels,
    process: KernelProcess,
    code: str,
    *,
    timeout_s: float,
    grace_s: float,
    max_output_chars: int,
    silent: bool = False,
    interruption: Interruption | None = None,
) -> CellOutcome:
    """Run a cell for `timeout_s` seconds, then stop it within about `grace_s` seconds a step.

    A requested `interruption` ends the wait early.

    Unless the ending is DONE the kernel is unusable. Cancelled, it leaves the cell running: the
    caller must then kill the process.
    """
    interruption = interruption or Interruption()
    try:
        request = channels.send_execute(code, silent=silent)
    except KernelUnreachableError:
        # An earlier cell has cut it off.
        text = BoundedText(max_output_chars)
        return CellOutcome(Ending.BROKEN, InterruptStep.NONE, text, {}, interruption.requested)
    exchange = Exchange(channels, process, request, max_output_chars)
    for step in (InterruptStep.NONE, InterruptStep.SIGINT, InterruptStep.POKE):
        if step is InterruptStep.POKE:
            with suppress(KernelUnreachableError):
                channels.send_kernel_info()
        if step is not InterruptStep.NONE:
            process.interrupt()
        first = step is InterruptStep.NONE
        with interruption.patience(timeout_s) if first else anyio.move_on_after(grace_s):
            ending = await exchange.wait()
            return _outcome(exchange, ending, step, interruption)
    process.kill()
    return _outcome(exchange, Ending.KILLED, InterruptStep.KILL, interruption)


def _outcome(
    exchange: Exchange, ending: Ending, step: InterruptStep, interruption: Interruption
) -> CellOutcome:
    reply = exchange.reply or {}
    return CellOutcome(ending, step, exchange.text, reply, interruption.requested)
