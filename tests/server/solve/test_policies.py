"""The deciding policies in real solves: staged, pruned, reviewed, compared, chosen by the model."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from client.schema import (
    AttemptEnd,
    AttemptSegment,
    AttemptStarted,
    BallotChanged,
    SegmentKind,
    SolveEnd,
)
from server.engine.base import Chunk, FinishReason
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.equivalence.pool import EquivalenceOptions, EquivalencePool
from server.sections.solve import SolveSettings
from tests.server.solve.rehearsal import END, Part, Rehearsal, Stage, boxed, eventually, python
from voting.early_stop import StopDecision, StopReason
from voting.errors import PolicyNameError
from voting.requests import StepScores
from voting.state import SolveState


class OnlyVote:
    """Stops for the only vote there is, and thinks otherwise once there are more."""

    def decide(self, state: SolveState) -> StopDecision:
        leader = state.ballot.most_votes
        stop = leader is not None and state.ballot.count == 1
        return StopDecision(stop, leader.answer if leader else None, StopReason.AHEAD)


class Unsure(EquivalencePool):
    """Knows nothing the first time that it is asked: a worker takes long to start."""

    asked = 0

    async def are_equal(self, one: str, other: str) -> bool | None:
        self.asked += 1
        return None if self.asked == 1 else {one, other} == {"x^{2}-1", "(x-1)(x+1)"}


def counting(most: int) -> str:
    """Return a text that does not repeat itself."""
    return " ".join(map(str, range(most)))


class TestLaunch:
    async def test_few_attempts_start_and_the_rest_is_saved(self, stage: Stage) -> None:
        solve = stage.rehearse(
            lambda *_: boxed("42"), attempts=8, agree=4, launch="staged(2:2, 8:4)"
        )
        result = await solve.run()
        assert (result.answer, result.end) == ("42", SolveEnd.AGREEMENT)
        assert len(result.attempts) == 2
        assert (result.saved.attempts_cut, result.saved.attempts_unlaunched) == (0, 6)
        assert result.saved.tokens == 6 * result.attempts[0].tokens.sampled

    async def test_an_open_ballot_brings_the_next_stage(self, stage: Stage) -> None:
        solve = stage.rehearse(
            lambda attempt, _: boxed("41" if attempt == 1 else "42"),
            attempts=8,
            agree=4,
            launch="staged(2:2, 4:3, 8:4)",
        )
        result = await solve.run()
        assert (result.answer, len(result.attempts)) == ("42", 4)
        started = [event.at for event in solve.events(AttemptStarted)]
        first_ballot = solve.events(BallotChanged)[0].at
        assert sum(at <= first_ballot for at in started) == 2


class TestEarlyStop:
    @pytest.mark.parametrize(
        ("policy", "votes"), [("beta(0.95)", 4), ("share(0.75, least=3)", 3), ("agree(2)|beta", 2)]
    )
    async def test_policies_by_name(self, stage: Stage, policy: str, votes: int) -> None:
        solve = stage.rehearse(
            lambda attempt, _: [counting(20 * attempt), *boxed("42")],
            attempts=6,
            agree=6,
            early_stop=policy,
        )
        result = await solve.run()
        assert (result.end, result.ballot[0].votes) == (SolveEnd.AGREEMENT, votes)
        assert " of " in result.detail

    async def test_a_decision_to_stop_stands(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two attempts end in one turn of the loop, and with both votes nothing is decided."""
        together = anyio.Event()
        solve = stage.rehearse(
            lambda *_: [], attempts=3, agree=3, policies={"early_stop": OnlyVote()}
        )

        async def play(_: ScriptedEngine, request: StreamRequest) -> AsyncIterator[Chunk]:
            await (anyio.Event() if request.session.endswith("2") else together).wait()
            written = "\\boxed{4}." if request.session.endswith("0") else "\\boxed{5}."
            yield Chunk(tuple(stage.vocabulary.encode(written)), finish_reason=FinishReason.STOP)

        monkeypatch.setattr(ScriptedEngine, "_play", play)
        async with anyio.create_task_group() as group:
            group.start_soon(solve.run)
            await eventually(lambda: len(solve.engine.open_streams) == 3)
            together.set()
        result = solve.result()
        assert [line.votes for line in result.ballot] == [1, 1]
        assert (result.end, result.answer) == (SolveEnd.AGREEMENT, "4")
        assert result.attempts[2].end is AttemptEnd.EARLY_STOP
        assert [ballot.stop for ballot in solve.events(BallotChanged)] == [True, True]


class TestRevision:
    async def test_an_answer_is_reviewed_once(self, stage: Stage) -> None:
        def play(_attempt: int, stream: int) -> list[Part]:
            return boxed("41") if stream == 0 else boxed("42")

        solve = stage.rehearse(play, revision="once")
        result = await solve.run()
        assert (result.answer, result.attempts[0].turns) == ("42", 2)
        assert "Review the last step" in stage.vocabulary.decode(solve.prompts()[1])

    async def test_reviews_end_when_the_answer_is_stable(self, stage: Stage) -> None:
        answers = ["41", "42", "42", "43"]
        solve = stage.rehearse(
            lambda _, stream: boxed(answers[stream]), revision="until_stable(most=9)"
        )
        result = await solve.run()
        assert (result.answer, result.attempts[0].turns) == ("42", 3)

    async def test_a_review_that_is_cut_leaves_the_answer(self, stage: Stage) -> None:
        def play(_attempt: int, stream: int) -> list[Part]:
            return boxed("42") if stream == 0 else ["Let me see", anyio.Event()]

        solve = stage.rehearse(play, revision="once", time_limit_s=2.0)
        result = await solve.run()
        assert (result.answer, result.attempts[0].end) == ("42", AttemptEnd.ANSWERED)


class TestEqualAnswers:
    async def test_exactly_equal_ones_share_a_line(self, stage: Stage) -> None:
        spelled = [r"\frac{1}{2}", "0.5", r"50\%", "2/4"]
        solve = stage.rehearse(lambda attempt, _: boxed(spelled[attempt]), attempts=4, agree=4)
        result = await solve.run()
        assert [line.votes for line in result.ballot] == [4]
        assert result.end is SolveEnd.AGREEMENT

    async def test_others_are_compared_as_mathematics(self, stage: Stage) -> None:
        spelled = ["x^2-1", "(x-1)(x+1)", "x^2+1"]
        options = EquivalenceOptions(workers=1, timeout_s=15.0)
        async with EquivalencePool(options) as equivalence:
            await equivalence.are_equal("x", "y")
            solve = stage.rehearse(
                lambda attempt, _: boxed(spelled[attempt]),
                attempts=3,
                agree=3,
                equivalence=equivalence,
            )
            result = await solve.run()
        assert [line.votes for line in result.ballot] == [2, 1]
        assert result.answer == "x^2-1"

    async def test_a_comparison_that_failed_is_tried_again(self, stage: Stage) -> None:
        spelled = ["x^2-1", "(x-1)(x+1)"]
        unsure = Unsure()
        solve = stage.rehearse(
            lambda attempt, _: boxed(spelled[attempt]), attempts=2, agree=2, equivalence=unsure
        )
        result = await solve.run()
        assert ([line.votes for line in result.ballot], unsure.asked) == ([2], 2)


class TestSelectors:
    def rehearse_judge(self, stage: Stage, **request: Any) -> Rehearsal:  # noqa: ANN401
        """Prepare a solve of three answers whose judge takes the solution that says 42."""
        solve = stage.rehearse(
            lambda attempt, _: boxed(str(41 + attempt)), attempts=3, agree=3, **request
        )
        play, vocabulary = solve.engine.script, stage.vocabulary

        def judge(asked: StreamRequest) -> Iterable[Step]:
            _, *shown = vocabulary.decode(asked.prompt).split("Solution ")
            if not shown:
                return play(asked)
            number = next((n for n, text in enumerate(shown, 1) if "42" in text), 1)
            end = vocabulary.control("<|im_end|>")
            return [[*vocabulary.encode(f"It is \\boxed{{{number}}}."), end]]

        solve.engine.script = judge
        return solve

    async def test_the_model_chooses_where_the_ballot_is_contested(self, stage: Stage) -> None:
        solve = self.rehearse_judge(stage, strategy="genselect", time_limit_s=90.0)
        result = await solve.run()
        assert result.answer == "42"
        assert "tournament" in result.detail
        assert len(solve.engine.requests) == 3 + 2 * 2

    async def test_without_time_the_vote_decides(self, stage: Stage) -> None:
        solve = self.rehearse_judge(stage, strategy="genselect", time_limit_s=6.0)
        result = await solve.run()
        assert (result.answer, "tie" in result.detail) == ("41", True)
        assert len(solve.engine.requests) == 3

    async def test_a_program_that_prints_its_answer_again_wins(self, stage: Stage) -> None:
        def play(attempt: int, stream: int) -> list[Part]:
            code = "print(42)" if attempt == 1 else "x = 41"
            return [python(code)] if stream == 0 else boxed("42" if attempt == 1 else "41")

        solve = stage.rehearse(
            play, attempts=2, agree=2, selector="rerun", weight="plain", time_limit_s=90.0
        )
        result = await solve.run()
        assert (result.answer, "rerun" in result.detail) == ("42", True)
        await eventually(lambda: stage.pool.status().leased == 0)

    async def test_the_models_yes_or_no_to_each_solution_decides_between_equals(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def play(attempt: int, stream: int) -> list[Part]:
            number = "41" if attempt < 2 else "42"
            return [python(f"print({number})  # {{answer}}")] if stream == 0 else boxed(number)

        solve = stage.rehearse(
            play, attempts=4, agree=4,
            selector="cascade(weighted, recheck, plausible=1)", weight="plain",
            problem="What is {answer}?", time_limit_s=90.0,
        )  # fmt: skip
        questions: list[str] = []

        async def score(_: ScriptedEngine, ids: list[int], start: int) -> list[float]:
            asked, reply = map(stage.vocabulary.decode, (ids[:start], ids[start:]))
            questions.append(asked)
            doubt = 0.5 if "Is the answer 41 correct?" in asked else 0.1
            return [-doubt if reply == "Yes" else -1.0]

        monkeypatch.setattr(ScriptedEngine, "score", score)
        result = await solve.run()
        assert (result.answer, "recheck" in result.detail) == ("42", True)
        assert len(questions) == 2 * 4
        for asked in questions:
            # What others wrote in braces is no place of ours.
            assert "What is {answer}?" in asked
            assert "# {answer}\n" in asked
            assert "The final answer is" not in asked

    async def test_a_process_reward_model_is_asked_for_each_attempt(self, stage: Stage) -> None:
        class Rewards:
            async def score(self, problem: str, solution: str) -> StepScores:
                assert problem
                return StepScores((0.9,) if "42" in solution else (0.1,))

        solve = stage.rehearse(
            lambda attempt, _: boxed(str(41 + attempt)),
            attempts=3,
            agree=3,
            selector="process_reward",
            rewards=Rewards(),
            time_limit_s=90.0,
        )
        assert (await solve.run()).answer == "42"


class TestConfidence:
    async def test_log_probabilities_are_asked_for_only_where_a_policy_looks(
        self, stage: Stage
    ) -> None:
        for weight, asked in (("tool_errors", 0), ("tool_errors*entropy", 20)):
            solve = stage.rehearse(lambda *_: boxed("1"), weight=weight)
            await solve.run()
            assert solve.engine.requests[0].sampling.top_logprobs == asked

    @pytest.mark.parametrize("asked", [0, 3])
    async def test_who_keeps_tokens_is_told_how_sure_the_model_was(
        self, stage: Stage, asked: int
    ) -> None:
        settings = SolveSettings(recorded_likely_tokens=asked)
        solve = stage.rehearse(lambda *_: boxed("1"), settings=settings, tokens=True)
        await solve.run()
        assert solve.engine.requests[0].sampling.top_logprobs == asked
        for segment in solve.events(AttemptSegment):
            known = bool(asked) and segment.kind is SegmentKind.SAMPLED
            for numbers in (segment.logprobs, segment.confidence):
                assert (numbers is not None) == known
                assert numbers is None or len(numbers) == len(segment.token_ids)

    async def test_a_hopeless_attempt_is_ended_and_does_not_vote(self, stage: Stage) -> None:
        """Attempt 1 goes on once attempt 0 has set the bar, and is less sure of its tokens."""
        bar_set = anyio.Event()

        def play(attempt: int, _stream: int) -> list[Part]:
            sure = [counting(60), *boxed("5")]
            return sure if attempt == 0 else [bar_set, counting(200), *boxed("6")]

        solve = stage.rehearse(
            play,
            settings=SolveSettings(confidence_window=16),
            attempts=2,
            agree=2,
            prune="deepconf(1, warm_up=1)",
        )
        solve.engine.likely = lambda session: -9.0 if session.endswith("-0") else -0.5

        async def set_the_bar() -> None:
            await eventually(lambda: bool(solve.events(BallotChanged)))
            bar_set.set()

        async with anyio.create_task_group() as group:
            group.start_soon(set_the_bar)
            result = await solve.run()
        assert (result.answer, [line.attempts for line in result.ballot]) == ("5", [[0]])
        assert result.attempts[1].end is AttemptEnd.PRUNED
        assert "not_confident: 0.5 under 9" in result.attempts[1].detail
        assert result.saved.attempts_cut == 1


class TestNames:
    @pytest.mark.parametrize("kind", ["weight", "selector", "launch", "early_stop", "prune"])
    async def test_a_policy_that_there_is_not_is_refused(self, stage: Stage, kind: str) -> None:
        wanted: dict[str, Any] = {kind: "best"}
        with pytest.raises(PolicyNameError, match=f"{kind}: .*must be one of") as caught:
            stage.rehearse(lambda *_: [END], **wanted)
        assert caught.value.kind == kind

    async def test_the_settings_name_policies_of_the_default_strategy_only(
        self, stage: Stage
    ) -> None:
        settings = SolveSettings(weight="plain", selector="majority")
        plan = stage.rehearse(lambda *_: [END], settings=settings).plan
        assert type(plan.policies.selector).__name__ == "PluralityVote"
        named = stage.rehearse(lambda *_: [END], settings=settings, strategy="tir").plan
        assert type(named.policies.selector).__name__ == "WeightedVote"


async def test_a_judge_that_thinks_too_long_is_made_to_decide(stage: Stage) -> None:
    def play(attempt: int, _stream: int) -> list[Part]:
        return boxed(str(41 + attempt))

    solve = stage.rehearse(
        play,
        settings=SolveSettings(select_reserve_s=12.0),
        attempts=2,
        agree=2,
        strategy="genselect",
        time_limit_s=82.0,
    )
    attempts, vocabulary = solve.engine.script, stage.vocabulary

    def judge(asked: StreamRequest) -> Iterable[Step]:
        _, *shown = vocabulary.decode(asked.prompt).split("Solution ")
        if not shown:
            return attempts(asked)
        if not vocabulary.decode(asked.prompt).endswith("\\boxed{"):
            return [vocabulary.encode("Let me see"), anyio.Event()]
        number = next(n for n, text in enumerate(shown, 1) if "42" in text)
        return [vocabulary.encode(f"{number}}}")]

    solve.engine.script = judge
    # A round needs ten seconds: here they are all that there is.
    solve.plan = replace(solve.plan, time_limit_s=12.5)
    result = await solve.run()
    assert (result.answer, "tournament" in result.detail) == ("42", True)
