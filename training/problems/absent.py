"""Proof that a corpus does not give away answers: searched for in every entry, prompt and all.

An answer that is an integer is found however it is written: 1234, 01234, 1,234, 1{,}234, 1\\,234,
1 234, 1234.0; but not inside a longer number. Other answers are found as they stand, white space
aside. A statement is found whole, whatever its case, spacing and punctuation.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from training.corpus.store import Entry
from training.problems.overlap import words
from training.problems.read import Problem
from training.text import Decoder

#: Places of one original that are told; one is enough to refute.
MOST_PLACES = 20
#: Characters around a place that are told.
AROUND = 40
_SEPARATOR = r"(?:,|\{,\}|\\[,;! ]|[ \u00a0\u2009\u202f])?"


@dataclass(frozen=True, slots=True)
class Found:
    """An original's answer, or its statement, in an entry."""

    original: str
    entry: int
    problem_id: str
    what: str
    around: str


def answer_pattern(answer: str) -> re.Pattern[str]:
    """Return what finds an answer in a text.

    Raises:
        ValueError: the answer is empty.
    """
    plain = answer.strip()
    if not plain:
        raise ValueError("an empty answer")
    integer = re.fullmatch(r"([+-]?)0*(\d+)(?:\.0*)?", plain)
    if integer is None:
        words = [re.escape(word) for word in plain.split()]
        return re.compile(r"(?<!\w)" + r"\s*".join(words) + r"(?!\w)")
    digits = integer[2]
    grouped = _SEPARATOR.join(part for part in re.split(r"(?<=\d)(?=(?:\d{3})+\Z)", digits) if part)
    minus = r"[-\u2212]\s*" if integer[1] == "-" else ""
    # not the end, nor the beginning, of another number
    return re.compile(rf"(?<![\d.])(?<!\d[,.]){minus}0*{grouped}(?:\.0+)?(?![\d]|[.,]\d)")


def search(
    originals: Sequence[Problem],
    entries: Iterable[Entry],
    decoder: Decoder,
    observe: Callable[[int], None] = lambda _: None,
) -> tuple[int, list[Found]]:
    """Return how many entries were searched, and where originals were found in them.

    Originals must have answers. Entries that are kept as the rejected side of a pair count too.
    """
    patterns = [(each, answer_pattern(each.answer or "")) for each in originals]
    statements = [(each.id, _plain(each.statement)) for each in originals]
    told: dict[str, int] = {}
    found: list[Found] = []
    count = 0

    def tell(original: str, entry: Entry, what: str, around: str) -> None:
        told[original] = told.get(original, 0) + 1
        if told[original] <= MOST_PLACES:
            found.append(Found(original, entry.number, entry.problem_id, what, around))

    for entry in entries:
        text = decoder.decode([*entry.prompt.tolist(), *entry.ids.tolist()])
        count += 1
        observe(count)
        for original, pattern in patterns:
            match = pattern.search(text)
            if match is not None:
                around = text[max(match.start() - AROUND, 0) : match.end() + AROUND]
                tell(original.id, entry, "answer", " ".join(around.split()))
        plain = _plain(text)
        for name, statement in statements:
            if statement in plain:
                tell(name, entry, "statement", "")
    return count, found


def _plain(text: str) -> str:
    return f" {' '.join(words(text))} "
