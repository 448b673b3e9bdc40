r"""The dialect of DeepSeek-R1 and its distillations: two markers for turns, and thinking first.

    <｜begin▁of▁sentence｜><｜User｜>…<｜Assistant｜><think>\n
    …```python\n…\n```            ← the stream is closed here, in thinking or after it
    \n```output\n…\n```\n         ← appended, and the same message goes on
    …</think>\n\n…<｜end▁of▁sentence｜>

Its model card asks for no system prompt, all instructions in the user's turn, and `<think>\n`
written for the model; so what a prompt has as system stands before the user's text.
"""  # noqa: RUF002 - DeepSeek's own spelling

from server.dialect.base import DialectOptions, Prompt
from server.dialect.chat import ChatFormat
from server.dialect.trusted import TrustedParts, encode_around
from server.vocabulary import Vocabulary

BEGIN, END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"  # noqa: RUF001 - DeepSeek's own
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"  # noqa: RUF001 - DeepSeek's own


class DeepSeekDialect(ChatFormat):
    """DeepSeek-R1 and models distilled from it, over Qwen's or Llama's vocabulary."""

    name = "deepseek"

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        super().__init__(vocabulary, options)
        self.begin, self.end = vocabulary.control(BEGIN), vocabulary.control(END)
        self.user, self.assistant = vocabulary.control(USER), vocabulary.control(ASSISTANT)
        self.end_ids = frozenset({self.end}) | vocabulary.eos_ids
        self.turn_ids = frozenset({self.user})

    @property
    def opens_thinking(self) -> bool:
        """Whether thinking is asked for: the model otherwise leaves it out at times."""
        return self.options.think

    def prompt_turns(self, prompt: Prompt) -> list[int]:
        """Return the user's turn, which begins with what the system would say."""
        parts = [part for part in (prompt.system, prompt.user) if part]
        return [self.begin, *self.user_turn("\n\n".join(parts))]

    def turn_around(self, parts: TrustedParts) -> list[int]:
        """Return a turn of the user's; nothing marks its end."""
        return [self.user, *encode_around(self.vocabulary, parts)]

    def header(self) -> list[int]:
        """Return the header of the model's turn."""
        return [self.assistant]

    def close(self, ended_by: int | None) -> list[int]:
        """Return the end of the model's turn."""
        return [] if ended_by == self.end else [self.end]
