"""Conversations in turns, with Python in fenced blocks: what most families have in common.

    …turns of system and user, the header of the model's…
    …```python\n…\n```            ← the stream is closed here
    \n```output\n…\n```\n         ← appended, and the same message goes on

A family says how turns are written (`ChatFormat`) and between which marks thinking and tool calls
stand. Code is found in thinking and outside it. Whatever marks its vocabulary has as control
tokens are only ever written by their ids.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

from client.schema import Channel
from server.dialect.base import (
    FORCED_LEAD,
    DialectOptions,
    MessageEnd,
    ParseEvent,
    Prompt,
    Text,
    ToolCall,
)
from server.dialect.blocks import BlockKind, BlockScanner, Marks, Span
from server.dialect.tool_json import is_call, loads, read_call
from server.dialect.trusted import TrustedParts
from server.vocabulary import Vocabulary

_NO_CODE = "the block has no code; write the code on the lines after ```python"


class ChatFormat(ABC):
    """How a family writes turns, in one vocabulary; itself the family's `Dialect`."""

    name: str
    marks = Marks()

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        self.vocabulary = vocabulary
        self.options = options or DialectOptions()
        self.end_ids: frozenset[int] = vocabulary.eos_ids
        #: Begin a turn of another's: where the model writes one, its own message is over.
        self.turn_ids: frozenset[int] = frozenset()
        self._opening: tuple[Prompt, Sequence[int]] | None = None

    @abstractmethod
    def prompt_turns(self, prompt: Prompt) -> list[int]:
        """Return the ids before the header of the model's first message."""

    @abstractmethod
    def turn_around(self, parts: TrustedParts) -> list[int]:
        """Return the ids of a whole turn of the user's, of trusted and any text in turn."""

    @abstractmethod
    def header(self) -> list[int]:
        """Return the ids that hand the word to the model, before any thinking."""

    @abstractmethod
    def close(self, ended_by: int | None) -> list[int]:
        """Return the ids that end the model's turn, where an end token was sampled or none was."""

    @property
    def opens_thinking(self) -> bool:
        """Whether the model's message is opened with the mark of thinking."""
        return False

    def user_turn(self, text: str) -> list[int]:
        """Return the ids of a whole turn of the user's."""
        return self.turn_around([("", text)])

    def read_call(self, body: str) -> ToolCall:
        """Return the call that the text between the tool-call marks makes."""
        return read_call(body)

    def call_result(self, output: str, ended_by: int | None) -> list[int]:
        """Frame the result of a call between marks; the model's message goes on, or a new one."""
        framed = [("<tool_response>", f"\n{output}\n"), ("</tool_response>", "")]
        return [*self.close(ended_by), *self.turn_around(framed), *self.opened_header()]

    @property
    def result_keeps_message(self) -> bool:
        """Whether `call_result` goes on in the message that made the call."""
        return False

    def opened_header(self) -> list[int]:
        """Return the header, with the mark of thinking where the family opens with it."""
        thinking = self.mark(self.marks.think_open, "\n") if self.opens_thinking else []
        return [*self.header(), *thinking]

    def without_thinking(self) -> list[int]:
        """Return the ids after a header with which the model answers at once."""
        return self.empty_thinking() if self.opens_thinking else []

    def empty_thinking(self) -> list[int]:
        """Return the marks of thinking with nothing between them."""
        opened = self.mark(self.marks.think_open, "\n\n")
        return [*opened, *self.mark(self.marks.think_close, "\n\n")]

    def end_thinking(self) -> list[int]:
        """Return the ids that end thinking in its midst."""
        return [*self.vocabulary.encode("\n"), *self.mark(self.marks.think_close, "\n\n")]

    def mark(self, name: str, then: str) -> list[int]:
        """Return the ids of a mark, a control token where the vocabulary has it, and of text."""
        token_id = self.vocabulary.controls.get(name)
        if token_id is None:
            return self.vocabulary.encode(name + then)
        return [token_id, *self.vocabulary.encode(then)]

    @cached_property
    def mark_ids(self) -> dict[int, Channel]:
        """The marks that are control tokens, but for a call's end, and the channel of each."""
        marks = self.marks
        channels = {
            marks.think_open: Channel.THINKING,
            marks.think_close: Channel.THINKING,
            marks.call_open: Channel.CODE,
        }
        controls = self.vocabulary.controls
        return {controls[name]: where for name, where in channels.items() if name in controls}

    @cached_property
    def newline(self) -> list[int]:
        """The ids of a newline."""
        return self.vocabulary.encode("\n")

    def opening(self, prompt: Prompt) -> Sequence[int]:
        """Return the ids that an attempt opens with; a problem's attempts all ask for the same."""
        if self._opening is None or self._opening[0] != prompt:
            start = self.vocabulary.encode(prompt.start)
            self._opening = (prompt, (*self.prompt_turns(prompt), *self.opened_header(), *start))
        return self._opening[1]

    def open(self, prompt: Prompt) -> "ChatConversation":
        """Start an attempt."""
        return ChatConversation(self, prompt)

    def at_once(self, prompt: Prompt) -> list[int]:
        """Return an opening after which the model says what is final."""
        return [*self.prompt_turns(prompt), *self.header(), *self.without_thinking()]


class ChatConversation:
    """One attempt in a dialect of turns."""

    def __init__(self, chat: ChatFormat, prompt: Prompt) -> None:
        self._chat = chat
        self._prompt = prompt
        self._decoder = chat.vocabulary.decoder()
        self._scanner = BlockScanner(chat.marks, thinking=chat.opens_thinking)
        self._final: list[str] = []
        self._begun = 0  # what `_final` held when the message was asked for
        # Whether it is known where thinking begins: else all before a mark that ends it is thought.
        self._told_thinking = chat.opens_thinking
        self._ended_by: int | None = None
        self._marked_call = False
        self._fresh = True  # nothing was sampled yet since ids were appended
        self.opening = chat.opening(prompt)
        self._read(prompt.start)

    @property
    def answer_text(self) -> str:
        """Everything outside thinking, code and tool calls."""
        return "".join(self._final)

    def feed(self, token_id: int) -> Sequence[ParseEvent]:
        """Take one sampled id."""
        chat, fresh = self._chat, self._fresh
        self._fresh = False
        # A header that is written once more at the beginning ends nothing.
        if token_id in chat.end_ids or (token_id in chat.turn_ids and not fresh):
            return self._end(token_id)
        if token_id in chat.mark_ids:
            return self._mark(token_id)
        return self._read(self._decoder.feed_one(token_id))

    def flush(self) -> Sequence[ParseEvent]:
        """Give out the rest of an unfinished character."""
        return self._read(self._decoder.flush())

    def result(self, output: str) -> list[int]:
        """Frame a result the way the call was written."""
        chat, thinking = self._chat, self._scanner.thinking
        if self._marked_call:
            ids = chat.call_result(output, self._ended_by)
            thinking = thinking if chat.result_keeps_message else chat.opens_thinking
        elif self._ended_by is not None:
            # The message is over: the block is the user's to write.
            framed = chat.user_turn(_fenced(output))
            ids = [*chat.close(self._ended_by), *framed, *chat.opened_header()]
            thinking = chat.opens_thinking
        else:
            lead = "" if self._scanner.at_line_start else "\n"
            ids = chat.vocabulary.encode(f"{lead}{_fenced(output)}\n")
        self._restart(thinking=thinking)
        return ids

    def force_answer(self) -> list[int]:
        """Ask for the answer: in the same message where text can go on, else in a new turn."""
        chat = self._chat
        encode = chat.vocabulary.encode
        if self._ended_by is not None or self._scanner.kind is not BlockKind.TEXT:
            ids = [*chat.close(self._ended_by), *chat.user_turn(self._prompt.force)]
            ids += [*chat.header(), *chat.without_thinking(), *encode(FORCED_LEAD)]
        elif self._scanner.thinking:
            ids = [*chat.end_thinking(), *encode(FORCED_LEAD)]
        else:
            ids = encode(f"\n\n{FORCED_LEAD}")
        self._restart(thinking=False)
        self._told_thinking = True
        self._final.append(f"\n\n{FORCED_LEAD}")
        self._scanner.feed(FORCED_LEAD)
        return ids

    def ask(self, text: str) -> list[int]:
        """Add a turn of the user's and the header of another message."""
        chat = self._chat
        ids = [*chat.close(self._ended_by), *chat.user_turn(text), *chat.opened_header()]
        self._restart(thinking=chat.opens_thinking)
        self._final.append("\n\n")
        self._begun, self._told_thinking = len(self._final), chat.opens_thinking
        return ids

    def _mark(self, token_id: int) -> list[ParseEvent]:
        """Take a mark that is a control token.

        Thinking's end every block that is under way, a call's those of anything but code.
        """
        events = [*self.flush()]
        opened, kind = self._chat.mark_ids[token_id], self._scanner.kind
        shown = kind in (BlockKind.JSON, BlockKind.OTHER)
        if shown or (opened is not Channel.CODE and kind is not BlockKind.TEXT):
            self._scanner.reset(thinking=self._scanner.thinking)
        in_text = self._scanner.kind is BlockKind.TEXT
        text = self._decoder.feed((token_id,))
        return [*events, *self._read(text, opened if in_text else None)]

    def _end(self, token_id: int) -> list[ParseEvent]:
        """Take an end token: of a call whose closing mark is missing, or of the message."""
        self._ended_by = token_id
        events = [*self.flush()]
        call = self._unclosed_call()
        if call is None:
            return [*events, MessageEnd()]
        self._scanner.reset(thinking=self._scanner.thinking)
        return [*events, call]

    def _unclosed_call(self) -> ToolCall | None:
        """Return the call under way, which the message's end completes, if it can be run."""
        kind, body = self._scanner.kind, self._scanner.body
        if kind is BlockKind.PYTHON and body.strip():
            self._marked_call = False
            return ToolCall(body)
        call = self._chat.read_call(body) if kind is BlockKind.CALL else None
        if call is None or call.error is not None:
            return None
        self._marked_call = True
        return call

    def _restart(self, *, thinking: bool) -> None:
        self._ended_by = None
        self._fresh = True
        self._decoder.flush()
        self._scanner.reset(thinking=thinking)

    def _read(self, text: str, opened: Channel | None = None) -> list[ParseEvent]:
        """Read text; a mark that opens a channel belongs to that."""
        events: list[ParseEvent] = []
        for span in self._scanner.feed(text):
            channel = opened or _channel_of(span)
            events.append(Text(channel, span.text))
            if channel is Channel.FINAL:
                self._final.append(span.text)
            self._note_thinking(span)
            call = self._call(span)
            if call is not None:
                events.append(call)
        return events

    def _note_thinking(self, span: Span) -> None:
        """Take what was said for thought at a mark that ends thinking which nothing has begun."""
        marks = self._chat.marks
        if span.mark == marks.think_close and not self._told_thinking:
            del self._final[self._begun :]
        self._told_thinking |= span.mark in (marks.think_open, marks.think_close)

    def _call(self, span: Span) -> ToolCall | None:
        """Return the call that this span completes, if any."""
        if span.closed is None:
            return None
        self._marked_call = span.kind is not BlockKind.PYTHON
        if span.kind is BlockKind.PYTHON:
            return ToolCall(span.closed) if span.closed.strip() else ToolCall("", _NO_CODE)
        if span.kind is BlockKind.CALL:
            return self._chat.read_call(span.closed)
        if span.kind is BlockKind.JSON and _holds_call(span.closed):
            return read_call(span.closed)
        return None


def _channel_of(span: Span) -> Channel:
    if span.kind in (BlockKind.PYTHON, BlockKind.CALL):
        return Channel.CODE
    return Channel.THINKING if span.thinking else Channel.FINAL


def _holds_call(text: str) -> bool:
    try:
        return is_call(loads(text))
    except ValueError:
        return False


def _fenced(output: str) -> str:
    """Return a result as a block of output."""
    fence = fence_around(output)
    return f"{fence}output\n{output}\n{fence}"


def fence_around(text: str) -> str:
    """Return a fence longer than any run of backticks in the text, so that it cannot end early."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    return "`" * (longest + 1)
