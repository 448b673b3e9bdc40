"""Judging: equal as mathematics, strict integers, choices; and never right for want of time."""

import anyio
import pytest

from server.equivalence.pool import EquivalencePool
from server.evaluation.judge import MOST_ROUNDS, Judge
from server.evaluation.problem import Kind, Problem


def problem(answer: str, kind: Kind = Kind.TEXT) -> Problem:
    return Problem(id="p", statement="?", answer=answer, kind=kind)


async def verdicts(judge: Judge, one: Problem, *written: str | None) -> str:
    return "".join("+" if each.right else "-" for each in await judge.judge(one, written))


async def test_answers_that_are_equal_are_right_however_they_are_written() -> None:
    async with Judge() as judge:
        half = problem("\\frac{1}{2}")
        assert await verdicts(judge, half, "0.5", "1/2", "\\dfrac12", "2", None, "") == "+++---"
        assert await verdicts(judge, problem("(1, 2)"), "(1,2)", "(2,1)", "1, 2") == "+--"
        assert judge.left_open == 0
        root = problem("\\sqrt{8}")
        found = await judge.judge(root, ["2\\sqrt{2}", "2\\sqrt{3}", "2\\sqrt2"])
        assert [each.right for each in found] == [True, False, True]
        keys = {each.answer.key for each in found if each.answer is not None}
        assert len(keys) == 2


async def test_numbers_are_compared_as_they_are_meant() -> None:
    async with Judge() as judge:
        assert await verdicts(judge, problem("\\sqrt{4}"), "3 1/2", "2") == "-+"
        assert await verdicts(judge, problem("\\sqrt{49/4}"), "3 1/2", "2") == "+-"
        assert await verdicts(judge, problem("235"), "1 234", "235") == "-+"


async def test_without_time_nothing_is_taken_for_right() -> None:
    async with Judge(symbolic_s=0.0) as judge:
        found = await judge.judge(problem("\\sin(1)^2 + \\cos(1)^2"), ["1", None])
        assert not any(each.right for each in found)
        assert judge.left_open == 1


async def test_integers_and_choices_are_strict() -> None:
    async with Judge() as judge:
        contest = problem("42", Kind.INTEGER)
        assert await verdicts(judge, contest, "42", "042", "42.5", "-42", "1042") == "++---"
        assert await verdicts(judge, problem("(B)", Kind.CHOICE), "B", "b.", "A", "12") == "++--"


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.INTEGER])
async def test_what_does_not_parse_is_counted_and_wrong(kind: Kind) -> None:
    async with Judge() as judge:
        found = await judge.judge(problem("7", kind), ["\x00" * 20_000, "7", None])
        assert [each.right for each in found] == [False, True, False]
        assert [each.unparsed for each in found] == [True, False, False]


@pytest.mark.parametrize(
    ("truth", "written", "expected"),
    [
        ("y=1-x", ("1-y",), "-"),
        ("y=1-x", ("x=1-y", "1-y"), "+-"),
        ("(1,2)", ("x=1,y=2", "1,2"), "+-"),
        ("1,2", ("x=1,y=2", "(1,2)"), "+-"),
    ],
)
async def test_an_answer_is_right_by_the_truth_alone(
    truth: str, written: tuple[str, ...], expected: str
) -> None:
    async with Judge() as judge:
        found = await judge.judge(problem(truth), written)
        assert "".join("+" if each.right else "-" for each in found) == expected
        # Whoever counts votes finds the right ones on a line of their own.
        keys = {each.right: each.answer.key for each in found if each.answer is not None}
        assert len(set(keys.values())) == len(keys)


#: Seconds for which a question waits for a worker, and those of a comparison, in these tests.
PATIENCE_S, COMPARISON_S = 0.05, 0.5


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.evaluation.judge.PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr("server.evaluation.judge.COMPARISON_S", COMPARISON_S)


class Stubborn(EquivalencePool):
    """A pool that gives no verdict the first `times`, after so many seconds each."""

    def __init__(self, times: int, seconds: float) -> None:
        super().__init__()
        self.times, self.seconds, self.asked = times, seconds, 0

    async def are_equal(self, one: str, other: str) -> bool | None:
        del one, other
        self.asked += 1
        if self.asked > self.times:
            return True
        await anyio.sleep(self.seconds)
        return None


@pytest.mark.parametrize(
    ("times", "seconds", "expected", "asked"),
    [
        (1, PATIENCE_S, "+", 2),
        (MOST_ROUNDS, PATIENCE_S, "-", MOST_ROUNDS),
        (1, COMPARISON_S, "-", 1),
        (1, 0.0, "-", 1),
    ],
    ids=["no worker at first", "no worker at all", "too slow", "not read"],
)
@pytest.mark.usefixtures("hasty")
async def test_what_had_no_worker_in_time_is_asked_again(
    times: int, seconds: float, expected: str, asked: int
) -> None:
    pool = Stubborn(times, seconds)
    judge = Judge()
    judge._pool = pool
    async with judge:
        assert await verdicts(judge, problem("x+1"), "1+x") == expected
        assert pool.asked == asked
        assert judge.left_open == (expected == "-")


@pytest.mark.usefixtures("hasty")
async def test_a_verdict_is_kept_and_a_wait_is_not() -> None:
    pool = Stubborn(MOST_ROUNDS, PATIENCE_S)
    judge = Judge()
    judge._pool = pool
    async with judge:
        assert await verdicts(judge, problem("x+1"), "1+x") == "-"
        assert await verdicts(judge, problem("x+1"), "1+x") == "+"
        assert await verdicts(judge, problem("x+1"), "1+x") == "+"
        assert pool.asked == MOST_ROUNDS + 1
