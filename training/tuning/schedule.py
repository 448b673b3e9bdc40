"""Which examples a step takes, at which learning rate, and which are held out."""

import hashlib
import random
from collections.abc import Sequence

from training.corpus.store import Example
from training.errors import EmptyCorpus
from training.names import Names
from training.tuning.recipe import Recipe


def split(examples: Sequence[Example], recipe: Recipe) -> tuple[list[Example], list[Example]]:
    """Return the examples to train on and those of held-out problems, chosen by their names.

    Two names with an example after the same prompt are of one problem.
    """
    trained: list[Example] = []
    held_out: list[Example] = []
    names = Names()
    for example in examples:
        if example.prompt_tokens:  # what is trained from its first id on says nothing of a problem
            names.see(example.problem_id, example.ids[: example.prompt_tokens].tobytes())
    for example in examples:
        name = names.of(example.problem_id)
        digest = hashlib.sha256(f"{recipe.seed}/{name}".encode()).digest()
        share = int.from_bytes(digest[:4], "big") / 2**32
        (held_out if share < recipe.held_out else trained).append(example)
    if not trained:
        raise EmptyCorpus("nothing to train on: all problems are held out; lower held_out")
    return trained, held_out


def steps_of(examples: int, recipe: Recipe) -> int:
    """Return how many steps a run takes."""
    return recipe.epochs * -(-examples // recipe.batch)


def rate_at(step: int, total: int, recipe: Recipe) -> float:
    """Return the learning rate of a step: falls to zero in a line."""
    return recipe.learning_rate * (1 - step / total)


def batch_at(examples: Sequence[Example], step: int, recipe: Recipe) -> list[Example]:
    """Return a step's examples; each epoch has an order of its own, the same at every run."""
    a_pass = -(-len(examples) // recipe.batch)
    order = list(range(len(examples)))
    random.Random(f"{recipe.seed}/{step // a_pass}").shuffle(order)
    place = step % a_pass * recipe.batch
    return [examples[i] for i in order[place : place + recipe.batch]]
