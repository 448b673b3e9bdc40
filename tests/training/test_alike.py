"""What is nearly the same, across problems and across sets."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.test_corpus import read_json, row, write
from training import errors
from training.corpus.build import build
from training.corpus.rules import Rules
from training.corpus.sketches import Neighbours, Sketch, overlap, sketch
from training.corpus.store import read_entries
from training.problems import commands
from training.problems.alike import clusters

FIRST = "Let $ABC$ be a triangle with sides 13, 14 and 15. Find the area of $ABC$ times {n}."
COPY = "Let $ABC$ be a triangle with sides 13, 14, and 15. Find the area of $ABC$, times {n}!"
OTHER = "How many positive integers less than {n} have digits that add up to 17?"


def near(ids: NDArray[np.int64], share: float, source: np.random.Generator) -> NDArray[np.int64]:
    """Return a list that has about `share` of its shingles in common with another."""
    kept = int(len(ids) * 2 * share / (1 + share))
    return np.concatenate([ids[:kept], source.integers(0, 200_000, len(ids) - kept)])


def sketched(ids: NDArray[np.int64]) -> Sketch:
    return sketch(ids.astype(np.uint32))


@pytest.mark.parametrize("least", [0.3, 0.6, 0.8, 0.95])
def test_pairs_with_much_in_common_are_found_among_many(least: float) -> None:
    source = np.random.default_rng(7)
    lists = [source.integers(0, 200_000, 2_000) for _ in range(120)]
    others = [near(ids, (1 + least) / 2, source) for ids in lists]
    known = Neighbours([sketched(ids) for ids in (*lists, *others)], least)
    for number in range(120):
        known.take(number)
    found = [known.nearest(number)[1] for number in range(120, 240)]
    assert sum(each == number for number, each in enumerate(found)) >= 118


def test_what_was_not_taken_is_nobodys_neighbour() -> None:
    ids = np.arange(100)
    known = Neighbours([sketched(each) for each in (ids, ids, ids[:0], ids[:0], ids[:5])], 0.5)
    assert known.nearest(1) == (0.0, None)
    known.take(0)
    known.take(2)
    assert known.nearest(1) == (1.0, 0)
    assert known.nearest(3) == (0.0, None)
    assert known.nearest(4) == (0.0, None)
    assert overlap(sketched(ids[:5]), sketched(ids[:5])) == 1.0


def traces(path: Path, lists: dict[str, list[NDArray[np.int64]]], **told: Any) -> Path:  # noqa: ANN401
    rows = [
        row(problem, ids.tolist()) | {"problem": told.get(problem, problem)}
        for problem, of_problem in lists.items()
        for ids in of_problem
    ]
    return write(path, rows)


def numbers_of(folder: Path) -> list[int]:
    return [entry.number for entry in read_entries(folder)]


def test_copies_under_another_problem_are_left_out(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    one, other = (source.integers(0, 200_000, 3_000) for _ in range(2))
    lists = {"a": [one], "b": [near(one, 0.9, source), other], "c": [near(other, 0.2, source)]}
    path = traces(tmp_path / "t.jsonl", lists)
    figures = build([path], tmp_path / "corpus", Rules(most_overlap_across=0.5))
    assert numbers_of(tmp_path / "corpus") == [0, 2, 3]
    assert figures["reason"]["over 0.5 in common with a chosen one of any problem"] == 1
    overlaps = {entry.number: entry.overlap for entry in read_entries(tmp_path / "corpus")}
    assert (overlaps[0], overlaps[2]) == (0.0, 0.0)
    build([path], tmp_path / "within", Rules(most_overlap=0.5))
    assert numbers_of(tmp_path / "within") == [0, 1, 2, 3]
    build([path], tmp_path / "plain", Rules())
    assert {entry.overlap for entry in read_entries(tmp_path / "plain")} == {None}


def test_variants_and_copies_of_a_problem_share_a_cap(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    told = {
        "a": FIRST.format(n=3), "a5": FIRST.format(n=5), "copy": COPY.format(n=3),
        "b": OTHER.format(n=100), "b2": OTHER.format(n=20_000), "alone": "What is $1 + 1$?",
    }  # fmt: skip
    assert clusters(told) == {"a5": "a", "copy": "a", "b2": "b"}
    lists = {name: [source.integers(0, 99, 30) for _ in range(3)] for name in told}
    path = traces(tmp_path / "t.jsonl", lists, **told)
    figures = build([path], tmp_path / "corpus", Rules(per_cluster=4, per_problem=2))
    taken = [entry.problem_id for entry in read_entries(tmp_path / "corpus")]
    # the problems of a cluster take turns
    assert taken == ["a", "a", "a5", "copy", "b", "b", "b2", "b2", "alone", "alone"]
    assert figures["reason"]["over 4 of problems that are nearly the same"] == 4
    assert figures["reason"]["over 2 of its problem"] == 4


def test_sets_are_joined_without_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"a": FIRST.format(n=3), "b": OTHER.format(n=100)}
    two = {"c": COPY.format(n=3), "d": OTHER.format(n=10_000)}
    paths = [
        write(tmp_path / f"{n}.jsonl", [{"id": name, "problem": text} for name, text in of.items()])
        for n, of in enumerate([one, two])
    ]
    commands.unique_command(paths, target=tmp_path / "out.jsonl")
    assert [each["id"] for each in read_json(tmp_path / "out.jsonl")] == ["a", "b", "d"]
    assert "c: 100 % in common with a" in capsys.readouterr().out
    told = json.loads((tmp_path / "out.origin.json").read_text())
    assert told["settings"]["left_out"] == {"c": "a"}
    commands.unique_command(paths, target=tmp_path / "less.jsonl", most_overlap=0.4)
    assert [each["id"] for each in read_json(tmp_path / "less.jsonl")] == ["a", "b"]
    with pytest.raises(errors.BadTraces, match="id a is in two files"):
        commands.unique_command([paths[0], paths[0]], target=tmp_path / "no.jsonl")


def test_statements_in_other_scripts_have_words(tmp_path: Path) -> None:
    russian = "Найдите количество простых чисел, которые меньше {n} и не делят это число."
    chinese = "求小于{n}的所有素数的个数并且这些素数都不整除这个数。"
    told = {name: text.format(n=n) for name, text, n in (
        ("r", russian, 100), ("r2", russian, 7), ("c", chinese, 100), ("c2", chinese, 7),
    )}  # fmt: skip
    assert clusters(told) == {"r2": "r", "c2": "c"}
    held = tmp_path / "held.csv"
    with held.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "problem"), ("h", told["r"]), ("h2", told["c"])])
    rows = [{"id": "x", "problem": f"Задача. {told['r']}"}, {"id": "y", "problem": told["c"]},
            {"id": "z", "problem": "Сколько всего существует трёхзначных чисел?"}]  # fmt: skip
    path = write(tmp_path / "p.jsonl", rows)
    commands.clean_command(path, [held], target=tmp_path / "out.jsonl")
    assert [each["id"] for each in read_json(tmp_path / "out.jsonl")] == ["z"]
