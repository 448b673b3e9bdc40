"""Whether a corpus holds the problems: n-gram overlap of words.

The rule of GPT-3's appendix C and its followers: a problem counts as contaminated where a run of n
of its words stands in the corpus. The share of its n-grams that are found there is shown beside it:
one shared formula is another thing than the whole statement.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from server.evaluation.problem import Problem

#: Words in a row; 13 is GPT-3's choice. Shorter statements are compared whole, from this many on.
DEFAULT_WORDS = 13
LEAST_WORDS = 5

_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a problem a corpus holds: the share of its n-grams, and how many of them.

    `document` is the number, from 0, of the first document that has any.
    """

    problem: str
    share: float
    grams: int
    document: int | None


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case; marks and LaTeX's backslashes are none."""
    return _WORD.findall(text.casefold())


def overlaps(
    problems: Sequence[Problem], corpus: Iterable[str], length: int = DEFAULT_WORDS
) -> list[Overlap]:
    """Return the overlap of each problem with a corpus, read once; memory grows with the problems.

    A problem of fewer than `LEAST_WORDS` words never counts: it would be found anywhere.
    """
    wanted: dict[tuple[str, ...], set[int]] = {}
    grams: list[set[tuple[str, ...]]] = []
    for number, problem in enumerate(problems):
        own = words(problem.statement)
        size = min(length, len(own))
        mine = set(_grams(own, size)) if size >= LEAST_WORDS else set()
        grams.append(mine)
        for gram in mine:
            wanted.setdefault(gram, set()).add(number)
    sizes = sorted({len(gram) for gram in wanted})
    found: list[set[tuple[str, ...]]] = [set() for _ in problems]
    first: list[int | None] = [None for _ in problems]
    for place, document in enumerate(corpus):
        text = words(document)
        for size in sizes:
            for gram in _grams(text, size):
                for number in wanted.get(gram, ()):
                    found[number].add(gram)
                    first[number] = place if first[number] is None else first[number]
    return [
        Overlap(problem.id, len(hits) / len(mine) if mine else 0.0, len(hits), document)
        for problem, mine, hits, document in zip(problems, grams, found, first, strict=True)
    ]


def _grams(text: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(text[start : start + size]) for start in range(len(text) - size + 1))
