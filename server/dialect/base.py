"""The dialect interface: how one model family writes a conversation, in token ids.

An attempt's token list only grows: `Conversation.opening`, then what is sampled, exactly as it was
sampled, then what `result` and `force_answer` return, and so on. Nothing is rendered again, so the
engine's prefix cache always hits, and the list is the training example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from client.schema import Channel

#: What a forced answer begins with: the model goes on inside the box.
FORCED_LEAD = "The final answer is \\boxed{"


@dataclass(frozen=True, slots=True)
class Text:
    """Sampled text of one channel."""

    channel: Channel
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the token just fed completed; the stream is to be closed here.

    `code` is Python to execute. With `error` set nothing is executed, and the model is told.
    """

    code: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The model ended its message: an end token was sampled."""


ParseEvent = Text | ToolCall | MessageEnd


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a conversation opens with, as plain text: no part can make a control token.

    `force` is what the model is told when its answer is wanted now. `tool` describes the Python
    tool where the family has a place for that; empty means that it is not to call one. `start` is
    what the model's first message begins with (it goes on from there), in families whose messages
    are text from their first token on; Harmony's begin with a header of the model's, and leave it
    out.
    """

    system: str
    user: str
    force: str
    tool: str = ""
    start: str = ""


class Effort(StrEnum):
    """How much a model that can be told so thinks before it answers."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectOptions:
    """What a family may be told beside the prompt; each dialect takes what it knows.

    `today` (empty: not said) is fixed for as long as the server runs, so that all attempts open
    with the same tokens. `think` asks a model for thinking where that is its template's choice.
    """

    effort: Effort = Effort.HIGH
    today: str = ""
    think: bool = True


class Conversation(Protocol):
    """One attempt's reading and writing; stateful, synchronous, pure."""

    @property
    def opening(self) -> Sequence[int]:
        """Ids of system, problem and the header of the model's message."""
        ...

    def feed(self, token_id: int) -> Sequence[ParseEvent]:
        """Take the next sampled id; return what it completes, in order. Never raises."""
        ...

    def flush(self) -> Sequence[ParseEvent]:
        """Return text held back (an unfinished character); the stream ended here."""
        ...

    def result(self, output: str) -> list[int]:
        """Return the ids that give the model the result of its last call, and hand it the word."""
        ...

    def force_answer(self) -> list[int]:
        r"""Return the ids after which the model writes its answer inside `\boxed{`.

        Works in any state: in mid-text, in an unfinished call, after the end of its message. The
        text of the opened box counts as the model's final text (`feed` continues it).
        """
        ...

    def ask(self, text: str) -> list[int]:
        """Return the ids with which the user says something more and hands the model the word.

        Works in any state, like `force_answer`; no part of the text can make a control token.
        """
        ...

    @property
    def answer_text(self) -> str:
        """All text of the final channel so far, where the answer is looked for."""
        ...


class Dialect(Protocol):
    """How one model family writes; made for one vocabulary."""

    @property
    def name(self) -> str:
        """The name in settings."""
        ...

    @property
    def end_ids(self) -> frozenset[int]:
        """Ids that end the model's message."""
        ...

    def open(self, prompt: Prompt) -> Conversation:
        """Start an attempt."""
        ...

    def at_once(self, prompt: Prompt) -> Sequence[int]:
        """Return the ids of an opening after which the model says at once what is final.

        It thinks nothing first; `prompt.start` is left out.
        """
        ...
