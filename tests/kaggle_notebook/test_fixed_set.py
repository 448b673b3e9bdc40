"""A fixed set is scored by its file, whatever the gateway took its ids for."""

import json
from pathlib import Path

import polars as pl
import pytest

from kaggle_notebook.errors import KaggleError
from kaggle_notebook.fixed_set import FILE, read_set, score
from kaggle_notebook.record import AnswerLine
from kaggle_notebook.statement import key_of


@pytest.mark.parametrize(
    "ids",
    [["0e644e", "26de63"], ["000007", "000012"], ["7", "12"], ["1e5", "2e5"], ["0.5", "007"]],
)
def test_ids_that_write_numbers_are_scored_too(tmp_path: Path, ids: list[str]) -> None:
    path = tmp_path / "set.csv"
    rows = [f"{name},Why {n}?,{n}" for n, name in enumerate(ids)]
    path.write_text("\n".join(["id,problem,answer", *rows]) + "\n")
    lines = [
        AnswerLine(
            key=key_of(row["id"], row["problem"]),
            id=str(row["id"]),
            answer=row["answer"],
            rung="vote",
            seconds=1.0,
            left_s=9.0,
        )
        for row in pl.read_csv(path).iter_rows(named=True)
    ]
    assert "2 of 2 right" in score(read_set([str(path)]), lines, tmp_path)
    told = json.loads((tmp_path / FILE).read_text())["rows"]
    assert [row["id"] for row in told] == [line.key for line in lines]


def test_a_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    long = "x" * 200_000
    path.write_text(f'\ufeffid,problem,answer\na,"{long}\n, too",7\nb,Why?,none\nc\n')
    assert [row.answer for row in read_set([str(path)])] == [7, None, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,problem\na,Why?\n", "has no column answer"),
        ("name,answer\na,1\n", "has no column id"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_scored_is_told(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "set.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KaggleError, match=says):
        read_set([str(path)])
