r"""The Qwen dialect: ChatML turns, Python in fenced blocks or tool calls as JSON.

    <|im_start|>system\n…<|im_end|>\n<|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n
    …```python\n…\n```            ← the stream is closed here
    \n```output\n…\n```\n         ← appended, and the same message goes on

as Qwen2.5-Math was trained to (arXiv 2409.12122, section 3.3). A model that writes
`<tool_call>{…}</tool_call>` instead gets its result as Qwen2.5's chat template frames it: a user
turn with `<tool_response>`. The special tokens of the template are only ever written by their ids.
"""

import re
from collections.abc import Sequence
from functools import cached_property

from client.schema import Channel
from server.dialect.base import MessageEnd, ParseEvent, Prompt, Text, ToolCall
from server.dialect.blocks import BlockKind, BlockScanner, Span
from server.dialect.tool_json import is_call, loads, read_call
from server.vocabulary import Vocabulary

START, END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
FORCED_LEAD = "The final answer is \\boxed{"


class QwenDialect:
    """Qwen2.5 and its kin; `vocabulary` must have ChatML's control tokens."""

    name = "qwen"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.start = vocabulary.control(START)
        self.end = vocabulary.control(END)
        self.end_ids = frozenset({self.end}) | vocabulary.eos_ids
        self._opening: tuple[Prompt, Sequence[int]] | None = None

    @cached_property
    def newline(self) -> list[int]:
        """The ids of a newline."""
        return self.vocabulary.encode("\n")

    def turn(self, role: str, text: str) -> list[int]:
        """Return the ids of a whole turn of another role."""
        body = self.vocabulary.encode(f"{role}\n{text}")
        return [self.start, *body, self.end, *self.newline]

    def header(self) -> list[int]:
        """Return the ids that hand the word to the model."""
        return [self.start, *self.vocabulary.encode("assistant\n")]

    def opening(self, prompt: Prompt) -> Sequence[int]:
        """Return the ids that an attempt opens with; a problem's attempts all ask for the same."""
        if self._opening is None or self._opening[0] != prompt:
            system, user = self.turn("system", prompt.system), self.turn("user", prompt.user)
            self._opening = (prompt, (*system, *user, *self.header()))
        return self._opening[1]

    def open(self, prompt: Prompt) -> "QwenConversation":
        """Start an attempt."""
        return QwenConversation(self, prompt)


class QwenConversation:
    """One attempt in the Qwen dialect."""

    def __init__(self, dialect: QwenDialect, prompt: Prompt) -> None:
        self._dialect = dialect
        self._prompt = prompt
        self._decoder = dialect.vocabulary.decoder()
        self._scanner = BlockScanner()
        self._final: list[str] = []
        self._ended_by: int | None = None
        self._call_by_json = False
        self.opening = dialect.opening(prompt)

    @property
    def answer_text(self) -> str:
        """Everything outside code and tool calls."""
        return "".join(self._final)

    def feed(self, token_id: int) -> Sequence[ParseEvent]:
        """Take one sampled id."""
        if token_id in self._dialect.end_ids:
            self._ended_by = token_id
            return [*self.flush(), MessageEnd()]
        return self._read(self._decoder.feed((token_id,)))

    def flush(self) -> Sequence[ParseEvent]:
        """Give out the rest of an unfinished character."""
        return self._read(self._decoder.flush())

    def result(self, output: str) -> list[int]:
        """Frame a result the way the call was written."""
        encode = self._dialect.vocabulary.encode
        if self._call_by_json:
            framed = f"<tool_response>\n{output}\n</tool_response>"
            ids = [*self._close_message(), *self._dialect.turn("user", framed)]
            ids += self._dialect.header()
        else:
            fence = _fence_around(output)
            lead = "" if self._scanner.at_line_start else "\n"
            ids = encode(f"{lead}{fence}output\n{output}\n{fence}\n")
        self._restart()
        return ids

    def force_answer(self) -> list[int]:
        """Ask for the answer: in the same message where text can go on, else in a new turn."""
        encode = self._dialect.vocabulary.encode
        if self._ended_by is not None or self._scanner.kind is not BlockKind.TEXT:
            ids = [*self._close_message(), *self._dialect.turn("user", self._prompt.force)]
            ids += [*self._dialect.header(), *encode(FORCED_LEAD)]
        else:
            ids = encode(f"\n\n{FORCED_LEAD}")
        self._restart()
        self._final.append(f"\n\n{FORCED_LEAD}")
        self._scanner.feed(FORCED_LEAD)
        return ids

    def _close_message(self) -> list[int]:
        ended = self._ended_by == self._dialect.end
        return [*([] if ended else [self._dialect.end]), *self._dialect.newline]

    def _restart(self) -> None:
        self._ended_by = None
        self._decoder.flush()
        self._scanner.reset()

    def _read(self, text: str) -> list[ParseEvent]:
        events: list[ParseEvent] = []
        for span in self._scanner.feed(text):
            if span.kind in (BlockKind.PYTHON, BlockKind.CALL):
                events.append(Text(Channel.CODE, span.text))
            else:
                events.append(Text(Channel.FINAL, span.text))
                self._final.append(span.text)
            call = self._call(span)
            if call is not None:
                events.append(call)
        return events

    def _call(self, span: Span) -> ToolCall | None:
        """Return the call that this span completes, if any."""
        if span.closed is None:
            return None
        self._call_by_json = span.kind is not BlockKind.PYTHON
        if span.kind is BlockKind.PYTHON:
            return ToolCall(span.closed)
        if span.kind is BlockKind.CALL:
            return read_call(span.closed)
        if span.kind is BlockKind.JSON and _holds_call(span.closed):
            return read_call(span.closed)
        return None


def _holds_call(text: str) -> bool:
    try:
        return is_call(loads(text))
    except ValueError:
        return False


def _fence_around(text: str) -> str:
    """Return a fence longer than any run of backticks in the text, so that it cannot end early."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    return "`" * (longest + 1)
