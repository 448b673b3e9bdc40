"""Problems that are nearly the same: copies in other sources, and variants with other numbers."""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from training.corpus.sketches import Neighbours, Sketch, sketch
from training.problems.overlap import words
from training.problems.read import Problem

#: Words of a shingle: a statement has some dozens.
SHINGLE = 4
#: The share of shingles that two statements have in common that are the same but for numbers.
#: Copies differ in a few words, each of which stands in four shingles.
LEAST_ALIKE = 0.6


def statement_sketch(statement: str, *, numbers: bool = True) -> Sketch:
    """Return the sketch of a statement's words; without `numbers` all numbers are one word."""
    found = words(statement)
    known = found if numbers else ["0" if word.isdecimal() else word for word in found]
    ids = np.array([zlib.crc32(word.encode()) for word in known], np.uint32)
    return sketch(ids, SHINGLE)


def clusters(statements: Mapping[str, str]) -> dict[str, str]:
    """Return the name of the first problem of those that are like an earlier one, by their names.

    Statements that are the same but for their numbers are alike.
    """
    names = list(statements)
    known = Neighbours(
        [statement_sketch(each, numbers=False) for each in statements.values()], LEAST_ALIKE
    )
    found: dict[str, str] = {}
    for place, name in enumerate(names):
        share, first = known.nearest(place)
        if first is not None and share >= LEAST_ALIKE:
            found[name] = names[first]
        else:
            known.take(place)
    return found


def copies(problems: Sequence[Problem], most: float) -> Iterator[tuple[Problem, Problem, float]]:
    """Yield problems that have more than `most` of their shingles in common with an earlier one.

    With each come that one, which is yielded nowhere itself, and the share.
    """
    known = Neighbours([statement_sketch(each.statement) for each in problems], most)
    for place, problem in enumerate(problems):
        share, first = known.nearest(place)
        if first is not None and share > most:
            yield problem, problems[first], share
        else:
            known.take(place)
