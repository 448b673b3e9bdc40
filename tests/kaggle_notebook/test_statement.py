"""Problems made fit for the server, and their keys."""

import pytest

from client.schema import SolveRequest
from kaggle_notebook.allowance import allowance
from kaggle_notebook.solving import Task
from kaggle_notebook.statement import MAX_CHARACTERS, fit, key_of


@pytest.mark.parametrize(
    "text",
    [
        "What is 1 + 1?",
        "x" * 100_000,
        "half \ud800 a character, \x00 and \x1b controls",
        "数学 😀 \u202e ﷽",
        "tab\tline\nend\r\n",
    ],
)
def test_the_server_takes_what_is_made_fit(text: str) -> None:
    request = SolveRequest(problem=fit(text), problem_id=key_of("é" * 999, text))
    assert request.problem


def test_a_long_problem_keeps_both_ends() -> None:
    found = fit("begin" + "x" * 100_000 + "end")
    assert len(found) <= MAX_CHARACTERS
    assert found.startswith("begin")
    assert found.endswith("end")


@pytest.mark.parametrize("text", ["", " \n\t", "\x00"])
def test_an_empty_one_stays_empty(text: str) -> None:
    assert fit(text) == ""


def test_another_try_has_a_name_of_its_own_that_the_server_takes() -> None:
    """Long ids that differ at their end are other problems under any name."""
    names = set()
    for end in "ab":
        task = Task(key_of("x" * 199 + end, "?"), "?", allowance(9.0, 9.0, 1, 0), 0.0)
        task.rename("16000", "shortened")
        names.add(SolveRequest(problem="?", problem_id=task.name).problem_id)
    assert len(names) == 2


def test_ids_are_keys_whatever_their_type_and_texts_stand_in_for_missing_ones() -> None:
    assert key_of("a", "x") == key_of("a", "y") == "a"
    assert key_of(7, "x") == "7"
    for missing in (None, float("nan"), "", " "):
        assert key_of(missing, "x") == key_of(missing, "x") != key_of(missing, "y")
    assert key_of("a" * 300, "x") != key_of("a" * 301, "x")
