r"""Boxes that were never closed: an answer is taken from them, prose is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.answers import AnswerKind, extract
from voting.unclosed import MAX_CHARACTERS, committed

LEAD = "\n\nThe final answer is \\boxed{"

ANSWERS = {
    "whole": ("42", "42"),
    "padded": ("\n 42 \n", "42"),
    "dollar": ("42$", "42"),
    "dollars": ("$42$", "$42"),
    "two dollars": ("$$42$$ so", "$$42"),
    "bold ends": ("42**", "42"),
    "bold": ("**42**", "**42**"),
    "bold in a sentence": ("**42** and then", "**42**"),
    "a typed power": ("2**10", "2**10"),
    "formula ends": ("42\\)", "42"),
    "sentence ends": ("42. So the sum is even", "42"),
    "sentence ends in Chinese": ("42\u3002\u56e0\u6b64", "42"),
    "explained in Chinese": ("42\uff0c\u56e0\u4e3a", "42"),
    "a wide comma in a number": ("42\uff0c000", "42\uff0c000"),
    "line ends": ("42\nTherefore we have found", "42"),
    "decimal": ("3.14", "3.14"),
    "decimal in a sentence": ("3.14. It follows", "3.14"),
    "explained": ("42 because the sum is even", "42"),
    "explained after a comma": ("42, so that is it", "42"),
    "in brackets": ("42 (since it is even", "42"),
    "thin spaces": (r"11,\! 111,\! 100", r"11,\! 111,\! 100"),
    "fraction": (r"\frac{3}{4}. Indeed", r"\frac{3}{4}"),
    "text": (r"\text{all of the odd numbers below}", r"\text{all of the odd numbers below}"),
    "few words": ("all real numbers", "all real numbers"),
    "units": ("12 square units", "12 square units"),
    "interval": ("(1, 2]", "(1, 2]"),
    "expression": (r"x^2 + 2 \sin x", r"x^2 + 2 \sin x"),
    "function with a full stop in it": ("f(x) = 0.5x. Done", "f(x) = 0.5x"),
}
PROSE = [
    "To find the remainder we look at the powers of seven",
    "So we have to compute the sum first. It is 42",
    "the number of ways to choose them",
    "1 + " * MAX_CHARACTERS,
    r"\frac{1}{",
    "",
    "\n\n",
    "$",
]


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_is_taken_up_to_its_end(case: str) -> None:
    content, written = ANSWERS[case]
    assert committed(content) == written
    found = extract(LEAD + content, AnswerKind.TEXT)
    closed = extract(LEAD + written + "}", AnswerKind.TEXT)
    assert found is not None
    assert found == closed


@pytest.mark.parametrize("content", PROSE)
def test_prose_is_no_answer(content: str) -> None:
    assert extract(LEAD + content, AnswerKind.TEXT) is None


@pytest.mark.parametrize(
    ("content", "key"), [("5!", None), ("5! = 120", "120"), ("5! Then", None), ("5! So it", None)]
)
def test_a_factorial_is_not_cut(content: str, key: str | None) -> None:
    found = extract(LEAD + content, AnswerKind.INTEGER)
    assert (found.key if found else None) == key
    text = extract(LEAD + content, AnswerKind.TEXT)
    assert text is not None
    assert text.key != "5"


def test_an_integer_with_prose_behind_it() -> None:
    found = extract(LEAD + "42. So the sum of all is even", AnswerKind.INTEGER)
    assert found is not None
    assert found.integer == 42


def test_a_closed_box_before_it_stands() -> None:
    found = extract("\\boxed{7} and then" + LEAD + "9", AnswerKind.TEXT)
    assert found is not None
    assert found.key == "7"


@given(st.text(alphabet="ab 0.,;$\\{}()\n", max_size=60))
def test_what_is_taken_stands_at_the_beginning(content: str) -> None:
    found = committed(content)
    assert content.lstrip().startswith(found)
    assert len(found) <= MAX_CHARACTERS
    assert "\n" not in found
