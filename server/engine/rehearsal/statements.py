"""Finds the problem in a prompt: what the prompts' texts have around it is known."""

from collections.abc import Iterator, Sequence

from client.schema import AnswerKind
from server.prompts import compose, sets, variants
from server.vocabulary import Vocabulary

#: Stands for a problem; no text has it.
_PLACE = "\0"
#: What families write between the mark of a user's turn and its text.
_ROLES = ("user\n",)
#: Of a prompt that is none of ours, what tells it from others.
UNKNOWN_TOKENS = 256


class Statements:
    """Reads prompts of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._befores, self._afters = _surroundings()

    def find(self, prompt: Sequence[int]) -> str:
        """Return the problem's text; of a prompt without any of ours, the beginning of its text."""
        for segment in self._segments(prompt):
            for after in self._afters:
                text, found, _ = segment.rpartition(after)
                if found:
                    return self._without_lead(text)
            # Some sets say nothing after the problem.
            if segment.startswith(_ROLES):
                return self._without_lead(segment)
        return self._vocabulary.decode(prompt[:UNKNOWN_TOKENS])

    def _segments(self, prompt: Sequence[int]) -> Iterator[str]:
        """Yield the texts between control tokens."""
        vocabulary, start = self._vocabulary, 0
        for place, token_id in enumerate(prompt):
            if vocabulary.is_control(token_id):
                if place > start:
                    yield vocabulary.decode(prompt[start:place])
                start = place + 1
        yield vocabulary.decode(prompt[start:])

    def _without_lead(self, text: str) -> str:
        for role in _ROLES:
            text = text.removeprefix(role)
        for before in self._befores:
            if text.startswith(before):
                return text.removeprefix(before)
        return text


def _surroundings() -> tuple[list[str], list[str]]:
    """Return what may stand before and after a problem in a user's turn, the longest first."""
    befores, afters = set(), set()
    for chosen in ("", *sets()):
        for kind in AnswerKind:
            for tools in (True, False):
                for variant in ("", *variants()):
                    prompt = compose(_PLACE, kind, tools=tools, chosen=chosen, variant=variant)
                    before, _, after = prompt.user.partition(_PLACE)
                    afters.add(after)
                    # Some families have no system: what it says begins the user's turn.
                    lead = f"{prompt.system}\n\n" if prompt.system else ""
                    befores |= {before, lead + before}
    return (
        sorted(filter(None, befores), key=len, reverse=True),
        sorted(filter(None, afters), key=len, reverse=True),
    )
