"""Which answer a problem gets from what is known of it."""

import pytest

from kaggle_notebook.evidence import Evidence
from kaggle_notebook.ladder import Choice, Rung, choose


def text(attempt: int, words: str) -> dict[str, object]:
    return {"type": "attempt.text", "solve_id": "s", "attempt": attempt, "text": words}


def result(output: str, status: str = "ok") -> dict[str, object]:
    return {"type": "attempt.result", "solve_id": "s", "output": output, "status": status}


def ballot(*lines: tuple[str, float, int]) -> dict[str, object]:
    named = [{"answer": a, "weight": w, "votes": v} for a, w, v in lines]
    return {"type": "ballot", "solve_id": "s", "lines": named}


def finished(answer: str | None, end: str = "agreement") -> dict[str, object]:
    return {"type": "solve.finished", "solve_id": "s", "result": {"answer": answer, "end": end}}


def evidence(*events: dict[str, object]) -> Evidence:
    seen = Evidence()
    for event in events:
        seen.observe(event)
    return seen


PRINTED = result("the sum is 17\n")
BOXED = text(0, "So \\boxed{5}")
VOTES = ballot(("7", 1.0, 1), ("9", 1.5, 2))


@pytest.mark.parametrize(
    ("events", "choice"),
    [
        ((PRINTED, BOXED, VOTES, finished("11")), Choice(11, Rung.VOTE)),
        ((PRINTED, BOXED, VOTES), Choice(9, Rung.BALLOT)),
        ((PRINTED, BOXED, VOTES, finished(None, "cancelled")), Choice(9, Rung.BALLOT)),
        ((PRINTED, BOXED), Choice(5, Rung.BOXED)),
        ((PRINTED,), Choice(17, Rung.PRINTED)),
        ((), Choice(3, Rung.DEFAULT)),
        ((ballot(("x+1", 9.0, 9), ("8", 1.0, 1)),), Choice(8, Rung.BALLOT)),
        ((finished("123456"), BOXED), Choice(5, Rung.BOXED)),
        ((text(0, "\\boxed{5}"), text(1, "\\boxed{6}"), text(0, " no")), Choice(5, Rung.BOXED)),
        ((text(0, "\\boxed{5"), text(0, "1}")), Choice(51, Rung.BOXED)),
        ((text(0, "\\boxed{5}"), text(1, "thinking")), Choice(5, Rung.BOXED)),
        ((result("1\n"), result("line 22, in f\n33", "error")), Choice(1, Rung.PRINTED)),
        ((result("3.5 1e9 100000 x7"),), Choice(3, Rung.DEFAULT)),
        ((result("Answer: 12,345"),), Choice(12_345, Rung.PRINTED)),
        ((result("[1, 2, 345] and 1,2,345"),), Choice(345, Rung.PRINTED)),
        ((result("7 and 1,234,567"),), Choice(7, Rung.PRINTED)),
        ((result("7 and -12,345"),), Choice(7, Rung.PRINTED)),
        ((result("7 and 12,345.5"),), Choice(7, Rung.PRINTED)),
    ],
)
def test_the_highest_rung_decides(events: tuple[dict[str, object], ...], choice: Choice) -> None:
    assert choose([evidence(*events)], None, 3) == choice


@pytest.mark.parametrize(
    ("fallback", "choice"),
    [
        ({"answer": "8", "rung": "vote", "final": True}, Choice(8, Rung.VOTE)),
        ({"answer": "8", "rung": "ballot", "votes": 2}, Choice(8, Rung.BALLOT)),
        ({"answer": "8", "rung": "printed"}, Choice(5, Rung.BOXED)),
        ({"answer": None, "rung": "boxed"}, Choice(5, Rung.BOXED)),
        ({"answer": "8", "rung": "of another version"}, Choice(8, Rung.BALLOT)),
        ({}, Choice(5, Rung.BOXED)),
    ],
)
def test_what_a_dead_server_left_counts_by_its_rung(
    fallback: dict[str, object], choice: Choice
) -> None:
    assert choose([evidence(BOXED)], fallback, 0) == choice


def test_the_solve_is_named_that_the_answer_came_from() -> None:
    first, second = evidence(PRINTED), Evidence(solve_id="second")
    assert choose([second, first], None, 0).source is first
    left = {"answer": "8", "rung": "vote", "solve": "second"}
    assert choose([second, first], left, 0).source is second
    unseen = choose([first], left, 0).source
    assert unseen is not None
    assert unseen.solve_id == "second"
    assert choose([], None, 0).source is None


def test_an_earlier_solve_of_the_problem_counts_where_the_last_says_nothing() -> None:
    assert choose([evidence(), evidence(VOTES)], None, 0) == Choice(9, Rung.BALLOT)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "ballot"},
        {"type": "ballot", "lines": [{"answer": "1"}]},
        {"type": "attempt.text", "attempt": "x", "text": 3},
        {"type": "solve.finished", "result": None},
        {"type": "of a later version", "lines": 1},
    ],
)
def test_events_that_are_not_understood_change_nothing(event: dict[str, object]) -> None:
    assert choose([evidence(VOTES, event)], None, 0) == Choice(9, Rung.BALLOT)
