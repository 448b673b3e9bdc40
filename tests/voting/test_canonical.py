"""Spellings that share a ballot line, and those that must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.canonical import canonical_text
from voting.integers import MAX_CHARACTERS

#: Each row: spellings of one answer, the canonical one first.
SAME: list[tuple[str, ...]] = [
    (r"\frac{1}{2}", r"\dfrac{1}{2}", r"\tfrac12", r"\frac 1 2", r"\frac{ 1 }{ 2 }", r"\frac{1}2"),
    ("1/2", "1 / 2", "$1/2$", "1/2."),
    (r"\frac{\sqrt{3}}{2}", r"\frac{\sqrt 3}{2}", r"\dfrac{\sqrt3}{2}", r"\[\frac{\sqrt{3}}{2}\]"),
    (r"2\pi", r"2 \pi", r"2\,\pi", "2\u03c0", r"\mathbf{2\pi}"),
    (r"2\pi r", r"2 \pi r", r"2\pi\,r"),
    (r"x=5\sqrt{2}", r"x=5\sqrt2\text{ m}", r"x = 5\sqrt{2} \text{ cm}"),
    ("0<x<5.5", r"0<x<5.5\text{ cm}"),
    (r"y=2x\sqrt{3}m", r"y=2x\sqrt3\text{ m}"),
    ("(1,2)", "(1, 2)", r"\left(1,2\right)", r"\left( 1 , 2 \right)", r"\bigl(1,\;2\bigr)"),
    ("x+1", "x + 1", "x\n+\n1", "{x+1}", r"\displaystyle x+1"),
    ("x^{2}", "x^2", "x ^ 2", "x^{ 2 }", r"x^{\text{2}}"),
    ("2^{10}", "2^10", "2^{10}."),
    ("x^{-1}", "x^-1", "x^{-1}"),
    ("a_{1}+a_{2}", "a_1 + a_2"),
    ("x-1", "x \u2212 1"),
    ("red apples", r"\text{red apples}", r"\textbf{red  apples}", "red~apples", " red apples. "),
    ("No", r"\text{No}", "No.", r"\mathrm{No}"),
    (r"x\le5", r"x \leq 5", "x \u2264 5"),
    (r"\infty", "\u221e", r"$\infty$"),
    ("50%", r"50\%", r"50 \%"),
    (r"\{1,2\}", r"\{1, 2\}", r"\left\{ 1, 2 \right\}", r"\lbrace 1,2 \rbrace"),
    ("|x|", r"\lvert x\rvert", r"\left|x\right|"),
    ("1,2,3", "1, 2, 3", r"1,\ 2,\ 3", "1 , 2 , 3"),
    ("1, 234", r"1,\ 234", "1 , 234"),
    ("caf\u00e9", "\\text{caf\u00e9}"),
    # Typed without LaTeX.
    (r"\frac{1}{2}", "\u00bd"),
    (r"2\sqrt{3}", "2\u221a3", "2sqrt(3)", r"2\sqrt3"),
    (r"\sqrt{x+1}", "\u221a(x+1)", "sqrt(x + 1)"),
    ("x^{2}+1", "x\u00b2+1", "x**2+1"),
    (r"\frac{\pi}{2}", r"\dfrac{pi}{2}", "\\frac{\u03c0}{2}"),
    (r"\binom{10}{3}", r"\dbinom{10}{3}", r"{10 \choose 3}"),
    (r"5\times10^{3}", "5 \u00d7 10^3"),
    (r"\frac{3}{4}", r"\frac{3}{4}\text{ hours}", r"\frac{3}{4}~\mathrm{cm}^2"),
    (r"\frac{5}{2}", r"\frac{5}{2} \mathrm{~cm}", r"\frac52\mathrm{\ m/s}", r"\frac52\text{ cm.}"),
    ("2.5", r"2.5 \mathrm{~cm}^{2}", r"2.5\,\mathrm{~kg}"),
    (r"\sqrt{2}", r"\textcolor{blue}{\sqrt{2}}", r"\sqrt{2}\ ", r"\sqrt{2}\\"),
    (r"\frac{270}{7}", r"\frac{270}{7}\text{ degrees}.", r"$\frac{270}{7}\text{ degrees}$."),
    (r"\frac{1}{2}", r"\displaystyle\frac12\text{ hour}", r"\(\frac{1}{2}\text{ hour}\)"),
    (r"\frac{10000}{3}", r"\frac{10{,}000}{3}", r"\frac{10\,000}{3}", r"\frac{10,\!000}{3}"),
    (r"1234567\pi", r"1{,}234{,}567\pi", r"1\,234\,567\pi", r"1,\!234,\!567 \pi"),
    ("(1234,5)", r"(1{,}234, 5)"),
    (r"\frac{a}{b}", r"\frac ab", r"\frac a b", r"\frac{a}b", r"\dfrac a{b}"),
    (r"\frac{n}{2}", r"\frac n2", r"\frac{n}2"),
    (r"\frac{\pi}{n}", r"\frac\pi n"),
    (r"\frac{a}{b}c", r"\frac abc"),
    (r"\frac{3}{4}", r"\frac34,", r"\frac{3}{4};"),
    ("42", "42,"),
    ("x+1", r"\therefore x+1", r"\therefore\ x + 1"),
    # Integers in disguise, of any size.
    ("42", "042", "$42$", r"\text{42}", "42.0", "x = 42", r"42 \text{ apples}", r"x\text{ = }42"),
    ("1234567", "1,234,567", r"1{,}234{,}567", r"1\,234\,567"),
    ("-5", "- 5", "\u22125", r"\mathbf{-5}", "{-5}"),
    ("0", "-0", "+0", "0.0"),
    ("9" * 999, "0" + "9" * 999, f"${'9' * 996}999$"),
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda row: row[0][:30])
def test_spellings_of_one_answer(spellings: tuple[str, ...]) -> None:
    assert [canonical_text(spelling) for spelling in spellings] == [spellings[0]] * len(spellings)


DIFFERENT: list[tuple[str, str]] = [
    ("1 2", "12"),
    ("1, 234", "1,234"),
    ("1. 5", "1.5"),
    ("a b", "ab"),
    ("x", "X"),
    ("42", "\uff14\uff12"),
    ("42", "42%"),
    ("42", "42 million"),
    ("12 or 13", "1213"),
    (r"\text{4}\text{2}", "42"),
    (r"\frac{1}{2}", "1/2"),
    ("x^2", "x_2"),
    ("x^{23}", "x^{2}3"),
    ("-5", "5"),
    (r"\pi r", r"\pir"),
    (r"\{1\}", "(1)"),
    ("(1,2)", "[1,2]"),
    ("3.50", "3.5 0"),
    # What only looks like thousands.
    (r"0{,}125\pi", r"0125\pi"),
    (r"\sqrt3\,100", r"\sqrt{3100}"),
    (r"x^2\,100", "x^{2100}"),
    (r"1{,}23x", "123x"),
    ("(1,234x)", "(1234x)"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_answers_stay_apart(one: str, other: str) -> None:
    keys = canonical_text(one), canonical_text(other)
    assert None not in keys
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "$$", "{}", r"\text{}", r"\,", "."),
        *("...", r"\ldots", "\u2026", "?", "___", "-", "( )"),
        *("answer", r"\text{Answer}", "your answer", "Final Answer"),
        *("<answer>", "[answer]", "Your Final Answer", "answer here", r"\text{[your answer]}"),
        *(r"\cdot", r"\square", r"\Box", r"\_\_\_"),
        "42\n\nWait, that is not right",
        "x" * (MAX_CHARACTERS + 1),
        "9" * (MAX_CHARACTERS + 1),
        "{" * 50 + "x." + "}" * 50,
    ],
    ids=lambda written: written[:20],
)
def test_no_answer(written: str) -> None:
    assert canonical_text(written) is None


def test_the_length_limit_is_of_the_canonical_spelling() -> None:
    assert canonical_text("x" * MAX_CHARACTERS) == "x" * MAX_CHARACTERS
    assert canonical_text("+ " * (MAX_CHARACTERS - 1) + "x") == "+" * (MAX_CHARACTERS - 1) + "x"


#: What the spelling rules act on, to be combined in ways that nobody writes.
PIECES = st.sampled_from(
    [
        *(r"\frac", r"\dfrac", r"\sqrt", r"\text{", r"\mathbf{", r"\boxed{", r"\bf", r"\left"),
        *(r"\right", r"\left.", r"\pi", r"\circ", r"\degree", r"\{", r"\}", r"\$", r"\\", r"\%"),
        *(r"\,", r"\!", "{", "}", "(", ")", "^", "_", ",", ".", "1", "23", "456", "-", "=", "+"),
        *("x", "ab", "$", " ", "\n", "\\"),
        *("\u2212", "\u03c0", "\u00b0", "\u200b", "\u2026", "\u00e9", "\ud800"),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_the_canonical_spelling_is_its_own(written: str) -> None:
    canonical = canonical_text(written)
    if canonical is not None:
        assert canonical_text(canonical) == canonical
        assert 0 < len(canonical) <= MAX_CHARACTERS


@given(st.text(max_size=60))
def test_any_text_is_spelled_or_refused(written: str) -> None:
    canonical = canonical_text(written)
    assert canonical is None or canonical_text(canonical) == canonical


@given(st.lists(st.sampled_from(["x", "+", "2", r"\pi", "(", ")", "="]), min_size=1, max_size=9))
def test_spaces_between_tokens_do_not_matter_but_between_words(tokens: list[str]) -> None:
    assert canonical_text("  ".join(tokens)) == canonical_text(r"\, ".join(tokens))
