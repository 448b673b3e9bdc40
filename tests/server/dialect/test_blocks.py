"""Finding fenced blocks and tool calls in text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialect.blocks import BlockKind, BlockScanner

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


@given(st.text(alphabet="`~\n\r a<tool_cal>/python", max_size=60), st.data())
def test_where_the_text_is_split_does_not_matter(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    whole, parts = BlockScanner(), BlockScanner()
    spans = whole.feed(text)
    split = [*parts.feed(text[:cut]), *parts.feed(text[cut:])]
    assert "".join(span.text for span in spans) == text
    assert [(s.kind, s.closed) for s in spans if s.closed is not None] == [
        (s.kind, s.closed) for s in split if s.closed is not None
    ]
    assert "".join(span.text for span in split) == text
    assert (whole.kind, whole.at_line_start) == (parts.kind, parts.at_line_start)


def test_time_is_linear_in_the_length_of_a_line() -> None:
    scanner = BlockScanner()
    for _ in range(2_000):
        scanner.feed("x" * 8)
    assert scanner.kind is BlockKind.TEXT
