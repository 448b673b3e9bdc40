"""Two engines of different families at one problem: a harmony planner and a coder of Qwen's."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest

from client.schema import (
    AnswerKind,
    AttemptEnd,
    AttemptFinished,
    AttemptStarted,
    AttemptWaiting,
    Event,
    SolveEnd,
    SolveRequest,
)
from server.dialect.harmony_tokens import HarmonyTokens
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineUnavailable,
)
from server.engine.rehearsal_process import OWN_VOCABULARIES
from server.engine.scripted import Step, StreamRequest
from server.engine.slots import common_prefix
from server.prompts import compose, text
from server.sections.solve import SolveSettings
from server.solve import turn
from server.solve.events import EventLog
from server.solve.past import past_of
from server.solve.plan import make_plan
from server.solve.solver import Solver
from server.vocabulary import Vocabulary
from tests.server.solve.planners import (
    PLAN,
    given,
    planner,
    prepare,
    report_of,
    whole,
)
from tests.server.solve.rehearsal import (
    PROBLEM,
    Part,
    Rehearsal,
    Stage,
    boxed,
    eventually,
    lines,
)


@pytest.fixture(scope="module")
def harmony() -> Vocabulary:
    return Vocabulary.load(OWN_VOCABULARIES["harmony"])


class TestPlanThenCode:
    async def test_the_plan_is_a_token_identical_prefix_of_every_attempt(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        by = planner(harmony, whole)
        solve = prepare(stage, by)
        result = await solve.run()
        assert (result.answer, result.end) == ("42", SolveEnd.AGREEMENT)
        assert given(solve) == [-1, -1, -1]
        (asked,) = by.prompts()
        assert PROBLEM in asked
        first = [solve.prompts(attempt)[0] for attempt in range(3)]
        assert first[0] == first[1] == first[2]
        assert PLAN in stage.vocabulary.decode(first[0])
        # Of the control tokens that the plan spells, none is in the prompt.
        end = stage.vocabulary.control("<|im_end|>")
        usual = compose(PROBLEM, AnswerKind.TEXT, tools=True, chosen=stage.dialect.name)
        assert first[0].count(end) == list(stage.dialect.open(usual).opening).count(end)
        # And every later request begins with it.
        later = solve.prompts(0)[1]
        assert later[: len(first[0])] == first[0]

    async def test_attempts_that_are_asked_otherwise_share_it_too(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        settings = SolveSettings(mix="; variant=check; variant=concise")
        solve = prepare(stage, planner(harmony, whole), settings=settings)
        await solve.run()
        first = [solve.prompts(attempt)[0] for attempt in range(3)]
        assert len({tuple(ids) for ids in first}) == 3
        shared = stage.vocabulary.decode(first[0][: common_prefix(first[0], first[1])])
        assert PLAN in shared
        for attempt, variant in ((1, "check"), (2, "concise")):
            rest = stage.vocabulary.decode(first[attempt]).removeprefix(shared)
            assert text(f"variant_{variant}") in rest

    async def test_groups_of_attempts_have_plans_of_their_own(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        by = planner(harmony, lambda session, _: [f"Plan of {session}.", True])
        solve = prepare(stage, by, "plan_then_code(attempts=2)", attempts=3, agree=3)
        result = await solve.run()
        assert given(solve) == [-1, -1, -2]
        assert [report.attempt for report in result.plans] == [-2, -1]
        for attempt, number in enumerate((0, 0, 1)):
            said = stage.vocabulary.decode(solve.prompts(attempt)[0])
            assert f"Plan of solve-1/plan-{number}." in said

    async def test_it_is_recorded_as_an_attempt_is_and_counted_apart(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        by = planner(harmony, whole)
        solve = prepare(stage, by)
        result = await solve.run()
        (started,) = solve.events(AttemptStarted, -1)
        told = (started.engine, started.model, started.dialect)
        assert told == ("planner", "scripted", "harmony")
        (request,) = by.engine.requests
        prompt = list(request.prompt)
        tokens = solve.tokens(-1)
        assert tokens[: len(prompt)] == prompt
        assert solve.sampled(-1) == [tokens[len(prompt) :]]
        assert solve.text(-1) == PLAN
        report = report_of(result)
        assert (report.end, report.answer, report.weight) == (AttemptEnd.PLANNED, None, 0)
        assert result.engines["planner"] == report.tokens
        assert report.tokens.sampled == len(tokens) - len(prompt)
        assert result.engines["main"] == result.tokens
        assert result.tokens.sampled == sum(r.tokens.sampled for r in result.attempts)

    async def test_a_plan_that_is_too_long_is_cut(self, stage: Stage, harmony: Vocabulary) -> None:
        by = planner(harmony, lambda *_: [" ".join(map(str, range(4000))), True])
        solve = prepare(stage, by, "plan_then_code(tokens=4000)", context_tokens=2048)
        result = await solve.run()
        assert result.answer == "42"
        assert "its tokens were used up" in report_of(result).detail
        assert len(solve.prompts(0)[0]) < 2048 // 2

    async def test_without_the_recipe_nobody_else_is_asked(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        by = planner(harmony, whole)
        solve = prepare(stage, by, "none")
        result = await solve.run()
        assert (by.engine.requests, result.plans, result.engines) == ([], [], {})


class TestAPlannerThatFails:
    """The solve goes on without its plan, and says so."""

    @pytest.mark.parametrize(
        ("parts", "end", "why"),
        [
            ([anyio.Event], AttemptEnd.DEADLINE, "its share of the time was over"),
            (["So ", anyio.Event], AttemptEnd.DEADLINE, "its share of the time was over"),
            ([True], AttemptEnd.NO_ANSWER, "it wrote nothing"),
            (["So ", EngineFailed("gone")], AttemptEnd.ENGINE_LOST, "its engine was lost (gone)"),
            ([EngineProtocolError("junk")], AttemptEnd.ENGINE_ERROR, "its engine failed (junk)"),
            (["so it is " * 400], AttemptEnd.REPETITION, "its text repeated itself"),
        ],
    )
    async def test_in_its_stream(
        self,
        stage: Stage,
        harmony: Vocabulary,
        parts: list[Any],
        end: AttemptEnd,
        why: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(turn, "PAUSE_MOST_S", 0.005)
        made = [part() if part is anyio.Event else part for part in parts]
        by = planner(harmony, lambda *_: made)
        solve = prepare(stage, by, "plan_then_code(share=0.04)")
        result = await solve.run()
        assert (result.answer, result.end) == ("42", SolveEnd.AGREEMENT)
        assert report_of(result).end is end
        assert report_of(result).detail == f"planner: {why}; attempts go on without it"
        assert given(solve) == [None, None, None]
        assert not by.engine.open_streams
        (told,) = solve.events(AttemptFinished, -1)
        assert told.report == report_of(result)

    async def test_before_it_is_ready(self, stage: Stage, harmony: Vocabulary) -> None:
        by = planner(harmony, whole)
        by.engine.up = anyio.Event()
        result = await prepare(stage, by, "plan_then_code(share=0.04)").run()
        assert result.answer == "42"
        assert report_of(result).end is AttemptEnd.ENGINE_LOST
        assert "its engine was away for its share of the time" in report_of(result).detail

    async def test_that_comes_back_goes_on_from_its_tokens(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        def plays(_: str, stream: int) -> list[str | bool | EngineError]:
            died: EngineError = EngineUnavailable("killed")
            return [PLAN[:20], died] if stream == 0 else [PLAN[20:], True]

        by = planner(harmony, plays)
        result = await prepare(stage, by).run()
        assert report_of(result).end is AttemptEnd.PLANNED
        assert report_of(result).engine_losses == 1
        first, second = (list(request.prompt) for request in by.engine.requests)
        assert second[: len(first)] == first
        assert len(second) > len(first)

    async def test_a_cancelled_solve_frees_both_engines(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        def plays(session: str, _: int) -> list[str | bool | anyio.Event]:
            return ["So", anyio.Event()] if session.endswith("-1") else [PLAN, True]

        by = planner(harmony, plays)
        forever = lines(["Let me think", anyio.Event()])
        solve = prepare(stage, by, "plan_then_code(attempts=1)", forever, attempts=2, agree=2)
        async with anyio.create_task_group() as group:
            group.start_soon(Solver(solve.parts, solve.plan, solve.log).run)
            await eventually(lambda: bool(by.engine.open_streams and solve.engine.open_streams))
            await eventually(lambda: by.engine.open_streams == {"solve-1/plan-1"})
            group.cancel_scope.cancel()
        assert not by.engine.open_streams
        assert not solve.engine.open_streams
        result = solve.result()
        assert result.end is SolveEnd.CANCELLED
        assert [report.end for report in result.attempts] == [AttemptEnd.CANCELLED] * 2
        ends = {report.attempt: report.end for report in result.plans}
        assert ends == {-1: AttemptEnd.PLANNED, -2: AttemptEnd.CANCELLED}


class TestReasonThenAct:
    async def test_every_attempt_has_a_thought_of_its_own(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        by = planner(harmony, lambda session, _: [f"Thought of {session}.", True])
        solve = prepare(stage, by, "reason_then_act")
        result = await solve.run()
        assert result.answer == "42"
        assert given(solve) == [-1, -2, -3]
        for attempt in range(3):
            said = stage.vocabulary.decode(solve.prompts(attempt)[0])
            assert f"Thought of solve-1/thought-{attempt}." in said
        seeds = {request.sampling.seed for request in by.engine.requests}
        assert len(seeds) == 3

    async def test_what_was_thought_serves_where_nothing_was_said(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        tokens = HarmonyTokens(harmony)

        def script(_: StreamRequest) -> Iterable[Step]:
            yield [*tokens.on_channel("analysis"), *harmony.encode("Six sevens, added one by one")]
            yield harmony.encode(" and so on" * 3)

        by = planner(harmony, whole)
        by.engine.script = script
        solve = prepare(stage, by, "reason_then_act(tokens=200)", attempts=1, agree=1)
        result = await solve.run()
        assert report_of(result).end is AttemptEnd.PLANNED
        assert "Six sevens" in stage.vocabulary.decode(solve.prompts(0)[0])


class TestVerify:
    @staticmethod
    def play(attempt: int, _stream: int) -> list[Part]:
        return boxed("41") if attempt == 0 else boxed("42")

    async def test_the_further_engine_judges(self, stage: Stage, harmony: Vocabulary) -> None:
        by = planner(harmony, lambda *_: ["\\boxed{1}", True])
        solve = prepare(stage, by, "verify", self.play, attempts=2, agree=2, selector="genselect")
        result = await solve.run()
        shown = by.prompts()[0]
        assert shown.index("Solution 1") < shown.index("Solution 2")
        order = shown[shown.index("Solution 1") :]
        assert result.answer == ("41" if order.index("41") < order.index("42") else "42")
        assert result.detail.endswith("judged by planner")
        assert result.engines["planner"].sampled > 0
        assert all("compare" not in request.session for request in solve.engine.requests)

    def test_alone_it_brings_a_selector_that_asks(self) -> None:
        request = SolveRequest(problem="x", recipe="verify")
        made = make_plan(request, SolveSettings(), cell_timeout_s=1, engines=["planner"])
        assert made.policies.asks
        plain = make_plan(SolveRequest(problem="x"), SolveSettings(), cell_timeout_s=1)
        assert not plain.policies.asks
        named = request.model_copy(update={"selector": "majority"})
        assert not make_plan(
            named, SolveSettings(), cell_timeout_s=1, engines=["planner"]
        ).policies.asks

    @pytest.mark.parametrize("dies", [True, False])
    async def test_where_it_is_away_the_attempts_model_judges(
        self, stage: Stage, harmony: Vocabulary, dies: bool
    ) -> None:
        def dying(*_: object) -> list[str | bool | EngineError]:
            by.engine.failed = "killed"
            return [EngineFailed("killed")]

        def play(attempt: int, stream: int) -> list[Part]:
            return self.play(attempt, stream) if attempt < 2 else boxed("1")

        by = planner(harmony, dying)
        by.engine.failed = "" if dies else "never came up"
        solve = prepare(stage, by, "verify", play, attempts=2, agree=2, selector="genselect")
        result = await solve.run()
        assert result.answer in ("41", "42")
        assert "planner was away" in result.detail
        assert any("compare" in request.session for request in solve.engine.requests)


class TestReplay:
    """A solve that a dead server left is gone on with, from what its events tell."""

    @staticmethod
    async def again(solve: Rehearsal, cut: Callable[[Event], bool]) -> tuple[Rehearsal, list[int]]:
        """Run a solve, then another one from its events before the first that `cut` names."""
        await solve.run()
        events = solve.log.events
        stop = next(place for place, event in enumerate(events) if cut(event))
        log = EventLog("solve-1", itertools.count(1000).__next__)
        solve.engine.requests.clear()
        past = past_of("solve-1", events[:stop])
        second = Rehearsal(solve.parts, solve.engine, solve.plan, log)
        result = await Solver(solve.parts, solve.plan, log, past=past).run()
        assert result.answer == "42"
        return second, [each.attempt for each in past.attempts]

    async def test_attempts_keep_the_plan_that_they_had(
        self, stage: Stage, harmony: Vocabulary
    ) -> None:
        by = planner(harmony, whole)
        solve = prepare(stage, by)
        second, begun = await self.again(
            solve, lambda e: isinstance(e, AttemptFinished) and e.attempt >= 0
        )
        assert begun == [0, 1, 2]
        assert len(by.engine.requests) == 1
        assert [report.end for report in second.result().plans] == [AttemptEnd.PLANNED]
        assert all(report.end is not AttemptEnd.FAILED for report in second.result().attempts)
        for request in second.engine.requests:
            assert PLAN in stage.vocabulary.decode(list(request.prompt))

    async def test_a_plan_goes_on_from_its_tokens(self, stage: Stage, harmony: Vocabulary) -> None:
        def plays(_: str, stream: int) -> list[str | bool | EngineError]:
            return [PLAN[:20], EngineUnavailable("away")] if stream == 0 else [PLAN[20:], True]

        by = planner(harmony, plays)
        solve = prepare(stage, by)
        second, begun = await self.again(solve, lambda e: isinstance(e, AttemptWaiting))
        assert begun == []
        (report,) = second.result().plans
        assert report.end is AttemptEnd.PLANNED
        first, *_, last = (list(request.prompt) for request in by.engine.requests)
        assert last[: len(first)] == first
        assert harmony.decode(last).endswith(PLAN[:20])
        assert PLAN in stage.vocabulary.decode(second.prompts(0)[0])
