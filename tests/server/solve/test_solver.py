"""One solve: votes, early stop, strategies, many attempts, and what its events tell."""

import itertools
import time

import anyio
import pytest

from client.schema import (
    EVENT_ADAPTER,
    AttemptEnd,
    AttemptFinished,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    Channel,
    SegmentKind,
    SolveEnd,
    SolveFinished,
    SolveStarted,
)
from server.sections.solve import SolveSettings
from server.solve.plan import TURN_STRIDE
from tests.server.solve.rehearsal import (
    END,
    SOON_S,
    Part,
    Stage,
    attempt_of,
    boxed,
    eventually,
    lines,
    python,
)


class TestVotes:
    async def test_enough_equal_answers_stop_the_rest(self, stage: Stage) -> None:
        """One running attempt is in a stream, one in a cell: both are freed."""

        def play(attempt: int, _stream: int) -> list[Part]:
            if attempt == 3:
                return ["Let me see", anyio.Event()]
            if attempt == 4:
                return [python("while True: pass")]
            return boxed("41") if attempt == 0 else boxed("42")

        solve = stage.rehearse(play, attempts=5, agree=2, cell_timeout_s=60.0)
        started = anyio.current_time()
        result = await solve.run()
        assert anyio.current_time() - started < SOON_S
        assert (result.end, result.answer) == (SolveEnd.AGREEMENT, "42")
        assert [report.end for report in result.attempts] == [
            *[AttemptEnd.ANSWERED] * 3,
            *[AttemptEnd.EARLY_STOP] * 2,
        ]
        assert [(line.answer, line.attempts) for line in result.ballot] == [
            ("42", [1, 2]),
            ("41", [0]),
        ]
        assert stage.pool.status().leased == 0

    async def test_an_attempt_that_was_stopped_does_not_vote(self, stage: Stage) -> None:
        def play(attempt: int, _stream: int) -> list[Part]:
            draft: list[Part] = ["It is \\boxed{7}, but let me check", anyio.Event()]
            return draft if attempt == 0 else ["1 " * 20, *boxed("9")]

        result = await stage.rehearse(play, attempts=2, agree=1).run()
        assert (result.answer, result.ballot[0].attempts) == ("9", [1])
        assert (result.attempts[0].end, result.attempts[0].answer) == (AttemptEnd.EARLY_STOP, "7")
        assert result.attempts[0].weight == 0

    async def test_failed_calls_weigh_less(self, stage: Stage) -> None:
        def play(attempt: int, stream: int) -> list[Part]:
            if attempt == 0:
                return [python("1 / 0")] if stream == 0 else boxed("1")
            return boxed("2")

        result = await stage.rehearse(play, attempts=2, agree=2).run()
        assert (result.answer, result.end) == ("2", SolveEnd.ALL_FINISHED)
        # No code has printed either answer: half for each.
        assert [(line.answer, line.weight) for line in result.ballot] == [("2", 0.5), ("1", 0.25)]

    async def test_the_agreed_answer_stands_whatever_the_weights(self, stage: Stage) -> None:
        def play(attempt: int, stream: int) -> list[Part]:
            if attempt < 2:
                return boxed("2")
            return [python("1 / 0")] if stream == 0 else boxed("1")

        result = await stage.rehearse(play, attempts=5, agree=3).run()
        assert [(line.answer, line.weight) for line in result.ballot] == [("2", 1.0), ("1", 0.75)]
        assert (result.answer, result.end) == ("1", SolveEnd.AGREEMENT)
        assert "agreed: 3.00 of 5.00" in result.detail

    async def test_equal_answers_share_a_line(self, stage: Stage) -> None:
        spelled = ["\\frac{1}{2}", " \\dfrac 12 ", "\\tfrac12", "0.75"]
        solve = stage.rehearse(lambda attempt, _: boxed(spelled[attempt]), attempts=4, agree=4)
        assert [line.attempts for line in (await solve.run()).ballot] == [[0, 1, 2], [3]]

    async def test_without_any_answer_there_is_still_a_result(self, stage: Stage) -> None:
        solve = stage.rehearse(lines(["No idea.", END], [END]), attempts=3)
        result = await solve.run()
        assert (result.answer, result.end, result.ballot) == (None, SolveEnd.ALL_FINISHED, [])
        assert len(result.attempts) == 3

    async def test_the_ballot_is_told_after_each_attempt(self, stage: Stage) -> None:
        solve = stage.rehearse(lambda attempt, _: boxed(str(attempt)), attempts=3, agree=2)
        await solve.run()
        ballots = solve.events(BallotChanged)
        assert [ballot.running for ballot in ballots] == [2, 1, 0]
        assert [len(ballot.lines) for ballot in ballots] == [1, 2, 3]
        assert [ballot.stop for ballot in ballots] == [False] * 3


class TestStrategies:
    async def test_greedy_is_one_attempt_at_temperature_zero_without_tools(
        self, stage: Stage
    ) -> None:
        play = lines([f"{python('print(1)')}\n", *boxed("2")])
        solve = stage.rehearse(play, strategy="greedy", attempts=8, temperature=1.0)
        result = await solve.run()
        assert (result.answer, result.strategy, len(result.attempts)) == ("2", "greedy", 1)
        (request,) = solve.engine.requests
        assert request.sampling.temperature == 0
        assert result.tokens.appended == 0
        assert "program" not in stage.vocabulary.decode(request.prompt)

    async def test_first_boxed_takes_the_first(self, stage: Stage) -> None:
        def play(attempt: int, _stream: int) -> list[Part]:
            return boxed("5") if attempt == 2 else ["1 2 " * 50, *boxed("6")]

        result = await stage.rehearse(play, strategy="first_boxed", attempts=4).run()
        assert (result.answer, result.end) == ("5", SolveEnd.AGREEMENT)
        assert sum(report.end is AttemptEnd.EARLY_STOP for report in result.attempts) == 3

    @pytest.mark.parametrize("name", ["majority_vote", "weighted_vote"])
    async def test_votes_let_every_attempt_end(self, stage: Stage, name: str) -> None:
        def play(attempt: int, _stream: int) -> list[Part]:
            return boxed("5" if attempt < 4 else "6")

        result = await stage.rehearse(play, strategy=name, attempts=6, agree=2).run()
        assert (result.answer, result.end) == ("5", SolveEnd.ALL_FINISHED)
        assert [line.votes for line in result.ballot] == [4, 2]

    async def test_tir_has_tools_and_stops_early(self, stage: Stage) -> None:
        solve = stage.rehearse(lines([python("6 * 7")], boxed("42")), strategy="tir", attempts=4)
        result = await solve.run()
        assert (result.answer, result.end) == ("42", SolveEnd.AGREEMENT)
        assert "program" in stage.vocabulary.decode(solve.prompts()[0])


class TestSampling:
    async def test_seeds_differ_by_attempt_and_by_turn(self, stage: Stage) -> None:
        play = lines([python("1")], [python("2")], boxed("3"))
        solve = stage.rehearse(play, attempts=4, agree=4, seed=7)
        await solve.run()
        seeds = {
            (attempt_of(request.session), request.sampling.seed)
            for request in solve.engine.requests
        }
        assert len({seed for _, seed in seeds}) == len(solve.engine.requests) == 12
        assert [event.seed for event in solve.events(AttemptStarted)] == [7, 8, 9, 10]
        assert (2, 9 + TURN_STRIDE) in seeds

    async def test_the_first_attempt_is_greedy_unless_the_request_says(self, stage: Stage) -> None:
        for temperature, expected in ((None, [0.0, 0.7]), (0.3, [0.3, 0.3])):
            solve = stage.rehearse(lines(boxed("1")), attempts=2, temperature=temperature)
            await solve.run()
            assert [event.temperature for event in solve.events(AttemptStarted)] == expected

    async def test_the_start_of_an_attempt_names_its_variant(self, stage: Stage) -> None:
        settings = SolveSettings(mix="; variant=check")
        solve = stage.rehearse(lines(boxed("1")), attempts=2, settings=settings)
        await solve.run()
        assert [event.variant for event in solve.events(AttemptStarted)] == ["", "check"]

    async def test_the_requests_values_reach_the_engine(self, stage: Stage) -> None:
        solve = stage.rehearse(
            lines(boxed("1")), top_p=0.5, min_p=0.1, top_k=20, temperature=1.5, max_tokens=100
        )
        await solve.run()
        sampling = solve.engine.requests[0].sampling
        assert (sampling.top_p, sampling.min_p, sampling.top_k) == (0.5, 0.1, 20)
        assert solve.events(AttemptStarted)[0].top_k == 20
        assert (sampling.temperature, sampling.max_tokens) == (1.5, 100)


class TestManyAttempts:
    @pytest.mark.parametrize("attempts", [16, 64])
    async def test_all_of_them_get_a_kernel_in_turn(self, stage: Stage, attempts: int) -> None:
        used = 4  # of which each waits for one of two kernels

        def play(attempt: int, stream: int) -> list[Part]:
            if attempt % (attempts // used) == 0 and stream == 0:
                return [python(f"print({attempt})")]
            return boxed("42")

        solve = stage.rehearse(play, attempts=attempts, agree=attempts)
        result = await solve.run()
        assert (result.answer, result.ballot[0].votes) == ("42", attempts)
        assert sum(report.tool_calls for report in result.attempts) == used
        assert sum(report.tool_errors for report in result.attempts) == 0

    async def test_the_loop_is_not_blocked(self, stage: Stage) -> None:
        solve = stage.rehearse(lines(["1 2 3 " * 100, *boxed("1")]), attempts=64, agree=64)
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                # Of this thread's own work: other processes may take the processor for long.
                before = time.thread_time()
                await anyio.sleep(0.005)
                longest = max(longest, time.thread_time() - before)

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await solve.run()
            group.cancel_scope.cancel()
        assert longest < 0.5


class TestEvents:
    async def test_ids_and_times_grow_and_the_result_is_last(self, stage: Stage) -> None:
        solve = stage.rehearse(
            lines([python("6 * 7")], boxed("42")), attempts=3, agree=3, tokens=True
        )
        await solve.run()
        events = solve.log.events
        assert all(a.id < b.id for a, b in itertools.pairwise(events))
        assert all(0 <= a.at <= b.at for a, b in itertools.pairwise(events))
        assert isinstance(events[0], SolveStarted)
        assert isinstance(events[-1], SolveFinished)
        assert not any(isinstance(event, SolveFinished) for event in events[:-1])
        assert {event.solve_id for event in events} == {"solve-1"}

    async def test_every_event_survives_the_wire(self, stage: Stage) -> None:
        solve = stage.rehearse(lines([python("print('é 😀')")], boxed("42")), tokens=True)
        await solve.run()
        for event in solve.log.events:
            assert EVENT_ADAPTER.validate_json(event.model_dump_json()) == event

    async def test_each_attempt_starts_and_finishes_once(self, stage: Stage) -> None:
        solve = stage.rehearse(lines(boxed("42")), attempts=5, agree=2)
        result = await solve.run()
        assert sorted(event.attempt for event in solve.events(AttemptStarted)) == [*range(5)]
        assert sorted(event.attempt for event in solve.events(AttemptFinished)) == [*range(5)]
        told = {event.attempt: event.report for event in solve.events(AttemptFinished)}
        assert [told[index] for index in range(5)] == result.attempts

    async def test_text_joins_to_what_was_sampled(self, stage: Stage) -> None:
        first = f"Zürich 数学 😶‍🌫️:\n{python('print(1)')}"
        solve = stage.rehearse(lines([first], boxed("42")), tokens=True)
        await solve.run()
        sampled = [stage.vocabulary.decode(ids) for ids in solve.sampled()]
        end = "<|im_end|>"
        assert solve.text() == "".join(sampled).removesuffix(end)
        code = [e.text for e in solve.events(AttemptText) if e.channel is Channel.CODE]
        assert "".join(code) == "print(1)\n```"

    async def test_the_record_only_grows(self, stage: Stage) -> None:
        """Each prompt continues the one before, and the segments join to the last."""
        play = lines([python("x = 1")], ["Hm.", END], ["42}"])
        solve = stage.rehearse(play, attempts=2, agree=2, tokens=True, max_turns=5)
        result = await solve.run()
        for report in result.attempts:
            tokens = solve.tokens(report.attempt)
            for prompt in solve.prompts(report.attempt):
                assert tokens[: len(prompt)] == prompt
            counts = report.tokens
            assert len(tokens) == counts.prompt + counts.sampled + counts.appended
            segments = solve.events(AttemptSegment, report.attempt)
            sampled = sum(len(s.token_ids) for s in segments if s.kind is SegmentKind.SAMPLED)
            assert sampled == counts.sampled
            assert len(solve.prompts(report.attempt)) == 3

    async def test_tokens_are_told_only_where_asked_for(self, stage: Stage) -> None:
        solve = stage.rehearse(lines([python("1")], boxed("42")))
        await solve.run()
        assert solve.events(AttemptSegment) == []

    async def test_the_start_tells_the_values_in_force(self, stage: Stage) -> None:
        settings = SolveSettings(max_turns=9, max_tokens=77, time_limit_s=33.0)
        solve = stage.rehearse(
            lines(boxed("1")), settings=settings, attempts=4, agree=3, problem_id="p", seed=5
        )
        await solve.run()
        (start,) = solve.events(SolveStarted)
        assert (start.attempts, start.agree, start.max_turns) == (4, 3, 9)
        assert (start.max_tokens, start.time_limit_s, start.seed) == (77, 20.0, 5)
        assert (start.problem_id, start.model, start.dialect) == ("p", "scripted", "qwen")

    async def test_followers_early_late_and_slow_see_the_same(self, stage: Stage) -> None:
        solve = stage.rehearse(lines([python("1")], boxed("42")), attempts=2, agree=2)
        seen: dict[str, list[int]] = {"early": [], "slow": []}

        async def follow(name: str, pause_s: float) -> None:
            async for event in solve.log.follow():
                seen[name].append(event.id)
                await anyio.sleep(pause_s)

        async with anyio.create_task_group() as group:
            group.start_soon(follow, "early", 0)
            group.start_soon(follow, "slow", 0.01)
            await solve.run()
        late = [event.id async for event in solve.log.follow()]
        assert seen["early"] == seen["slow"] == late
        await eventually(lambda: stage.pool.status().leased == 0)
