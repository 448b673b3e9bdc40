"""Work for a caller, ended when the caller goes away."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from fastapi import Request

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Callable[[], Awaitable[Result]]) -> Result | None:
    """Return what the work comes to; None: the caller has gone away, and the work was cancelled.

    What the work raises passes through.
    """
    result: Result | None = None
    failure: Exception | None = None
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001 - raised again outside of the group
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return result
