"""Whether an answer is the expected one: a lower bound, without a computer algebra system."""

import re
from fractions import Fraction

#: Integers, decimals with or without digits on either side of the point, and fractions. Exponents
#: of more digits are compared as text, as numbers longer than `_NUMBER_CHARS` are: `1e999999999`
#: must neither take long nor much memory.
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+/[0-9]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?0*[0-9]{1,4})?)"
)
_NUMBER_CHARS = 1_000


def is_correct(answer: str | None, expected: str | None) -> bool | None:
    """Compare an answer with the expected one; None without an expected one.

    Numbers by value, other text by its characters without spaces, dollar signs and `\\boxed`.
    Equivalent forms that are written differently count as wrong: this is a lower bound.
    """
    if expected is None:
        return None
    if answer is None:
        return False
    left, right = _normal(answer), _normal(expected)
    numbers = _number(left), _number(right)
    return numbers[0] == numbers[1] if None not in numbers else left == right


def _normal(answer: str) -> str:
    answer = re.sub(r"\s|\$|\\[,;!]|\\left|\\right", "", answer)
    boxed = re.fullmatch(r"\\boxed\{(.*)\}", answer)
    return (boxed.group(1) if boxed else answer).replace("\\dfrac", "\\frac")


def _number(text: str) -> Fraction | None:
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    if len(plain) > _NUMBER_CHARS or not _NUMBER.fullmatch(plain):
        return None
    try:
        return Fraction(plain)
    except ZeroDivisionError:
        return None
