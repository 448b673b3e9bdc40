"""Files of problems as other people write them: odd cells, long integers, nothing at all."""

from pathlib import Path

import pytest

from tests.training.test_corpus import row, write
from training import errors
from training.corpus.exclusion import read_excluded
from training.problems import commands
from training.problems.read import read_problems
from training.problems.sources import Wanted, load
from training.traces.answers import read_answers
from training.traces.read import read_traces

#: Longer than 64 bits, and no double.
LONG = 10**20 + 7


def test_a_row_with_more_cells_than_the_header_is_refused_and_commas_at_its_end_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "problems.csv"
    path.write_text("id,problem,answer\na,What is f(1,2)?,3\n")
    with pytest.raises(errors.BadTraces, match="row 1: has more cells than the header"):
        read_problems(path)
    path.write_text("id,problem,answer\na,What is it?,3,,\n")
    commands.mod_command(path, target=tmp_path / "out.jsonl", modulus=2)
    (only,) = read_problems(tmp_path / "out.jsonl")
    assert only.answer == "1"


def test_integers_of_any_length_are_read_as_they_are_written(tmp_path: Path) -> None:
    lines = tmp_path / "problems.jsonl"
    lines.write_text(f'{{"id": "a", "problem": "A?", "answer": {LONG}, "seen": -{LONG}}}\n')
    listed = tmp_path / "problems.json"
    listed.write_text(f'\n[{{"id": "a", "problem": "A?", "answer": {LONG}}}]')
    for path in (lines, listed):
        assert [each.answer for each in read_problems(path)] == [str(LONG)]
        assert read_answers(path).by_id == {"a": str(LONG)}
    commands.unique_command([lines], target=tmp_path / "out.jsonl")
    assert f'"answer":"{LONG}"' in (tmp_path / "out.jsonl").read_text()
    traces = write(tmp_path / "traces.jsonl", [row("a", [8, 9], truth="LONG")])
    traces.write_text(traces.read_text().replace('"LONG"', str(LONG)))
    assert [each.text_of("truth") for each in read_traces(traces)] == [str(LONG)]


def test_the_ending_of_a_csv_file_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "PROBLEMS.CSV"
    path.write_text("id,problem,answer\na,What is it?,3\n")
    assert [each.id for each in read_problems(path)] == ["a"]


def test_an_evaluation_that_names_nothing_is_refused_as_what_is_kept_out(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    problems = write(tmp_path / "problems.jsonl", [{"id": "a", "problem": "A?", "answer": 1}])
    with pytest.raises(errors.BadTraces, match="has 0 rows"):
        commands.clean_command(problems, [empty], target=tmp_path / "clean.jsonl")
    with pytest.raises(errors.BadTraces, match="has 0 rows"):
        read_excluded(empty)
    assert not read_excluded(None).ids


def test_two_right_answers_of_one_problem_are_refused(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "a", "answer": 5}, {"id": "a", "answer": "5.0"}, {"id": "b", "answer": None},
    ]  # fmt: skip
    assert read_answers(write(tmp_path / "same.jsonl", rows)).by_id == {"a": "5"}
    rows.append({"id": "a", "answer": 6})
    with pytest.raises(errors.BadTraces, match="row 4: the id a has the answer '6', and '5'"):
        read_answers(write(tmp_path / "other.jsonl", rows))


@pytest.mark.parametrize("rate", ["nan", "NaN", "n/a", None])
def test_a_problem_without_a_solve_rate_has_any(tmp_path: Path, rate: str | None) -> None:
    rows = [{"problem": "A?", "expected_answer": "3", "pass_rate_72b_tir": rate}]
    path = write(tmp_path / "set.jsonl", rows)
    assert len(list(load("openmathreasoning", [path], Wanted(least_rate=0.5)))) == 1


def test_a_folder_is_refused_as_the_file_of_solve_rates(tmp_path: Path) -> None:
    problems = write(tmp_path / "problems.jsonl", [{"id": "a", "problem": "A?", "answer": 7}])
    traces = write(tmp_path / "traces.jsonl", [row("a", [8, 9])])
    with pytest.raises(errors.OutputFailed, match="is a folder, must be a file"):
        commands.rate_command(problems, [traces], target=Path())
