"""Whole attempts in every dialect: a tool, the limits, loops; and a token list that only grows."""

from collections.abc import Iterator

import pytest

from client.schema import AttemptEnd
from server.solve.repetition import WINDOW
from tests.contract.dialects import RECIPES, Family, family
from tests.server.solve.rehearsal import Part, Rehearsal, Stage


@pytest.fixture(params=RECIPES)
def teller(request: pytest.FixtureRequest) -> Family:
    return family(request.param)


@pytest.fixture
def staged(stage: Stage, teller: Family) -> Stage:
    """Return the stage with a family's dialect and vocabulary on it."""
    return Stage(teller.vocabulary, teller.dialect, stage.pool)


def assert_append_only(rehearsal: Rehearsal) -> None:
    """Each stream is asked for with the whole list of the one before, and what came after."""
    prompts = rehearsal.prompts()
    sampled = rehearsal.sampled()
    for number in range(1, len(prompts)):
        before = [*prompts[number - 1], *sampled[number - 1]]
        assert prompts[number][: len(before)] == before
        assert len(prompts[number]) > len(before)
    assert rehearsal.tokens()[: len(prompts[-1])] == prompts[-1]


async def test_a_tool_is_called_and_the_answer_follows(staged: Stage, teller: Family) -> None:
    end = min(teller.dialect.end_ids)
    streams: list[list[Part]] = [
        [teller.thinking("Let me compute.\n"), teller.call("x = 6 * 7\nprint(x)\n")],
        [[*teller.final("So it is \\boxed{42}."), end]],
    ]
    rehearsal = staged.rehearse(lambda _attempt, stream: streams[stream], tokens=True)
    result = await rehearsal.run()
    (report,) = result.attempts
    assert (report.end, report.answer, report.tool_calls) == (AttemptEnd.ANSWERED, "42", 1)
    assert report.token_exact
    assert "42" in teller.vocabulary.decode(rehearsal.prompts()[1][-200:])
    assert_append_only(rehearsal)


def endless(teller: Family) -> Iterator[Part]:
    """Think on and on, never twice the same."""
    yield teller.ids(teller.style.thinking.partition("{}")[0])
    for number in range(10_000):
        yield teller.vocabulary.encode(f"Case {number * number}: no.\n")


async def test_the_end_of_the_context_forces_an_answer(staged: Stage, teller: Family) -> None:
    def play(_attempt: int, stream: int) -> Iterator[Part]:
        if stream == 0:
            yield from endless(teller)
        yield teller.vocabulary.encode("42}.")

    opening = staged.opening_tokens()
    rehearsal = staged.rehearse(
        play, context_tokens=opening + 2000, strategy="majority_vote", tokens=True
    )
    (report,) = (await rehearsal.run()).attempts
    assert (report.end, report.answer) == (AttemptEnd.FORCED, "42")
    assert "tokens or context were used up" in report.detail
    assert_append_only(rehearsal)


async def test_a_loop_is_ended_and_an_answer_forced(staged: Stage, teller: Family) -> None:
    line = teller.vocabulary.encode("Wait, let me check that.\n")

    def play(_attempt: int, stream: int) -> Iterator[Part]:
        if stream == 0:
            yield teller.ids(teller.style.thinking.partition("{}")[0])
            yield line * (3 * WINDOW)
        yield teller.vocabulary.encode("42}.")

    rehearsal = staged.rehearse(play, strategy="majority_vote", tokens=True)
    (report,) = (await rehearsal.run()).attempts
    assert (report.end, report.answer) == (AttemptEnd.FORCED, "42")
    assert "the text repeated itself" in report.detail
    assert report.tokens.sampled < 3 * WINDOW
    assert_append_only(rehearsal)
