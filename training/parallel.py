"""Jobs at the same time, a few at most, of which the first that fails ends the others."""

from collections.abc import Awaitable, Callable, Iterable

import anyio

#: Something to be done, such as `partial(ask, item)`.
Job = Callable[[], Awaitable[None]]


async def run_all(jobs: Iterable[Job], most: int) -> None:
    """Run jobs, at most `most` at a time, in their order; return when all have ended.

    Raises: what the first job that failed raised, by itself; the others are cancelled.
    """
    limiter = anyio.CapacityLimiter(most)
    failures: list[Exception] = []

    async def run(job: Job) -> None:
        async with limiter:
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - raised again outside of the group
                failures.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(run, job)
    if failures:
        raise failures[0]
