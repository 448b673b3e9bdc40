"""Admits solves, runs them in one task group, and keeps their events for those who follow.

What scales with what: one solve runs `plan.attempts` streams on the engine; `max_running` solves at
once share the engine's slots and the pool's kernels, so raise it only together with those.
"""

import itertools
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import structlog
from anyio.abc import TaskGroup
from structlog.contextvars import bind_contextvars

from client.schema import (
    Event,
    SolveEnd,
    SolveFinished,
    SolveQueued,
    SolveRequest,
    SolveRequested,
    SolveResult,
    SolveVersions,
)
from server.errors import QuorumServerError
from server.rewards.served import require_rewards
from server.settings import Settings
from server.solve.events import EventLog, EventSink, Observer
from server.solve.frame import Pace
from server.solve.past import PastSolve
from server.solve.plan import SolvePlan, make_plan
from server.solve.solver import Solver, SolverParts

log = structlog.get_logger(__name__)

#: What a caller is told to wait for when the queue is full, in seconds: a typical easy problem.
RETRY_AFTER_S = 15.0


class AdmissionError(QuorumServerError):
    """Too many solves run and wait already."""

    retry_after_s = RETRY_AFTER_S


class ShuttingDownError(AdmissionError):
    """The server is being shut down."""


@dataclass(slots=True)
class SolveHandle:
    """One solve, queued, running or ended; `cancel` ends it soon and is safe at any time."""

    solve_id: str
    plan: SolvePlan
    events: EventLog
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    created: float = field(default_factory=time.time)
    """Seconds since 1970."""
    durable: bool = False
    """Whether it goes on without its caller, as the solves of a run do."""
    pace: Pace | None = None
    past: PastSolve | None = None
    """What a dead server left of it."""
    waits: bool = False
    """Whether it waits for its turn, one that is gone on with too."""

    def cancel(self) -> None:
        """End the solve; its last event says so."""
        self.scope.cancel()

    def suspend(self) -> None:
        """End what goes on at the server's next start: its followers get a result, no record."""
        self.events.suspend()
        self.scope.cancel()

    def leave(self) -> None:
        """The caller goes away: that ends a solve that nobody else may ask for."""
        if not self.durable:
            self.cancel()

    async def result(self) -> SolveResult:
        """Wait for the end."""
        async for event in self.events.follow():
            if isinstance(event, SolveFinished):
                return event.result
        raise RuntimeError("the event log ended without a result; this is a defect")


@dataclass(frozen=True, slots=True)
class SolveTerms:
    """What holds for a solve of a run: it goes on without its caller, and others look on.

    `pace` says how long it may take, at most `limit_s` seconds. Of the time for which no server
    lived `away_s` seconds count, by the clock of the run: the wall clock may have been set.
    """

    observers: Sequence[Observer] = ()
    pace: Pace | None = None
    limit_s: float | None = None
    away_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """Where the events of all solves go, and what they say works on them."""

    sink: EventSink
    versions: SolveVersions


class SolveService:
    """Runs at most `gateway.max_running` solves; `gateway.max_queued` more wait their turn."""

    def __init__(
        self,
        settings: Settings,
        parts: SolverParts,
        group: TaskGroup,
        recording: Recording | None = None,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._group = group
        self._recording = recording
        self._next_id: Callable[[], int] = (
            recording.sink.next_id if recording else itertools.count(1).__next__
        )
        self._handles: dict[str, SolveHandle] = {}
        self._queue: deque[anyio.Event] = deque()
        self._running = 0
        self._closed = False
        self._observers: list[Observer] = []

    def observe(self, *observers: Observer) -> None:
        """Have every event told to observers, of all solves: what there is of them first.

        Solves of a dead server are gone on with before there is anybody to observe them.
        """
        for event in [each for handle in self._handles.values() for each in handle.events.events]:
            for observer in observers:
                observer(event)
        self._observers += observers

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    @property
    def parts(self) -> SolverParts:
        """What all solves share."""
        return self._parts

    @property
    def running(self) -> int:
        """Solves at work."""
        return self._running

    @property
    def queued(self) -> int:
        """Solves that wait their turn."""
        return len(self._queue)

    def submit(self, request: SolveRequest, terms: SolveTerms | None = None) -> SolveHandle:
        """Start a solve, or queue it; `terms` are those of its run.

        Raises:
            UnknownStrategyError: the request names no strategy that there is.
            AdmissionError: the queue is full.
            ShuttingDownError: `close` was called.
        """
        self._check_open()
        plan = self._plan(request)
        if terms is not None and terms.limit_s is not None:
            plan = replace(plan, time_limit_s=terms.limit_s)
        most = self._settings.gateway.max_queued
        if self._must_wait and self.queued >= most:
            raise AdmissionError(
                f"{self.queued} solves wait already: at most {most} may; try again later, or raise "
                "gateway.max_queued"
            )
        handle = self._open(request, plan, terms)
        turn = self._take_turn()
        handle.waits = turn is not None
        handle.events.emit(SolveQueued, position=self.queued if handle.waits else 0)
        self._tell_request(handle, request)
        self._group.start_soon(self._run, handle, turn)
        return handle

    def check(self, request: SolveRequest) -> None:
        """See that a solve with such options can be had; none is begun.

        Raises:
            UnknownStrategyError, PolicyNameError: there is no such strategy, policy or recipe.
        """
        self._plan(request)

    def resume(self, past: PastSolve, request: SolveRequest, terms: SolveTerms) -> SolveHandle:
        """Go on with a solve of a dead server, in the order of these calls.

        Raises: as for `answered`.
        """
        self._check_open()
        plan = self._plan(request)
        if terms.limit_s is not None:
            plan = replace(plan, time_limit_s=terms.limit_s)
        handle = self._open(request, plan, terms, past.solve_id, past.at + terms.away_s)
        handle.created, handle.past = past.created, past
        turn = self._take_turn()
        handle.waits = turn is not None
        self._group.start_soon(self._run, handle, turn)
        return handle

    def answered(self, request: SolveRequest, result: SolveResult) -> SolveHandle:
        """Return a solve that has ended with a result that is known; nothing of it is recorded.

        Raises: as for `submit`, but for `AdmissionError`.
        """
        events = EventLog(result.solve_id, self._next_id)
        events.emit(SolveFinished, result=result)
        return SolveHandle(result.solve_id, self._plan(request), events, durable=True)

    def out_of_time(self, request: SolveRequest, detail: str, terms: SolveTerms) -> SolveHandle:
        """Record a solve that ends at once, without an answer, for want of time; return it.

        Raises: as for `answered`.
        """
        self._check_open()
        handle = self._open(request, self._plan(request), terms)
        handle.events.emit(SolveQueued, position=0)
        self._tell_request(handle, request)
        _finish(handle, SolveEnd.DEADLINE, detail)
        del self._handles[handle.solve_id]
        return handle

    def _check_open(self) -> None:
        if self._closed:
            raise ShuttingDownError("the server is being shut down: ask again once it is back")

    def _plan(self, request: SolveRequest) -> SolvePlan:
        plan = make_plan(
            request,
            self._settings.solve,
            cell_timeout_s=self._settings.sandbox.cell_timeout_s,
            engines=self._parts.others,
        )
        require_rewards(plan.policies, self._parts.rewards)
        return plan

    def _open(
        self,
        request: SolveRequest,
        plan: SolvePlan,
        terms: SolveTerms | None,
        solve_id: str | None = None,
        age_s: float = 0.0,
    ) -> SolveHandle:
        """Begin the events of a solve, or go on with those of one that is `age_s` seconds old."""
        created = time.time()
        resumed = solve_id is not None
        solve_id = solve_id or f"solve-{secrets.token_hex(6)}"
        events = EventLog(
            solve_id,
            self._next_id,
            self._recording.sink if self._recording else None,
            with_tokens=request.tokens,
            observers=(self._tell, *(terms.observers if terms else ())),
            age_s=age_s,
            created=None if resumed else created,
        )
        pace = terms.pace if terms else None
        handle = SolveHandle(
            solve_id, plan, events, created=created, durable=terms is not None, pace=pace
        )
        self._handles[solve_id] = handle
        return handle

    def _tell_request(self, handle: SolveHandle, request: SolveRequest) -> None:
        if self._recording:
            asked = request.model_dump(mode="json", exclude_none=True)
            versions = self._recording.versions
            handle.events.emit(SolveRequested, request=asked, versions=versions)

    def same_model(self, versions: SolveVersions) -> bool:
        """Whether a solve was begun with the weights that work now."""
        if self._recording is None:
            return False
        mine = self._recording.versions
        return (mine.model_file, mine.model_bytes) == (versions.model_file, versions.model_bytes)

    def get(self, solve_id: str) -> SolveHandle | None:
        """Return a solve that has not ended."""
        return self._handles.get(solve_id)

    def live(self) -> list[SolveHandle]:
        """Return the solves that have not ended, in the order in which they came."""
        return list(self._handles.values())

    def close(self) -> None:
        """Cancel every solve that runs or waits, and refuse new ones; followers get results."""
        self._closed = True
        for handle in list(self._handles.values()):
            if handle.durable and self._recording is not None:
                handle.suspend()
            else:
                handle.cancel()

    @property
    def _must_wait(self) -> bool:
        return self._running >= self._settings.gateway.max_running

    def _take_turn(self) -> anyio.Event | None:
        """Take a place among the running, or the event that will give one."""
        if not self._must_wait:
            self._running += 1
            return None
        turn = anyio.Event()
        self._queue.append(turn)
        return turn

    def _pass_turn(self, turn: anyio.Event | None) -> None:
        """Give up the place taken, or the wait for one."""
        if turn is not None and turn in self._queue:
            self._queue.remove(turn)
        elif self._queue:
            self._queue.popleft().set()
        else:
            self._running -= 1

    async def _run(self, handle: SolveHandle, turn: anyio.Event | None) -> None:
        # For every line that this task and those of its attempts log.
        bind_contextvars(solve_id=handle.solve_id)
        try:
            with handle.scope:
                if turn is not None:
                    await turn.wait()
                    handle.waits = False
                solver = Solver(self._parts, handle.plan, handle.events, handle.pace, handle.past)
                result = await solver.run()
                _log_end(result)
        except Exception as error:
            # A defect of the solve loop ends this solve with an answer object, not the server.
            log.exception("solve.failed", solve_id=handle.solve_id)
            _finish(handle, SolveEnd.FAILED, f"{type(error).__name__}: {error}")
        finally:
            _finish(handle, SolveEnd.CANCELLED, "the solve was cancelled before it started")
            self._pass_turn(turn)
            del self._handles[handle.solve_id]


def _finish(handle: SolveHandle, end: SolveEnd, detail: str) -> None:
    """See that the log ends with a result, whatever happened."""
    if handle.events.finished is None:
        result = SolveResult(
            solve_id=handle.solve_id,
            problem_id=handle.plan.problem_id,
            end=end,
            detail=detail,
            strategy=handle.plan.strategy.name,
        )
        handle.events.emit(SolveFinished, result=result)


def _log_end(result: SolveResult) -> None:
    log.info(
        "solve.finished",
        solve_id=result.solve_id,
        problem_id=result.problem_id,
        answer=result.answer,
        end=result.end.value,
        seconds=result.seconds,
        sampled=result.tokens.sampled,
    )


@asynccontextmanager
async def open_service(
    settings: Settings, parts: SolverParts, recording: Recording | None = None
) -> AsyncIterator[SolveService]:
    """Run solves for the length of the block; at its end those that run are cancelled."""
    async with anyio.create_task_group() as group:
        service = SolveService(settings, parts, group, recording)
        try:
            yield service
        finally:
            service.close()
            group.cancel_scope.cancel()
