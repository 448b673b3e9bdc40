"""A trace in numbered passages, as an annotator is shown it, and back to positions of ids."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from training.alternates.boundaries import paragraphs
from training.traces.trace import Trace

#: Characters of all passages that are shown; of what is longer the middle of passages is left out.
MOST_CHARS = 60_000
#: Of a passage, at least this many characters are shown.
LEAST_CHARS = 120


@dataclass(frozen=True, slots=True)
class Passage:
    """Ids `begin` to `end` (not included), with their text; `sampled`: the model's own."""

    begin: int
    end: int
    text: str
    sampled: bool


class Passages:
    """All of a trace after its prompt; passages are numbered from 1."""

    def __init__(self, trace: Trace, texts: Sequence[str]) -> None:
        self._offsets = [0, *accumulate(map(len, texts))]
        self._whole = "".join(texts)
        first = trace.prompt_tokens
        own = paragraphs(texts, trace.mask)
        turns = np.flatnonzero(np.diff(trace.mask.astype(np.int8))) + 1
        cuts = {first, len(trace.ids), *turns.tolist()}
        cuts |= {edge for each in own for edge in (each.begin, each.end)}
        inside = sorted(cut for cut in cuts if first <= cut <= len(trace.ids))
        found = [
            Passage(begin, end, self._text(begin, end), bool(trace.mask[begin]))
            for begin, end in pairwise(inside)
        ]
        self.list = [each for each in found if each.text.strip()]

    def _text(self, begin: int, end: int) -> str:
        return self._whole[self._offsets[begin] : self._offsets[end]]

    def shown(self, most: int = MOST_CHARS) -> str:
        """Return the passages for a reader, of about so many characters at most."""
        each = most
        lengths = [len(passage.text) for passage in self.list]
        while each > LEAST_CHARS and sum(min(length, each) for length in lengths) > most:
            each = each * 3 // 4
        parts = []
        for number, passage in enumerate(self.list, start=1):
            kind = "" if passage.sampled else " output"
            parts.append(f"[{number}{kind}] {_shortened(passage.text.strip(), each)}")
        return "\n".join(parts)

    def place(self, number: int, quote: str = "") -> tuple[int, int] | None:
        """Return the ids of a passage, or of what is quoted of it; None: there is no such thing.

        White space in a quote stands for any white space.
        """
        if not 1 <= number <= len(self.list):
            return None
        passage = self.list[number - 1]
        words = quote.split()
        if not words:
            return passage.begin, passage.end
        found = _find(passage.text, words)
        if found is None:
            return None
        start = self._offsets[passage.begin]
        begin = bisect_right(self._offsets, start + found[0]) - 1
        # the ids before that add nothing to the text are the beginning of its first character
        begin = bisect_left(self._offsets, self._offsets[begin])
        end = bisect_left(self._offsets, start + found[1])
        return max(begin, passage.begin), min(max(end, begin + 1), passage.end)


def _find(text: str, words: Sequence[str]) -> tuple[int, int] | None:
    """Return where words stand in a row, in characters."""
    begin = text.find(words[0])
    while begin >= 0:
        place = begin
        for word in words:
            rest = text[place:]
            place += len(rest) - len(rest.lstrip())
            if not text.startswith(word, place):
                break
            place += len(word)
        else:
            return begin, place
        begin = text.find(words[0], begin + 1)
    return None


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} […] {text[-half:]}"
