"""A small real server that plays recordings over HTTP, with faults on request.

The first word of the problem chooses what happens (`Scenario`); any other word solves it.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse

from client.schema import (
    Event,
    Health,
    InvalidField,
    PartStatus,
    ProblemDetails,
    Readiness,
    Run,
    RunRequest,
    RunState,
    SolveEnd,
    SolveRequest,
    TokenCounts,
)
from tests.client.recordings import result_of, solve_events


class Scenario(StrEnum):
    """What a problem's first word asks for."""

    CUT = "cut"
    """The stream breaks after ten events; the JSON answer after half of it."""
    SHORT = "short"
    """The stream ends in order, but before the solve's end."""
    BUSY = "busy"
    """The first request meets a full queue."""
    FULL = "full"
    """Every request meets a full queue."""
    FAIL = "fail"
    """500 in problem details."""
    CRASH = "crash"
    """500 in plain text, as from a proxy."""
    GARBAGE = "garbage"
    """Events that are not JSON, not of the schema, and of an unknown type."""
    BADEND = "badend"
    """The last event cannot be read."""
    PINGS = "pings"
    """Nothing but pings until `released` is set."""
    HANG = "hang"
    """The first events, then pings until the client goes."""
    NOANSWER = "noanswer"
    """A solve that finds nothing."""
    ABORT = "abort"
    """A solve that the server ends before it has an answer."""
    LATE = "late"
    """A solve for which no time was left."""
    HTML = "html"
    """200, and a page of something else."""


class RecordedServer:
    """The app and what it saw."""

    def __init__(self, pace_s: float = 0.0, ready_after: int = 0) -> None:
        self.reset(pace_s, ready_after)
        self.app = FastAPI()
        self.app.add_api_route("/health", self.health)
        self.app.add_api_route("/ready", self.ready, response_model=None)
        self.app.add_api_route("/v1/solves", self.solve, methods=["POST"], response_model=None)
        self.app.add_api_route(
            "/v1/solves/{solve_id}", self.cancel, methods=["DELETE"], response_model=None
        )
        self.app.add_api_route("/v1/runs", self.open_run, methods=["POST"], response_model=None)
        self.app.add_api_route(
            "/v1/runs/{run_id}", self.cancel_run, methods=["DELETE"], response_model=None
        )
        self.app.add_exception_handler(RequestValidationError, _invalid)

    def reset(self, pace_s: float = 0.0, ready_after: int = 0) -> None:
        """Forget what was seen."""
        self.pace_s = pace_s
        self.ready_after = ready_after
        self.unready_state = "loading"
        self.requests: list[SolveRequest] = []
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []
        self.seen: Counter[str] = Counter()
        self.runs: dict[str, Run] = {}
        self.cancelled: list[str] = []
        self.runs_end = True
        # set on the server's thread, awaited on the test's
        self.hanging = threading.Event()
        self.gone = threading.Event()
        self.released = threading.Event()

    async def health(self) -> Health:
        self.seen["health"] += 1
        return Health(version="0.1.0", uptime_s=1.0)

    async def ready(self) -> Response:
        self.seen["ready"] += 1
        ready = self.seen["ready"] > self.ready_after
        state = "ready" if ready else self.unready_state
        part = PartStatus(ready=ready, state=state, detail="weights")
        body = Readiness(ready=ready, engine=part, sandbox=PartStatus(ready=True, state="ready"))
        return JSONResponse(body.model_dump(mode="json"), 200 if ready else 503)

    async def cancel(self, solve_id: str) -> Response:
        if solve_id == "s1":
            return Response(status_code=204)
        return problem(404, f"solve {solve_id!r}: there is none")

    async def open_run(self, request: RunRequest) -> Response:
        assert request.id is not None
        self.runs[request.id] = run = Run(
            id=request.id,
            state=RunState.OPEN,
            problems=request.problems,
            done=0,
            running=0,
            limit_s=request.limit_s,
            elapsed_s=0.0,
            seconds_left=request.limit_s,
            created_at=datetime.now(UTC),
            budget="none",
        )
        return JSONResponse(run.model_dump(mode="json"), 201)

    async def cancel_run(self, run_id: str) -> Response:
        self.cancelled.append(run_id)
        if not self.runs_end:
            return problem(500, "a defect")
        if run_id not in self.runs:
            return problem(404, f"run {run_id!r}: there is none")
        return JSONResponse(self.runs[run_id].model_dump(mode="json"))

    async def solve(self, request: SolveRequest, http: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await http.body())
        self.keys.append(http.headers.get("authorization"))
        word = request.problem.split()[0]
        self.seen[word] += 1
        refusal = self._refusal(word)
        if refusal is not None:
            return refusal
        if http.headers["accept"] == "text/event-stream":
            return StreamingResponse(self._stream(request, word), media_type="text/event-stream")
        return self._result(request, word)

    def _refusal(self, word: str) -> Response | None:
        match word:
            case Scenario.BUSY if self.seen[word] == 1:
                return problem(429, "the queue is full", retry_after_s=0.05)
            case Scenario.FULL:
                return problem(429, "the queue is full", retry_after_s=2.0)
            case Scenario.FAIL:
                return problem(500, "a defect")
            case Scenario.CRASH:
                return Response("oops", 500, media_type="text/plain")
            case Scenario.HTML:
                return Response("<h1>It works!</h1>", media_type="text/html")
        return None

    def _result(self, request: SolveRequest, word: str) -> Response:
        body = result_of(request, answer=None if word == Scenario.NOANSWER else "42")
        content = body.model_dump_json().encode()
        if word == Scenario.CUT:
            return Response(content[:100], headers={"Content-Length": str(len(content))})
        return Response(content, media_type="application/json")

    async def _stream(self, request: SolveRequest, word: str) -> AsyncIterator[str]:
        events = solve_events(request)
        match word:
            case Scenario.CUT | Scenario.SHORT | Scenario.HANG:
                async for part in self._begin(events, word):
                    yield part
                return
            case Scenario.GARBAGE:
                yield "event: attempt.text\ndata: {broken\n\n"
                yield 'event: attempt.text\ndata: {"type": "attempt.text"}\n\n'
                yield 'event: solve.dreamt\ndata: {"type": "solve.dreamt", "of": "sheep"}\n\n'
                yield "data: [1, 2]\n\n"
            case Scenario.BADEND:
                yield 'event: solve.finished\ndata: {"type": "solve.finished"}\n\n'
                return
            case Scenario.PINGS:
                while not self.released.is_set():
                    yield ": ping\n\n"
                    await asyncio.sleep(0.01)
            case Scenario.ABORT | Scenario.LATE:
                events = [*events[:2], _ended(request, events[-1], word)]
            case Scenario.NOANSWER:
                last = events[-1].model_copy(update={"result": result_of(request, answer=None)})
                events = [*events[:2], last]
        for event in events:
            yield encoded(event)
            await asyncio.sleep(self.pace_s)

    async def _begin(self, events: list[Event], word: str) -> AsyncIterator[str]:
        for event in events[: 10 if word == Scenario.CUT else 150]:
            yield encoded(event)
        if word == Scenario.CUT:
            raise ConnectionAbortedError("cut on request")
        if word == Scenario.HANG:
            self.hanging.set()
            try:
                while True:
                    yield ": ping\n\n"
                    await asyncio.sleep(0.05)
            finally:
                self.gone.set()


def _ended(request: SolveRequest, last: Event, word: str) -> Event:
    """Return the last event of a solve that ended by something else than itself."""
    aborted = word == Scenario.ABORT
    changes = {
        "end": SolveEnd.CANCELLED if aborted else SolveEnd.DEADLINE,
        "detail": "the server is being shut down" if aborted else "the run's time is over",
    } | ({} if aborted else {"attempts": [], "tokens": TokenCounts()})
    result = result_of(request, answer=None).model_copy(update=changes)
    return last.model_copy(update={"result": result})


def encoded(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"


def problem(
    status: int,
    detail: str,
    errors: list[InvalidField] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    details = ProblemDetails(
        title="refused",
        status=status,
        detail=detail,
        errors=errors or [],
        retry_after_s=retry_after_s,
    )
    return JSONResponse(
        details.model_dump(mode="json"), status, media_type="application/problem+json"
    )


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [
        InvalidField(field=str(fault["loc"][-1]), message=str(fault["msg"]))
        for fault in error.errors()
    ]
    return problem(422, "the request is invalid", fields)
