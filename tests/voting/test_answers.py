"""What an attempt's whole text commits to, and how long hostile text takes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.answers import (
    MAX_READ_CHARACTERS,
    MAX_WRITTEN_CHARACTERS,
    AnswerKind,
    extract,
    parse_answer,
)

INTEGER, TEXT = AnswerKind.INTEGER, AnswerKind.TEXT

CASES: list[tuple[str, AnswerKind, str | None]] = [
    ("", INTEGER, None),
    ("The answer is 42.", INTEGER, None),
    (r"The answer is $\boxed{42}$.", INTEGER, "42"),
    (r"\boxed{5}. Wait, no. \boxed{7}", INTEGER, "7"),
    (r"\boxed{5}. Wait, no: \boxed{}", INTEGER, "5"),
    (r"\boxed{5}, so \boxed{x+1}", INTEGER, "5"),
    (r"\boxed{5}, so \boxed{100000}", INTEGER, "5"),
    (r"\boxed{5}, so \boxed{-1}", INTEGER, "5"),
    (r"\boxed{5}, or rather \boxed{7", INTEGER, "5"),
    (r"\boxed{x}, or rather \boxed{7", INTEGER, "7"),
    (r"so it is \boxed{7", INTEGER, "7"),
    (r"so it is \boxed{", INTEGER, None),
    (r"so it is \boxed{\text{7", INTEGER, None),
    (r"so it is \boxed{7 \text{ap", INTEGER, None),
    ("so it is \\boxed{7\n\nLet me check.", INTEGER, "7"),
    (r"\boxed{3 \boxed{4", INTEGER, "4"),
    (r"\boxed{\boxed{42}}", INTEGER, "42"),
    (r"\boxed{\text{the sum is }\boxed{42}}", INTEGER, "42"),
    (r"\boxed{x = \boxed{42}}", INTEGER, "42"),
    (r"\boxed{12,\!345}", INTEGER, "12345"),
    (r"\fbox{42}", INTEGER, "42"),
    ("\\boxed{42\u3002}", INTEGER, "42"),
    ("\\boxed{x=\\frac12\u3002}", TEXT, r"x=\frac{1}{2}"),
    (r"\boxed 42", INTEGER, "42"),
    (r"put the answer in \boxed{}", INTEGER, None),
    (r"\boxed{5} written as \boxed{\text{answer}}", INTEGER, "5"),
    (r"\boxed{12 \text{ or } 13}", INTEGER, None),
    ("\\boxed{" + "9" * 5_000 + "}", INTEGER, None),
    (r"\boxed{\frac{1}{2}}", TEXT, r"\frac{1}{2}"),
    (r"\boxed{\dfrac12}, that is \boxed{...}", TEXT, r"\frac{1}{2}"),
    (r"\boxed{(1, \boxed{2})}", TEXT, "(1,2)"),
    (r"\boxed{\frac{1}{2", TEXT, None),
    (r"\boxed{x+1", TEXT, "x+1"),
    (r"\boxed{1,234,567}", TEXT, "1234567"),
    (r"\boxed{\text{no solution}}", TEXT, "no solution"),
    (r"put it in \boxed and stop", TEXT, None),
    (r"\boxed{$42$", INTEGER, "42"),
    (r"\boxed{$42", TEXT, "42"),
    (r"\boxed{42**", INTEGER, "42"),
    (r"\boxed{42}. Put it as \boxed{<answer>}", TEXT, "42"),
    (r"\boxed{42}. \boxed{\text{[your answer]}}", TEXT, "42"),
    (r"\boxed{42}. \boxed{\square}", TEXT, "42"),
    ("So \\boxed{42}.\n```python\nprint(f'\\\\boxed{{{ans}}}')\n```", TEXT, "42"),
    ("So \\boxed{42}.\n```python\nprint('\\\\boxed{%d}' % ans)\n```", TEXT, "42"),
    ("So \\boxed{42}.\n```python\nprint('\\\\boxed{' + str(x) + '}')\n```", TEXT, "42"),
    ("So \\boxed{42}.\n```python\nprint('\\\\boxed{7}')\n```", INTEGER, "42"),
    ("\\boxed{41}\n~~~py\nx\n~~~\n\\boxed{42}\n```python\n'\\boxed{43}'\n```\n", INTEGER, "42"),
    # Alone it counts; where no program is closed there is none.
    ("```python\nprint('\\\\boxed{7}')\n```", INTEGER, "7"),
    ("\\boxed{41}\n```\n\\boxed{42}\n```", INTEGER, "42"),
    ("\\boxed{41}\n```latex\n\\boxed{42}\n```", INTEGER, "42"),
    ("\\boxed{41}\n```python\nx = 1\n\nSo \\boxed{42}", INTEGER, "42"),
    ("\\boxed{41}\n```python\nx\n```python\ny\n```\nSo \\boxed{42}", INTEGER, "42"),
    ("\\boxed{x} \\boxed{" + "y" * 1_001 + "}", TEXT, "x"),
    ("\\boxed{x} \\boxed{" + "y" * 1_000_000 + "}", TEXT, "x"),
    ("\\boxed{7} \\boxed{" + "0" * 1_000_000 + "1}", INTEGER, "7"),
]


@pytest.mark.parametrize(("text", "kind", "key"), CASES, ids=range(len(CASES)))
def test_extract(text: str, kind: AnswerKind, key: str | None) -> None:
    answer = extract(text, kind)
    assert (answer.key if answer else None) == key


def test_an_answer_keeps_what_was_written() -> None:
    answer = extract(r"so $\boxed{ x = 042 }$", INTEGER)
    assert answer is not None
    assert (answer.written, answer.key, answer.kind) == ("x = 042", "42", INTEGER)
    assert answer.integer == 42


@pytest.mark.parametrize(
    ("written", "integer"),
    [("42", 42), ("-42", -42), ("9" * 999, 10**999 - 1), (r"\frac{1}{2}", None), ("no", None)],
)
def test_the_integer_of_a_text_answer(written: str, integer: int | None) -> None:
    answer = parse_answer(written, TEXT)
    assert answer is not None
    assert answer.integer == integer


def test_an_answer_too_long_as_written_is_none() -> None:
    padded = "x" + " " * MAX_WRITTEN_CHARACTERS + "y"
    assert parse_answer(padded, TEXT) is None
    assert parse_answer(padded[:-1], TEXT) is not None


def test_boxes_are_read_from_the_last_back_up_to_a_bound() -> None:
    noise = "\\boxed{" + "?" * 5_000 + "}"
    enough = MAX_READ_CHARACTERS // 5_000
    assert extract("\\boxed{42}" + noise * (enough - 1), INTEGER) is not None
    assert extract("\\boxed{42}" + noise * (enough + 1), INTEGER) is None


SIZE = 1_000_000
#: What each of the scanner's and parsers' loops could be made quadratic with.
HOSTILE: dict[str, str] = {
    "unclosed boxes": "\\boxed{" * (SIZE // 7),
    "nested boxes": "\\boxed{" * (SIZE // 8) + "}" * (SIZE // 8),
    "nests of boxes": ("\\boxed{" * 500 + "}" * 500) * (SIZE // 4_000),
    "empty boxes": "\\boxed{}" * (SIZE // 8),
    "refused boxes": "\\boxed{?}" * (SIZE // 9),
    "open braces": "\\boxed{" + "{" * SIZE,
    "braces": "\\boxed{" + "{" * (SIZE // 2) + "}" * (SIZE // 2) + "}",
    "backslashes": "\\" * SIZE,
    "spaces": "\\boxed" + " " * SIZE,
    "spaces in a box": "\\boxed{4" + " " * SIZE + "2}",
    "spaces of boxes": "\\boxed        " * (SIZE // 14),
    "blank lines": "\\boxed{" + "\n " * (SIZE // 2),
    "digits": "\\boxed{" + "9" * SIZE + "}",
    "bare digits": "\\boxed " + "9" * SIZE,
    "bare commands": "\\boxed\\x{" * (SIZE // 9),
    "fonts": ("\\boxed{" + "\\text{" * 20 + "?" + "}" * 21) * (SIZE // 150),
    "layers": ("\\boxed{" + "{" * 200 + "x." + "}" * 201) * (SIZE // 410),
    "left-hand sides": ("\\boxed{" + "a" * 900 + "?=42}") * (SIZE // 912),
    "arguments": ("\\boxed{" + "(" * 400 + ")" * 400 + "x=4?}") * (SIZE // 812),
    "fractions": ("\\boxed{" + "\\frac12" * 142 + "?}") * (SIZE // 1_000),
    "long boxes": ("\\boxed{" + "$a" * 4_900 + "}") * (SIZE // 9_808),
    "moduli": ("\\boxed{mod" + " " * 9_000 + "x}") * (SIZE // 9_010),
    "units": ("\\boxed{42" + " ap" * 300 + "}") * (SIZE // 910),
    "fences": "```python\n\\boxed{?}\n```\n" * (SIZE // 24),
    "open fences": "```python\n" * (SIZE // 10),
    "a long fence": "```" + "a" * SIZE + "`",
    "commas": ("\\boxed{" + "x," * 450 + ",}") * (SIZE // 908),
    "stars": ("\\boxed{" + "*" * 190) * (SIZE // 197),
    "dollars": ("\\boxed{" + "$" * 190) * (SIZE // 197),
    "words": ("\\boxed{" + "for all " * 110 + "=4?}") * (SIZE // 891),
    "brackets": ("\\boxed{" + "a[" * 400 + "=4}") * (SIZE // 810),
    "powers": ("\\boxed{" + "(a" * 400 + "^n=4}") * (SIZE // 812),
}


def seconds_to_extract(text: str, kind: AnswerKind) -> float:
    started = time.process_time()
    extract(text, kind)
    return time.process_time() - started


@pytest.mark.parametrize("kind", AnswerKind)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_hostile_text_takes_linear_time(name: str, kind: AnswerKind) -> None:
    # Quadratic work on 1 MB takes minutes; linear work took at most 0.4 s of one 2020s core.
    assert seconds_to_extract(HOSTILE[name], kind) < 4


@given(st.integers(0, 99_999), st.text(max_size=50))
def test_the_last_box_is_the_answer(value: int, before: str) -> None:
    text = f"{before} \\boxed{{0}}\n\nso \\boxed{{{value}}}"
    answer = extract(text, INTEGER)
    assert answer is not None
    assert answer.integer == value


@given(st.text(alphabet="\\boxed{}fbox 0123.$\n", max_size=80), st.sampled_from(AnswerKind))
def test_any_text_gives_an_answer_or_none(text: str, kind: AnswerKind) -> None:
    answer = extract(text, kind)
    if answer is not None:
        assert parse_answer(answer.key, kind) is not None
        assert answer.kind is kind


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        (r"$\boxed{1}, \boxed{2}$", TEXT, "1,2"),
        (r"$\boxed{1}$ and $\boxed{-2}$.", TEXT, "1,-2"),
        (r"\boxed{2}, \boxed{3}, \text{and } \boxed{5}", TEXT, "2,3,5"),
        (r"\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}", TEXT, "(2,2),(6,2)"),
        (r"\boxed{7}, \boxed{7}", TEXT, "7"),
        (r"\boxed{5} and so \boxed{12}", TEXT, "12"),
        (r"\boxed{5} \boxed{12}", TEXT, "12"),
        (r"\boxed{5}. And \boxed{12}", TEXT, "12"),
        (r"\boxed{5}, \boxed{?}", TEXT, "5"),
        (r"\boxed{1}, \boxed{2}", INTEGER, "2"),
    ],
)
def test_boxes_of_one_list(text: str, kind: AnswerKind, key: str) -> None:
    answer = extract(text, kind)
    assert answer is not None
    assert answer.key == key


@pytest.mark.parametrize(
    ("written", "key"),
    [("x <= 2", r"x\le2"), (r"x \leq 2", r"x\le2"), (r"x \lt 3", "x<3"), ("x != 3", r"x\ne3")],
)
def test_relations_have_one_spelling(written: str, key: str) -> None:
    answer = parse_answer(written, TEXT)
    assert answer is not None
    assert answer.key == key


@pytest.mark.parametrize(
    "written",
    [
        r"3 \pmod 7",
        r"3 \pmod{7}",
        r"x \equiv 3 \pmod{7}",
        r"3 \bmod 7",
        r"3 (\text{mod } 7)",
        "3 mod 7",
        r"3 \pmod{10^5}",
        r"3 \pmod{10^{5}}",
        r"3 \bmod 10^5",
        r"3 \text{ mod } 10^5",
        r"3 \pmod{100{,}000}",
        r"3 \pmod{p}",
        r"3 (\text{mod }p)",
        r"N \bmod 1000 = 3",
        r"N\bmod 10^5=3",
        r"2^{10} \bmod 7 = 3",
        r"N = 1003 \bmod 1000 = 3",
        r"3 \;(\mathrm{mod}\;100000)",
        r"3\,(\text{mod}\ 10^5)",
        r"3 \ (\bmod\ 100\,000)",
        r"x \equiv 3 \pmod{10^5}.",
        r"3 \text{ modulo } 1000",
        r"N \,\bmod\, 10^5 = 3",
    ],
)
def test_in_contest_mode_a_residue_is_the_answer(written: str) -> None:
    answer = parse_answer(written, INTEGER)
    assert answer is not None
    assert answer.integer == 3


def test_a_word_that_holds_mod_is_no_modulus() -> None:
    assert parse_answer("modern 7", INTEGER) is None


@pytest.mark.parametrize(
    "written",
    [
        r"2x \bmod 7 = 3",
        r"x + 1 = 9 \bmod 7 = 2",
        r"12, 13 \bmod 7 = 5",
        r"a \ne 5 \bmod 7 = 2",
        r"12 \text{ or } 13 \pmod{10^5}",
        "3 mod abc",
        r"1234 \bmod 1000",
        r"7 \pmod 7",
        r"a \equiv 3, b \equiv 4 \pmod 7",
    ],
)
def test_what_is_no_remainder_for_sure_is_none(written: str) -> None:
    assert parse_answer(written, INTEGER) is None


def test_where_texts_are_asked_for_a_remainder_is_no_integer() -> None:
    answer = parse_answer(r"x \bmod 7 = 3", TEXT)
    assert answer is not None
    assert answer.integer is None


@pytest.mark.parametrize("written", [r"\text{(C) }42", r"\textbf{(C)}\ 42", r"\mathrm{(C)\ }42"])
def test_in_contest_mode_a_choice_is_its_value(written: str) -> None:
    answer = parse_answer(written, INTEGER)
    assert answer is not None
    assert answer.integer == 42


@pytest.mark.parametrize("written", ["(C) 42", r"\textbf{(C)}", r"7\text{(C)}42"])
def test_a_letter_that_may_be_a_factor_is_no_choice(written: str) -> None:
    assert parse_answer(written, INTEGER) is None


@pytest.mark.parametrize("kind", AnswerKind)
@pytest.mark.parametrize(
    "text",
    [r"\boxed{123", r"\boxed{x = 4", r"\boxed{3.", r"\boxed{12\,", "\\boxed{2\\", r"\boxed 42"],
)
def test_a_cut_answer_that_may_go_on_is_none(text: str, kind: AnswerKind) -> None:
    assert extract(text, kind) is not None
    assert extract(text, kind, cut=True) is None


@pytest.mark.parametrize("kind", AnswerKind)
@pytest.mark.parametrize(
    "text",
    [r"\boxed{42}", r"\boxed{42}. So 1", r"\boxed{42. So 1", "\\boxed{42\n", r"\boxed{42$",
     r"\boxed{42} or \boxed{7"],
)  # fmt: skip
def test_a_whole_answer_of_a_cut_text_counts(text: str, kind: AnswerKind) -> None:
    answer = extract(text, kind, cut=True)
    assert answer is not None
    assert answer.integer == 42
