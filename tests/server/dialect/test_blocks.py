"""Finding fenced blocks and tool calls in text."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialect.blocks import BlockKind, BlockScanner, Marks

PYTHON = {
    "plain": ("```python\nx = 1\n```", "x = 1\n"),
    "short tag": ("```py\nx = 1\n```", "x = 1\n"),
    "capital": ("```Python\nx = 1\n```", "x = 1\n"),
    "python3": ("```python3\nx = 1\n```", "x = 1\n"),
    "attributes": ("``` python title=a\nx = 1\n```", "x = 1\n"),
    "indented fence": ("1. So:\n   ```python\n   x = 1\n   ```", "   x = 1\n"),
    "tabs": ("\t```python\n\tx = 1\n\t```", "\tx = 1\n"),
    "windows lines": ("```python\r\nx = 1\r\n```", "x = 1\r\n"),
    "text after the closing fence": ("```python\nx = 1\n``` so", "x = 1\n"),
    "longer fence": ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
    "backticks in a string": ("```python\nx = '```'\n```", "x = '```'\n"),
    "backticks at a line's end": ("```python\nx = 1  # ```\n```", "x = 1  # ```\n"),
    "empty": ("```python\n```", ""),
    "code beside the fence": ("```python print(1)\n```", "print(1)\n"),
    "code beside the fence, then more": ("```py x=1\nprint(x)\n```", "x=1\nprint(x)\n"),
    "a header beside the fence": ("```python while x:\n  f()\n```", "while x:\n  f()\n"),
    "an import beside the fence": ("```python import sympy\n```", "import sympy\n"),
    "an import of names": ("```python from a.b import c\n```", "from a.b import c\n"),
    "indented code beside the fence": (
        "  ```python x = 1\r\n  f(x)\r\n  ```",
        "  x = 1\r\n  f(x)\r\n",
    ),
    "braces": ("```python {.a #b}\nx = 1\n```", "x = 1\n"),
    "a title in quotes": ('```python title="a (b)" lines=3-5\nx = 1\n```', "x = 1\n"),
    "a file": ("```python src/main.py\nx = 1\n```", "x = 1\n"),
    "a file after a colon": ("```python:a.py (b)\nx = 1\n```", "x = 1\n"),
    "a sentence": ("```python from above:\nx = 1\n```", "x = 1\n"),
    "after a sentence": ("We compute.\n```python\nx = 1\n```", "x = 1\n"),
}
NO_PYTHON = {
    "text block": "```text\nx = 1\n```",
    "no tag": "```\nx = 1\n```",
    "output block": "```output\n1\n```",
    "c++": "```c++\nint x;\n```",
    "json": '```json\n{"a": 1}\n```',
    "tildes": "~~~python\nx = 1\n~~~",
    "inline": "Use ```python x = 1``` so.\n",
    "inline at the start": "```python x = 1```\n",
    "in mid-line": "So ```python\nx = 1\n```",
    "two backticks": "``python\nx = 1\n``",
    "unclosed": "```python\nx = 1\n",
    "unclosed in its fence": "```python\nx = 1\n``",
    "closed by a shorter fence": "````python\nx = 1\n```\n",
    "code beside another fence": "```text f(1)\nx = 1\n```",
    "inside another block": "```text\n```python\nx = 1\n",
}


def bodies(text: str) -> list[tuple[BlockKind, str]]:
    spans = BlockScanner().feed(text)
    return [(span.kind, span.closed) for span in spans if span.closed is not None]


@pytest.mark.parametrize("case", PYTHON)
def test_python_blocks(case: str) -> None:
    text, body = PYTHON[case]
    assert bodies(text) == [(BlockKind.PYTHON, body)]


@pytest.mark.parametrize("case", NO_PYTHON)
def test_what_is_no_python_block(case: str) -> None:
    assert BlockKind.PYTHON not in dict(bodies(NO_PYTHON[case]))


def test_a_block_is_complete_with_its_third_backtick() -> None:
    scanner = BlockScanner()
    assert not any(span.closed for span in scanner.feed("```python\nx = 1\n``"))
    (span,) = scanner.feed("`")
    assert span.closed == "x = 1\n"
    assert scanner.kind is BlockKind.TEXT
    assert not scanner.at_line_start


def test_a_fence_right_after_a_closing_fence_opens_nothing() -> None:
    assert bodies("```python\nx = 1\n``````python\ny = 2\n```") == [(BlockKind.PYTHON, "x = 1\n")]


@pytest.mark.parametrize("tag", ["", "output", "json"])
def test_python_after_a_block_that_was_never_closed(tag: str) -> None:
    """Else the fences after it are taken the wrong way round, and no call is found any more."""
    text = f"```{tag}\n42\n```python\nx\n```\nso\n```python\ny\n```"
    assert [body for kind, body in bodies(text) if kind is BlockKind.PYTHON] == ["x\n", "y\n"]


@pytest.mark.parametrize("line", ["``` python says", "```", "```text", "``` python"])
def test_what_follows_a_closing_fence_opens_nothing(line: str) -> None:
    text = f"```text\n42\n{line}\nx = 1\n```python\ny\n```"
    assert bodies(text)[1:] == [(BlockKind.PYTHON, "y\n")]


def test_several_blocks() -> None:
    text = "a\n```python\nx\n```\nb\n```text\ny\n```\n```py\nz\n```"
    kinds = [BlockKind.PYTHON, BlockKind.OTHER, BlockKind.PYTHON]
    assert bodies(text) == list(zip(kinds, ["x\n", "y\n", "z\n"], strict=True))


def test_tool_calls() -> None:
    assert bodies("So <tool_call>\n{}\n</tool_call> end") == [(BlockKind.CALL, "\n{}\n")]
    assert bodies("<tool_call>a</tool_call><tool_call>b</tool_call>") == [
        (BlockKind.CALL, "a"),
        (BlockKind.CALL, "b"),
    ]
    assert bodies("<tool_call>```python\nx\n```") == []
    assert bodies("```python\n# <tool_call>\n```") == [(BlockKind.PYTHON, "# <tool_call>\n")]
    assert bodies("```python\n<tool_call>\n```") == [(BlockKind.PYTHON, "<tool_call>\n")]


@pytest.mark.parametrize("tag", ["", "json", "xml"])
def test_a_tool_call_shown_as_other_code_is_one(tag: str) -> None:
    assert bodies(f"```{tag}\n \t<tool_call>a</tool_call>\n```") == [(BlockKind.CALL, "a")]
    said = f"```{tag}\nx <tool_call>a</tool_call>\n```"
    assert [kind for kind, _ in bodies(said)] == [
        BlockKind.JSON if tag == "json" else BlockKind.OTHER
    ]


#: What lines are made of where it matters: marks, whole and nearly, fences, indents, ends of lines.
PIECES = st.sampled_from(
    [
        "`", "``", "```", "````", "~~~", "```python\n", "\n```", "\n\t```", "\n", "\r\n", " ", "\t",
        "python", "python x=1\n", "json", "text", "<tool_call>", "</tool_call>", "<tool_",
        "call>", "<", "</", "-", "x", "\u00e9", "\U0001f600", "\x00", "\u2028",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@given(TEXTS, st.data())
def test_where_the_text_is_split_does_not_matter(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    parts = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    assert story(parts) == story([text]) == story(text)


def story(parts: Iterable[str]) -> tuple[object, ...]:
    """Return all that a reader of the scanner can tell: text by kind, blocks, state at the end."""
    scanner = BlockScanner()
    spans = [span for part in parts for span in scanner.feed(part)]
    closed = [(span.kind, span.closed) for span in spans if span.closed is not None]
    kinds = [(span.kind, character) for span in spans for character in span.text]
    return closed, kinds, scanner.kind, scanner.at_line_start


@given(TEXTS)
def test_no_character_is_lost(text: str) -> None:
    assert "".join(span.text for span in BlockScanner().feed(text)) == text


#: Long lines: a scanner that looks back over the line takes minutes for one of them.
LONG_LINES = {
    "text": ("", "x"),
    "indent": ("", " "),
    "nearly a fence": ("", "`"),
    "nearly a call": ("", "<tool_call"),
    "in a block": ("```python\n", "x"),
    "indent in a block": ("```python\n", " "),
    "nearly the end of a block": ("`" * 300_001 + "python\n", "`"),
    "nearly a call in a block": ("```text\nx", "<tool_call>"),
    "code beside the fence": ("```python ", "a=b "),
    "in a call": ("<tool_call>", "x"),
    "nearly the end of a call": ("<tool_call>", "</tool_call"),
}


@pytest.mark.parametrize("case", LONG_LINES)
def test_a_long_line_takes_no_longer_for_what_went_before(case: str) -> None:
    opening, piece = LONG_LINES[case]
    scanner = BlockScanner()
    scanner.feed(opening)
    kind = scanner.kind
    for _ in range(300_000):
        scanner.feed(piece)
    assert scanner.kind is kind


@pytest.mark.parametrize("rest", ["a ", "a=", 'ab="', "{", "for ", "from a.", " ", "ab=c "])
def test_a_long_info_string_is_read_once(rest: str) -> None:
    """In quadratic time it would take minutes."""
    scanner = BlockScanner()
    scanner.feed(f"```python {rest * 300_000}(\n")
    assert scanner.kind is BlockKind.PYTHON


def test_many_lines_at_once() -> None:
    text = "x\n" * 300_000
    assert [s.closed for s in BlockScanner().feed(f"```python\n{text}```") if s.closed] == [text]


def thoughts(text: str, *, thinking: bool = False) -> list[tuple[bool, str]]:
    """Return stretches of thinking and of other text, each joined."""
    found: list[tuple[bool, str]] = []
    for span in BlockScanner(thinking=thinking).feed(text):
        if found and found[-1][0] == span.thinking:
            found[-1] = (span.thinking, found[-1][1] + span.text)
        else:
            found.append((span.thinking, span.text))
    return found


def test_thinking_is_what_stands_between_its_marks() -> None:
    assert thoughts("<think>a\nb</think>c") == [
        (False, "<think>"),
        (True, "a\nb</think>"),
        (False, "c"),
    ]
    assert thoughts("a</think>b", thinking=True) == [(True, "a</think>"), (False, "b")]
    assert thoughts("a</think>b") == [(False, "a</think>b")]
    assert thoughts("<think>a<think>b</think>c")[1:] == [(True, "a<think>b</think>"), (False, "c")]


def test_blocks_in_thinking_are_found_and_marks_in_blocks_are_code() -> None:
    text = "<think>\n```python\nx = '</think>'\n```\nso</think>\n```python\ny\n```"
    assert bodies(text) == [(BlockKind.PYTHON, "x = '</think>'\n"), (BlockKind.PYTHON, "y\n")]
    assert thoughts(text)[-1] == (False, "\n```python\ny\n```")


def test_another_familys_marks() -> None:
    marks = Marks("<|tool_call>", "<tool_call|>", "<|channel>", "<channel|>")
    spans = BlockScanner(marks).feed("<|channel>thought\na<channel|><|tool_call>b<tool_call|>")
    assert [(s.thinking, s.closed) for s in spans if s.closed is not None] == [(False, "b")]
    assert "".join(s.text for s in spans if s.thinking) == "thought\na<channel|>"
    assert bodies("<|tool_call>b<tool_call|>") == []
