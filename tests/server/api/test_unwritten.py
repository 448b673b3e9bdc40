"""Solves that have ended are in memory until the journal has them, and no longer."""

from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from client.schema import SolveEnd, SolveFinished, SolveQueued, SolveRequest, SolveResult
from server.api import problems
from server.api.unwritten import Unwritten
from server.journal.bulk import EVENT_BYTES
from server.journal.errors import NotWrittenYet
from server.journal.journal import Journal
from server.sections.solve import SolveSettings
from server.solve.events import EventLog
from server.solve.plan import make_plan
from server.solve.service import SolveHandle
from tests.server.api.gateway import listening
from tests.server.journal.stories import options

pytestmark = pytest.mark.anyio

SOON_S = 15.0
#: What `ended` weighs, whole and its result alone.
LONG_BYTES = 1 + 6 * EVENT_BYTES
SHORT_BYTES = 1 + 4 * EVENT_BYTES


def ended(number: int) -> tuple[SolveHandle, SolveFinished]:
    """Return a solve that has ended, and its last event."""
    name = f"solve-{number}"
    log = EventLog(name, lambda: number + 1)
    for _ in range(5):
        log.emit(SolveQueued, position=0)
    result = SolveResult(solve_id=name, end=SolveEnd.ALL_FINISHED, detail="", strategy="tir")
    log.emit(SolveFinished, result=result)
    plan = make_plan(SolveRequest(problem="?"), SolveSettings(), cell_timeout_s=1.0, engines={})
    assert log.finished is not None
    return SolveHandle(name, plan, log), log.finished


def filled(journal: Journal | None, most_bytes: int) -> tuple[Unwritten, dict[str, SolveHandle]]:
    """Return what is kept of five solves that took each as much memory as another, and these."""
    handles: dict[str, SolveHandle] = {}
    unwritten = Unwritten(journal, handles.get, most_bytes)
    for number in range(5):
        handle, event = ended(number)
        handles[handle.solve_id] = handle
        unwritten.take(event)
    return unwritten, handles


async def test_the_newest_are_kept_where_there_is_no_journal() -> None:
    unwritten, handles = filled(None, 3 * SHORT_BYTES)
    await unwritten.let_go()
    assert [handle.solve_id for handle in unwritten.list()] == ["solve-2", "solve-3", "solve-4"]
    assert unwritten.get("solve-0") is None
    assert unwritten.list()[-1].events.finished is handles["solve-4"].events.finished


async def test_of_older_ones_the_results_are_kept_and_their_events_told_later() -> None:
    unwritten, handles = filled(None, 5 * LONG_BYTES - 2 * (LONG_BYTES - SHORT_BYTES))
    assert unwritten.get("solve-4") is handles["solve-4"]
    assert [unwritten.has_events(name) for name in handles] == [False, False, True, True, True]
    for name, handle in handles.items():
        found = unwritten.get(name)
        assert found is not None
        assert found.events.finished is handle.events.finished


async def test_what_there_was_no_room_for_is_to_be_asked_for_again(tmp_path: Path) -> None:
    blocked = tmp_path / "journal.sqlite"
    blocked.mkdir()
    async with Journal(options(tmp_path, patient=True)) as journal, anyio.create_task_group() as it:
        unwritten, _ = filled(journal, SHORT_BYTES)
        with pytest.raises(NotWrittenYet, match="ask again"):
            unwritten.get("solve-0")
        assert [handle.solve_id for handle in unwritten.list()] == ["solve-4"]
        it.start_soon(unwritten.let_go)
        blocked.rmdir()
        with anyio.fail_after(SOON_S):
            await journal.wait_open()
            while unwritten.list():  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.05)
        assert unwritten.get("solve-0") is None
        it.cancel_scope.cancel()


def test_asking_again_is_told_with_when() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/solve")
    async def show() -> None:
        raise NotWrittenYet("solve-0")

    with listening(app) as url, httpx.Client(trust_env=False) as http:
        reply = http.get(f"{url}/solve")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert reply.json()["retry_after_s"] == 2.0


async def test_they_are_dropped_once_the_journal_has_them(tmp_path: Path) -> None:
    blocked = tmp_path / "journal.sqlite"
    blocked.mkdir()
    handle, event = ended(0)
    async with Journal(options(tmp_path, patient=True)) as journal, anyio.create_task_group() as it:
        unwritten = Unwritten(journal, {handle.solve_id: handle}.get)
        it.start_soon(unwritten.let_go)
        journal.append(event)
        unwritten.take(event)
        await anyio.wait_all_tasks_blocked()
        assert unwritten.get(handle.solve_id) is handle
        blocked.rmdir()
        with anyio.fail_after(SOON_S):
            await journal.wait_open()
            while unwritten.list():  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.05)
        it.cancel_scope.cancel()
