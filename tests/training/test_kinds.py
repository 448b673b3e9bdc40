"""Kinds of entries: preferred continuations and their pairs, and choices of GenSelect."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.schema import LabelTag as Tag
from tests.docs.gateway import running_gateway
from tests.training import letters
from tests.training.test_corpus import PROMPT, read_json, row, write
from tests.training.writer import write as play
from training import errors
from training.alternates.record import Alternate, AlternateEnd, Position
from training.annotate.reflections import Span, write_spans
from training.corpus.build import Compared, build
from training.corpus.commands import corpus_command
from training.corpus.exclusion import Excluded
from training.corpus.rules import Kind, Rules
from training.corpus.store import read_entries, read_examples
from training.genselect.generate import Plan, generate
from training.genselect.questions import Question, Solution, questions, solution
from training.problems.rate import rates
from training.problems.read import Problem
from training.traces.answers import Answers
from training.traces.read import read_traces, to_trace

OWN = [10, 11, 12, 13, 14, 15]


def position(begin: int = 5, **more: object) -> Position:
    made = Position(
        problem_id="a", solve_id="s", attempt=0, begin=begin, end=begin + 2, before="", own="own",
        priority=0.5, named=False, temperature=0.8, model="other",
        alternates=[
            Alternate(alternate=n, ids=[50 + n, 60], text="t", end=AlternateEnd.BOUNDARY, seed=n)
            for n in range(2)
        ],
    )  # fmt: skip
    return made.model_copy(update=more)


def said(who: str, tag: Tag, alternate: int | None, begin: int = 5) -> Span:
    return Span("a", "s", 0, who, tag, begin, begin + 2, None, f"{who} says so", alternate)


VOTES = [
    said("ann", Tag.BETTER, 0), said("ann", Tag.WORSE, None), said("ann", Tag.NEUTRAL, 1),
    said("bob", Tag.BETTER, 0), said("bob", Tag.WORSE, 1),
]  # fmt: skip


def compared(folder: Path, positions: list[Position], spans: list[Span]) -> Compared:
    alternates = write(folder / "alternates.jsonl", [each.row() for each in positions])
    write_spans(folder / "reflections.csv", spans)
    return Compared([alternates], [folder / "reflections.csv"])


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return write(
        tmp_path / "t.jsonl",
        [row("a", OWN, solve_id="s", attempt=0), row("b", [1], solve_id="s", attempt=1)],
    )


def test_preferred_continuations_go_on_from_the_traces_ids(traces: Path, tmp_path: Path) -> None:
    positions = [position(), position(7)]
    votes = [*VOTES, *(replace(span, begin=7, end=9) for span in VOTES)]
    rules = Rules(kinds=(Kind.PREFERRED,))
    given = compared(tmp_path, positions, votes)
    figures = build([traces], tmp_path / "out", rules, compared=given, lines=True)
    entries = {entry.number: entry for entry in read_entries(tmp_path / "out")}
    assert figures["kind"] == {"preferred": 2}
    assert figures["reason"]["position: preferred by annotators"] == 2
    trained = [entry for entry in entries.values() if entry.trained]
    whole = [*PROMPT, *OWN]
    assert [[*entry.prompt, *entry.ids] for entry in trained] == [
        [*whole[:5], 50, 60], [*whole[:7], 50, 60],
    ]  # fmt: skip
    assert all(entry.mask.all() for entry in trained)
    assert {entry.model for entry in trained} == {"other"}
    pairs = read_json(tmp_path / "out" / "pairs.jsonl")
    assert len(pairs) == 4
    for pair in pairs:
        chosen, rejected = entries[pair["chosen"]], entries[pair["rejected"]]
        assert chosen.prompt.tolist() == rejected.prompt.tolist()
        assert (chosen.trained, rejected.trained) == (True, False)
        assert rejected.ids.tolist() in ([51, 60], whole[len(chosen.prompt) :][:2])
    # prompts that begin alike are one
    (prompt,) = read_json(tmp_path / "out" / "prompts.jsonl")
    assert prompt["ids"] == whole[:7]
    lines = read_json(tmp_path / "out" / "tokens.jsonl")
    assert {line["prompt_tokens"] for line in lines} == {5, 7}
    examples = read_examples(tmp_path / "out")
    assert examples[0].weights.tolist() == [0] * 5 + [1, 1]


CASES: list[tuple[str, dict[str, Any]]] = [
    ("compared by nobody", {"spans": []}),
    ("no majority", {"spans": [*VOTES[:1], said("ann", Tag.WORSE, 1), said("bob", Tag.WORSE, 0),
                               said("bob", Tag.BETTER, 1)]}),
    ("its problem is excluded", {"excluded": Excluded(frozenset({"a"}))}),
    ("its trace is not there", {"trace": {"solve_id": "another"}}),
    ("its trace is not there", {"trace": {"complete": False}}),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "case"), CASES)
def test_positions_are_left_out_for_a_reason(
    reason: str, case: dict[str, Any], tmp_path: Path
) -> None:
    told = {"solve_id": "s", "attempt": 0, **case.get("trace", {})}
    source = write(tmp_path / "t.jsonl", [row("a", OWN, **told), row("b", [1])])
    given = compared(tmp_path, [position()], case.get("spans", VOTES))
    figures = build(
        [source], tmp_path / "out", Rules(), compared=given,
        excluded=case.get("excluded"),
    )  # fmt: skip
    (told_reason,) = [each for each in figures["reason"] if each.startswith("position")]
    assert reason in told_reason
    assert figures["pairs"] == 0


def test_comparisons_that_break_the_rules_are_refused(traces: Path, tmp_path: Path) -> None:
    given = compared(tmp_path, [position()], VOTES[:1])
    with pytest.raises(errors.BadTraces, match="better and worse go together"):
        build([traces], tmp_path / "out", Rules(), compared=given)
    far = compared(tmp_path, [position(8)], [replace(each, begin=8, end=10) for each in VOTES])
    with pytest.raises(errors.BadTraces, match="not inside the trace's 9 tokens"):
        build([traces], tmp_path / "out", Rules(), compared=far)
    twice = compared(tmp_path, [position(), position()], VOTES)
    with pytest.raises(errors.BadTraces, match="is in two files"):
        build([traces], tmp_path / "out", Rules(), compared=twice)
    with pytest.raises(errors.BadTraces, match="go together"):
        corpus_command([traces], target=tmp_path / "out", alternates=list(twice.alternates))


def test_pairs_have_one_prompt(tmp_path: Path) -> None:
    wrong = row("a", [20], answer="8")
    wrong["ids"][0] = 99
    source = write(tmp_path / "t.jsonl", [row("a", [10]), wrong])
    assert build([source], tmp_path / "out", Rules(), pairs_per_problem=1)["pairs"] == 0


def test_continuations_stand_in_the_table_with_their_reasons(traces: Path, tmp_path: Path) -> None:
    letters.save(tmp_path / "tokenizer.json")
    given = compared(tmp_path, [position()], VOTES)
    corpus_command(
        [traces], target=tmp_path / "out", tokenizer=tmp_path / "tokenizer.json",
        alternates=list(given.alternates), reflections=list(given.reflections),
    )  # fmt: skip
    with (tmp_path / "out" / "corpus.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(each["annotation_reason"], each["included"]) for each in rows] == [
        ("right answer", "True"),
        ("ann says so; bob says so", "True"), ("ann says so", "False"),
        ("ann says so; bob says so", "False"), ("right answer", "True"),
    ]  # fmt: skip


def candidate(number: int, answer: str, *, right: bool = False) -> Solution:
    return Solution(("s", number), "p", "How many?", answer, right, f"text {number}", None, None)


def test_questions_have_one_right_solution_among_wrong_answers() -> None:
    wrong = [candidate(n, answer) for n, answer in enumerate(["8", "8", "9", "9", "11"], 10)]
    right = [candidate(1, "7", right=True), candidate(2, "7", right=True)]
    made = list(questions([*wrong, *right], candidates=3, per_problem=3, seed=1))
    assert len(made) > 1
    for question in made:
        answers = [each.answer for each in question.solutions]
        assert sorted(answers) == ["7", "8", "9"]  # those given most often
        assert question.solutions[question.right - 1].right
        system, user = question.wording()
        assert f"Solution {question.right}:\n" in user
        assert "from 1 to 3" in user
        assert "{" not in system
    assert len({question.name for question in made}) == len(made)
    assert [
        each.name for each in questions([*wrong, *right], candidates=3, per_problem=3, seed=1)
    ] == [each.name for each in made]
    assert not list(questions(right, candidates=3, per_problem=3, seed=1))
    assert not list(questions(wrong, candidates=3, per_problem=3, seed=1))


def test_what_a_solution_says_is_no_place_to_fill() -> None:
    hostile = replace(candidate(1, "7", right=True), text="{problem} {count} \\1")
    _, user = Question("q", (hostile, candidate(2, "8")), 1).wording()
    assert "{problem} {count} \\1" in user


def test_only_attempts_with_an_answer_are_solutions() -> None:
    texts = ["a", "b", "c", "<|im_start|>", "It is 7."]
    made = {**row("p", [1, 2], solve_id="s", attempt=3), "problem": "How many?"}
    found = solution(to_trace(made), texts, 6)
    assert found is not None
    assert (found.text, found.answer, found.right) == ("…  is 7.", "7", True)
    for change in ({"kind": "genselect"}, {"truth": None}, {"answer": None}, {"problem": None}):
        assert solution(to_trace({**made, **change}), texts, 6) is None


@pytest.fixture(scope="module")
def writer_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("chooser"), play) as served:
        yield served


class Stopped(Exception):
    """The job is ended from outside."""


async def test_choices_of_the_model_are_traces(writer_url: str, tmp_path: Path) -> None:
    rows = [
        row("p", [40 + n], solve_id="s", attempt=n, answer="7" if n < 2 else str(n))
        | {"problem": "How many?"}
        for n in range(5)
    ]
    source = write(tmp_path / "t.jsonl", rows)
    plan = Plan(candidates=2, per_problem=4, samples=4, max_tokens=40)

    def stop(*_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await generate(writer_url, [source], tmp_path / "out", plan, observe=stop)
    seen: list[int] = []
    figures = await generate(
        writer_url, [source], tmp_path / "out", plan, observe=lambda done, *_: seen.append(done)
    )
    assert figures["traces"] == 4 * figures["questions"]
    assert 0 < figures["right"] < figures["traces"]
    assert len(seen) < figures["questions"]  # what was done is not asked again
    made = list(read_traces(tmp_path / "out" / "traces.jsonl"))
    assert all(trace.values["complete"] for trace in made)
    assert {trace.text_of("kind") for trace in made} == {"genselect"}
    # of one question the prompt is the same: right and wrong choices make pairs
    corpus = build(
        [source, tmp_path / "out" / "traces.jsonl"], tmp_path / "corpus",
        Rules(per_problem=2), pairs_per_problem=2, answers=Answers({"p": "7"}),
    )  # fmt: skip
    assert corpus["kind"] == {"cot": 2, "genselect": 2}
    entries = {entry.number: entry for entry in read_entries(tmp_path / "corpus")}
    pairs = read_json(tmp_path / "corpus" / "pairs.jsonl")
    assert {entries[pair["chosen"]].kind for pair in pairs} == {"cot", "genselect"}
    for pair in pairs:
        one, other = entries[pair["chosen"]], entries[pair["rejected"]]
        assert one.kind == other.kind
        assert one.prompt.tolist() == other.prompt.tolist()
    # choices say nothing of how hard the problem is
    problem = Problem("p", "How many?", "7", "", "", {})
    assert rates([problem], [tmp_path / "out" / "traces.jsonl"]) == {}
