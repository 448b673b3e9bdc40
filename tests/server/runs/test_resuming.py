"""How long a problem may go on that a dead server was at."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from client.schema import (
    AttemptResult,
    RunRequest,
    SolveEnd,
    SolveFinished,
    SolveRequest,
    SolveRequested,
)
from server.journal.journal import Journal
from server.runs import resuming
from server.runs.registry import RunRegistry
from server.sections.runs import RunsSettings
from server.solve.past import PastSolve
from server.solve.service import SolveHandle, SolveService, SolveTerms
from tests.server.journal.stories import options, solve_events

RUN_S = 1_000.0
#: Of the run, before it began; and of itself, when its server died.
BEFORE_S, GONE_S = 850.0, 100.0


class ByHand:
    """Clocks that stand still unless they are moved."""

    now_s = 0.0
    step_s = 0.0

    def boot(self) -> str:
        return "boot"

    def boot_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s + self.step_s


class Service:
    """Notes the terms on which solves are gone on with."""

    terms: SolveTerms | None = None

    def same_model(self, versions: object) -> bool:
        return versions is not None

    def check(self, request: SolveRequest) -> None:
        """Take all."""

    def resume(self, past: PastSolve, request: SolveRequest, terms: SolveTerms) -> SolveHandle:
        del request
        self.terms = terms
        return cast("SolveHandle", SimpleNamespace(solve_id=past.solve_id, waits=False))


def a_past() -> PastSolve:
    """Return a solve that began at once and was at work for a while."""
    there: Any = SimpleNamespace(at=0.0, versions="known")
    return PastSolve("solve-1", there, there, (), BEFORE_S, (), GONE_S, ())


@pytest.mark.parametrize(
    ("budget", "asked_s", "limit_s"),
    [("none", None, 150.0), ("none", 120.0, 120.0), ("none", 400.0, 150.0)],
)
async def test_what_is_left_of_the_run_is_left_after_what_is_gone_of_the_problem(
    budget: str, asked_s: float | None, limit_s: float
) -> None:
    """A solve counts its limit from its own start."""
    service, clocks = Service(), ByHand()
    runs = RunRegistry(
        cast("SolveService", service), clocks=clocks, settings=RunsSettings(margin_s=0.0)
    )
    run, _ = await runs.create(RunRequest(problems=1, limit_s=RUN_S, budget=budget))
    clocks.now_s = BEFORE_S + GONE_S
    request = SolveRequest(problem="?", problem_id="p", run=run.id, time_limit_s=asked_s)
    assert runs.resume(a_past(), request)
    assert service.terms is not None
    assert service.terms.limit_s == pytest.approx(limit_s)


@pytest.mark.parametrize("step_s", [0.0, 5_000.0, -5_000.0])
@pytest.mark.parametrize("begun", [True, False])
async def test_a_step_of_the_wall_clock_makes_no_solve_older(step_s: float, begun: bool) -> None:
    """How long no server was there is by the clock of the run, which measures from the boot."""
    service, clocks = Service(), ByHand()
    runs = RunRegistry(cast("SolveService", service), clocks=clocks)
    run, _ = await runs.create(RunRequest(problems=1, limit_s=9_000, budget="greedy"))
    past = replace(a_past(), created=BEFORE_S)
    past = past if begun else replace(past, run_s=None, started=None)
    clocks.now_s, clocks.step_s = BEFORE_S + GONE_S + 50.0, step_s
    assert runs.resume(past, SolveRequest(problem="?", problem_id="p", run=run.id))
    assert service.terms is not None
    assert service.terms.away_s == pytest.approx(50.0)


async def test_what_is_known_of_a_problem_outlives_its_being_solved_anew() -> None:
    runs = RunRegistry(cast("SolveService", Service()), clocks=ByHand())
    runs.earlier = {"over": {"p": {"answer": "1"}}, "unread": {"p": {"answer": "2"}}}
    run, _ = await runs.create(RunRequest(problems=1, limit_s=RUN_S, budget="none"))
    printed = AttemptResult(
        solve_id="solve-0", at=1.0, attempt=0, turn=1, call=0, status="ok", output="17",
        seconds=0.1, state_lost=False,
    )  # fmt: skip
    *_, finished = solve_events("solve-0", lambda: 1)
    assert isinstance(finished, SolveFinished)
    left: dict[str, Any] = {"answer": None, "ballot": [], "end": SolveEnd.INTERRUPTED}
    event = finished.model_copy(update={"result": finished.result.model_copy(update=left)})
    runs.close_interrupted("p", event, run.id, [printed])
    assert runs.resume(a_past(), SolveRequest(problem="?", problem_id="p", run=run.id, again=True))
    runs.forget(["over"])
    lines = runs.lines()
    assert (lines[run.id]["p"]["answer"], lines[run.id]["p"]["rung"]) == ("17", "printed")
    assert {name: lines[name] for name in lines if name != run.id} == {
        "unread": {"p": {"answer": "2"}}
    }


@pytest.mark.parametrize(("answer", "again"), [(None, True), (None, False), ("7", True)])
async def test_a_problem_that_was_solved_anew_for_want_of_an_answer_is_gone_on_with(
    answer: str | None, again: bool
) -> None:
    runs = RunRegistry(cast("SolveService", Service()), clocks=ByHand())
    run, _ = await runs.create(RunRequest(problems=1, limit_s=RUN_S, budget="none"))
    *_, finished = solve_events("solve-0", lambda: 1)
    assert isinstance(finished, SolveFinished)
    result = finished.result.model_copy(update={"answer": answer, "end": SolveEnd.DEADLINE})
    runs.close_interrupted("p", finished.model_copy(update={"result": result}), run.id)
    request = SolveRequest(problem="?", problem_id="p", run=run.id, again=again)
    assert runs.resume(a_past(), request) is (again and answer is None)


async def test_a_solve_that_cannot_be_read_keeps_no_other_from_being_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Journal(options(tmp_path)) as journal:
        for solve_id in ("solve-1", "solve-2", "solve-3"):
            for event in list(solve_events(solve_id, journal.next_id))[:5]:
                if isinstance(event, SolveRequested):
                    event.request["run"] = "contest"
                journal.append(event)

    def read(solve_id: str, *_: object, **__: object) -> PastSolve:
        if solve_id == "solve-2":
            raise ValueError("damaged")
        return a_past()

    monkeypatch.setattr(resuming, "past_of", read)
    async with Journal(options(tmp_path)) as journal:
        pasts = await resuming.past_solves(journal, rebuild_s=1.0)
    assert sorted(pasts) == ["solve-1", "solve-3"]


async def test_where_no_time_is_left_it_is_not_gone_on_with() -> None:
    service, clocks = Service(), ByHand()
    runs = RunRegistry(
        cast("SolveService", service), clocks=clocks, settings=RunsSettings(margin_s=0.0)
    )
    run, _ = await runs.create(RunRequest(problems=1, limit_s=RUN_S, budget="none"))
    clocks.now_s = RUN_S
    assert not runs.resume(a_past(), SolveRequest(problem="?", problem_id="p", run=run.id))
    assert service.terms is None
