"""Nothing that was not written by us acts on the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.escape import one_line, printable


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain", "plain"),
        ("a\tb\r\nc\rd", "a    b\nc\nd"),
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;ZXZpbA==\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\after", "after"),
        ("\x1b]unterminated\nnext", "\nnext"),
        ("\x1b(0lqk\x1b(B", "lqk"),
        ("\x9b31mred\x9d0;title\x9cafter", "redafter"),
        ("\x1bc\x1b7\x1b8", ""),
        ("bell\x07 back\x08\x08", "bell\ufffd back\ufffd\ufffd"),
        ("24\u202e31\u2066x", "2431x"),
        ("a\u2028b", "a\nb"),
        ("lone \udcff", "lone \ufffd"),
        ("π ≤ 4 · 漢字 é 🙂", "π ≤ 4 · 漢字 é 🙂"),
    ],
)
def test_printable(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown


@given(st.text(st.characters()))
def test_nothing_unsafe_is_left(text: str) -> None:
    for character in printable(text):
        assert character == "\n" or unicodedata.category(character) not in {
            "Cc", "Cf", "Cs", "Zl", "Zp"
        }  # fmt: skip


@given(st.text(st.sampled_from("\x1b[]0;1mP\\\x07\x9b\x9c\x9dab\r\n")))
def test_escape_never_survives(text: str) -> None:
    assert not set(printable(text)) & set("\x1b\x07\x9b\x9c\x9d\r")


@given(st.text(st.characters(blacklist_categories=["C", "Z"]) | st.just(" ")))
def test_honest_text_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters()))
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
