"""Log-probabilities of rehearsed tokens: no model's, but fixed by token, place and attempt.

Of attempts that are right they are higher, as in recorded runs (entropy tells right from wrong
attempts with an AUC of .69).
"""

import math
import random

_TABLE = 4096
#: How surprised a model is on average at its own tokens, in nats: right attempts, and wrong ones.
#: Recorded entropies are from 0.59 to 0.71 nats; the spread within an attempt is far larger.
SURPRISE = (0.30, 0.42)


def _table(mean: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [-max(chance.expovariate(1 / mean), 1e-6) for _ in range(_TABLE)]


_LOGPROBS = (_table(SURPRISE[1], 1), _table(SURPRISE[0], 2))


def logprob(token_id: int, place: int, *, sure: bool) -> float:
    """Return the natural-log probability of an id at a place of its token list."""
    return _LOGPROBS[sure][(token_id * 31 + place * 7) % _TABLE]


def likeliest(
    token_id: int, place: int, count: int, size: int, *, sure: bool
) -> list[tuple[float, int, None]]:
    """Return the most likely ids at a place, the sampled one first, as SGLang writes them."""
    first = logprob(token_id, place, sure=sure)
    # What is left of the probability is halved from id to id.
    left = math.log(max(-math.expm1(first), 1e-9))
    entries: list[tuple[float, int, None]] = [(first, token_id, None)]
    for number in range(1, count):
        other = min(left - 0.7 * number, first)
        entries.append((other, (token_id + number) % size, None))
    return entries
