"""What a rehearsed attempt says while it thinks: sentences from a list, numbers at random.

The words mean nothing; they are there to have the length, the tokens and the variety of a
solution. No sentence can be taken for a fence, a box or a control token.
"""

import random
from collections.abc import Callable, Iterator
from functools import cache

#: `#` stands for a number of one to five digits.
SENTENCES = (
    "We need to find the value for n = #.",
    "Let me check the small cases first: for k = # the remainder is #.",
    "So the sequence modulo # has a period that divides #.",
    "Suppose that p divides both terms; then p divides #.",
    "By the pigeonhole principle two of the # residues are equal.",
    "Hmm, that would give #, which is too large.",
    "Wait, the order of # modulo # has to be looked at again.",
    "The sum of the first # terms is # plus a remainder of #.",
    "Using the recurrence, the next value is # and the one after it is #.",
    "This is a contradiction unless the parity of # is even.",
    "Let us write m = # + # t and count the solutions.",
    "The number of lattice points inside is # by Pick's theorem.",
    "We can bound the product by # and the quotient by #.",
    "Now consider the triangle with sides #, # and #.",
    "The angle bisector meets the circle again at a distance of #.",
    "Inclusion and exclusion gives # - # + #.",
    "I should verify this with a program before I trust it.",
    "Therefore the candidates are #, # and #.",
    "If the claim holds for #, it holds for # by induction.",
    "The generating function has a pole of order # there.",
    "Thus the greatest common divisor of # and # must be computed.",
    "It remains to show that no other divisor of # works.",
    "Interesting: the same value # came out in another way.",
    "Let f(#) = #; then f is strictly increasing on the interval.",
    "By Fermat's little theorem the exponent can be reduced modulo #.",
    "The quadratic residue symbol of # over # is -1.",
    "So far the total is #, and # cases are left.",
    "Actually, that argument fails for n = #, so let us be careful.",
    "The determinant of this matrix is # times #.",
    "Choose the coordinates so that the first point is (#, #).",
)

Encode = Callable[[str], list[int]]


class Prose:
    """Sentences as token ids of one vocabulary."""

    def __init__(self, encode: Encode) -> None:
        self._sentences = [
            [tuple(encode(part)) for part in f" {sentence}".split("#")] for sentence in SENTENCES
        ]
        self._number = cache(lambda number: tuple(encode(str(number))))

    def tokens(self, chance: random.Random, count: int) -> list[int]:
        """Return about `count` ids of whole sentences: never fewer than one sentence's."""
        ids: list[int] = []
        while not ids or len(ids) < count:
            ids.extend(self._sentence(chance))
        return ids

    def _sentence(self, chance: random.Random) -> Iterator[int]:
        first, *others = chance.choice(self._sentences)
        yield from first
        for part in others:
            yield from self._number(int(10 ** (5 * chance.random())))
            yield from part
