"""Problems made fit for the server, and their keys."""

import pytest

from client.schema import SolveRequest
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


def test_long_ids_that_differ_at_their_end_have_names_of_their_own_that_the_server_takes() -> None:
    names = {
        SolveRequest(problem="?", problem_id=key_of("x" * length + end, "?")).problem_id
        for length in (255, 256, 999)
        for end in "ab"
    }
    assert len(names) == 6


def test_ids_are_keys_whatever_their_type_and_texts_stand_in_for_missing_ones() -> None:
    assert key_of("a", "x") == key_of("a", "y") == "a"
    assert key_of(7, "x") == "7"
    for missing in (None, float("nan"), "", " "):
        assert key_of(missing, "x") == key_of(missing, "x") != key_of(missing, "y")
    assert key_of("a" * 300, "x") != key_of("a" * 301, "x")


def test_ids_that_differ_in_what_the_server_does_not_take_have_keys_of_their_own() -> None:
    ids = ["a", "a ", "a\x01", "a\x02", "a\ud800", "a\udfff", "a\ufffd"]
    keys = {SolveRequest(problem="?", problem_id=key_of(each, "?")).problem_id for each in ids}
    assert len(keys) == len(ids)
