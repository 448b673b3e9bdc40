"""What must not be trained on: problems that stand, wholly or in part, in an evaluation."""

import re
from collections.abc import Iterable, Sequence

from training.problems.read import Problem

#: Words in a row that two statements must share to be alike (the length that GPT-3's report used).
WORDS = 13
_WORD = re.compile(r"\\?[a-z]+|\d+|[^\s\w]")


def words(statement: str) -> list[str]:
    """Return the words, numbers and signs of a statement, without case and spacing."""
    return [each for each in _WORD.findall(statement.lower()) if each not in "$,.;:!?"]


def shingles(statement: str) -> set[tuple[str, ...]]:
    """Return all runs of `WORDS` words; a shorter statement is one run."""
    found = words(statement)
    if len(found) <= WORDS:
        return {tuple(found)}
    return {tuple(found[at : at + WORDS]) for at in range(len(found) - WORDS + 1)}


def contaminated(problems: Iterable[Problem], evaluation: Sequence[Problem]) -> dict[str, str]:
    """Return the ids of problems that share a run of words with an evaluation's, and with which."""
    known: dict[tuple[str, ...], str] = {}
    for problem in evaluation:
        known |= dict.fromkeys(shingles(problem.statement), problem.id)
    found: dict[str, str] = {}
    for problem in problems:
        shared = next((known[each] for each in shingles(problem.statement) if each in known), None)
        if shared is not None:
            found[problem.id] = shared
    return found
