"""The record of answers on disk."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest

from kaggle_notebook.errors import ServerRefused
from kaggle_notebook.record import FILE, AnswerLine, AnswerRecord
from kaggle_notebook.telling import tell_all, wire_form
from kaggle_notebook.wire import Wire


def line(key: str, answer: int = 42) -> AnswerLine:
    return AnswerLine(key=key, id=key, answer=answer, rung="vote", seconds=1.0, left_s=9.0)


def test_it_survives_the_process(tmp_path: Path) -> None:
    record = AnswerRecord(tmp_path)
    record.add(line("a", 1))
    record.add(line("b", 2))
    again = AnswerRecord(tmp_path)
    assert [each.answer for each in again.lines()] == [1, 2]
    assert again.lines() == record.lines()


def test_the_first_answer_stands(tmp_path: Path) -> None:
    record = AnswerRecord(tmp_path)
    record.add(line("a", 1))
    assert record.add(line("a", 2)).answer == 1
    assert len((tmp_path / FILE).read_text().splitlines()) == 1


def test_a_torn_line_is_passed_over_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    AnswerRecord(tmp_path).add(line("a", 1))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"key": "b", "id": "b", "ans')
    record = AnswerRecord(tmp_path)
    assert len(record) == 1
    record.add(line("c", 3))
    assert [each.key for each in AnswerRecord(tmp_path).lines()] == ["a", "c"]


def test_lines_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    foreign = ["", "null", "[]", '{"key": "x"}', "\x00\xff", "[" * 100_000]
    foreign += [json.dumps({**asdict(line("x")), "answer": math.inf})]
    (tmp_path / FILE).write_text("\n".join(foreign), encoding="latin-1")
    assert len(AnswerRecord(tmp_path)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": None},
        {"seconds": "1"},
        {"seconds": math.nan},
        {"left_s": 10**400},
        {"notes": None},
        {"notes": [None]},
        {"tokens": 1e400},
        {"limit_s": {}},
        {"solve": 7},
        {"id": None},
        {"at": False},
        {"session": []},
    ],
)
def test_a_field_of_another_type_costs_neither_its_answer_nor_the_others(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    values = {**asdict(line("a", 1)), **wrong}
    (tmp_path / FILE).write_text(json.dumps(values) + "\n")
    (found,) = AnswerRecord(tmp_path, "of this session").lines()
    assert (found.key, found.answer, found.rung) == ("a", 1, "vote")
    (name,) = wrong
    assert type(getattr(found, name)) in (str, float, int, tuple, type(None))
    json.dumps(wire_form(found), allow_nan=False)


def test_a_line_that_the_server_refuses_keeps_it_from_no_other() -> None:
    told: list[str] = []

    class Refusing(Wire):
        """Refuses the first line."""

        def call(
            self,
            method: str,
            path: str,
            body: Mapping[str, Any] | None = None,
            timeout_s: float = 0.0,
        ) -> dict[str, Any]:
            del method, path, timeout_s
            told.append((body or {})["problem_id"])
            if len(told) == 1:
                raise ServerRefused(422, "it is no answer")
            return {}

    unsayable = replace(line("c"), seconds=cast(float, None))
    tell_all(Refusing("http://127.0.0.1:1"), "run", [line("a"), line("b"), unsayable, line("d")])
    assert told == ["a", "b", "d"]


def test_a_full_disk_loses_nothing_while_the_process_lives(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.symlink_to("/dev/full")
    record = AnswerRecord(tmp_path)
    record.add(line("a", 1))
    assert "No space" in record.trouble
    found = record.get("a")
    assert found is not None
    assert found.answer == 1
    path.unlink()
    record.add(line("b", 2))
    assert not record.trouble
    assert [each.key for each in AnswerRecord(tmp_path).lines()] == ["a", "b"]
