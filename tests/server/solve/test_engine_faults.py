"""An engine that dies, refuses or talks nonsense: what was sampled stands, and the solve ends."""

from collections.abc import Iterable, Iterator

import anyio
import pytest

from client.schema import AttemptEnd, AttemptWaiting, SolveEnd
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.solve import turn
from tests.server.solve.rehearsal import END, Part, Stage, boxed, lines, python


class Outage:
    """An engine that goes down in an attempt's first stream after some text."""

    def __init__(self, stage: Stage, *after: Iterable[Part], **request: object) -> None:
        self._after = lines(*after)
        self.error: EngineError = EngineUnavailable("gone")
        self.solve = stage.rehearse(self._play, **request)  # type: ignore[arg-type] # the request's

    def _play(self, attempt: int, stream: int) -> Iterator[Part]:
        if stream > 0:
            yield from self._after(attempt, stream - 1)
            return
        yield "So it is seven"
        self.solve.engine.up = anyio.Event()
        yield self.error

    def end(self) -> None:
        """Bring the engine back."""
        assert self.solve.engine.up is not None
        self.solve.engine.up.set()

    async def end_once_it_is_told(self) -> None:
        """Bring the engine back when the attempt says that it waits."""
        async for event in self.solve.log.follow():
            if isinstance(event, AttemptWaiting):
                self.end()
                return


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), EngineStalled("gone")])
async def test_lost_and_back_it_goes_on_from_the_same_tokens(
    stage: Stage, error: EngineError
) -> None:
    outage = Outage(stage, [f" times:\n{python('6 * 7')}"], boxed("42"), tokens=True)
    outage.error = error
    solve = outage.solve
    async with anyio.create_task_group() as group:
        group.start_soon(outage.end_once_it_is_told)
        result = await solve.run()
    (report,) = result.attempts
    assert (report.end, report.answer, report.engine_losses) == (AttemptEnd.ANSWERED, "42", 1)
    assert report.turns == 2
    (waiting,) = solve.events(AttemptWaiting)
    first, second, third = solve.prompts()
    assert second == [*first, *stage.vocabulary.encode("So it is seven")]
    assert (waiting.kept_tokens, waiting.reason) == (len(second), "gone")
    assert third[: len(second)] == second
    assert solve.tokens()[: len(third)] == third
    assert solve.text().startswith("So it is seven times:\n```python")


async def test_lost_in_the_middle_of_a_character_it_is_read_whole(stage: Stage) -> None:
    ids = stage.vocabulary.encode("😶")
    assert len(ids) > 1  # not in the corpus of the vocabulary: spelled by bytes
    play = lines([ids[:1], EngineUnavailable("gone")], [ids[1:], *boxed("1")])
    solve = stage.rehearse(play)
    await solve.run()
    assert solve.text() == "😶So the answer is \\boxed{1}."


async def test_lost_in_the_middle_of_code_the_whole_program_runs(stage: Stage) -> None:
    play = lines(["```python\nprint(6 ", EngineUnavailable("gone")], ["* 7)\n```"], boxed("42"))
    solve = stage.rehearse(play)
    assert (await solve.run()).answer == "42"
    assert len(solve.engine.requests) == 3


async def test_gone_for_good_ends_all_attempts_soon(stage: Stage) -> None:
    solve = stage.rehearse(lines(["Let me see", EngineFailed("died 6 times in a row")]), attempts=3)
    started = anyio.current_time()
    result = await solve.run()
    assert anyio.current_time() - started < 5
    assert (result.end, result.answer) == (SolveEnd.ENGINE_LOST, None)
    assert {report.end for report in result.attempts} == {AttemptEnd.ENGINE_LOST}
    assert result.attempts[0].detail == "died 6 times in a row"


async def test_gone_for_good_while_it_is_waited_for(stage: Stage) -> None:
    solve = stage.rehearse(lines([EngineUnavailable("gone")]))
    solve.engine.failed = "will not start"
    result = await solve.run()
    assert result.end is SolveEnd.ENGINE_LOST
    assert result.attempts[0].detail == "will not start"


async def test_not_back_in_time(stage: Stage) -> None:
    result = await Outage(stage, boxed("1"), time_limit_s=1.2).solve.run()
    (report,) = result.attempts
    assert (result.end, report.end) == (SolveEnd.ENGINE_LOST, AttemptEnd.ENGINE_LOST)
    assert report.engine_losses >= 1


async def test_back_when_only_an_answer_can_be_forced(stage: Stage) -> None:
    limit_s = 3.0
    outage = Outage(stage, ["8}"], time_limit_s=limit_s)

    async def end_late() -> None:
        # The time to think ends at 77 % of the limit, that to force an answer at 92 %.
        await anyio.sleep(0.8 * limit_s)
        outage.end()

    async with anyio.create_task_group() as group:
        group.start_soon(end_late)
        result = await outage.solve.run()
    (report,) = result.attempts
    assert (report.end, report.answer) == (AttemptEnd.FORCED, "8")
    assert "the engine was away" in report.detail


async def test_streams_that_break_for_ever(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "PAUSE_MOST_S", 0.005)
    solve = stage.rehearse(lines(["again ", EngineUnavailable("gone")]))
    (report,) = (await solve.run()).attempts
    assert (report.end, report.engine_losses) == (AttemptEnd.ENGINE_LOST, turn.MOST_LOSSES + 1)
    assert len(solve.engine.requests) == turn.MOST_LOSSES + 1


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        (EngineRefused("the prompt is too long"), "the prompt is too long"),
        ([10**6], "token id 1000000"),
        ([-1], "token id -1"),
    ],
)
async def test_nonsense_ends_the_attempt_with_its_own_reason(
    stage: Stage, part: Part, detail: str
) -> None:
    def play(attempt: int, _stream: int) -> list[Part]:
        return ["Let me see ", part] if attempt == 1 else boxed("4")

    solve = stage.rehearse(play, attempts=3, agree=3, tokens=True)
    result = await solve.run()
    ends = [report.end for report in result.attempts]
    assert ends == [AttemptEnd.ANSWERED, AttemptEnd.ENGINE_ERROR, AttemptEnd.ANSWERED]
    assert detail in result.attempts[1].detail
    assert (result.answer, result.end) == ("4", SolveEnd.ALL_FINISHED)
    # What is no token of the vocabulary is in no record.
    assert solve.sampled(1) == [stage.vocabulary.encode("Let me see ")]


async def test_nonsense_that_passes_costs_no_attempt(stage: Stage) -> None:
    play = lines(["So it is ", EngineProtocolError("answered 500")], boxed("4"))
    solve = stage.rehearse(play, attempts=2, agree=2, tokens=True)
    result = await solve.run()
    assert [report.end for report in result.attempts] == [AttemptEnd.ANSWERED] * 2
    assert [report.engine_losses for report in result.attempts] == [1, 1]
    assert {event.reason for event in solve.events(AttemptWaiting)} == {"answered 500"}
    for first, second in zip(solve.prompts(0)[:1], solve.prompts(0)[1:], strict=True):
        assert second == [*first, *stage.vocabulary.encode("So it is ")]


async def test_nonsense_for_ever_ends_the_attempt(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "PAUSE_MOST_S", 0.005)
    solve = stage.rehearse(lines([EngineProtocolError("half an event")]))
    (report,) = (await solve.run()).attempts
    assert (report.end, report.detail) == (AttemptEnd.ENGINE_ERROR, "half an event")
    assert report.engine_losses == turn.MOST_NONSENSE
    assert len(solve.engine.requests) == turn.MOST_NONSENSE + 1


async def test_a_start_without_an_engine_waits_for_it(stage: Stage) -> None:
    solve = stage.rehearse(lines(boxed("1")), attempts=2, agree=2)
    up = solve.engine.up = anyio.Event()

    async def start() -> None:
        async for event in solve.log.follow():
            if isinstance(event, AttemptWaiting) and event.attempt == 1:
                up.set()
                return

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        result = await solve.run()
    assert (result.answer, result.ballot[0].votes) == ("1", 2)
    assert len(solve.engine.requests) == 2


async def test_half_a_character_at_the_end_of_a_turn_is_told(stage: Stage) -> None:
    half = stage.vocabulary.encode("😶")[:1]
    solve = stage.rehearse(lines(["Well ", half], ["7}", END]))
    assert (await solve.run()).answer == "7"
    assert solve.text() == "Well �7}"
