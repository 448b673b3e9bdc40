"""Log-probabilities of rehearsed tokens: no model's, but fixed by place and attempt.

Attempts that are right are surer of their tokens, as in recorded runs (entropy tells right from
wrong attempts with an AUC of .69), and each attempt is surer or less sure than others.
"""

import math
import random
from dataclasses import dataclass

_TABLE = 4096
#: How surprised a model is at its own tokens on average, in nats: right attempts, and wrong ones.
#: Recorded mean entropies are from 0.59 to 0.71; the spread within an attempt is far larger.
SURPRISE = {True: 0.30, False: 0.40}
#: From attempt to attempt it varies by so much, as a normal deviation: with it the AUC is .69.
SPREAD = 0.14


def _table() -> list[float]:
    chance = random.Random("surprise")
    return [chance.expovariate(1) for _ in range(_TABLE)]


_SURPRISES = _table()


@dataclass(frozen=True, slots=True)
class Mood:
    """How sure an attempt is of its tokens from a place of its list on; before it is as others."""

    begins: int
    surprise: float
    offset: int

    def logprob(self, place: int) -> float:
        """Return the natural-log probability of the most likely id at a place, which is sampled."""
        if place < self.begins:
            return _logprob(place, SURPRISE[True])
        return _logprob(place + self.offset, self.surprise)

    def likeliest(
        self, token_id: int, place: int, count: int, size: int
    ) -> list[tuple[float, int, None]]:
        """Return the most likely ids at a place, the sampled one first, as SGLang writes them."""
        first = self.logprob(place)
        # What is left of the probability is halved from id to id.
        left = math.log(-math.expm1(first))
        entries: list[tuple[float, int, None]] = [(first, token_id, None)]
        for number in range(1, count):
            other = min(left - 0.7 * number, first)
            entries.append((other, (token_id + number) % size, None))
        return entries


#: What is said without an attempt.
NEUTRAL = Mood(0, SURPRISE[True], 0)


def mood_of(name: str, begins: int, *, right: bool) -> Mood:
    """Return the mood of an attempt that wrote its name up to a place."""
    chance = random.Random(f"mood {name}")
    surprise = SURPRISE[right] * math.exp(chance.gauss(0, 2 * SPREAD))
    return Mood(begins, surprise, chance.randrange(_TABLE))


def _logprob(place: int, surprise: float) -> float:
    return -max(surprise * _SURPRISES[place % _TABLE], 1e-6)
