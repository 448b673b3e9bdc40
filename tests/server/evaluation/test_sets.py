"""Problem sets: files of every kind, and rows that are no problems."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.evaluation.catalogue import known_sets
from server.evaluation.choices import choice_letter
from server.evaluation.errors import SetGone, SetUnreadable, UnknownSet
from server.evaluation.load import load_set
from server.evaluation.problem import Fault, Kind, ProblemSet, read_answer
from tests.server.evaluation.rows import ROWS, json_lines

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_a_file_of_every_kind_gives_the_same_problems(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mine.{ending}"
    rows = [{"subject": None, **row} for row in ROWS]
    if ending == "jsonl":
        path.write_bytes(json_lines(rows))
    elif ending == "json":
        path.write_text(json.dumps(rows))
    elif ending == "csv":
        cells = [[row[name] or "" for name in ("id", "problem", "answer", "level", "subject")]
                 for row in rows]  # fmt: skip
        text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in cells)
        path.write_text(f"\ufeffid,problem,answer,level,subject\n{text}\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    found = load_set(str(path))
    assert found.name == "mine"
    assert [(p.id, p.answer, p.level, p.subject) for p in found.problems] == [
        ("a", "2", "1", "Sums"), ("b", "\\frac{1}{2}", "2", None), ("c", "(1, 2)", "2", None),
    ]  # fmt: skip
    assert not found.faults


def test_columns_are_mapped_and_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(json_lines([{"q": "2 + 2?", "target": 4.0}, {"q": "A list?", "target": [7]}]))
    found = load_set(str(path), columns={"statement": "q", "answer": "target"})
    assert [(p.id, p.statement, p.answer) for p in found.problems] == [
        ("other-0", "2 + 2?", "4"), ("other-1", "A list?", "7"),
    ]  # fmt: skip
    with pytest.raises(SetUnreadable, match="must be for one of"):
        load_set(str(path), columns={"colour": "q"})


def read(path: Path, content: str, **asked: Any) -> ProblemSet:  # noqa: ANN401 - options
    path.write_bytes(content.encode())
    return load_set(str(path), **asked)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("semicolons.csv", "ID;Problem;Answer\r\n7;\"a; b?\";1/2\r\n", ("7", "a; b?", "1/2")),
        ("tabs.tsv", "Problem ID\tQuestion\tFinal-Answer\n7\tq?\t3\n", ("7", "q?", "3")),
        ("held.json", '{"version": 1, "data": [{"problem": "q?", "answer": 3}]}',
         ("held-0", "q?", "3")),
        ("one.json", '{"problem": "q?", "answer": 3, "tags": []}', ("one-0", "q?", "3")),
        ("errors.json", '{"data": [{"problem": "q?", "answer": 3}], "errors": []}',
         ("errors-0", "q?", "3")),
        ("named.json", '{"a": {"problem": "q?", "answer": 3}}', ("a", "q?", "3")),
        ("lines.json", '{"problem": "q?", "answer": 3}\n{"problem": "", "answer": 4}\n',
         ("lines-0", "q?", "3")),
        ("crlf.jsonl", '\ufeff{"id": " 1 ", "question": "q?", "target": 0.1}\r\n',
         ("1", "q?", "0.1")),
        ("exact.jsonl", '{"id": "", "problem": "q?", "answer": 12345678901234567890123}\n',
         ("exact-0", "q?", "12345678901234567890123")),
        ("small.jsonl", '{"problem": "q?", "answer": 1e-7}\n', ("small-0", "q?", "0.0000001")),
        ("worked.jsonl", '{"question": "q?", "answer": "6 and 6 make\\n#### 1,012"}\n',
         ("worked-0", "q?", "1,012")),
        ("deep.jsonl", '{"id": 4.0, "problem": "Wie groß ist ℵ?", "answer": ["\\\\sqrt{2}"]}\n',
         ("4", "Wie groß ist ℵ?", "\\sqrt{2}")),
    ],
)  # fmt: skip
def test_what_people_write_is_read(
    tmp_path: Path, name: str, content: str, expected: tuple[str, str, str]
) -> None:
    (problem,) = read(tmp_path / name, content).problems
    assert (problem.id, problem.statement, problem.answer) == expected


def test_a_zipped_file_and_columns_within_columns(tmp_path: Path) -> None:
    path = tmp_path / "packed.jsonl.gz"
    row: dict[str, object] = {
        "prompt": [{"role": "user", "content": "q?"}],
        "reward_model": {"ground_truth": "34"},
    }
    path.write_bytes(gzip.compress(json_lines([row])))
    columns = {"statement": "prompt.0.content", "answer": "reward_model.ground_truth"}
    (problem,) = load_set(str(path), columns=columns).problems
    assert (problem.id, problem.statement, problem.answer) == ("packed-0", "q?", "34")
    path.write_bytes(gzip.compress(json_lines([row] * 50))[:60])
    with pytest.raises(SetUnreadable, match="packed"):
        load_set(str(path), columns=columns)


def test_values_that_say_nothing_are_no_answers(tmp_path: Path) -> None:
    values = ["null", "NaN", "Infinity", "true", "{}", "[]", '"  "', "[null]"]
    rows = "\n".join(f'{{"problem": "{n}?", "answer": {v}}}' for n, v in enumerate(values))
    found = read(tmp_path / "mute.jsonl", f'{rows}\n{{"problem": "q?", "answer": 1}}')
    assert len(found.problems) == 1
    assert len(found.faults[Fault.NO_ANSWER]) == len(values)
    control = read(
        tmp_path / "odd.jsonl",
        '{"problem": "a\\u0000b", "answer": 1}\n{"problem": "\\ud800", "answer": 1}\n'
        '{"id": "\\ud800", "problem": "fine", "answer": 1}',
    )
    assert [problem.id for problem in control.problems] == ["\\ud800"]
    assert control.faults == {Fault.NOT_TEXT: ["odd-0", "odd-1"]}


@pytest.mark.parametrize(
    "written", ["1e9999999", "-1e-9999999", "1e99999999999999999999", "9" * 5_000]
)
def test_numbers_of_any_size_stop_no_set(tmp_path: Path, written: str) -> None:
    content = f'{{"problem": "q?", "answer": 1}}\n{{"problem": "r?", "answer": {written}}}\n'
    found = read(tmp_path / "t.jsonl", content)
    assert found.problems[0].answer == "1"
    assert len(found.problems) + sum(map(len, found.faults.values())) == 2


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("9" * 1_000, "9" * 1_000),
        ("0." + "123456789" * 5, "1." + "23456789" + "123456789" * 4 + " \\cdot 10^{-1}"),
        ("-25e99", "-2.5 \\cdot 10^{100}"),
    ],
)
def test_an_answer_is_never_rounded(tmp_path: Path, written: str, answer: str) -> None:
    (problem,) = read(tmp_path / "t.jsonl", f'{{"problem": "q?", "answer": {written}}}').problems
    assert problem.answer == answer


def test_integers_of_a_table_with_gaps(tmp_path: Path) -> None:
    found = read(tmp_path / "t.csv", "problem,answer\na,42.0\nb,\nc,42.5\n", kind=Kind.INTEGER)
    assert [problem.answer for problem in found.problems] == ["42"]
    assert set(found.faults) == {Fault.NO_ANSWER, Fault.UNPARSED}


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    content = '{"problem": "q?", "answer": 1, "grade": 3}\n'
    with pytest.raises(SetUnreadable, match=r"'lvl' for level: .* 'problem', 'answer', 'grade'"):
        read(tmp_path / "t.jsonl", content, columns={"level": "lvl"})
    with pytest.raises(SetUnreadable, match="its columns are 'foo'"):
        read(tmp_path / "u.jsonl", '{"foo": 1}\n')
    found = read(tmp_path / "t.jsonl", content * 2 + '{"problem": "r?", "answer": 1, "grade": 4}',
                 where={"grade": "4"})  # fmt: skip
    assert [problem.statement for problem in found.problems] == ["r?"]


def test_choices_are_told_and_asked_for(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "place", "question": "1 + 1?", "choices": ["1", "2", "3"], "answer": 1},
        {"id": "letter", "question": "1 + 1?", "options": ["A) 1", "B) 2"], "correct": "B"},
        {"id": "labels", "question": "1 + 1?",
         "choices": {"label": ["A", "B"], "text": ["1", "2"]}, "answerKey": "B"},
        {"id": "columns", "question": "1 + 1?", "A": 1, "B": 2, "answer": "2"},
        {"id": "free", "question": "1 + 1?", "answer": "2"},
    ]  # fmt: skip
    path = tmp_path / "choices.jsonl"
    path.write_bytes(json_lines(rows))
    *chosen, free = load_set(str(path)).problems
    assert [(p.id, p.answer, p.kind) for p in chosen] == [
        (name, "B", Kind.CHOICE) for name in ("place", "letter", "labels", "columns")
    ]
    assert all("(A) 1\n(B) 2\n" in p.statement and "letter" in p.statement for p in chosen)
    assert (free.kind, free.statement) == (Kind.TEXT, "1 + 1?")
    strict = load_set(str(path), kind=Kind.CHOICE)
    assert strict.faults == {Fault.UNPARSED: ["free"]}


@pytest.mark.parametrize("labels", [["1", "2", "3"], [1, 2, 3], ["i", "ii", "iii"]])
def test_the_right_choice_may_be_told_by_its_label(tmp_path: Path, labels: list[Any]) -> None:
    """Numbers as labels are no places from 0: some rows of ARC have them."""
    choices = {"label": labels, "text": ["two", "three", "four"]}
    rows: list[dict[str, object]] = [
        {"question": "1 + 1?", "choices": choices, "answerKey": labels[0]},
        {"question": "2 + 2?", "choices": choices, "answerKey": labels[2]},
    ]
    path = tmp_path / "labels.jsonl"
    path.write_bytes(json_lines(rows))
    found = load_set(str(path))
    assert [(p.answer, p.kind) for p in found.problems] == [
        ("A", Kind.CHOICE), ("C", Kind.CHOICE),
    ]  # fmt: skip
    assert all("(A) two\n(B) three\n(C) four\n" in p.statement for p in found.problems)


def test_rows_that_are_no_problems_are_named_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "faulty.jsonl"
    rows: list[dict[str, object]] = [
        {"id": "good", "problem": "1?", "answer": "1"},
        {"id": "twice", "problem": "2?", "answer": "2"},
        {"id": "twice", "problem": "3?", "answer": "3"},
        {"id": "open", "problem": "4?", "answer": None},
        {"id": "blank", "problem": "5?", "answer": "  "},
        {"id": "mute", "problem": "", "answer": "6"},
        {"id": "big", "problem": "7?", "answer": "123456"},
        {"id": "word", "problem": "8?", "answer": "seven"},
        {"id": "long", "problem": "x" * 20_000, "answer": "9"},
    ]
    path.write_bytes(json_lines(rows))
    found = load_set(str(path), kind=Kind.INTEGER)
    assert [problem.id for problem in found.problems] == ["good"]
    assert {fault: list(ids) for fault, ids in found.faults.items()} == {
        Fault.DUPLICATE: ["twice", "twice"],
        Fault.NO_ANSWER: ["open", "blank"],
        Fault.NO_STATEMENT: ["mute"],
        Fault.UNPARSED: ["big", "word"],
        Fault.TOO_LONG: ["long"],
    }
    assert any("'big', 'word'" in note for note in found.notes())


@pytest.mark.parametrize(
    ("name", "content"),
    [("broken.jsonl", b'{"id": 1,\n'), ("list.jsonl", b"[1]\n"), ("half.parquet", b"PAR1half"),
     ("binary.csv", b"\xff\xfe\x00"), ("empty.jsonl", b""), ("table.xml", b"<a/>")],
)  # fmt: skip
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SetUnreadable, match=name):
        load_set(str(path))


def test_a_file_without_a_row_is_not_told_to_name_columns(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(SetUnreadable, match=r"holds no row.*; name a file of problems"):
        load_set(str(path))


def test_names_that_there_are_not() -> None:
    with pytest.raises(UnknownSet, match="must be one of math500"):
        load_set("math5000")
    with pytest.raises(SetGone, match=r"kaggle competitions download .* --data"):
        load_set("aimo3-reference")


def test_the_first_by_hash_do_not_depend_on_the_order(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": n, "problem": f"{n}?", "answer": n} for n in range(20)]
    chosen = []
    for order in (rows, rows[::-1]):
        path = tmp_path / "order.jsonl"
        path.write_bytes(json_lines(order))
        chosen.append([problem.id for problem in load_set(str(path)).first(5).problems])
    assert chosen[0] == chosen[1]
    repeated = load_set(str(path)).first(2).repeated(3).problems
    assert [problem.copy for problem in repeated] == [0, 0, 1, 1, 2, 2]
    assert {problem.original for problem in repeated} == set(chosen[0][:2])
    assert len({problem.id for problem in repeated}) == 6


def test_every_known_set_is_described_whole() -> None:
    for name, source in known_sets().items():
        assert source.licence, name
        assert source.title, name
        assert source.count is not None or not source.checked, name


@pytest.mark.parametrize(
    ("written", "letter"),
    [("B", "B"), ("(B)", "B"), ("b.", "B"), (r"\text{(C)}", "C"), (r"\textbf{(D) }12", "D"),
     ("A) 12", "A"), ("A number", None), ("12", None), ("", None), ("Z", None), ("A, B", None),
     ("Option C", "C"), ("The answer is (D).", "D"), ("**B**", "B"), ("$\\boxed{B}$", "B"),
     ("B and C", None), ("(A)(B)", None), ("(A), (C)", None), ("(A) and (C)", None),
     ("(B) or (C)", None), ("(B) 5 or (C) 6", None), ("(A) not (B)", None), ("A. 5, C. 6", None),
     ("A.M.", None), ("\uff08B\uff09", "B"), ("\uff22", "B"), ("{B}", "B"), ("\u9009B", "B"),
     ("\u7b54\u6848\uff1aB", "B"), ("(B) f(A) = 2", "B"), ("(B) and (B)", "B"),
     ("B. x or a", "B")],
)  # fmt: skip
def test_choices_are_letters(written: str, letter: str | None) -> None:
    assert choice_letter(written) == letter


def test_strict_integers_are_the_contests() -> None:
    read = read_answer("042", Kind.INTEGER)
    assert read is not None
    assert read.key == "42"
    for wrong in ("-1", "100000", "1/2", "x"):
        assert read_answer(wrong, Kind.INTEGER) is None


def test_half_a_character_pair_in_any_column_does_not_stop_a_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows: list[dict[str, object]] = [
        {**ROWS[0], "level": "\ud800", "source": "\udfff"}, {**ROWS[1], "answer": "x\ud800"},
    ]  # fmt: skip
    path.write_bytes(json_lines(rows))
    found = load_set(str(path))
    assert [(p.id, p.level, p.source) for p in found.problems] == [("a", "\\ud800", "\\udfff")]
    assert found.faults == {Fault.UNPARSED: ["b"]}
    assert len(found.digest) == 64
