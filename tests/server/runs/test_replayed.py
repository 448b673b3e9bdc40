"""The server's run and `quorum replay` decide the same on the same recorded attempts."""

import random
from typing import Any, cast

import anyio
import pytest

from client.schema import BudgetDecided, RunRequest, SolveRequest
from server.dialect.catalogue import open_dialect
from server.runs.registry import RunRegistry
from server.sections.runs import RunsSettings
from server.settings import Settings
from server.solve.service import open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from tests.server.runs.virtual import TOKENS_A_S, RecordedEngine, VirtualClocks, VirtualLoop
from tests.server.solve.conftest import vocabulary
from voting.answers import Answer, AnswerKind
from voting.budget import Budget, BudgetDecision, BudgetReason, BudgetState
from voting.budgets import make_budget
from voting.catalogue import Context
from voting.machine import Machine
from voting.policies import PolicyNames
from voting.replay.records import RecordedAttempt
from voting.replay.run import ReplayedRun, RunProblem, replay_run
from voting.replay.solve import Combination

__all__ = ["vocabulary"]

#: As fast in each stream as the engine of these tests.
STEADY = Machine(name="steady", decode=((1, TOKENS_A_S), (256, TOKENS_A_S)), slots=256)
ATTEMPTS, AGREE, RECORDED = 4, 3, 12
#: Events tell times to the millisecond.
SLACK_S = 2e-3

Decided = tuple[float, str, float, int]


class Noting:
    """A budget that remembers what it decided, as the server's events tell it."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.decided: list[list[Decided]] = []

    def decide(self, state: BudgetState) -> BudgetDecision:
        decision = self._budget.decide(state)
        if state.elapsed_s == 0:
            self.decided.append([])
        limit_s = min(decision.limit_s, state.clock.left_s)
        problems_left = state.clock.problems_left
        told = (limit_s, decision.reason.value, state.elapsed_s, problems_left)
        self.decided[-1].append(told)
        return decision


def drawn(count: int, seed: int) -> list[RunProblem]:
    """Draw problems whose attempts end at times that all differ: equal ones have no order."""
    source = random.Random(seed)
    problems = []
    for number in range(count):
        chance, median = source.random(), source.uniform(40, 400)
        attempts = []
        for _ in range(RECORDED):
            right = source.random() < chance
            written = "1" if right else str(source.choice([2, 2, 3, source.randrange(4, 99)]))
            answer = Answer(written, written, AnswerKind.INTEGER)
            tokens = round(median * source.lognormvariate(0, 0.5) * TOKENS_A_S) + 1
            attempts.append(RecordedAttempt(answer=answer, right=right, tokens=tokens))
        problems.append(RunProblem(f"problem-{number:02}", tuple(attempts)))
    return problems


def replayed(
    problems: list[RunProblem], names: PolicyNames, budget: str, limit_s: float
) -> tuple[ReplayedRun, list[list[Decided]]]:
    combination = Combination("c", names, ATTEMPTS, AGREE)
    noting = Noting(make_budget(budget, Context(ATTEMPTS, AGREE)))
    run = replay_run(
        problems, combination, combination.make(), STEADY, noting, limit_s, tops_up=True
    )
    return run, noting.decided


def served(
    vocabulary: Vocabulary,
    problems: list[RunProblem],
    names: PolicyNames,
    budget: str,
    limit_s: float,
) -> tuple[list[str | None], list[list[Decided]], int]:
    """Return answers, decisions and attempts of the server's own run, on virtual time."""
    dialect = open_dialect("auto", vocabulary)
    engine = RecordedEngine(
        vocabulary, min(dialect.end_ids), {each.id: each.attempts for each in problems}
    )
    parts = SolverParts(cast("Any", engine), dialect, vocabulary, cast("Any", None))
    settings = Settings(
        solve={
            "strategy": "majority_vote", "attempts": ATTEMPTS, "agree": AGREE, "symbolic": False,
            "answer_reserve_s": 0.0, "time_limit_s": 86_400, "mix": "none", "max_tokens": 1_000,
            "early_stop": names.early_stop, "launch": names.launch, "weight": names.weight,
            "selector": names.selector,
        },
        runs=RunsSettings(margin_s=0.0),
    )  # fmt: skip

    async def run() -> tuple[list[str | None], list[list[Decided]], int]:
        loop = cast("VirtualLoop", anyio.lowlevel.current_token().native_token)
        answers: list[str | None] = []
        decided: list[list[Decided]] = []
        launched = 0
        async with open_service(settings, parts) as service:
            runs = RunRegistry(
                service, clocks=VirtualClocks(loop), settings=settings.runs, solve=settings.solve
            )
            request = RunRequest(problems=len(problems), limit_s=limit_s, budget=budget)
            opened, _ = await runs.create(request)
            loop.go()
            for problem in problems:
                solve = SolveRequest(
                    problem=f"{problem.id}?", problem_id=problem.id, run=opened.id,
                    answer_kind="integer",
                )  # fmt: skip
                handle = await runs.submit(solve)
                events = [event async for event in handle.events.follow()]
                told = [event for event in events if isinstance(event, BudgetDecided)]
                decided.append([(e.limit_s, e.reason, e.elapsed_s, e.problems_left) for e in told])
                finished = handle.events.finished
                assert finished is not None
                answers.append(finished.result.answer)
                launched += len(finished.result.attempts)
        return answers, decided, launched

    return anyio.run(run, backend_options={"loop_factory": VirtualLoop})


@pytest.mark.parametrize("limit_s", [1_200.0, 4_000.0, 9_000.0])
@pytest.mark.parametrize(
    ("budget", "names"),
    [
        ("adaptive", PolicyNames(early_stop="agree")),
        ("greedy(60, 300)", PolicyNames(early_stop="agree")),
        ("adaptive", PolicyNames(early_stop="ahead(2)", launch="top_up(2)", selector="weighted")),
        (
            "fixed(150)",
            PolicyNames(early_stop="staged(2:2, 4:3)", launch="staged(2:2, 4:3)"),
        ),
    ],
)
def test_a_run_of_the_server_is_the_run_of_the_replay(
    vocabulary: Vocabulary,
    budget: str,
    names: PolicyNames,
    limit_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the server keeps for its own work at a deadline: here that takes no time.
    for module in ("attempt", "solver"):
        monkeypatch.setattr(f"server.solve.{module}.MARGIN_S", 0.0)
    problems = drawn(12, seed=int(limit_s))
    expected, decisions = replayed(problems, names, budget, limit_s)
    answers, told, launched = served(vocabulary, problems, names, budget, limit_s)
    assert answers == [None if s.answer is None else s.answer.key for s in expected.solves]
    assert launched == sum(solve.launched for solve in expected.solves)
    for mine, replay in zip(told, decisions, strict=True):
        # A problem that has no time is answered at once, without asking.
        theirs = [each for each in replay if each[1] != BudgetReason.NOTHING_LEFT]
        assert [each[1] for each in mine] == [each[1] for each in theirs]
        assert [each[3] for each in mine] == [each[3] for each in theirs]
        for index in (0, 2):
            times = [each[index] for each in theirs]
            assert [each[index] for each in mine] == pytest.approx(times, abs=SLACK_S)
