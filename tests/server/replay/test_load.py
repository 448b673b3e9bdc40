from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.replay.combinations import DEFAULT_COMBINATIONS, read_combination, read_machine
from server.replay.errors import MalformedCombination, RecordsUnreadable
from server.replay.load import load_records
from server.replay.rows import WINDOW, read_row
from voting.machine import H100

TABLE = {
    "problem_id": "p", "correct_answer": 12, "attempt_answer": 12, "reward": 1.0, "n_tokens": 500,
    "n_tool_calls": 3, "n_tool_errors": 1, "state_hash": "s", "action_hash": "a",
}  # fmt: skip
OTHER_TABLE = {
    "problem_id": "q", "correct_answer": 336, "answer": None, "correct": False, "entropy": 0.7,
    "tokens": 90, "python_calls": 4, "python_errors": 2,
}  # fmt: skip
JOURNAL = {
    "problem_id": "p", "answer": "12", "end": "answered", "tool_calls": 1, "tool_errors": 0,
    "mask": [0, 0, 1, 1, 1, 0, 1], "confidence": None,
}  # fmt: skip

Write = Callable[..., Path]
Row = dict[str, Any]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(*rows: object, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b"\n\n")
        return path

    return written


def test_tables_and_exports_are_read_alike(write: Write) -> None:
    answers = write({"id": "p", "answer": "12"}, name="answers.jsonl")
    records = load_records([write(TABLE, OTHER_TABLE, JOURNAL)], answers)
    first, exported = records.problems[0].attempts
    assert (first.right, first.tokens, first.tool_calls, first.tool_errors) == (True, 500, 3, 1)
    assert (exported.right, exported.tokens, exported.key) == (True, 4, "12")
    (failed,) = records.problems[1].attempts
    assert (failed.answer, failed.right, failed.tokens) == (None, False, 90)
    assert failed.scores is not None
    assert failed.scores.mean_entropy == 0.7
    assert (records.attempts, records.left_out) == (3, 0)


def test_attempts_that_were_cut_are_left_out_and_counted(write: Write) -> None:
    cut = [JOURNAL | {"end": end} for end in ("early_stop", "deadline", "cancelled", None)]
    records = load_records([write(TABLE, *cut)])
    assert (records.attempts, records.left_out) == (1, 4)


def test_plans_are_no_attempts_that_were_cut(write: Write) -> None:
    """A solve with a planning engine exports them beside its attempts."""
    plan = JOURNAL | {"role": "plan", "attempt": -1, "solve_id": "solve-1"}
    unnamed = plan | {"problem_id": None}
    records = load_records([write(TABLE, plan, unnamed)])
    assert (records.attempts, records.left_out, records.unnamed) == (1, 0, 0)


def test_attempts_at_problems_without_a_name_are_left_out_and_counted(write: Write) -> None:
    """A journal has those of `quorum solve PROBLEM` too."""
    unnamed = JOURNAL | {"problem_id": None, "solve_id": "solve-1"}
    named = JOURNAL | {"solve_id": "solve-2"}
    answers = write({"id": "p", "answer": "12"}, name="answers.jsonl")
    records = load_records([write(unnamed, named, unnamed)], answers)
    assert (records.attempts, records.left_out, records.unnamed) == (1, 0, 2)
    assert "2 attempts are left out because their problems have no problem_id." in records.notes
    with pytest.raises(RecordsUnreadable, match="2 attempts, none at a problem with a name"):
        load_records([write(unnamed, unnamed)], answers)


def test_a_file_of_answers_stands_above_the_row(write: Write) -> None:
    answers = write({"id": "p", "answer": "13"}, name="answers.jsonl")
    assert not load_records([write(TABLE)], answers).problems[0].attempts[0].right


def test_equal_answers_are_one_and_right_together(write: Write) -> None:
    spelled = ["1/2", r"\frac12", "0.50", r"50\%", "0.51"]
    rows = [TABLE | {"correct_answer": "0.5", "attempt_answer": each} for each in spelled]
    (problem,) = load_records([write(*rows)]).problems
    assert [attempt.right for attempt in problem.attempts] == [True] * 4 + [False]
    assert len({attempt.key for attempt in problem.attempts}) == 2


def test_whole_numbers_of_many_digits_keep_them(tmp_path: Path) -> None:
    """They are equal as floats, which is what a quick parser makes of them."""
    lines = (
        f'{{"problem_id": "p", "tokens": 9, "answer": {10**30 + last}, "truth": {10**30}}}\n'
        for last in range(2)
    )
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    (problem,) = load_records([tmp_path / "rows.jsonl"]).problems
    assert [attempt.right for attempt in problem.attempts] == [True, False]


def test_the_recorder_says_what_arithmetic_leaves_open(write: Write) -> None:
    row = TABLE | {"correct_answer": "(x-1)(x+1)", "attempt_answer": "x^2-1"}
    (problem,) = load_records([write(row, row | {"reward": 0.0}, TABLE | {"reward": 0.0})]).problems
    assert [attempt.right for attempt in problem.attempts] == [True, False, True]


@pytest.mark.parametrize(
    ("output", "printed"),
    [("12", True), ("x = 12.", True), ("3125 1.12 12.5", False), ("120", False), ("", False)],
)
def test_cells_say_whether_the_code_printed_the_answer(
    write: Write, output: str, printed: bool
) -> None:
    cells = write(
        {"problem_id": "p", "state_hash": "s", "action_hash": "a", "output": output},
        name="cells.jsonl",
    )
    assert load_records([write(TABLE)], cells=cells).problems[0].attempts[0].printed is printed


def test_without_cells_nobody_knows(write: Write) -> None:
    cells = write(
        {"problem_id": "p", "state_hash": "s", "action_hash": "other", "output": "12"},
        name="cells.jsonl",
    )
    assert load_records([write(TABLE)], cells=cells).problems[0].attempts[0].printed is None


def test_confidences_become_scores_and_dips() -> None:
    """Of one prompt token and 3 windows: the first is sure, the second is not, the third is."""
    confidence = [None, *[10.0] * WINDOW, *[4.0] * WINDOW, *[10.0] * WINDOW]
    row = JOURNAL | {"mask": [0] + [1] * (3 * WINDOW), "confidence": confidence}
    read = read_row(row, {"p": "12"}, {})
    assert read is not None
    scores, dips = read.attempt.scores, read.attempt.dips
    assert scores is not None
    assert scores.lowest_group == pytest.approx(4)
    assert scores.tail == pytest.approx(10)
    assert scores.mean_confidence == pytest.approx(8)
    assert (dips[0].tokens, dips[0].group_confidence) == pytest.approx((WINDOW, 10))
    assert (dips[-1].tokens, dips[-1].group_confidence) == pytest.approx((2 * WINDOW, 4))
    values = [dip.group_confidence for dip in dips]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TABLE, TABLE | {"correct_answer": 13}),
        (TABLE, OTHER_TABLE | {"problem_id": "p"}),
        # Two that are told to be right, of which no row says which one it should be.
        (
            TABLE | {"correct_answer": None},
            TABLE | {"correct_answer": None, "attempt_answer": 13},
        ),
    ],
)
def test_a_problem_has_one_right_answer(write: Write, one: Row, other: Row) -> None:
    with pytest.raises(RecordsUnreadable, match=r"line 2: problem 'p': right answers '12' and '"):
        load_records([write(one, other)])
    answers = write({"id": "p", "answer": "12"}, {"id": "q", "answer": "1"}, name="answers.jsonl")
    assert load_records([write(one, other)], answers).attempts == 2
    twice = write({"id": "p", "answer": "12"}, {"id": "p", "answer": "13"}, name="answers.jsonl")
    with pytest.raises(RecordsUnreadable, match=r"answers\.jsonl, line 2: problem 'p': right"):
        load_records([write(one, other)], twice)


def test_spellings_of_one_right_answer_are_no_contradiction(write: Write) -> None:
    rows = [TABLE | {"correct_answer": each} for each in (12, "12.0", "24/2", r"\frac{24}{2}")]
    assert load_records([write(*rows)]).attempts == 4


def test_attempts_tell_what_they_were_made_as(write: Write) -> None:
    rows = [
        TABLE | told
        for told in ({}, {"attempt": 3}, {"attempt": 3, "offset": 4}, {"attempt": "first"})
    ]
    (problem,) = load_records([write(*rows)]).problems
    assert [attempt.number for attempt in problem.attempts] == [None, 3, 7, None]


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line(write: Write) -> None:
    path = write(TABLE)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_records([path]).attempts == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1], "line 1: must be a JSON object"),
        ({"tokens": 3}, "line 1: no problem_id"),
        ({"problem_id": "p", "answer": 3, "tokens": 3}, "no right answer.*--answers"),
        (TABLE | {"n_tokens": None}, "n_tokens None: must be a whole number"),
        (TABLE | {"n_tokens": -4}, "tokens -4: must be at least 0"),
        (TABLE | {"n_tokens": True}, "n_tokens True: must be a whole number"),
        (TABLE | {"seconds": -3}, "line 1: seconds -3: must be finite and at least 0"),
        (TABLE | {"seconds": "nan"}, "line 1: seconds nan: must be finite"),
        (TABLE | {"entropy": "unknown"}, "line 1: mean_entropy 'unknown': must be a number"),
        (TABLE | {"entropy": [0.5]}, r"line 1: mean_entropy '\[0.5\]': must be a number"),
        (TABLE | {"entropy": -1}, "line 1: problem 'p': mean_entropy -1.0: must be finite"),
        (
            OTHER_TABLE | {"correct_answer": None, "correct": "yes"},
            "line 1: correct 'yes': must be",
        ),
        (JOURNAL | {"mask": ["0", "no"]}, "line 1: mask: must be a list of numbers"),
        (JOURNAL | {"mask": [[0], [1]]}, "line 1: mask: must be a list of numbers"),
        (JOURNAL | {"confidence": ["high"] * 7}, "line 1: confidence: must be a list of numbers"),
        (JOURNAL | {"confidence": [1.0] * 8}, "line 1: confidence of 8 tokens: must be at most 7"),
        (
            JOURNAL | {"confidence": [-1.0] * 7},
            "line 1: problem 'p': mean_confidence -1.0: must be",
        ),
        (JOURNAL | {"end": ["answered"]}, "0 attempts that came to an end of their own"),
    ],
)
def test_malformed_rows_are_refused_with_their_line(
    write: Write, row: object, message: str
) -> None:
    with pytest.raises(RecordsUnreadable, match=message):
        load_records([write(row)])


def test_files_that_cannot_be_read_are_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(RecordsUnreadable, match="cannot be read"):
        load_records([tmp_path / "absent.jsonl"])
    (tmp_path / "broken.jsonl").write_bytes(b'{"problem_id": "p"\n')
    with pytest.raises(RecordsUnreadable, match="line 1: must be a JSON object"):
        load_records([tmp_path / "broken.jsonl"])
    with pytest.raises(RecordsUnreadable, match="0 attempts"):
        load_records([write(JOURNAL | {"end": "early_stop"})])


def test_combinations_are_written_like_settings() -> None:
    combination = read_combination(
        "name=mine; attempts=16; agree=6; launch=staged(4:3, 16:6); early_stop=ahead(needed=2)",
        8,
        4,
    )
    assert (combination.name, combination.attempts, combination.agree) == ("mine", 16, 6)
    assert combination.names.early_stop == "ahead(needed=2)"
    tir = read_combination("strategy=tir; weight=effort", 8, 4)
    assert (tir.names.weight, tir.names.early_stop, tir.attempts) == ("effort", "agree", 8)
    assert read_combination("strategy=greedy", 8, 4).attempts == 1
    assert len({read_combination(text, 8, 4).name for text in DEFAULT_COMBINATIONS}) == 3


@pytest.mark.parametrize(
    "text",
    ["x", "attempts", "attempts=none", "attempts=0", "luck=1", "early_stop=sometimes",
     "agree=3; agree=4", "strategy=unknown", "early_stop=ahead(-1)"],
)  # fmt: skip
def test_malformed_combinations_are_refused(text: str) -> None:
    with pytest.raises(MalformedCombination, match="combination"):
        read_combination(text, 8, 4)


def test_machines_are_named_or_described(tmp_path: Path) -> None:
    assert read_machine("h100") is H100
    path = tmp_path / "mine.json"
    path.write_text('{"decode": [[1, 50], [8, 20]], "tool_call_s": 1}')
    assert read_machine(str(path)).name == "mine"
    assert read_machine(str(path)).token_s(8) == pytest.approx(0.05)
    for text in (
        '{"decode": 3}',
        "[]",
        "{}",
        '{"decode": [[1, 0]]}',
        "{",
        '{"decode": [], "x": 1}',
    ):
        path.write_text(text)
        with pytest.raises(MalformedCombination, match="machine"):
            read_machine(str(path))
    with pytest.raises(MalformedCombination, match="h100, two-cores"):
        read_machine(str(tmp_path / "absent.json"))
