"""Runs over HTTP: `client.runs` of both clients.

    with QuorumClient() as client:
        client.runs.open(RunRequest(id="contest", problems=50, limit_s=18_000))
        client.solve(SolveRequest(problem="…", run="contest", problem_id="1"))

Opening a run is safe to repeat where it has an id, so it is, after any failure of transport.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

from client.exchange import Call, body_of, reader
from client.schema import GivenAnswer, Run, RunAnswer, RunFinish, RunList, RunRequest

Answer = TypeVar("Answer")

RUNS = "/v1/runs"


def open_call(request: RunRequest) -> Call[Run]:
    """Open a run, or find the one of that id."""
    return Call(
        "POST",
        RUNS,
        reader(Run),
        body=body_of(request),
        statuses=(200, 201),
        repeatable=request.id is not None,
    )


def get_call(run_id: str) -> Call[Run]:
    """Ask how a run goes."""
    return Call("GET", _path(run_id), reader(Run))


def list_call(limit: int | None = None, after: str | None = None) -> Call[RunList]:
    """Ask for a page of runs."""
    asked = {"limit": limit, "after": after}
    given = {name: str(value) for name, value in asked.items() if value is not None}
    return Call("GET", f"{RUNS}?{urlencode(given)}" if given else RUNS, reader(RunList))


def finish_call(run_id: str, reason: str) -> Call[Run]:
    """Have a run take no more problems."""
    body = body_of(RunFinish(reason=reason)) if reason else None
    return Call("POST", f"{_path(run_id)}/finish", reader(Run), body=body, repeatable=True)


def answered_call(run_id: str, told: RunAnswer) -> Call[GivenAnswer]:
    """Tell what was answered to a problem."""
    return Call(
        "POST",
        f"{_path(run_id)}/answers",
        reader(GivenAnswer),
        body=body_of(told),
        statuses=(200, 201),
        repeatable=True,
    )


def cancel_call(run_id: str) -> Call[Run]:
    """Finish a run and cancel what runs of it."""
    return Call("DELETE", _path(run_id), reader(Run), repeatable=True)


def _path(run_id: str) -> str:
    return f"{RUNS}/{quote(run_id, safe='')}"


class Asks(Protocol):
    """A client that makes calls."""

    def ask(self, call: Call[Answer]) -> Answer:
        """Make a call and return its answer."""
        ...


class AsksAsync(Protocol):
    """A client that makes calls, asynchronously."""

    async def ask(self, call: Call[Answer]) -> Answer:
        """Make a call and return its answer."""
        ...


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a server. All but `open` and `list` raise `NotFound` for an unknown id."""

    client: Asks

    def open(self, request: RunRequest) -> Run:
        """Open a run; one that has this id already is returned as it is, clock and all."""
        return self.client.ask(open_call(request))

    def get(self, run_id: str) -> Run:
        """Return a run with its clock and its problems."""
        return self.client.ask(get_call(run_id))

    def list(self) -> list[Run]:
        """Return the newest runs, at most 100, without their problems; `page` has all others."""
        return self.client.ask(list_call()).runs

    def page(self, *, limit: int | None = None, after: str | None = None) -> RunList:
        """Return a page of runs, newest first; `after` is the `next` of the page before."""
        return self.client.ask(list_call(limit, after))

    def finish(self, run_id: str, reason: str = "") -> Run:
        """Take no more problems; those that run go on."""
        return self.client.ask(finish_call(run_id, reason))

    def answered(self, run_id: str, told: RunAnswer) -> GivenAnswer:
        """Tell what was answered to a problem; returns what stands, the first that was told."""
        return self.client.ask(answered_call(run_id, told))

    def cancel(self, run_id: str) -> Run:
        """Finish a run and cancel what runs of it."""
        return self.client.ask(cancel_call(run_id))


@dataclass(frozen=True, slots=True)
class AsyncRuns:
    """The same for the asynchronous client."""

    client: AsksAsync

    async def open(self, request: RunRequest) -> Run:
        """Open a run; one that has this id already is returned as it is, clock and all."""
        return await self.client.ask(open_call(request))

    async def get(self, run_id: str) -> Run:
        """Return a run with its clock and its problems."""
        return await self.client.ask(get_call(run_id))

    async def list(self) -> list[Run]:
        """Return the newest runs, at most 100, without their problems; `page` has all others."""
        return (await self.client.ask(list_call())).runs

    async def page(self, *, limit: int | None = None, after: str | None = None) -> RunList:
        """Return a page of runs, newest first; `after` is the `next` of the page before."""
        return await self.client.ask(list_call(limit, after))

    async def finish(self, run_id: str, reason: str = "") -> Run:
        """Take no more problems; those that run go on."""
        return await self.client.ask(finish_call(run_id, reason))

    async def answered(self, run_id: str, told: RunAnswer) -> GivenAnswer:
        """Tell what was answered to a problem; returns what stands, the first that was told."""
        return await self.client.ask(answered_call(run_id, told))

    async def cancel(self, run_id: str) -> Run:
        """Finish a run and cancel what runs of it."""
        return await self.client.ask(cancel_call(run_id))
