"""Solves that have ended are in memory until the journal has them, and no longer."""

from pathlib import Path

import anyio
import pytest

from client.schema import SolveEnd, SolveFinished, SolveRequest, SolveResult
from server.api.unwritten import Unwritten
from server.journal.journal import Journal
from server.sections.solve import SolveSettings
from server.solve.events import EventLog
from server.solve.plan import make_plan
from server.solve.service import SolveHandle
from tests.server.journal.stories import options

pytestmark = pytest.mark.anyio

SOON_S = 15.0


def ended(number: int) -> tuple[SolveHandle, SolveFinished]:
    """Return a solve that has ended, and its last event."""
    name = f"solve-{number}"
    log = EventLog(name, lambda: number + 1)
    result = SolveResult(solve_id=name, end=SolveEnd.ALL_FINISHED, detail="", strategy="tir")
    log.emit(SolveFinished, result=result)
    plan = make_plan(SolveRequest(problem="?"), SolveSettings(), cell_timeout_s=1.0, engines={})
    assert log.finished is not None
    return SolveHandle(name, plan, log), log.finished


async def test_the_newest_are_kept_where_there_is_no_journal() -> None:
    handles: dict[str, SolveHandle] = {}
    unwritten = Unwritten(None, handles.get, most=3)
    for number in range(5):
        handle, event = ended(number)
        handles[handle.solve_id] = handle
        unwritten.take(event)
    await unwritten.let_go()
    assert [handle.solve_id for handle in unwritten.list()] == ["solve-2", "solve-3", "solve-4"]
    assert unwritten.get("solve-0") is None
    assert unwritten.get("solve-4") is handles["solve-4"]


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
