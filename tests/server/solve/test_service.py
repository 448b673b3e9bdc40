"""Admission: what runs, what waits, what is refused, and how places are given back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from client.schema import (
    SolveEnd,
    SolveFinished,
    SolveQueued,
    SolveRequest,
    SolveResult,
    SolveStarted,
)
from server.sections.gateway import GatewaySettings
from server.settings import Settings
from server.solve import service as service_module
from server.solve.service import (
    AdmissionError,
    ShuttingDownError,
    SolveHandle,
    SolveService,
    open_service,
)
from server.solve.solver import Solver, SolverParts
from tests.server.solve.rehearsal import SOON_S, Part, Stage, boxed, eventually, make_engine
from voting.errors import UnknownStrategyError


@dataclass
class Desk:
    """A service whose solves wait for `gate` before they answer 1."""

    service: SolveService
    gate: anyio.Event
    handles: list[SolveHandle] = field(default_factory=list)

    def submit(self, **request: object) -> SolveHandle:
        wanted = {"problem": "1 x 1?", "attempts": 1, "time_limit_s": 20.0, **request}
        self.handles.append(self.service.submit(SolveRequest.model_validate(wanted)))
        return self.handles[-1]


@asynccontextmanager
async def open_desk(stage: Stage, running: int = 1, queued: int = 2) -> AsyncIterator[Desk]:
    gate = anyio.Event()

    def play(_attempt: int, _stream: int) -> list[Part]:
        return [gate, *boxed("1")]

    engine = make_engine(stage.vocabulary, stage.dialect, play)
    settings = Settings(gateway=GatewaySettings(max_running=running, max_queued=queued))
    parts = SolverParts(engine, stage.dialect, stage.vocabulary, stage.pool)
    with anyio.fail_after(SOON_S):
        async with open_service(settings, parts) as service:
            yield Desk(service, gate)
        assert (service.running, service.queued) == (0, 0)
        assert not engine.open_streams


async def started(handle: SolveHandle) -> None:
    async for event in handle.events.follow():
        if isinstance(event, SolveStarted):
            return


def ended(handle: SolveHandle) -> SolveResult | None:
    return handle.events.finished.result if handle.events.finished else None


async def test_places_are_taken_in_order(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        first, second, third = (desk.submit() for _ in range(3))
        assert (desk.service.running, desk.service.queued) == (1, 2)
        positions = [handle.events.events[0] for handle in (first, second, third)]
        assert [event.position for event in positions if isinstance(event, SolveQueued)] == [
            0,
            1,
            2,
        ]
        desk.gate.set()
        await third.result()
        order = [handle.events.events[1].id for handle in (first, second, third)]
        assert order == sorted(order)
        ends = [ended(handle) for handle in (first, second, third)]
        assert [end.answer for end in ends if end] == ["1", "1", "1"]
        await eventually(lambda: desk.service.running == 0)


async def test_ids_grow_over_all_solves(stage: Stage) -> None:
    async with open_desk(stage, running=3) as desk:
        desk.gate.set()
        handles = [desk.submit() for _ in range(3)]
        for handle in handles:
            await handle.result()
        ids = [event.id for handle in handles for event in handle.events.events]
        assert len(set(ids)) == len(ids)


async def test_over_the_limit_is_refused_at_once(stage: Stage) -> None:
    async with open_desk(stage, running=1, queued=1) as desk:
        desk.submit()
        desk.submit()
        with pytest.raises(AdmissionError, match="1 solves wait already: at most 1 may"):
            desk.submit()
        assert (desk.service.running, desk.service.queued) == (1, 1)
        desk.gate.set()
        await desk.handles[1].result()
        await desk.submit().result()


async def test_without_a_queue_only_a_free_place_is_taken(stage: Stage) -> None:
    async with open_desk(stage, running=2, queued=0) as desk:
        desk.submit()
        desk.submit()
        with pytest.raises(AdmissionError):
            desk.submit()
        desk.handles[0].cancel()
        await desk.handles[0].result()
        await eventually(lambda: desk.service.running == 1)
        await started(desk.submit())


async def test_an_unknown_strategy_takes_no_place(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        with pytest.raises(UnknownStrategyError):
            desk.submit(strategy="best")
        assert (desk.service.running, desk.service.queued) == (0, 0)


async def test_cancel_one_that_runs(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        first, second = desk.submit(), desk.submit()
        await started(first)
        first.cancel()
        first.cancel()
        assert (await first.result()).end is SolveEnd.CANCELLED
        await started(second)
        await eventually(lambda: desk.service.get(first.solve_id) is None)
        desk.gate.set()
        assert (await second.result()).answer == "1"
        second.cancel()
        assert second.events.finished is not None


async def test_cancel_one_that_waits(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        first, second, third = (desk.submit() for _ in range(3))
        second.cancel()
        result = await second.result()
        assert (result.end, result.attempts) == (SolveEnd.CANCELLED, [])
        assert [event.type for event in second.events.events] == ["solve.queued", "solve.finished"]
        await eventually(lambda: desk.service.queued == 1)
        desk.gate.set()
        assert (await first.result()).answer == (await third.result()).answer == "1"


async def test_cancel_before_anything_ran(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        handle = desk.submit()
        handle.cancel()
        assert (await handle.result()).end is SolveEnd.CANCELLED
        await eventually(lambda: desk.service.running == 0)


async def test_cancel_as_the_turn_comes(stage: Stage) -> None:
    """The place that was given to a solve cancelled in that moment goes to the next."""
    async with open_desk(stage) as desk:
        first, second, third = (desk.submit() for _ in range(3))
        await started(first)
        first.cancel()
        async for event in first.events.follow():
            if isinstance(event, SolveFinished):
                second.cancel()
        await started(third)
        assert (await second.result()).end is SolveEnd.CANCELLED


async def test_close_cancels_all_and_takes_no_more(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        handles = [desk.submit() for _ in range(3)]
        await started(handles[0])
        desk.service.close()
        for handle in handles:
            assert (await handle.result()).end is SolveEnd.CANCELLED
        with pytest.raises(ShuttingDownError):
            desk.submit()


async def test_the_end_of_the_service_ends_all_with_a_result(stage: Stage) -> None:
    async with open_desk(stage) as desk:
        handles = [desk.submit() for _ in range(3)]
        await started(handles[0])
    results = [ended(handle) for handle in handles]
    assert [result and result.end for result in results] == [SolveEnd.CANCELLED] * 3


async def test_a_solver_that_fails_leaves_its_place(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FaultySolver(Solver):
        async def run(self) -> SolveResult:
            await anyio.lowlevel.checkpoint()
            raise RuntimeError("a bug")

    async with open_desk(stage) as desk:
        monkeypatch.setattr(service_module, "Solver", FaultySolver)
        handle = desk.submit(problem_id="p")
        result = await handle.result()
        assert (result.end, result.detail) == (SolveEnd.FAILED, "RuntimeError: a bug")
        assert result.problem_id == "p"
        monkeypatch.undo()
        desk.gate.set()
        assert (await desk.submit().result()).answer == "1"
