"""Budgets in the real solve loop: the end of a solve that runs is moved, and attempts added."""

from dataclasses import dataclass, field
from typing import Any

import anyio

from client.schema import AttemptStarted, BudgetDecided, SolveEnd
from server.runs.pace import RunPace, RunView
from server.solve.solver import Solver
from tests.server.solve.conftest import logs, stage, vocabulary
from tests.server.solve.rehearsal import Part, Play, Rehearsal, Stage, boxed
from voting.answers import AnswerKind, parse_answer
from voting.ballot import Ballot, Vote
from voting.budget import Budget, BudgetDecision, BudgetReason, BudgetState, FixedBudget
from voting.paths import ProblemPath, VoteMark

__all__ = ["logs", "stage", "vocabulary"]


@dataclass
class Told:
    """A budget that gives so many seconds by the number of votes."""

    by_votes: dict[int, float]
    states: list[BudgetState] = field(default_factory=list)

    def decide(self, state: BudgetState) -> BudgetDecision:
        self.states.append(state)
        return BudgetDecision(self.by_votes[len(state.marks)], BudgetReason.OPEN)


def paced(
    stage: Stage,
    play: Play,
    budget: Budget,
    *,
    limit_s: float = 60.0,
    problems_left: int = 1,
    asked_s: float | None = None,
    **request: Any,  # noqa: ANN401 - the fields of a request
) -> tuple[Rehearsal, RunPace]:
    rehearsal = stage.rehearse(play, time_limit_s=limit_s, **request)
    started = anyio.current_time()
    view = RunView(
        elapsed_s=lambda: anyio.current_time() - started,
        limit_s=limit_s,
        problems_left=lambda: problems_left,
        history=lambda: (),
    )
    return rehearsal, RunPace(view, budget, asked_s)


def answers(*each: str) -> Play:
    """Return the play in which attempt n answers so; those without an answer never end."""

    def play(attempt: int, _stream: int) -> list[Part]:
        if attempt >= len(each):
            return ["Let me see. ", anyio.Event()]
        return boxed(each[attempt])

    return play


async def test_a_vote_ends_a_solve_that_had_more_time(stage: Stage) -> None:
    budget = Told({0: 50.0, 1: 0.0})
    rehearsal, pace = paced(stage, answers("7"), budget, attempts=3, agree=3)
    with anyio.fail_after(10):
        result = await Solver(rehearsal.parts, rehearsal.plan, rehearsal.log, pace).run()
    assert (result.answer, result.end) == ("7", SolveEnd.DEADLINE)
    assert "budget: open" in result.detail
    told = rehearsal.events(BudgetDecided)
    assert [event.limit_s for event in told] == [50.0, 0.0]
    assert told[0].problems_left == 1


async def test_a_vote_gives_a_solve_more_time(stage: Stage) -> None:
    """The second answer comes after the first end would have."""
    later = anyio.Event()

    def play(attempt: int, _stream: int) -> list[Part]:
        return ["Hm. ", later, *boxed("7")] if attempt else boxed("7")

    budget = Told({0: 1.5, 1: 30.0, 2: 30.0})
    rehearsal, pace = paced(stage, play, budget, attempts=2, agree=2)

    async def release() -> None:
        await anyio.sleep(2.5)
        later.set()

    async with anyio.create_task_group() as group:
        group.start_soon(release)
        result = await Solver(rehearsal.parts, rehearsal.plan, rehearsal.log, pace).run()
    assert (result.answer, result.end) == ("7", SolveEnd.AGREEMENT)
    assert result.seconds > 2
    assert [report.end.value for report in result.attempts] == ["answered", "answered"]


async def test_attempts_are_added_while_the_share_lasts(stage: Stage) -> None:
    """Two attempts differ; the run has time, so more are made until two agree."""
    play = answers("1", "2", "3", "2")
    rehearsal, pace = paced(stage, play, FixedBudget(50), attempts=2, agree=2)
    result = await Solver(rehearsal.parts, rehearsal.plan, rehearsal.log, pace).run()
    assert (result.answer, result.end) == ("2", SolveEnd.AGREEMENT)
    started = [event.attempt for event in rehearsal.events(AttemptStarted)]
    assert started[:3] == [0, 1, 2]
    assert len(started) >= 4


async def test_outside_a_run_and_for_one_greedy_attempt_none_are_added(stage: Stage) -> None:
    play = answers("1", "2", "3", "2")
    alone = stage.rehearse(play, attempts=2, agree=2)
    assert (await alone.run()).end is SolveEnd.ALL_FINISHED
    rehearsal, pace = paced(stage, play, FixedBudget(50), strategy="greedy")
    result = await Solver(rehearsal.parts, rehearsal.plan, rehearsal.log, pace).run()
    assert len(result.attempts) == 1


async def test_it_never_goes_beyond_the_run(stage: Stage) -> None:
    rehearsal, pace = paced(stage, answers(), FixedBudget(500), limit_s=1.5, attempts=2)
    result = await Solver(rehearsal.parts, rehearsal.plan, rehearsal.log, pace).run()
    assert result.end is SolveEnd.DEADLINE
    assert result.seconds < 2.2
    told = rehearsal.events(BudgetDecided)[0]
    assert told.limit_s <= 1.5


async def test_the_time_that_the_caller_names_stands(stage: Stage) -> None:
    rehearsal, pace = paced(stage, answers(), FixedBudget(1), asked_s=2.0, attempts=1)
    result = await Solver(rehearsal.parts, rehearsal.plan, rehearsal.log, pace).run()
    told = rehearsal.events(BudgetDecided)[0]
    assert (told.reason, told.limit_s) == ("asked", 2.0)
    assert 1.5 < result.seconds < 2.7


def test_a_clock_that_went_back_over_a_boot_leaves_the_votes_in_order() -> None:
    now_s = 100.0
    view = RunView(
        elapsed_s=lambda: now_s, limit_s=1_000.0, problems_left=lambda: 1, history=lambda: ()
    )
    pace = RunPace(view, FixedBudget(900), start_s=90.0, marks=[VoteMark(40.0, 1, 1, 1)])
    answer = parse_answer("7", AnswerKind.INTEGER)
    assert answer is not None
    pace.decide(Ballot.of([Vote(number, answer) for number in range(2)]))
    now_s = 110.0
    assert [mark.seconds for mark in pace.path(whole=False).marks] == [40.0, 40.0]


def test_a_budget_that_fails_costs_an_even_share() -> None:
    class Faulty:
        def decide(self, state: BudgetState) -> BudgetDecision:
            raise RuntimeError(f"a bug at {state.elapsed_s}")

    view = RunView(
        elapsed_s=lambda: 10.0, limit_s=110.0, problems_left=lambda: 4, history=lambda: ()
    )
    pace = RunPace(view, Faulty())
    assert pace.decide(Ballot()).left_s == 25.0
    assert pace.path(whole=False) == ProblemPath((), 0.0, whole=False)
