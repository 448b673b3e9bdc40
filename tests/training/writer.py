"""A scripted model that writes in paragraphs, otherwise with every seed, and chooses by it too."""

from collections.abc import Iterator

from server.engine.scripted import Step, StreamRequest
from server.vocabulary import Vocabulary

#: Paragraphs of an attempt with a seed; even ones find the answer 25.
OPENING = "We count the primes below 100.\n\n"
TURN = "<|im_start|>assistant\n"


def paragraphs(seed: int) -> list[str]:
    """Return what an attempt with a seed says."""
    return [OPENING, *_rest(seed)]


def _rest(seed: int) -> list[str]:
    if seed % 2:
        return [f"By sieve {seed} there are 24 of them.\n\n", "So it is \\boxed{24}."]
    return [f"By sieve {seed} there are 25 of them.\n\n", "So it is \\boxed{25}."]


def write(vocabulary: Vocabulary, end: int, request: StreamRequest) -> Iterator[Step]:
    """Go on from the prompt's last paragraph, as an attempt with the request's seed would."""
    seed = request.sampling.seed
    said = vocabulary.decode(request.prompt).rpartition(TURN)[2]
    if "Solution 1:" in vocabulary.decode(request.prompt):
        said, left = "", ["I compare them.\n\n", f"It is \\boxed{{{1 + seed % 2}}}."]
    else:
        left = paragraphs(seed)[said.count("\n\n") :]
    for number, paragraph in enumerate(left):
        ids = vocabulary.encode(paragraph)
        yield [*ids, end] if number == len(left) - 1 else ids
