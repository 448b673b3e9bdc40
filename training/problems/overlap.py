"""What must not be trained on: problems that stand, wholly or in part, in an evaluation."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from training.problems.read import Problem

#: Words in a row that two statements must share to be alike (the length that GPT-3's report used).
WORDS = 13
#: Chinese, Japanese and Korean are written without spaces: a character is a word there.
_ALONE = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
_WORD = re.compile(rf"{_ALONE}|\\?(?:(?!{_ALONE})[^\W\d_])+|\d+|[^\s\w]")


def words(statement: str) -> list[str]:
    """Return the words, numbers and signs of a statement, without case and spacing."""
    plain = unicodedata.normalize("NFKC", statement).lower()
    return [each for each in _WORD.findall(plain) if each not in "$,.;:!?"]


def shingles(found: Sequence[str], length: int = WORDS) -> set[tuple[str, ...]]:
    """Return all runs of so many words; fewer words are no run."""
    return {tuple(found[at : at + length]) for at in range(len(found) - length + 1)}


def contaminated(problems: Iterable[Problem], evaluation: Sequence[Problem]) -> dict[str, str]:
    """Return the ids of problems that share a run of words with an evaluation's, and with which.

    A statement of an evaluation that is shorter than such a run is looked for whole.
    """
    known: dict[tuple[str, ...], str] = {}
    for problem in evaluation:
        found = words(problem.statement)
        length = min(max(len(found), 1), WORDS)
        known |= dict.fromkeys(shingles(found, length), problem.id)
    lengths = sorted({len(run) for run in known})
    shared: dict[str, str] = {}
    for problem in problems:
        own = words(problem.statement)
        runs = (run for length in lengths for run in shingles(own, length))
        name = next((known[run] for run in runs if run in known), None)
        if name is not None:
            shared[problem.id] = name
    return shared
