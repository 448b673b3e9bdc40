"""What `predict` reads of a call, and the frame that it gives back."""

import pandas as pd
import polars as pl
import pytest

from kaggle_notebook.frames import answer_frame, read_call
from tests.kaggle_double.gateway import InvalidSubmission, checked

ANSWER = pl.Series("answer", [77])
PROBLEM = "What is $6 \\times 7$?"
STATEMENT = pl.Series("problem", [PROBLEM])


@pytest.mark.parametrize(
    ("arguments", "library"),
    [
        ((pl.Series("id", ["a1"]), pl.Series("problem", [PROBLEM])), "polars"),
        ((pd.Series(["a1"], name="id"), pd.Series([PROBLEM], name="problem")), "pandas"),
        ((pl.Series(["a1"]), pl.Series([PROBLEM])), "polars"),
        (("a1", PROBLEM), "polars"),
        ((["a1"], [PROBLEM]), "polars"),
        ((pl.Series("id", ["a1"]), pl.Series("problem", [PROBLEM]), pl.Series([42])), "polars"),
    ],
)
def test_what_the_gateway_sends_is_read_without_a_note(
    arguments: tuple[object, ...], library: str
) -> None:
    (asked,) = read_call(arguments, {})
    assert (asked.id, asked.text, asked.library, asked.notes) == ("a1", PROBLEM, library, ())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((pl.Series("problem", [PROBLEM]), pl.Series("id", ["a1"])), {}),
        ((pl.Series([PROBLEM]), pl.Series(["a1"])), {}),
        ((pl.Series("row", ["a1"]), pl.Series("task", [PROBLEM])), {}),
        ((pl.Series("ID", ["a1"]), pl.Series("question", [PROBLEM])), {}),
        ((pl.DataFrame({"id": ["a1"], "problem": [PROBLEM], "answer": [1]}),), {}),
        ((pl.DataFrame({"problem": [PROBLEM], "id": ["a1"]}),), {}),
        ((pd.DataFrame({"key": ["a1"], "text": [PROBLEM]}),), {}),
        ((), {"id": pl.Series(["a1"]), "problem": pl.Series([PROBLEM])}),
        ((), {"problem": PROBLEM, "id_": "a1"}),
        ((pl.Series("id", ["a1"]), ANSWER, pl.Series("problem", [PROBLEM])), {}),
        ((ANSWER, pl.Series("id", ["a1"]), pl.Series("problem", [PROBLEM])), {}),
        ((ANSWER, pl.Series("row", ["a1"]), pl.Series("task", [PROBLEM])), {}),
        (
            (
                pl.Series("id", ["a1"]),
                pl.Series("source", ["x y"]),
                pl.Series("problem", [PROBLEM]),
            ),
            {},
        ),
        ((pd.Series([77], name=" Answer"), pd.Series(["a1"]), pd.Series([PROBLEM])), {}),
        ((pl.DataFrame({"Answer": [1], "row": ["a1"], "task": [PROBLEM]}),), {}),
    ],
)
def test_columns_renamed_swapped_or_in_one_frame(
    arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    (asked,) = read_call(arguments, named)
    assert (asked.id, asked.text) == ("a1", PROBLEM)


@pytest.mark.parametrize(
    ("ids", "problems", "rows"),
    [
        (["a", "b"], ["x", "y"], [("a", "x"), ("b", "y")]),
        (["a", None], ["x", None], [("a", "x"), (None, "")]),
        (["a", "b"], ["x"], [("a", "x"), ("b", "")]),
        (["a"], ["x", "y"], [("a", "x")]),
        ([], ["x", "y"], [(None, "x"), (None, "y")]),
        ([], [], [(None, "")]),
    ],
)
def test_each_row_is_a_problem_and_the_ids_say_how_many(
    ids: list[str | None], problems: list[str | None], rows: list[tuple[str | None, str]]
) -> None:
    series = pl.Series("id", ids, pl.String), pl.Series("problem", problems, pl.String)
    assert [(each.id, each.text) for each in read_call(series, {})] == rows


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        ((pl.Series("id", ["a1"]), pl.Series("problem", [None])), "null"),
        ((pl.Series("id", []), pl.Series("problem", [])), "0 rows of id and 0 of problem"),
        ((pl.Series("id", ["a", "b"]), pl.Series("problem", ["x", "y"])), "2 rows of id"),
        ((pl.Series("problem", ["x y"]), pl.Series("id", ["b"])), "swapped"),
        ((pl.Series("name", ["a"]), pl.Series("problem", ["x"])), "'name'"),
        ((pl.Series("id", ["a"]), pl.Series("problem", [7])), "type int"),
        ((), "no id"),
    ],
)
def test_what_is_odd_is_noted(arguments: tuple[object, ...], note: str) -> None:
    asked, *_ = read_call(arguments, {})
    assert any(note in each for each in asked.notes)


class Hostile:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_object_that_cannot_be_read_is_no_error() -> None:
    (asked,) = read_call((Hostile(), Hostile()), {})
    assert (asked.id, asked.text) == (None, "")


@pytest.mark.parametrize("identity", ["a1", 7, 7.5, None, float("nan"), "", b"x"])
@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_the_gateway_takes_every_answer(identity: object, library: str) -> None:
    frame = answer_frame([identity], [42], library)
    assert type(frame).__module__.startswith(library)
    checked(frame, pl.DataFrame({"id": ["a1"]}))


@pytest.mark.parametrize("library", ["polars", "pandas"])
@pytest.mark.parametrize("ids", [["a1", "b2"], [7, 8], [7, "b2"], [7.5, 8], [None, 7]])
def test_every_row_has_an_answer_whatever_its_id(ids: list[object], library: str) -> None:
    frame = answer_frame(ids, [42, 43], library)
    assert type(frame).__module__.startswith(library)
    checked(frame, pl.DataFrame({"id": ["a1", "b2"]}))


def test_the_gateway_refuses_what_is_wrong() -> None:
    ids = pl.DataFrame({"id": ["a1"]})
    wrong = [
        pl.DataFrame({"id": ["a1", "a2"], "answer": [1, 2]}),
        pl.DataFrame({"id": ["a1"], "solution": [1]}),
        pl.DataFrame({"id": ["a1"], "answer": [None]}, schema={"id": str, "answer": pl.Int64}),
        pl.DataFrame({"id": ["a1"], "answer": [100_000]}),
        pl.DataFrame({"id": ["a1"], "answer": ["5"]}),
        5,
    ]
    for frame in wrong:
        with pytest.raises(InvalidSubmission):
            checked(frame, ids)


class Secret(dict[str, list[object]]):
    """A frame whose answers must not be looked at."""

    columns = ("id", "problem", "answer")

    def __getitem__(self, name: str) -> list[object]:
        assert name != "answer"
        return ["a1" if name == "id" else PROBLEM]


class HostileAnswer(Hostile):
    """A series of answers."""

    name = "answer"


def test_an_answer_is_never_read() -> None:
    hidden: tuple[tuple[tuple[object, ...], dict[str, object]], ...] = (
        (("a1", PROBLEM, Hostile()), {}),
        (("a1", PROBLEM), {"answer": Hostile()}),
        ((HostileAnswer(), "a1", PROBLEM), {}),
        ((Secret(),), {}),
    )
    for arguments, named in hidden:
        (asked,) = read_call(arguments, named)
        assert (asked.id, asked.text, asked.notes) == ("a1", PROBLEM, ())
