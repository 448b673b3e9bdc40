"""Which equations, curves and conditions are their number, and for which kind of answer."""

import pytest

from voting.answers import AnswerKind, parse_answer
from voting.integers import parse_integer


@pytest.mark.parametrize("equation", ["a^2 + b = 0", "x - y = 0", "x^2-2x=0"])
def test_an_equation_brought_to_one_side_is_no_answer_of_zero(equation: str) -> None:
    assert parse_integer(equation) is None


@pytest.mark.parametrize(
    ("written", "value"), [("x = 0", "0"), ("f(0) = 0", "0"), ("m + n = 42", "42")]
)
def test_a_quantity_may_be_zero_and_a_sum_may_have_a_value(written: str, value: str) -> None:
    assert parse_integer(written) == value


@pytest.mark.parametrize("equation", ["x + y = 42", "x^2 + y^2 = 42", "xy = 42", "|x| = 42"])
def test_a_curve_is_a_number_only_where_a_number_is_asked_for(equation: str) -> None:
    assert parse_integer(equation) == "42"
    assert parse_integer(equation, curves=True) is None


def test_a_rounded_value_is_a_condition_where_texts_are_asked_for() -> None:
    assert parse_integer(r"\lfloor 2x \rfloor = 42", curves=True) is None


@pytest.mark.parametrize("quantity", ["x = 42", "f(x) = 42", "x_1 + x_2 = 42", "m + n = 42"])
def test_a_quantity_is_a_number_among_curves(quantity: str) -> None:
    assert parse_integer(quantity, curves=True) == "42"


@pytest.mark.parametrize(
    "condition",
    [r"\text{all integers except } n=0", r"\text{the line }x+y=1", "e^x=2", "x = y = 42"],
)
def test_a_condition_is_an_answer_of_its_own_where_texts_are_asked_for(condition: str) -> None:
    answer = parse_answer(condition, AnswerKind.TEXT)
    assert answer is not None
    assert answer.integer is None
