"""Every dialect with a small vocabulary of its family, and how its family writes things."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.schema import Channel
from server.dialect.base import (
    Conversation,
    Dialect,
    MessageEnd,
    ParseEvent,
    Prompt,
    Text,
    ToolCall,
)
from server.dialect.catalogue import open_dialect
from server.vocabulary import Vocabulary
from tests.server.vocabulary import tiny_models

PROMPT = Prompt(system="Be exact.", user="What is 6 * 7?", force="Answer now.")


@dataclass(frozen=True, slots=True)
class Family:
    """A dialect, its vocabulary, and `call`: how a model of it writes a call of Python code."""

    dialect: Dialect
    vocabulary: Vocabulary
    call: Callable[[str], str]


def qwen(folder: Path) -> Family:
    """Return the Qwen dialect over a vocabulary with ChatML's control tokens."""
    tiny_models.write_tokenizer_json(tiny_models.train("qwen2"), folder / "tokenizer.json")
    vocabulary = Vocabulary.load(folder)
    return Family(
        open_dialect("qwen", vocabulary), vocabulary, lambda code: f"```python\n{code}```"
    )


@dataclass(slots=True)
class Reading:
    """What came of feeding ids: text by channel, calls, and whether the message ended."""

    final: str = ""
    code: str = ""
    calls: tuple[ToolCall, ...] = ()
    ended: bool = False

    def add(self, events: list[ParseEvent]) -> None:
        for event in events:
            match event:
                case Text(channel=Channel.CODE):
                    self.code += event.text
                case Text():
                    self.final += event.text
                case ToolCall():
                    self.calls += (event,)
                case MessageEnd():
                    self.ended = True


def read(conversation: Conversation, ids: list[int]) -> Reading:
    """Feed ids one by one and flush."""
    reading = Reading()
    for token_id in ids:
        reading.add(list(conversation.feed(token_id)))
    reading.add(list(conversation.flush()))
    return reading
