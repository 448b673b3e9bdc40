"""Writes a rehearsed turn as a model of the dialect's family would: thinking, a call, an answer."""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from server.dialect.base import Dialect, Prompt, ToolCall
from server.dialect.chat import ChatFormat
from server.dialect.harmony_header import ANALYSIS, FINAL
from server.dialect.harmony_tokens import HarmonyTokens
from server.vocabulary import Vocabulary

_CALLING = "analysis to=python code"


class Writer(Protocol):
    """One family's way of writing; `before` counts the ids that stand before a turn's thinking."""

    before: int

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text."""
        ...

    def call(self, thought: Sequence[int], code: str) -> list[int]:
        """Return a turn that ends with a call, up to the id that completes it."""
        ...

    def program(self, thought: Sequence[int], code: str) -> list[int]:
        """Return a turn in a fence that is open already; the thought is a comment in it."""
        ...

    def final(self, thought: Sequence[int], text: str) -> list[int]:
        """Return a turn that ends the message."""
        ...

    def cut_short(self, ids: Sequence[int], text: str) -> list[int]:
        """Return a turn that was cut off in its midst, ended with a text."""
        ...

    def after_call(self) -> list[int]:
        """Return what a model goes on with where nobody stops it after a call."""
        ...

    def end(self) -> int:
        """Return the id that ends a message."""
        ...

    def ends(self) -> frozenset[int]:
        """Return the ids after which the model says no more by itself."""
        ...


class HarmonyWriter:
    """gpt-oss's messages on channels."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tokens = HarmonyTokens(vocabulary)
        self.encode = vocabulary.encode
        self.before = len(self._tokens.on_channel(ANALYSIS))

    def call(self, thought: Sequence[int], code: str) -> list[int]:
        """Return an analysis message, and one to the tool."""
        tokens = self._tokens
        return [
            *(*tokens.on_channel(ANALYSIS), *thought, tokens.end, *tokens.begin()),
            *(*tokens.on_channel(_CALLING), *self.encode(code), tokens.call),
        ]

    def program(self, thought: Sequence[int], code: str) -> list[int]:
        """Return a call: this family's messages begin with a header, not in a fence."""
        return self.call(thought, code)

    def cut_short(self, ids: Sequence[int], text: str) -> list[int]:
        """Return the turn, its message ended, and a final one."""
        tokens = self._tokens
        return [
            *(*ids, tokens.end, *tokens.begin()),
            *(*tokens.on_channel(FINAL), *self.encode(text), tokens.stop),
        ]

    def final(self, thought: Sequence[int], text: str) -> list[int]:
        """Return an analysis message, and a final one."""
        tokens = self._tokens
        return [
            *(*tokens.on_channel(ANALYSIS), *thought, tokens.end, *tokens.begin()),
            *(*tokens.on_channel(FINAL), *self.encode(text), tokens.stop),
        ]

    def after_call(self) -> list[int]:
        """Return nothing: the call's token ends the stream."""
        return []

    def end(self) -> int:
        """Return `<|return|>`."""
        return self._tokens.stop

    def ends(self) -> frozenset[int]:
        """Return `<|return|>`, `<|call|>` and what else ends a text."""
        return self._tokens.ends | {self._tokens.call}


class ChatWriter:
    """Fenced Python, in thinking where the family opens with it."""

    before = 0

    def __init__(self, dialect: Dialect, vocabulary: Vocabulary) -> None:
        self._dialect = dialect
        self.encode = vocabulary.encode
        self._decode = vocabulary.decode
        self._thinks = isinstance(dialect, ChatFormat) and dialect.opens_thinking

    def call(self, thought: Sequence[int], code: str) -> list[int]:
        """Return text and a fenced block, up to the id with which the dialect sees its end."""
        return [*thought, *self._to_the_call("", self.encode(f"\n```python\n{code}\n```\n"))]

    def program(self, thought: Sequence[int], code: str) -> list[int]:
        """Return a comment and code, up to the id with which the dialect sees the fence's end."""
        written = [*self.encode("# "), *thought, *self.encode(f"\n{code}\n```\n")]
        return self._to_the_call("```python\n", written)

    def _to_the_call(self, begun: str, ids: list[int]) -> list[int]:
        """Return the ids up to the one that completes a call, in a message that begins so."""
        conversation = self._dialect.open(Prompt("", "", "", start=begun))
        for place, token_id in enumerate(ids):
            if any(isinstance(event, ToolCall) for event in conversation.feed(token_id)):
                return ids[: place + 1]
        return ids

    def cut_short(self, ids: Sequence[int], text: str) -> list[int]:
        """Return the turn, its thinking ended where it is open, and the text."""
        closed: list[int] = []
        if isinstance(self._dialect, ChatFormat):
            marks, written = self._dialect.marks, self._decode(ids)
            opened = self._dialect.opens_thinking or marks.think_open in written
            if opened and marks.think_close not in written:
                closed = self._dialect.end_thinking()
        return [*ids, *closed, *self.encode(f"\n\n{text}"), self.end()]

    def final(self, thought: Sequence[int], text: str) -> list[int]:
        """Return the rest of the thinking, and the answer."""
        closed: list[int] = []
        if self._thinks and isinstance(self._dialect, ChatFormat):
            closed = self._dialect.end_thinking()
        return [*thought, *closed, *self.encode(f"\n\n{text}"), self.end()]

    def after_call(self) -> list[int]:
        """Return an output that the model makes up, as models do that are not stopped."""
        return [*self._made_up, self.end()]

    @cached_property
    def _made_up(self) -> list[int]:
        return self.encode("\n```output\n" + "\n".join(map(str, range(1000, 1200))) + "\n```\n")

    def end(self) -> int:
        """Return the id that ends a turn, where the family has a special one."""
        own = getattr(self._dialect, "end", None)
        return own if isinstance(own, int) else min(self._dialect.end_ids)

    def ends(self) -> frozenset[int]:
        """Return the ids that end a turn."""
        return self._dialect.end_ids


def writer_for(dialect: Dialect, vocabulary: Vocabulary) -> Writer:
    """Return the writer of a dialect's family."""
    if dialect.name == "harmony":
        return HarmonyWriter(vocabulary)
    return ChatWriter(dialect, vocabulary)
