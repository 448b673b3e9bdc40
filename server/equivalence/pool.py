"""A few worker processes that compare answers, started when first needed and killed at need."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE
from typing import Self

import anyio
import orjson
import structlog
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from server.equivalence.errors import WorkerError

log = structlog.get_logger(__name__)

#: Address space of a worker, in bytes: sympy with all that Math-Verify loads maps a fifth of it.
MEMORY_BYTES = 1024**3
#: Loading Math-Verify takes one second on a quiet core, a few on a busy machine.
START_S = 30.0
#: A question waits this long for a worker while others start.
PATIENCE_S = 1.5
#: A killed process is gone in milliseconds, unless the machine is stuck.
KILL_S = 5.0
#: Longest line of a worker; its own are a few bytes long.
MAX_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EquivalenceOptions:
    """How many workers at most, the seconds a comparison may take, and a worker's memory."""

    workers: int = 2
    timeout_s: float = 3.0
    memory_bytes: int = MEMORY_BYTES


@dataclass(slots=True)
class _Worker:
    """A process that waits for a question."""

    process: Process
    lines: BufferedByteReceiveStream

    async def ask(self, one: str, other: str) -> bool | None:
        """Return the process' answer.

        Raises:
            WorkerError: it died, or did not speak its protocol.
        """
        question = orjson.dumps({"one": one, "other": other}) + b"\n"
        try:
            if self.process.stdin is None:
                raise WorkerError("a worker without standard input: start it with a pipe")
            await self.process.stdin.send(question)
            verdict = orjson.loads(await self.line())["equal"]
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise WorkerError(f"a worker ended in mid-comparison: {error}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise WorkerError(f"a worker answered nonsense: {error}") from None
        if verdict is not None and not isinstance(verdict, bool):
            raise WorkerError(f"a worker answered {verdict!r}: must be true, false or null")
        return verdict

    async def line(self) -> bytes:
        """Return the next line of its output.

        Raises:
            WorkerError: there is none.
        """
        try:
            return await self.lines.receive_until(b"\n", MAX_LINE_BYTES)
        except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.EndOfStream) as error:
            raise WorkerError(f"a worker ended its output ({type(error).__name__})") from None

    async def kill(self) -> None:
        """End the process, at once and within a bound."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_S):
            if self.process.returncode is None:
                self.process.kill()
            await self.process.aclose()


class EquivalencePool:
    """Compares answers in worker processes. Use as `async with`; safe from many tasks at once.

    Workers are started with the first question. One that exceeds its time or memory, or whose
    question is cancelled, is killed, and another starts in the background. Whatever fails, the
    answer is None: not known to be equal. `started` counts workers, `crashed` those that died of
    themselves.
    """

    def __init__(self, options: EquivalenceOptions | None = None) -> None:
        self._options = options or EquivalenceOptions()
        self._stack = AsyncExitStack()
        self._living = 0
        self.started = 0
        self.crashed = 0

    async def __aenter__(self) -> Self:
        most = self._options.workers
        self._put, self._take = anyio.create_memory_object_stream[_Worker](most)
        self._turns = anyio.CapacityLimiter(most)
        self._group = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(self, *details: object) -> None:
        del details
        self._group.cancel_scope.cancel()
        try:
            await self._stack.aclose()
        finally:
            while self._take.statistics().current_buffer_used:
                await self._take.receive_nowait().kill()
            self._put.close()
            self._take.close()

    async def are_equal(self, one: str, other: str) -> bool | None:
        """Return whether two answers in LaTeX are equal as mathematics; None where not known.

        Once its turn has come it takes at most the time of one comparison and `PATIENCE_S` for a
        worker; the first question of all waits for one as long as a start may take.
        """
        async with self._turns:
            try:
                async with self._worker() as worker:
                    with anyio.fail_after(self._options.timeout_s):
                        return await worker.ask(one, other)
            except TimeoutError:
                log.info("equivalence.timeout", one=one[:80], other=other[:80])
            except WorkerError as error:
                self.crashed += 1
                log.info("equivalence.failed", error=str(error), one=one[:80], other=other[:80])
            return None

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[_Worker]:
        """Lend a worker; it comes back only from a block that ends well."""
        self._start_missing()
        with anyio.fail_after(PATIENCE_S if self.started else START_S):
            worker = await self._take.receive()
        try:
            yield worker
        except BaseException:
            self._living -= 1
            await worker.kill()
            self._start_missing()
            raise
        self._put.send_nowait(worker)

    def _start_missing(self) -> None:
        """Start workers in the background: all of them, so that one is there when one is killed."""
        while self._living < self._options.workers:
            self._living += 1
            self._group.start_soon(self._start)

    async def _start(self) -> None:
        try:
            worker = await self._open()
        except (WorkerError, OSError, TimeoutError) as error:
            self._living -= 1
            log.warning("equivalence.not_started", error=str(error))
            return
        self.started += 1
        self._put.send_nowait(worker)

    async def _open(self) -> _Worker:
        command = [sys.executable, "-m", "server.equivalence.worker"]
        command.append(str(self._options.memory_bytes))
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        # Cancelled in mid-start, the process would be nobody's to wait for.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
            )
        if process.stdout is None:
            raise WorkerError("a worker without standard output: start it with a pipe")
        worker = _Worker(process, BufferedByteReceiveStream(process.stdout))
        try:
            with anyio.fail_after(START_S):
                await worker.line()
        except BaseException:
            await worker.kill()
            raise
        return worker
