"""A language without a model: the next token's probabilities follow from the ids before it."""

import math
import random
from dataclasses import dataclass

PRIME = 2**61 - 1
CANDIDATES = 8
#: What all other tokens have, so that every token has a score.
FLOOR = -12.0
#: An end token is in reach at every step, and never the best one.
END_LOGIT = 0.3


@dataclass(frozen=True)
class FakeLanguage:
    """`ordinary` ids from 0 on; `end_id` may come at every step."""

    vocabulary_size: int
    end_id: int
    ordinary: int

    def state(self, ids: list[int]) -> int:
        state = 1
        for token_id in ids:
            state = self.after(state, token_id)
        return state

    def after(self, state: int, token_id: int) -> int:
        return (state * 1_000_003 + token_id + 7) % PRIME

    def logprobs(self, state: int) -> dict[int, float]:
        """Return the log-probabilities of the tokens in reach, best first."""
        generator = random.Random(state)
        ids = [i for i in generator.sample(range(self.ordinary), CANDIDATES) if i != self.end_id]
        logits = {i: 2.0 + 2.0 * generator.random() for i in ids} | {self.end_id: END_LOGIT}
        rest = (self.vocabulary_size - len(logits)) * math.exp(FLOOR)
        total = math.log(sum(map(math.exp, logits.values())) + rest)
        best_first = sorted(logits.items(), key=lambda item: -item[1])
        return {token_id: logit - total for token_id, logit in best_first}

    def logprob(self, state: int, token_id: int) -> float:
        known = self.logprobs(state)
        return known.get(token_id, known[self.end_id] - END_LOGIT + FLOOR)

    def sample(self, state: int, temperature: float, seed: int, position: int) -> int:
        known = self.logprobs(state)
        if temperature == 0:
            return next(iter(known))
        weights = [math.exp(value / temperature) for value in known.values()]
        generator = random.Random(f"{seed} {state} {position}")
        return generator.choices(list(known), weights)[0]
