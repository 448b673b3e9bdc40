r"""The Qwen dialect: ChatML turns, Python in fenced blocks or tool calls as JSON.

    <|im_start|>system\n…<|im_end|>\n<|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n
    …```python\n…\n```            ← the stream is closed here
    \n```output\n…\n```\n         ← appended, and the same message goes on

as Qwen2.5-Math was trained to (arXiv 2409.12122, section 3.3). A model that writes
`<tool_call>{…}</tool_call>` instead, or what Qwen3-Coder and later ones put between these marks
(`<function=python><parameter=code>…`), gets its result as Qwen2.5's chat template frames it: a user
turn with `<tool_response>`. Models that think do so between `<think>` and `</think>`: Qwen3 opens
it by itself, or answers at once after an empty pair of them; QwQ's template writes `<think>\n` for
the model, and so does Qwen3.5's where thinking is not left out.
"""

import json
import re
from functools import cached_property

from server.dialect.base import DialectOptions, Prompt, ToolCall
from server.dialect.chat import ChatFormat
from server.dialect.errors import UnusableTemplate
from server.dialect.template import read_header
from server.dialect.tool_json import read_call
from server.dialect.trusted import TrustedParts, encode_around
from server.vocabulary import Vocabulary

START, END = "<|im_start|>", "<|im_end|>"
#: Phi-4's, between a turn's role and its text: with it a vocabulary has ChatML's tokens, and the
#: model another format.
SEPARATOR = "<|im_sep|>"
#: For templates that cannot be rendered: one that ends the model's header so (`\n` as an escape, or
#: a line end), and in no `<think>\n\n</think>`, which is how Qwen3's leaves thinking out.
_OPENED = re.compile(r"assistant(?:\\n|\n)<think>(?:\\n|\n)?(?=['\"}]|\{%|\Z)")
#: How Qwen3.5's does, between statements; and what the statements that write the header follow.
_OPENED_ALONE = re.compile(
    r"\{\{-?\s*(['\"])<think>(?:\\n|\n)?\1\s*-?\}\}|%\}<think>(?:\\n|\n)?\{%"
)
_GENERATION = "add_generation_prompt"
_LEFT_OUT = re.compile(r"<think>(?:\\n|\n){2}</think>")
#: `<function=NAME>` with `<parameter=NAME>` in it, each on lines of its own; ends may be missing.
_FUNCTION = re.compile(r"\s*<function=([\w.\-]*)>(.*?)(?:</function>\s*)?\Z", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.\-]+)>\n?(.*?)(?:\n?</parameter>|\Z)", re.DOTALL)


class QwenDialect(ChatFormat):
    """Qwen2.5, QwQ, Qwen3 and their kin; `vocabulary` must have ChatML's control tokens."""

    name = "qwen"

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        super().__init__(vocabulary, options)
        self.start = vocabulary.control(START)
        self.end = vocabulary.control(END)
        self.end_ids = frozenset({self.end}) | vocabulary.eos_ids
        self.turn_ids = frozenset({self.start})

    @cached_property
    def _template_opens(self) -> bool:
        try:
            header = read_header(self.vocabulary, today=self.options.today)
        except UnusableTemplate:
            return self._source_opens
        return header.rstrip().endswith(self.marks.think_open)

    @property
    def _source_opens(self) -> bool:
        template = self.vocabulary.chat_template or ""
        _, asked, header = template.rpartition(_GENERATION)
        alone = bool(asked) and _OPENED_ALONE.search(header) is not None
        return alone or _OPENED.search(template) is not None

    @cached_property
    def _can_leave_out(self) -> bool:
        return _LEFT_OUT.search(self.vocabulary.chat_template or "") is not None

    @property
    def opens_thinking(self) -> bool:
        """Whether the model's own template opens its thinking."""
        return self.options.think and self._template_opens

    def read_call(self, body: str) -> ToolCall:
        """Read JSON, or the later models' marks."""
        function = _FUNCTION.match(body)
        if function is None:
            return read_call(body)
        arguments = dict(_PARAMETER.findall(function[2]))
        return read_call(json.dumps({"name": function[1], "arguments": arguments}))

    def turn(self, role: str, text: str) -> list[int]:
        """Return the ids of a whole turn of another role."""
        return self._turn([("", f"{role}\n{text}")])

    def prompt_turns(self, prompt: Prompt) -> list[int]:
        """Return the turns of system, where it has something to say, and user."""
        system = self.turn("system", prompt.system) if prompt.system else []
        return [*system, *self.user_turn(prompt.user)]

    def turn_around(self, parts: TrustedParts) -> list[int]:
        """Return a turn of the user's."""
        return self._turn([("", "user\n"), *parts])

    def _turn(self, parts: TrustedParts) -> list[int]:
        return [self.start, *encode_around(self.vocabulary, parts), self.end, *self.newline]

    def header(self) -> list[int]:
        """Return the header of the model's turn."""
        return [self.start, *self.vocabulary.encode("assistant\n")]

    def close(self, ended_by: int | None) -> list[int]:
        """Return the end of the model's turn."""
        return [*([] if ended_by == self.end else [self.end]), *self.newline]

    def opened_header(self) -> list[int]:
        """Return the header, with empty thinking where the model can leave it out and is to."""
        if self._can_leave_out and not self.options.think:
            return [*self.header(), *self.without_thinking()]
        return super().opened_header()

    def without_thinking(self) -> list[int]:
        """Return empty thinking, for models that are used to it."""
        return self.empty_thinking() if self._can_leave_out or self.opens_thinking else []
