import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.output import BoundedText, clean, clip, ending_notice
from sandbox.types import CellStatus, InterruptStep


@given(st.lists(st.text(alphabet="abc\n", max_size=30)), st.integers(2, 40))
def test_head_and_tail_are_those_of_the_whole_text(parts: list[str], limit: int) -> None:
    text = BoundedText(limit)
    for part in parts:
        text.append(part)
    whole = "".join(parts)
    cut = max(len(whole) - limit, 0)
    assert text.cut == cut
    if cut:
        assert text.head == whole[: limit // 2]
        assert text.tail == whole[-(limit - limit // 2) :]
    else:
        assert text.render() == whole


def test_what_was_skipped_elsewhere_counts_as_cut() -> None:
    text = BoundedText(20)
    text.append("head")
    text.skip(1_000)
    text.append("tail")
    assert text.render() == "head\n[... 1,000 characters cut ...]\ntail"


def test_skipping_nothing_changes_nothing() -> None:
    text = BoundedText(20)
    text.append("head")
    text.skip(0)
    text.append("tail")
    assert text.render() == "headtail"


def test_a_skip_after_the_head_is_full_drops_the_older_tail() -> None:
    text = BoundedText(4)
    text.append("abcd")
    text.skip(5)
    text.append("ef")
    assert (text.head, text.cut, text.tail) == ("ab", 7, "ef")


def test_clip_leaves_short_text_alone() -> None:
    assert clip("short", 10) == "short"
    assert clip("x" * 1_000, 10) == "xxxxx\n[... 990 characters cut ...]\nxxxxx"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bplain\x1b7\x1b", "plain"),
        *((f"42\n\x1b{kind}open\nerror\n", "42\n\nerror\n") for kind in "]PX^_"),
        ("a\x00b\x7fc\x9bd", "abcd"),
        ("\ud800", "\\ud800"),
        ("10%\r50%\r100%\r\ndone\r", "100%\ndone"),
        ("tab\tand é 😀 stay\n", "tab\tand é 😀 stay\n"),
    ],
)
def test_clean(text: str, plain: str) -> None:
    assert clean(text) == plain


@given(st.text(alphabet=st.characters()))
def test_clean_text_is_encodable_and_stays_as_it_is(text: str) -> None:
    plain = clean(text)
    plain.encode()
    assert clean(plain) == plain


@pytest.mark.parametrize(
    ("status", "step", "notice"),
    [
        (CellStatus.OK, InterruptStep.NONE, ""),
        (CellStatus.ERROR, InterruptStep.NONE, ""),
        (CellStatus.TIMEOUT, InterruptStep.SIGINT, "[stopped after 6 s; variables are kept]"),
        (
            CellStatus.TIMEOUT,
            InterruptStep.KILL,
            "[stopped after 6 s; variables and imports of earlier cells are lost]",
        ),
        (
            CellStatus.DIED,
            InterruptStep.NONE,
            "[the kernel died (signal 9); variables and imports of earlier cells are lost]",
        ),
    ],
)
def test_notices(status: CellStatus, step: InterruptStep, notice: str) -> None:
    assert ending_notice(status, step, 6.0, "signal 9") == notice
