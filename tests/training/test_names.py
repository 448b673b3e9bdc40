"""Problems that are there twice: one name for both, and no answer of one for another."""

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_corpus import row, write
from training.corpus.build import build
from training.corpus.rules import Rules
from training.corpus.store import read_entries, read_examples
from training.names import Names
from training.problems.rate import rates
from training.problems.read import read_problems
from training.rl.commands import sides
from training.traces.answers import given_answers
from training.tuning.recipe import load_recipe, load_rl_recipe
from training.tuning.schedule import split


def test_names_are_joined_by_marks_to_the_first() -> None:
    names = Names()
    for name, mark in [("a", "1"), ("b", "2"), ("c", "3"), ("c", "2"), ("d", "3"), ("c", "1")]:
        names.see(name, mark)
    assert {names.of(each) for each in "abcd"} == {"a"}
    assert names.of("e") == "e"


def attempts(number: int, prompts: tuple[int, int]) -> list[dict[str, Any]]:
    """Return an attempt without the problem's id, and one with it and other white space."""
    rows = [row(f"q{number}", [4, 5 + copy], problem=f"{number} +{' ' * copy} 1?")
            for copy in (1, 2)]  # fmt: skip
    for each, first in zip(rows, prompts, strict=True):
        each["ids"][:2] = [number, first]
    del rows[0]["problem_id"]
    return rows


@pytest.mark.parametrize("prompts", [(7, 7), (7, 8)])
def test_a_held_out_problem_is_not_trained_on_under_another_name(
    tmp_path: Path, prompts: tuple[int, int]
) -> None:
    rows = [each for number in range(40) for each in attempts(number, prompts)]
    source = write(tmp_path / "t.jsonl", rows)
    assert build([source], tmp_path / "capped", Rules(per_problem=1))["entries"] == 40
    figures = build([source], tmp_path / "corpus", Rules())
    assert (figures["entries"], figures["problems"]) == (80, 40)
    assert {each.problem_id for each in read_entries(tmp_path / "corpus")} == {
        f"q{number}" for number in range(40)
    }
    examples = read_examples(tmp_path / "corpus")
    trained, held_out = split(examples, load_recipe("sft"))
    assert held_out
    assert not {each.ids[0] for each in trained} & {each.ids[0] for each in held_out}


def test_a_corpus_that_has_no_statements_is_split_by_its_prompts(tmp_path: Path) -> None:
    rows = [row(f"{name}{number}", [4, 5, number]) for name in "ab" for number in range(40)]
    for number, each in enumerate(rows):
        each["ids"][0] = number % 40
    build([write(tmp_path / "t.jsonl", rows)], tmp_path / "corpus", Rules())
    trained, held_out = split(read_examples(tmp_path / "corpus"), load_recipe("sft"))
    assert held_out
    assert not {each.ids[0] for each in trained} & {each.ids[0] for each in held_out}


def test_entries_without_a_prompt_are_split_by_their_problems(tmp_path: Path) -> None:
    rows = [row(f"p{number}", [number, 4, 5]) for number in range(40)]
    for each in rows:
        each["mask"] = [1] * len(each["ids"])
    build([write(tmp_path / "t.jsonl", rows)], tmp_path / "corpus", Rules())
    trained, held_out = split(read_examples(tmp_path / "corpus"), load_recipe("sft"))
    assert (len(trained), len(held_out)) == (33, 7)


def test_a_problem_that_is_there_twice_is_on_one_side(tmp_path: Path) -> None:
    rows = [
        {"id": f"{name}{number}", "problem": f"What is {number} plus{gap}1?", "answer": 1}
        for name, gap in (("a", " "), ("b", "\n "))
        for number in range(40)
    ]
    trained, held_out = sides(write(tmp_path / "p.jsonl", rows), None, load_rl_recipe("rl"))
    assert held_out
    known = {" ".join(each.statement.split()) for each in trained}
    assert not [each for each in held_out if " ".join(each.statement.split()) in known]


def test_an_answer_is_not_another_problems_with_the_same_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = [{"id": "1", "problem": "What is 1+1?", "answer": 2}, {"id": "2", "answer": 2},
            {"id": "3", "problem": "What  is\n2?", "answer": 2}]  # fmt: skip
    answers = write(tmp_path / "a.jsonl", told)
    rows = [
        row("1", [1], truth=None, answer="7", problem="What is 3+4?"),
        row("1", [2], truth=None, answer="2", problem="What is 3+4?"),
        row("2", [3], truth=None, answer="2", problem="Other?"),
        row("3", [4], truth=None, answer="2", problem="What is 2?"),
        row("1", [5], truth=None, answer="2"),
    ]
    source = write(tmp_path / "t.jsonl", rows)
    with caplog.at_level(logging.WARNING), given_answers(answers) as known:
        build([source], tmp_path / "corpus", Rules(), answers=known)
    assert [each.number for each in read_entries(tmp_path / "corpus")] == [2, 3, 4]
    (record,) = caplog.records
    assert record.getMessage().startswith("1 ids are of other problems in the traces than among")
    assert record.getMessage().endswith("were not used: 1")
    known_problems = read_problems(write(tmp_path / "p.jsonl", told[::2]))
    found = rates(known_problems, [source])
    assert {name: rate.attempts for name, rate in found.items()} == {"1": 1, "3": 1}
