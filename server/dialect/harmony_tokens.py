"""Harmony's control tokens in one vocabulary, and whole messages written with them."""

from server.dialect.harmony_header import CHANNEL, CONSTRAIN, MODEL
from server.vocabulary import Vocabulary

START, MESSAGE, END, CALL, RETURN = (
    "<|start|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>",
)  # fmt: skip
#: What a vocabulary must have to be gpt-oss's.
CONTROLS = (START, CHANNEL, MESSAGE, END, CALL, RETURN)


class HarmonyTokens:
    """The ids that structure messages; raises `UnknownControlToken` where one is missing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.start, self.channel, self.message = map(vocabulary.control, (START, CHANNEL, MESSAGE))
        self.end, self.call, self.stop = map(vocabulary.control, (END, CALL, RETURN))
        #: Tokens that only headers have; not every vocabulary has `<|constrain|>`.
        self.in_headers = frozenset(
            {self.message, self.channel, vocabulary.controls.get(CONSTRAIN, self.channel)}
        )
        #: Tokens after which a message is whole; any other end (`<|endoftext|>`) cuts it.
        self.completing = frozenset({self.start, self.channel, self.end, self.call, self.stop})
        #: A call hands the word to a tool: it ends the stream, and not what the model has to say.
        self.ends = (vocabulary.eos_ids | {self.stop}) - {self.call}
        self.marks = self.in_headers | self.completing | self.ends

    def turn(self, header: str, text: str, channel: str = "") -> list[int]:
        """Return the ids of a whole message, its header and content plain text."""
        encode = self.vocabulary.encode
        named = [self.channel, *encode(channel)] if channel else []
        return [self.start, *encode(header), *named, self.message, *encode(text), self.end]

    def begin(self) -> list[int]:
        """Return the ids that hand the word to the model."""
        return [self.start, *self.vocabulary.encode(MODEL)]

    def on_channel(self, channel: str) -> list[int]:
        """Return the ids that complete the model's header: its content comes next."""
        return [self.channel, *self.vocabulary.encode(channel), self.message]
