"""A defect of ours costs one attempt at most: the others go on, and the solve has a result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from client.schema import AttemptEnd, AttemptFinished, SolveEnd
from server.dialect.base import Conversation, Dialect, ParseEvent, Prompt
from tests.server.solve.rehearsal import Rehearsal, Stage, boxed, lines
from voting.answers import Answer
from voting.early_stop import StopDecision
from voting.equivalence import AnswerClasses
from voting.launch import AllAtOnce, LaunchDecision
from voting.selectors import Selection, SelectionState
from voting.state import SolveState
from voting.types import AttemptOutcome
from voting.weights import Plain, WeightDecision, WeightReason

BUG = RuntimeError("a bug")


@dataclass
class FaultyConversation:
    """A conversation of which one method has a bug."""

    real: Conversation
    method: str

    @property
    def opening(self) -> Sequence[int]:
        return self.real.opening

    @property
    def answer_text(self) -> str:
        self._fail("answer_text")
        return self.real.answer_text

    def feed(self, token_id: int) -> Sequence[ParseEvent]:
        self._fail("feed")
        return self.real.feed(token_id)

    def flush(self) -> Sequence[ParseEvent]:
        self._fail("flush")
        return self.real.flush()

    def result(self, output: str) -> list[int]:
        return self.real.result(output)

    def force_answer(self) -> list[int]:
        self._fail("force_answer")
        return self.real.force_answer()

    def ask(self, text: str) -> list[int]:
        return self.real.ask(text)

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise BUG


class FaultyDialect:
    """Opens the second conversation with a bug, the others without."""

    def __init__(self, real: Dialect, method: str) -> None:
        self.name, self.end_ids = real.name, real.end_ids
        self._real = real
        self._method = method
        self._opened = 0

    def open(self, prompt: Prompt) -> Conversation:
        self._opened += 1
        conversation = self._real.open(prompt)
        if self._opened != 2:
            return conversation
        if self._method == "open":
            raise BUG
        return FaultyConversation(conversation, self._method)

    def at_once(self, prompt: Prompt) -> Sequence[int]:
        return self._real.at_once(prompt)


@pytest.mark.parametrize("method", ["open", "feed", "flush", "answer_text", "force_answer"])
async def test_a_bug_of_the_dialect_costs_its_attempt(stage: Stage, method: str) -> None:
    play = lines(["Hm."], ["4}"]) if method == "force_answer" else lines(boxed("4"))
    solve = stage.rehearse(play, attempts=3, agree=3, dialect=FaultyDialect(stage.dialect, method))
    result = await solve.run()
    assert result.answer == "4"
    ends = [report.end for report in result.attempts]
    assert ends[1] is AttemptEnd.FAILED
    assert AttemptEnd.FAILED not in (ends[0], ends[2])
    assert result.attempts[1].detail == "RuntimeError: a bug"
    assert result.ballot[0].attempts[0] == 0
    assert sorted(event.attempt for event in solve.events(AttemptFinished)) == [0, 1, 2]


async def test_all_attempts_fail(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BUG

    monkeypatch.setattr(type(stage.dialect), "open", fail)
    result = await stage.rehearse(lines(boxed("4")), attempts=3).run()
    assert (result.end, result.answer) == (SolveEnd.FAILED, None)
    assert [report.end for report in result.attempts] == [AttemptEnd.FAILED] * 3


class FaultyWeight:
    """Weighs attempt 1 wrongly."""

    def __init__(self, weight: float | None) -> None:
        self._weight = weight

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        if outcome.attempt != 1:
            return Plain().decide(outcome)
        if self._weight is None:
            raise BUG
        return WeightDecision(self._weight, WeightReason.EQUAL)


class FaultySelector:
    def decide(self, state: SelectionState) -> Selection:
        raise RuntimeError(f"a bug with {state}")


class FaultyEarlyStop:
    def decide(self, state: SolveState) -> StopDecision:
        raise RuntimeError(f"a bug with {state}")


class FaultyLaunch:
    """Fails once the first attempt has ended."""

    def decide(self, state: SolveState) -> LaunchDecision:
        if state.launched:
            raise BUG
        return AllAtOnce(3).decide(state)


def with_policies(stage: Stage, **faulty: Any) -> Rehearsal:  # noqa: ANN401 - policies of any kind
    answers = ["3", "4", "4", "3", "3"]
    return stage.rehearse(
        lambda attempt, _: boxed(answers[attempt]), attempts=5, agree=5, policies=faulty
    )


@pytest.mark.parametrize("weight", [None, float("nan"), -1.0])
async def test_a_vote_that_cannot_be_weighed_is_not_counted(
    stage: Stage, weight: float | None
) -> None:
    result = await with_policies(stage, weight=FaultyWeight(weight)).run()
    assert result.answer == "3"
    assert [line.attempts for line in result.ballot] == [[0, 3, 4], [2]]
    assert result.attempts[1].end is AttemptEnd.FAILED
    assert "cannot be weighed" in result.attempts[1].detail


async def test_a_vote_that_cannot_be_sorted_in_is_not_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AnswerClasses.add

    def add(classes: AnswerClasses, answer: Answer) -> None:
        if answer.key == "5":
            raise BUG
        real(classes, answer)

    monkeypatch.setattr(AnswerClasses, "add", add)
    result = await stage.rehearse(
        lambda attempt, _: boxed("45"[attempt]), attempts=2, agree=2
    ).run()
    assert [line.answer for line in result.ballot] == ["4"]
    assert result.attempts[1].end is AttemptEnd.FAILED
    assert "cannot be weighed" in result.attempts[1].detail


async def test_without_a_selector_the_most_frequent_answer_counts(stage: Stage) -> None:
    result = await with_policies(stage, selector=FaultySelector()).run()
    assert (result.answer, result.end) == ("3", SolveEnd.ALL_FINISHED)


async def test_without_early_stop_every_attempt_ends(stage: Stage) -> None:
    result = await with_policies(stage, early_stop=FaultyEarlyStop()).run()
    assert (result.answer, result.end) == ("3", SolveEnd.ALL_FINISHED)
    assert [report.end for report in result.attempts] == [AttemptEnd.ANSWERED] * 5


async def test_a_defect_of_the_loop_keeps_the_votes(stage: Stage) -> None:
    solve = stage.rehearse(
        lambda attempt, _: ["Let me see", anyio.Event()] if attempt else boxed("3"),
        attempts=3,
        agree=3,
        policies={"launch": FaultyLaunch()},
    )
    result = await solve.run()
    assert (result.answer, result.end) == ("3", SolveEnd.FAILED)
    ends = [report.end for report in result.attempts]
    assert ends == [AttemptEnd.ANSWERED, AttemptEnd.FAILED, AttemptEnd.FAILED]
