"""Which answers are right, wrong or not judged, and what becomes of each in training."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_corpus import read_json, row, write
from training import errors
from training.corpus.build import build
from training.corpus.rules import Rules, reward_of
from training.corpus.store import read_entries
from training.genselect.questions import questions, solution
from training.problems.rate import rates
from training.problems.read import Problem, read_problems
from training.rl.figures import evaluation_figures, rollout_figures
from training.rl.rewards import judge
from training.rl.rollouts import Group, to_group
from training.traces.answers import read_answers
from training.traces.generate import Collector
from training.traces.read import to_trace
from training.tuning.recipe import load_rl_recipe
from training.verdicts import classes, compared
from voting.exact import Comparison

SAME, DIFFERENT, UNKNOWN = Comparison.SAME, Comparison.DIFFERENT, Comparison.UNKNOWN
#: Right, right otherwise spelled, wrong, and what arithmetic cannot compare with one half.
HALVES = ["1/2", r"\frac{1}{2}", "0.5", "3", r"\cos 60^{\circ}"]
HALF = Problem("half", "Half of one?", "1/2", "", "", {})


@pytest.mark.parametrize(
    ("truth", "answer", "verdict"),
    [
        ("1,234", "1234", SAME), ("$42$", 42, SAME), (r"\boxed{7}", "7.0", SAME),
        (r"\dfrac{1}{2}", r"\frac12", SAME), ("0" + "123" * 9, "123" * 9, SAME),
        ("1e3", 1000, SAME), ("1/2", "0.5", SAME), ("0.1", "0.10000", SAME),
        ("1,2", "2,1", SAME), (r"\{1,2\}", r"\{2,1\}", SAME), ("100", "10^2", SAME),
        ("(C)", "C", SAME), ("nan", "nan", SAME), ("9" * 20_000, "9" * 20_000, SAME),
        ("7", "-7", DIFFERENT), ("7", "", DIFFERENT), ("1", "0.99999999999999999999", DIFFERENT),
        ("50", r"50\%", DIFFERENT), ("7", "9" * 20_000, DIFFERENT),
        (r"\sqrt{8}", r"2\sqrt{2}", UNKNOWN), ("2+3i", "3i+2", UNKNOWN), ("12", "1 2", UNKNOWN),
        ("?", "7", UNKNOWN),
    ],
)  # fmt: skip
def test_answers_are_judged_however_they_are_spelled(
    truth: str, answer: str | int, verdict: Comparison
) -> None:
    reward = {SAME: 1.0, DIFFERENT: 0.0, UNKNOWN: None}[verdict]
    assert reward_of(to_trace(row("a", [1], truth=truth, answer=answer))) == reward


@pytest.mark.parametrize(
    "answer",
    ["(" * 9_999, "9^" * 4_999, "9" * 10_000, r"\frac{" * 1_600, "{1," * 300 + "1" + "}" * 300,
     "1e999", "(" * 15 + "9^9^9^9" + ")" * 15, ",".join(["1"] * 200)],
)  # fmt: skip
def test_no_answer_takes_long_to_judge(answer: str) -> None:
    begun = time.process_time()
    assert compared(answer, "1/2") is not SAME
    assert time.process_time() - begun < 1


def half(attempt: int, answer: str | None, **more: object) -> dict[str, Any]:
    return row(
        "half", [10 + attempt, 20], answer=answer, truth="1/2", solve_id="s", attempt=attempt,
        problem=HALF.statement, end="answered", complete=True, tool_calls=0, turns=1,
        logprobs=[None] * 3 + [-1.0] * 2, **more,
    )  # fmt: skip


def halves() -> list[dict[str, Any]]:
    return [half(number, answer) for number, answer in enumerate(HALVES)]


def test_an_answer_that_is_not_judged_is_no_entry_and_in_no_pair(tmp_path: Path) -> None:
    traces = write(tmp_path / "t.jsonl", halves())
    figures = build([traces], tmp_path / "right", Rules(), pairs_per_problem=9)
    assert figures["reason"] == {
        "right answer": 3, "wrong answer": 1,
        "not judged: arithmetic does not tell whether its answer is right": 1,
    }  # fmt: skip
    pairs = read_json(tmp_path / "right" / "pairs.jsonl")
    assert [(each["chosen"], each["rejected"]) for each in pairs] == [(0, 3)]
    figures = build([traces], tmp_path / "all", Rules(least_reward=0.0), pairs_per_problem=9)
    assert figures["reason"] == {"right answer": 3, "wrong answer": 1, "not judged": 1}
    assert figures["pairs"] == 0
    assert [each.reward for each in read_entries(tmp_path / "all")] == [1, 1, 1, 0, None]


def test_an_answer_that_is_not_judged_is_not_rated(tmp_path: Path) -> None:
    problem = {"id": "half", "problem": HALF.statement, "answer": "1/2"}
    known = read_problems(write(tmp_path / "p.jsonl", [problem]))
    (rate,) = rates(known, [write(tmp_path / "t.jsonl", halves())]).values()
    assert (rate.attempts, rate.right, rate.failures) == (4, 3, ("3",))


def test_an_answer_that_is_not_judged_earns_and_loses_nothing() -> None:
    recipe = load_rl_recipe("rl")
    rewards = [judge(each, recipe).reward for each in halves()]
    assert rewards == [pytest.approx(1.1)] * 3 + [pytest.approx(-0.4), None]
    collector = Collector(HALF)
    collector.rows = halves()
    group = to_group(collector, recipe)
    assert group.advantages[4] == 0
    assert sum(group.advantages) == pytest.approx(0)
    assert len(group.rollouts) == 4
    figures = rollout_figures([group])
    assert figures["num_not_judged"] == 1
    assert figures["reward/mean"] == pytest.approx((3 * 1.1 - 0.4) / 4)
    # what is not known to be right does not count as right
    assert evaluation_figures([group])["eval/accuracy"] == pytest.approx(3 / 5)
    # a step of nothing else teaches nothing, and is no failure of anything
    open_ = Group(HALF, [judge(half(4, HALVES[4]), recipe)], [0.0], Counter())
    assert rollout_figures([open_])["num_groups_without_signal"] == 1


def test_a_choice_is_among_answers_that_differ_and_are_judged() -> None:
    rows = [half(5, "3.0"), half(6, "4"), half(7, "3"), *halves()]
    found = [solution(to_trace(each), ["", "", "", "a", "b"], 9) for each in rows]
    solutions = [each for each in found if each is not None]
    assert len(solutions) == 7
    for question in questions(solutions, candidates=4, per_problem=4, seed=1):
        shown = [each.answer for each in question.solutions if not each.right]
        assert sorted(classes(shown).values()) in (["3", "4"], ["3.0", "4"])


def test_two_spellings_of_a_right_answer_are_one(tmp_path: Path) -> None:
    rows = [{"id": "a", "answer": answer} for answer in (r"\sqrt{8}", r"2\sqrt{2}", r"\sqrt8")]
    assert read_answers(write(tmp_path / "a.jsonl", rows)).by_id == {"a": r"\sqrt{8}"}
    rows = [{"id": "a", "answer": answer} for answer in ("1/2", "0.5", "0.6")]
    with pytest.raises(errors.BadTraces, match=r"row 3: the id a has the answer '0\.6'"):
        read_answers(write(tmp_path / "b.jsonl", rows))
