r"""Whether answers are equal: told as votes, replays and the page tell it.

A spelling alone says little: ``1/2``, ``0.5`` and ``\frac{1}{2}`` are one answer.
"""

from collections.abc import Iterable
from functools import lru_cache

from voting.answers import MAX_WRITTEN_CHARACTERS, AnswerKind, parse_answer
from voting.equivalence import AnswerClasses, compare
from voting.exact import Comparison

#: Pairs whose verdict is kept. Attempts at a problem share few answers, and come one after another.
PAIRS_KEPT = 1 << 12


def compared(answer: str, truth: str) -> Comparison:
    """Return whether an answer is the right one, as far as exact arithmetic and spelling tell.

    What symbolic algebra would have to say is unknown, and so is what equals a truth that cannot be
    read. A text that no vote takes for an answer is another one. It takes milliseconds at most,
    whatever a model wrote: arithmetic is on bounded numbers.
    """
    answer, truth = answer.strip(), truth.strip()
    if answer == truth:
        return Comparison.SAME
    if len(answer) > MAX_WRITTEN_CHARACTERS:  # nor is it kept
        return Comparison.DIFFERENT
    return _compared(answer, truth)


@lru_cache(maxsize=PAIRS_KEPT)
def _compared(answer: str, truth: str) -> Comparison:
    right = parse_answer(truth, AnswerKind.TEXT)
    if right is None:
        return Comparison.UNKNOWN
    ours = parse_answer(answer, AnswerKind.TEXT)
    return Comparison.DIFFERENT if ours is None else compare(ours, right)


def classes(answers: Iterable[str]) -> dict[str, str]:
    """Return for each answer what names it and all that are known to equal it."""
    read = {answer: parse_answer(answer, AnswerKind.TEXT) for answer in answers}
    known = AnswerClasses()
    for each in read.values():
        if each is not None:
            known.add(each)
    return {answer: answer if each is None else known.of(each).key for answer, each in read.items()}
