"""The run that an evaluation's solves belong to, at the server.

A solve of a run goes on when its caller is gone, and through a restart of the server; who asks for
its problem again joins it, or has its result. So each attempt is made once, whatever is killed.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from client.schema import MAX_RUN_PROBLEMS, MAX_RUN_S, Event, Run, RunState
from server.evaluation.api import Api, Lost, UnknownRun
from server.evaluation.recorded import Plan

#: Gives nothing out: each problem has the attempts and the time that it asks for.
BUDGET = "none"
#: A run with less than this share of its time left is followed by another one.
LEAST_LEFT = 0.5


class ServerRun:
    """Opened by the first to need it; `open` comes before `solving`."""

    def __init__(self, api: Api, plan: Plan) -> None:
        self._api = api
        self._plan = plan
        self._body: dict[str, Any] = {}

    async def open(self, problems: int) -> None:
        """Open the evaluation's run for so many problems, or find it as it was left.

        Raises:
            ServerProblem: the server refuses, or was gone for too long.
        """
        for number in count(1):
            self._body = {
                "id": self._plan.id if number == 1 else f"{self._plan.id}.{number}",
                "name": f"Evaluation: {self._plan.set}"[:200],
                "problems": min(problems, MAX_RUN_PROBLEMS),
                "limit_s": MAX_RUN_S,
                "budget": BUDGET,
            }
            run = await self._api.patiently(lambda _heard: self._opened())
            if run.state is RunState.OPEN and run.seconds_left > LEAST_LEFT * MAX_RUN_S:
                return

    async def _opened(self) -> Run:
        return await self._api.open_run(self._body)

    async def finish(self) -> None:
        """Have it take no more problems. Raises as `open`."""
        await self._api.patiently(
            lambda _heard: self._api.finish_run(self._body["id"], "every attempt is there")
        )

    @asynccontextmanager
    async def solving(self, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[Event]]:
        """Solve a problem of the run; its events.

        Raises, in the block too:
            Lost: see `Api.solving`. A server that has lost the run is given it again.
            ServerProblem: the server refuses; the run was finished by somebody else, for one.
        """
        try:
            async with self._api.solving({**body, "run": self._body["id"]}) as events:
                yield events
        except UnknownRun as error:
            await self._opened()
            raise Lost(str(error)) from error
