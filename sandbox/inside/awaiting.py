"""Cells that await, or run event loops: on a loop of their own, inside the kernel's.

IPython would await in the kernel's loop, where an interrupt finds no cell to stop, and where a cell
can neither use `asyncio.run` nor do harm to its own loop alone.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any


def may_await(code: str) -> bool:
    """Whether a cell may have to do with coroutines; looking closer means to compile it twice."""
    return "async" in code or "await" in code


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
                asyncio.set_event_loop(self._open())
            yield
        finally:
            asyncio._set_running_loop(kernels)  # noqa: SLF001

    def run(self, cell: Coroutine[Any, Any, object]) -> object:
        """Run a cell that awaits to its end; an interrupt cancels it."""
        loop = self._open()
        task = loop.create_task(cell)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    loop.run_until_complete(task)
            raise

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        return self._loop
