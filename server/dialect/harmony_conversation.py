"""One attempt in the Harmony dialect: a state machine over token ids.

Three states: between messages, in a header, in a content. A control token always acts, wherever it
stands, since text cannot spell it; so a missing or doubled one costs a header, not the message.
"""

from collections.abc import Sequence
from enum import Enum, auto

from client.schema import Channel
from server.dialect.base import FORCED_LEAD, MessageEnd, ParseEvent, Text, ToolCall
from server.dialect.harmony_call import read_message, replying_name
from server.dialect.harmony_header import (
    ANALYSIS,
    FINAL,
    MODEL,
    MORE_HEADER,
    Header,
    read_header,
)
from server.dialect.harmony_tokens import HarmonyTokens

#: Characters of a header. The longest right one has about 60
#: (` to=functions.python<|channel|>commentary <|constrain|>json`); what is longer, or goes on after
#: a line end, is content whose `<|message|>` is missing.
LONGEST_HEADER = 96
_NO_TOOL = "the call names no tool; write to=python in its header"


class _State(Enum):
    BETWEEN = auto()
    HEADER = auto()
    CONTENT = auto()


class HarmonyConversation:
    """Reads and writes one attempt's messages; `force` is what asks for the answer."""

    def __init__(self, tokens: HarmonyTokens, opening: Sequence[int], force: str) -> None:
        self.opening = opening
        self._tokens = tokens
        self._force = force
        self._decoder = tokens.vocabulary.decoder()
        self._final: list[str] = []
        self._code: list[str] = []
        self._called = Header()
        self._open_content(Header())
        self._begin_header(MODEL)

    @property
    def answer_text(self) -> str:
        """The content of the model's messages on the final channel."""
        return "".join(self._final)

    def feed(self, token_id: int) -> Sequence[ParseEvent]:
        """Take one sampled id."""
        if token_id not in self._tokens.marks:
            self._untouched = False
            return self._text(self._decoder.feed_one(token_id))
        events = [*self.flush()]
        if token_id in self._tokens.in_headers:
            events += self._mark(token_id)
        else:
            events += self._end(token_id)
        return events

    def flush(self) -> Sequence[ParseEvent]:
        """Give out the rest of an unfinished character."""
        return self._text(self._decoder.flush())

    def result(self, output: str) -> list[int]:
        """Write the result in the tool's name, on the channel of the call."""
        header = f"{replying_name(self._called)} to={MODEL}"
        message = self._tokens.turn(header, output, self._called.channel or ANALYSIS)
        ids = [*self._follow(message), *self._tokens.begin()]
        self._begin_header(MODEL)
        return ids

    def force_answer(self) -> list[int]:
        """Open a box in a final message; after the end of the last one the user asks for it."""
        tokens = self._tokens
        lead = tokens.vocabulary.encode(FORCED_LEAD)
        if self._state is _State.CONTENT and self._channel is Channel.FINAL:
            ids = tokens.vocabulary.encode(f"\n\n{FORCED_LEAD}")
        elif self._untouched:
            ids = [*tokens.on_channel(FINAL), *lead]
        else:
            asked = tokens.turn("user", self._force) if self._ended else []
            ids = self._follow([*asked, *tokens.begin(), *tokens.on_channel(FINAL), *lead])
        self._decoder.flush()
        self._final.append(f"\n\n{FORCED_LEAD}")
        self._open_content(Header(channel=FINAL))
        return ids

    def ask(self, text: str) -> list[int]:
        """Add a message of the user's and the beginning of another one of the model's."""
        ids = self._follow([*self._tokens.turn("user", text), *self._tokens.begin()])
        self._decoder.flush()
        self._final.append("\n\n")
        self._begin_header(MODEL)
        return ids

    def _begin_header(self, role: str | None) -> None:
        """Expect a header; `role` is the model's where that much of it is written already."""
        self._state, self._role, self._head = _State.HEADER, role, ""
        self._marked = 0  # where the text after the last mark begins
        self._untouched = role is not None
        self._ended = False

    def _open_content(self, header: Header) -> None:
        self._state, self._header, self._channel = _State.CONTENT, header, _channel_of(header)
        self._untouched = self._ended = False
        self._code.clear()

    def _text(self, text: str) -> list[ParseEvent]:
        """Take text as content, or as part of a header until that is too long to be one."""
        if not text:
            return []
        if self._state is _State.CONTENT:
            return self._emit(text)
        if self._state is _State.BETWEEN:
            self._begin_header(None)
        self._head += text
        line_end = self._head.find("\n", self._marked)
        ends = line_end >= 0 and not MORE_HEADER.fullmatch(self._head, line_end)
        end = min(line_end if ends else LONGEST_HEADER, LONGEST_HEADER)
        if len(self._head) <= end:
            return []
        header, beyond = read_header(self._head[:end], self._role, whole=False), self._head[end:]
        self._open_content(header)
        return self._emit(header.rest + beyond)

    def _emit(self, text: str) -> list[ParseEvent]:
        if not text:
            return []
        if self._channel is Channel.FINAL:
            self._final.append(text)
        elif self._channel is Channel.CODE:
            self._code.append(text)
        return [Text(self._channel, text)]

    def _mark(self, token_id: int) -> list[ParseEvent]:
        """Take a token that headers have."""
        tokens = self._tokens
        events: list[ParseEvent] = []
        if self._state is _State.CONTENT:
            if token_id != tokens.channel:
                return events  # a second <|message|>, or a <|constrain|>: the content goes on
            events = self._end_message(token_id)  # its end and the next start are missing
            self._begin_header(MODEL)
        elif self._state is _State.BETWEEN:
            self._begin_header(MODEL)
        self._untouched = False
        if token_id == tokens.message:
            self._open_content(read_header(self._head, self._role, whole=True))
        else:
            self._head += tokens.vocabulary.decode((token_id,))
            self._marked = len(self._head)
        return events

    def _end(self, token_id: int) -> list[ParseEvent]:
        """Take a token that ends a message, or begins the next one."""
        tokens = self._tokens
        events = self._end_message(token_id)
        if token_id == tokens.start:
            self._begin_header(None)
            return events
        answered = self._state is _State.CONTENT and self._header.channel == FINAL
        self._state = _State.BETWEEN
        self._untouched = False
        if any(isinstance(event, ToolCall) for event in events):
            return events
        if token_id in tokens.ends or answered:
            self._ended = True
            return [*events, MessageEnd()]
        if token_id == tokens.call:
            self._called = Header()
            return [*events, ToolCall("", _NO_TOOL)]
        return events

    def _end_message(self, token_id: int) -> list[ParseEvent]:
        """Read what the message under way is, if there is one; return the call that it makes."""
        events: list[ParseEvent] = []
        if self._state is _State.HEADER:
            # Cut before its content: what is no header was meant as content.
            header = read_header(self._head, self._role, whole=False)
            self._open_content(header)
            events = self._emit(header.rest)
        in_call = self._state is _State.CONTENT and self._channel is Channel.CODE
        if in_call and token_id in self._tokens.completing:
            self._called = self._header
            events.append(read_message(self._header, "".join(self._code)))
        return events

    def _follow(self, messages: list[int]) -> list[int]:
        """Return the ids of messages so that they follow, valid, on what is there."""
        tokens = self._tokens
        if self._state is _State.BETWEEN:
            return messages
        if self._state is _State.CONTENT:
            return [tokens.end, *messages]
        if self._role is None and not self._head:
            return messages[1:]  # a start token is there already
        return [tokens.message, tokens.end, *messages]


def _channel_of(header: Header) -> Channel:
    """Return what a message's content is: what the model writes as another is thinking."""
    if not header.by_model:
        return Channel.THINKING
    if header.recipient is not None:
        return Channel.CODE
    return Channel.FINAL if header.channel in (FINAL, None) else Channel.THINKING
