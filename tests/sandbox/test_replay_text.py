"""How the replay judges what differs from stock kernels."""

import pytest

from benchmarks.replay_text import Verdict, compare, normalised

_WARNED = "/lib/site-packages/x/y.py:3: UserWarning: "
_COMPILED = "<>:1: SyntaxWarning: odd\n"


def test_what_is_missing_of_code_is_an_intended_difference() -> None:
    ours = "Cell 1, line 1\n    f(\n     ^\nSyntaxError: '(' was never closed\n"
    incomplete = "SyntaxError: incomplete input"
    assert compare(ours, "", incomplete, cut=False) is Verdict.INCOMPLETE_INPUT
    assert compare("NameError: x\n", "", incomplete, cut=False) is Verdict.DIFFERENT
    assert compare(ours, "", "SyntaxError: invalid syntax", cut=False) is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("stock", "ours"),
    [
        (f"{_WARNED}one\n  warn('one')\nafter\n", "UserWarning: one\nafter\n"),
        (f"{_WARNED}one\nafter\n", "UserWarning: one\nafter\n"),
        (f"{_WARNED}one\ntwo\n  warn(text)\nafter\n", "UserWarning: one\ntwo\nafter\n"),
        (
            f"{_COMPILED}{_COMPILED}/tmp/a/1.py:1: SyntaxWarning: odd\n  x is 1\nTrue\n",
            "Cell 4, line 1: SyntaxWarning: odd\nTrue\n",
        ),
    ],
    ids=["one line", "no source", "lines", "compiled thrice"],
)
def test_warnings_are_compared_by_what_they_say(stock: str, ours: str) -> None:
    assert compare(ours, stock, None, cut=False) is Verdict.EQUAL


def test_a_number_before_a_line_that_begins_with_a_unit_is_no_time() -> None:
    assert normalised("found 12\nmin 5") != normalised("found 13\nmin 5")
    assert normalised("took 1.5 s") == normalised("took 2 s")
