r"""The dialects of Gemma 3 and Gemma 4, which share a name and little else.

Gemma 3 has no system turn; what the system would say begins the user's:

    <bos><start_of_turn>user\n…<end_of_turn>\n<start_of_turn>model\n

Gemma 4 has one, thinks on a channel where `<|think|>` asks for it, and calls tools natively:

    <bos><|turn>system\n<|think|>\n…<turn|>\n<|turn>user\n…<turn|>\n<|turn>model\n
    <|channel>thought\n…<channel|>
    <|tool_call>call:python{code:<|"|>…<|"|>}<tool_call|>                  ← closed here
    <|tool_response>response:python{value:<|"|>…<|"|>}<tool_response|>     ← appended; it goes on

Both may write Python in fenced blocks. Sources: Google's pages on Gemma's formatting and system
instructions, on Gemma 4's prompt formatting, thinking and function calling.
"""

import re
from functools import cached_property

from server.dialect.base import DialectOptions, Prompt, ToolCall
from server.dialect.blocks import Marks
from server.dialect.chat import ChatFormat
from server.dialect.tool_json import PYTHON_NAMES, call_of, loads, read_call
from server.dialect.trusted import TrustedParts, encode_around
from server.vocabulary import Vocabulary

BEGIN = "<bos>"
TURN_3, END_3 = "<start_of_turn>", "<end_of_turn>"
TURN_4, END_4 = "<|turn>", "<turn|>"
THINK = "<|think|>"
QUOTE = '<|"|>'
RESPONSE_OPEN, RESPONSE_CLOSE = "<|tool_response>", "<tool_response|>"

#: How the templates of the larger Gemma 4 leave thinking out (`\n` as an escape, or a line end).
_LEFT_OUT = re.compile(r"<\|channel>thought(?:\\n|\n)<channel\|>")
#: `call:NAME{name:<|"|>…<|"|>,…}`, of which the last brace may be missing.
_CALL = re.compile(r"\s*+call:\s*+([\w.\-]*+)\s*+\{")
#: One of its strings: other values cannot be code. Plain quotes end where JSON could go on. Each
#: match goes on to the string's end, and no name begins in a name: the time is linear.
_STRING = re.compile(
    r"(?<![\w.\-])([\w.\-]++)(?:\"|QUOTE)?+\s*+:\s*+"
    r"(?:QUOTE(.*?)(?:QUOTE|\Z)"
    r"|\"((?:[^\"\\]|\\.?|\"(?!\s*+(?:[,}]|\Z)))*+)(?:\"|\Z))".replace("QUOTE", re.escape(QUOTE)),
    re.DOTALL,
)
#: An escape, which is left as it is, or a quote that lacks its own.
_QUOTES = re.compile(r"\\.|\"", re.DOTALL)


class _GemmaFormat(ChatFormat):
    """What both have in common, over their different turn tokens."""

    name = "gemma"

    def __init__(
        self, vocabulary: Vocabulary, options: DialectOptions | None, start: str, end: str
    ) -> None:
        super().__init__(vocabulary, options)
        self.begin, self.start, self.end = map(vocabulary.control, (BEGIN, start, end))
        self.end_ids = frozenset({self.end}) | vocabulary.eos_ids
        self.turn_ids = frozenset({self.start})

    def turn(self, role: str, text: str) -> list[int]:
        """Return the ids of a whole turn of another role."""
        return self._turn([("", f"{role}\n{text}")])

    def turn_around(self, parts: TrustedParts) -> list[int]:
        """Return a turn of the user's."""
        return self._turn([("", "user\n"), *parts])

    def _turn(self, parts: TrustedParts) -> list[int]:
        return [self.start, *encode_around(self.vocabulary, parts), self.end, *self.newline]

    def header(self) -> list[int]:
        """Return the header of the model's turn."""
        return [self.start, *self.vocabulary.encode("model\n")]

    def close(self, ended_by: int | None) -> list[int]:
        """Return the end of the model's turn."""
        return [*([] if ended_by == self.end else [self.end]), *self.newline]


class Gemma3Dialect(_GemmaFormat):
    """Gemma 2 and 3; `vocabulary` must have `<start_of_turn>`."""

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        super().__init__(vocabulary, options, TURN_3, END_3)

    def prompt_turns(self, prompt: Prompt) -> list[int]:
        """Return the user's turn, which begins with what the system would say."""
        parts = [part for part in (prompt.system, prompt.user) if part]
        return [self.begin, *self.user_turn("\n\n".join(parts))]


class Gemma4Dialect(_GemmaFormat):
    """Gemma 4; `vocabulary` must have `<|turn>`."""

    marks = Marks("<|tool_call>", "<tool_call|>", "<|channel>", "<channel|>")

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        super().__init__(vocabulary, options, TURN_4, END_4)
        # After its call the model hands over with this token, where it is not stopped before.
        self._response = vocabulary.controls.get(RESPONSE_OPEN)
        if self._response is not None:
            self.turn_ids |= {self._response}

    def prompt_turns(self, prompt: Prompt) -> list[int]:
        """Return the turns of system, which asks for thinking, and user."""
        encode = self.vocabulary.encode
        if self.options.think:
            body = [*encode("system\n"), *self.mark(THINK, f"\n{prompt.system}")]
            system = [self.start, *body, self.end, *self.newline]
        else:
            system = self.turn("system", prompt.system) if prompt.system else []
        return [self.begin, *system, *self.user_turn(prompt.user)]

    @cached_property
    def _can_leave_out(self) -> bool:
        return _LEFT_OUT.search(self.vocabulary.chat_template or "") is not None

    def opened_header(self) -> list[int]:
        """Return the header, with an empty thought where the model is used to it for none."""
        return [*self.header(), *([] if self.options.think else self.without_thinking())]

    def without_thinking(self) -> list[int]:
        """Return an empty thought, with which the larger models answer at once."""
        if not self.options.think and not self._can_leave_out:
            return []
        opened = self.mark(self.marks.think_open, "thought\n")
        return [*opened, *self.mark(self.marks.think_close, "")]

    def end_thinking(self) -> list[int]:
        """Return the mark that ends a thought."""
        return [*self.newline, *self.mark(self.marks.think_close, "")]

    @property
    def result_keeps_message(self) -> bool:
        """A response stands in the model's own turn."""
        return True

    def call_result(self, output: str, ended_by: int | None) -> list[int]:
        """Return the response to a native call."""
        opened = self.mark(RESPONSE_OPEN, "")
        if ended_by is not None:
            begun = ended_by == self._response
            opened = [] if begun else [*self.close(ended_by), *self.header(), *opened]
        return [
            *opened,
            *self.vocabulary.encode("response:python{value:"),
            *self.mark(QUOTE, output),
            *self.mark(QUOTE, "}"),
            *self.mark(RESPONSE_CLOSE, ""),
        ]

    def read_call(self, body: str) -> ToolCall:
        """Read `call:python{code:<|"|>…<|"|>}`, or JSON where the model writes that instead."""
        call = _CALL.match(body)
        if call is None:
            return read_call(body)
        if call[1].lower() not in PYTHON_NAMES:
            return ToolCall("", f"no tool named {call[1][:80]!r}; the only tool is python")
        strings = _strings(body[call.end() :].rstrip().removesuffix("}"))
        code = call_of(strings).code
        if not code.strip():
            return ToolCall("", "the call has no code; write call:python{code:...} with the code")
        return ToolCall(code)


def _strings(arguments: str) -> dict[str, str]:
    """Return the strings among the arguments of a native call, by name."""
    return {
        name: _unquoted(plain) if quoted is None else quoted
        for name, quoted, plain in (found.groups() for found in _STRING.finditer(arguments))
    }


def _unquoted(text: str) -> str:
    """Return what a string says that stood in plain quotes, with JSON's escapes."""
    quoted = _QUOTES.sub(lambda each: '\\"' if each[0] == '"' else each[0], text)
    try:
        return str(loads(f'"{quoted}"'))
    except ValueError:
        return text


def open_gemma(vocabulary: Vocabulary, options: DialectOptions | None = None) -> ChatFormat:
    """Return the Gemma dialect whose turn tokens the vocabulary has.

    Raises:
        UnknownControlToken: it has neither.
    """
    if TURN_4 in vocabulary.controls:
        return Gemma4Dialect(vocabulary, options)
    return Gemma3Dialect(vocabulary, options)
