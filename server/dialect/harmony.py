r"""The Harmony dialect of gpt-oss: messages with channels, marked by control tokens.

    <|start|>system<|message|>…<|end|><|start|>developer<|message|>…<|end|>
    <|start|>user<|message|>…<|end|><|start|>assistant
    <|channel|>analysis<|message|>…<|end|>                                     ← sampled
    <|start|>assistant<|channel|>analysis to=python code<|message|>…<|call|>   ← closed here
    <|start|>python to=assistant<|channel|>analysis<|message|>…<|end|>         ← appended
    <|start|>assistant

without line ends. The format is OpenAI's "harmony response format". Where the model departs from
it nothing is lost: every token stays in the list, its text has a channel, every call is answered.
"""

from collections.abc import Sequence

from server.dialect.base import DialectOptions, Prompt
from server.dialect.harmony_conversation import HarmonyConversation
from server.dialect.harmony_header import FINAL
from server.dialect.harmony_text import developer_text, system_text
from server.dialect.harmony_tokens import HarmonyTokens
from server.vocabulary import Vocabulary


class HarmonyDialect:
    """gpt-oss; `vocabulary` must have Harmony's control tokens."""

    name = "harmony"

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        self._tokens = HarmonyTokens(vocabulary)
        self._options = options or DialectOptions()
        self.end_ids = self._tokens.ends
        self._opening: tuple[Prompt, Sequence[int]] | None = None

    def opening(self, prompt: Prompt) -> Sequence[int]:
        """Return the ids that an attempt opens with; a problem's attempts all ask for the same."""
        if self._opening is None or self._opening[0] != prompt:
            messages = [("system", system_text(self._options, prompt.tool))]
            if prompt.system:
                messages.append(("developer", developer_text(prompt.system)))
            messages.append(("user", prompt.user))
            ids = [token_id for message in messages for token_id in self._tokens.turn(*message)]
            self._opening = (prompt, (*ids, *self._tokens.begin()))
        return self._opening[1]

    def open(self, prompt: Prompt) -> HarmonyConversation:
        """Start an attempt."""
        return HarmonyConversation(self._tokens, self.opening(prompt), prompt.force)

    def at_once(self, prompt: Prompt) -> list[int]:
        """Return an opening after which the model says what is final."""
        return [*self.opening(prompt), *self._tokens.on_channel(FINAL)]
