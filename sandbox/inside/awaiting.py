"""Cells that await, or run event loops: on a loop of their own, inside the kernel's.

IPython would await in the kernel's loop, where an interrupt finds no cell to stop, and where a cell
can neither use `asyncio.run` nor do harm to its own loop alone.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_WANTS_LOOP = re.compile(r"\basyncio\.(?:create_task|current_task|get_running_loop)\(")
_RUNS_LOOP = re.compile(r"\b(?:run|run_until_complete|run_forever)\(")


def may_await(code: str) -> bool:
    """Whether a cell may have to do with coroutines; looking closer means to compile it twice."""
    return "async" in code or "await" in code


def wants_running_loop(code: str) -> bool:
    """Whether a cell asks for the running loop, as in Jupyter it may without awaiting.

    One that runs a loop itself needs that there is none.
    """
    return bool(_WANTS_LOOP.search(code)) and not _RUNS_LOOP.search(code)


class CellLoop:
    """The event loop of a kernel's cells. What they leave running on it goes on in later ones."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def in_place_of_the_kernels(self, code: str) -> Iterator[None]:
        """Run the block, a cell, as if no loop were running."""
        kernels = asyncio._get_running_loop()  # noqa: SLF001 - made for this: see nest_asyncio
        try:
            asyncio._set_running_loop(None)  # noqa: SLF001
            if may_await(code):
                # Without descriptors, or with asyncio in pieces, the cell gets to see why.
                with suppress(Exception):
                    asyncio.set_event_loop(self._open())
            yield
        finally:
            asyncio._set_running_loop(kernels)  # noqa: SLF001
            self._let_threads_go()

    def run(self, cell: Coroutine[Any, Any, object]) -> object:
        """Run a cell that awaits to its end; an interrupt cancels it."""
        loop = self._open()
        task = loop.create_task(cell)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                # One that does not heed it must not go on in a later cell.
                self._loop = None
                task.cancel()
                with suppress(asyncio.CancelledError):
                    loop.run_until_complete(task)
                self._loop = loop
            raise

    def _open(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        # One that is said to run was left so by an interrupt: cells do not run in each other.
        if loop is None or loop.is_closed() or loop.is_running():
            loop = self._loop = asyncio.new_event_loop()
        return loop

    def _let_threads_go(self) -> None:
        """Have the next cell begin threads of its own: what old ones print is not shown."""
        loop: Any = self._loop
        executor = getattr(loop, "_default_executor", None)
        if executor is not None:
            loop._default_executor = None  # noqa: SLF001 - it has no other way
            with suppress(Exception):
                executor.shutdown(wait=False)
