"""What is an integer, in whatever spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.answers import AnswerKind, parse_answer
from voting.integers import parse_integer

INTEGERS: list[tuple[str, str]] = [
    # What stands around it, at its ends too.
    ("\\ 42\\ ", "42"),
    (r"42\\", "42"),
    (r"\color{red}{42}", "42"),
    (r"\textcolor{blue}{42}", "42"),
    (r"\hspace{1em}42", "42"),
    ("\u20ac42", "42"),
    ("\u00a342", "42"),
    (r"42\ \mathrm{m/s}", "42"),
    (r"42\;\mathrm{km/h}", "42"),
    (r"\hspace{1em}42", "42"),
    (r"\phantom{0}42", "42"),
    (r"42\text{.}", "42"),
    (r"42\text{ ways.}", "42"),
    (r"42^{\text{nd}}", "42"),
    (r"42 \checkmark", "42"),
    (r"\therefore 42", "42"),
    (r"\therefore x = 42", "42"),
    # Sides that come to the same number.
    (r"\binom{10}{2} = 45", "45"),
    (r"N = \binom{10}{2} = 45", "45"),
    ("5! = 120", "120"),
    ("N = 2^5 = 32", "32"),
    ("m+n = 12 + 5 = 17", "17"),
    (r"3 \times 14 = 42", "42"),
    (r"\frac{84}{2} = 42", "42"),
    # Digits.
    ("42", "42"),
    ("0", "0"),
    ("042", "42"),
    ("00000", "0"),
    ("0" * 900 + "42", "42"),
    ("99999", "99999"),
    (" 42 ", "42"),
    ("\n42\n", "42"),
    # Signs.
    ("+7", "7"),
    ("+ 7", "7"),
    ("-0", "0"),
    ("\u22120", "0"),
    ("-5", "-5"),
    ("\u22125", "-5"),
    # Separators of thousands.
    ("1,234", "1234"),
    ("12,345", "12345"),
    ("12{,}345", "12345"),
    (r"12\,345", "12345"),
    (r"1,\!234", "1234"),
    (r"11,\! 111,\! 100", "11111100"),
    ("12\u2009345", "12345"),
    ("1,234,567", "1234567"),
    # Nothing after the point.
    ("42.", "42"),
    ("42.0", "42"),
    ("42.000", "42"),
    ("1,234.", "1234"),
    # Delimiters.
    ("$42$", "42"),
    ("$$42$$", "42"),
    ("$42$.", "42"),
    (r"\(42\)", "42"),
    (r"\[42\]", "42"),
    ("(42)", "42"),
    (r"\left(42\right)", "42"),
    ("{42}", "42"),
    ("**42**", "42"),
    ("$42", "42"),
    (r"\$42", "42"),
    (r"\$1,234", "1234"),
    # Fonts and sizes.
    (r"\text{42}", "42"),
    (r"\text{ 42 }", "42"),
    (r"\mathbf{42}", "42"),
    (r"\mathrm{42}", "42"),
    (r"\textbf{42}", "42"),
    (r"\boldsymbol{42}", "42"),
    (r"\bf 42", "42"),
    (r"\displaystyle 42", "42"),
    (r"\Large{42}", "42"),
    (r"\boxed{42}", "42"),
    (r"\text{$\mathbf{x = 42}$.}", "42"),
    (r"\,42\,", "42"),
    (r"42\ ", "42"),
    ("~42~", "42"),
    # A quantity and its value.
    ("x = 42", "42"),
    ("= 42", "42"),
    ("1 000 042", "1000042"),
    ("x=42", "42"),
    ("m + n = 42", "42"),
    ("m+n=1,234", "1234"),
    ("f(3) = 42", "42"),
    (r"S_{100} = 42", "42"),
    ("a_1 = 42", "42"),
    ("x^2 + y^2 = 42", "42"),
    (r"\gcd(a, b) = 42", "42"),
    ("P(X = 3) = 0", "0"),
    ("|A| = 42", "42"),
    (r"\overline{abc} = 123", "123"),
    (r"\lfloor 100\alpha \rfloor = 42", "42"),
    (r"\lceil 3x \rceil = 42", "42"),
    (r"\angle ABC = 42^\circ", "42"),
    (r"\text{Area} = 42", "42"),
    ("[ABC] = 42", "42"),
    (r"\left[ABCD\right] = 42", "42"),
    ("[ABC] + [DEF] = 42", "42"),
    (r"AB \cdot CD = 42", "42"),
    (r"N = \mathbf{42}", "42"),
    # The answer announced.
    ("Answer: 42", "42"),
    ("The answer is 42", "42"),
    (r"\text{The answer is } 42", "42"),
    (r"\text{Answer: }42.", "42"),
    (r"\textbf{Answer: } 42", "42"),
    (r"\mathrm{Answer}: 42", "42"),
    # Units.
    (r"42^\circ", "42"),
    (r"42^{\circ}", "42"),
    (r"42 ^ {\circ}", "42"),
    (r"42\degree", "42"),
    ("42\u00b0", "42"),
    (r"42 \text{ apples}", "42"),
    (r"42\text{ square units}", "42"),
    (r"42 \text{ m}", "42"),
    (r"42 \mathrm{cm}", "42"),
    (r"42 \text{ cm}^2", "42"),
    (r"42 \text{ cm}^{3}.", "42"),
    (r"\text{42 apples}", "42"),
    ("42 apples", "42"),
    ("42 cm", "42"),
    (r"x = 1,234 \text{ ways}", "1234"),
    (r"42\mathrm{cm^2}", "42"),
    (r"42\ \mathrm{m/s^{2}}", "42"),
    # Words that change a number only where they end the phrase.
    (r"3\text{ lost games}", "3"),
    ("3 right angles", "3"),
    (r"42\text{ ternary strings}", "42"),
    (r"42\text{ negative integers}", "42"),
    (r"42\text{ apples left}", "42"),
    (r"\$42\text{ profit}", "42"),
    # Signs around it.
    (r"\text{\$}42", "42"),
    (r"42\$", "42"),
    ("42_{10}", "42"),
    ('"42"', "42"),
    ("\u201c42\u201d", "42"),
    (r"42\blacksquare", "42"),
    (r"42\,\square", "42"),
    (r"\implies 42", "42"),
    (r"\Rightarrow x = 42", "42"),
    # What it is.
    (r"\text{Total: }42", "42"),
    (r"\text{The remainder is }42", "42"),
    (r"\text{remainder is } 42", "42"),
    ("The sum is 42", "42"),
    # More names of quantities.
    ("E[X] = 42", "42"),
    (r"\mathbb{E}[X] = 42", "42"),
    (r"\angle{ABC} = 42^\circ", "42"),
    (r"\#S = 42", "42"),
    (r"\tfrac{84}2 = 42", "42"),
    ("x = y = 42", "42"),
    ("DE^2 = 42", "42"),
    (r"A^{\circ} = 42", "42"),
    ("T^{max} = 42", "42"),
    ("AT = 42", "42"),
    (r"\text{area of the circle} = 42", "42"),
    (r"\text{sum of all solutions} = 42", "42"),
    (r"\text{The only solution is } x = 42", "42"),
]


@pytest.mark.parametrize(("written", "digits"), INTEGERS)
def test_an_integer(written: str, digits: str) -> None:
    assert parse_integer(written) == digits


@pytest.mark.parametrize(
    ("written", "key"),
    [("0", "0"), ("99999", "99999"), ("000099999", "99999"), ("-0", "0")]
    + [(outside, None) for outside in ("100000", "-1", "-99999", "1,000,000", "9" * 999)],
)
def test_the_contest_takes_0_to_99999(written: str, key: str | None) -> None:
    answer = parse_answer(written, AnswerKind.INTEGER)
    assert (answer.key if answer else None) == key


WRAPPERS = st.sampled_from(
    ["${}$", r"\({}\)", r"\text{{{}}}", r"\mathbf{{{}}}", "{{{}}}", " {} ", r"\left({}\right)"]
)


@given(st.integers(0, 10**30), st.lists(WRAPPERS, max_size=4))
def test_wrapping_keeps_the_value(value: int, wrappers: list[str]) -> None:
    written = str(value)
    for wrapper in wrappers:
        written = wrapper.format(written)
    assert parse_integer(written) == str(value)
    assert parse_integer(f"x = {written}.") == str(value)


@given(st.integers(-(10**30), 10**30))
def test_thousands_separated_or_not_are_one_integer(value: int) -> None:
    assert parse_integer(f"{value:,}") == parse_integer(str(value)) == str(value)


@given(
    st.integers(0, 99_999), st.integers(0, 99_999), st.sampled_from([" or ", ", ", " ", ";", "/"])
)
def test_two_numbers_are_none(first: int, second: int, between: str) -> None:
    assert parse_integer(f"{first}{between}{second}") is None


@given(st.text("0123456789,.{}$\\ -+x=()te", max_size=30))
def test_whatever_is_parsed_is_plain_digits_and_parses_to_itself(written: str) -> None:
    digits = parse_integer(written)
    if digits is not None:
        assert str(int(digits)) == digits
        assert parse_integer(digits) == digits


@given(st.text("0123456789,.{}$\\ -+x=()te", max_size=30))
def test_the_digits_parsed_are_digits_written(written: str) -> None:
    digits = parse_integer(written)
    if digits is not None:
        shown = "".join(char for char in written.rpartition("=")[2] if char in "0123456789.")
        whole = shown.partition(".")[0]
        assert int(whole) == abs(int(digits))
