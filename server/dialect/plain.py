"""The dialect of any model with a chat template: its own turns, Python in fenced blocks.

What the template writes around the texts is encoded with its control tokens, the texts without.
A template that has no place for the system has its text before the user's.
"""

from functools import cached_property

from server.dialect.base import DialectOptions, Prompt
from server.dialect.chat import ChatFormat
from server.dialect.template import Turns, read_turns
from server.dialect.trusted import TrustedParts, encode_around, encode_trusted
from server.vocabulary import Vocabulary


class PlainDialect(ChatFormat):
    """A model known by its chat template alone."""

    name = "plain"

    def __init__(self, vocabulary: Vocabulary, options: DialectOptions | None = None) -> None:
        super().__init__(vocabulary, options)
        self._turns = self._read(system=True)
        between = encode_trusted(vocabulary, self._turns.between)
        controls = [place for place, token in enumerate(between) if vocabulary.is_control(token)]
        ends = [place for place in controls if between[place] in vocabulary.eos_ids]
        # The end of the model's turn is its first end token, else its first control token.
        cut = next(iter(ends or controls), -1) + 1
        self._close, self._lead = between[:cut], between[cut:]
        self.end_ids = vocabulary.eos_ids | frozenset(self._close[-1:])
        self.turn_ids = frozenset([between[place] for place in controls if place >= cut][:1])

    @property
    def opens_thinking(self) -> bool:
        """Whether the template opens the model's thinking."""
        return self._turns.header.rstrip("\n").endswith(self.marks.think_open)

    def prompt_turns(self, prompt: Prompt) -> list[int]:
        """Return what the template writes up to the header of the model's turn."""
        turns = self._turns if prompt.system else self._without_system
        if turns.before_system is None:
            text = "\n\n".join(part for part in (prompt.system, prompt.user) if part)
            return encode_around(self.vocabulary, [(turns.before_user, text)])
        parts = [(turns.before_system, prompt.system), (turns.before_user, prompt.user)]
        return encode_around(self.vocabulary, parts)

    def turn_around(self, parts: TrustedParts) -> list[int]:
        """Return the user's turn after a message of the model's."""
        return [*self._lead, *encode_around(self.vocabulary, parts)]

    def header(self) -> list[int]:
        """Return what the template writes after the user's text."""
        header = self._turns.header
        if self.opens_thinking:
            header = header.rstrip("\n").removesuffix(self.marks.think_open)
        return encode_trusted(self.vocabulary, header)

    def close(self, ended_by: int | None) -> list[int]:
        """Return the end of the model's turn."""
        return [] if self._close[-1:] == [ended_by] else self._close

    @cached_property
    def _without_system(self) -> Turns:
        return self._read(system=False)

    def _read(self, *, system: bool) -> Turns:
        return read_turns(self.vocabulary, system=system, today=self.options.today)
