"""Which paragraphs matter: where right and wrong attempts at a problem part.

A paragraph brings words and numbers that were not in its trace before. Each such term stands in a
share of the right siblings and in a share of the wrong ones; where these shares differ, the
paragraph is on a way that one kind of attempt goes and the other does not. A problem whose attempts
are all right, or all wrong, tells nothing.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from training.alternates.boundaries import Paragraph

_TERM = re.compile(r"\d+|[^\W\d_]{3,}")
#: Terms that a paragraph is thought to bring that tell nothing: one that brings a single telling
#: number does not come before one that brings ten.
PRIOR_TERMS = 3


@dataclass(frozen=True, slots=True)
class Sibling:
    """An attempt at a problem, as far as it is compared with others."""

    right: bool
    terms: frozenset[str]


def terms(text: str) -> frozenset[str]:
    """Return the words and numbers of a text, without case."""
    return frozenset(_TERM.findall(text.lower()))


def mixedness(siblings: Sequence[Sibling]) -> float:
    """Return how evenly a problem's attempts are right and wrong: 1 half and half, 0 all alike."""
    if not siblings:
        return 0.0
    share = sum(each.right for each in siblings) / len(siblings)
    return 4.0 * share * (1.0 - share)


def priorities(own: Sequence[Paragraph], siblings: Sequence[Sibling]) -> list[float]:
    """Return what each paragraph of a trace tells of right and wrong, 0 to 1.

    Siblings are all attempts at the problem, this trace's among them.
    """
    mixed = mixedness(siblings)
    if not mixed:
        return [0.0] * len(own)
    rights = [each for each in siblings if each.right]
    wrongs = [each for each in siblings if not each.right]
    in_right = Counter(term for each in rights for term in each.terms)
    in_wrong = Counter(term for each in wrongs for term in each.terms)
    seen: set[str] = set()
    found = []
    for paragraph in own:
        new = terms(paragraph.text) - seen
        seen |= new
        apart = sum(
            abs(in_right[term] / len(rights) - in_wrong[term] / len(wrongs)) for term in new
        )
        found.append(mixed * apart / (len(new) + PRIOR_TERMS))
    return found
