"""Problems for rehearsals: what is right, how hard they are, and programs that compute them.

Any text is a problem: its numbers come from its own hash. A program of a rehearsed attempt really
computes them, by a recurrence, and the attempt's answer is what the kernel printed. So a rehearsal
needs working kernels, and whoever wants to know the right answers can compute them.
"""

import hashlib
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from server.engine.errors import EngineFailed

ANSWERS = 100_000
#: Of a problem's attempts, how likely each is right, as a beta distribution over problems: mean
#: .47 and .92 for at least one of eight, as recorded runs of gpt-oss-120b had (.47 and .93).
RIGHT_ALPHA, RIGHT_BETA = 1.5, 1.7
#: `[rehearsal: right=0.8]` in a problem's text sets that likelihood.
_MARK = re.compile(r"\[rehearsal: right=(0(?:\.\d+)?|1(?:\.0+)?)\]")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """x → (x² + `add`) mod `modulus`, from `start`, `steps` times; then + `shift`, mod 100,000."""

    start: int
    add: int
    modulus: int
    steps: int
    shift: int = 0

    def value(self, slip: int = 0) -> int:
        """Return the result; `slip` is an error in the start."""
        x = self.start + slip
        for _ in range(self.steps):
            x = (x * x + self.add) % self.modulus
        return (x + self.shift) % ANSWERS


@dataclass(frozen=True, slots=True)
class RehearsalProblem:
    """One problem: `answer` is right, and an attempt is right with a likelihood of `right`.

    Where the answer is no whole number of up to five digits, programs print it as it stands.
    """

    key: str
    right: float
    recurrence: Recurrence
    answer: str

    @property
    def computed(self) -> bool:
        """Whether the recurrence gives the answer."""
        return self.answer == str(self.recurrence.value())


def problem_of(text: str, known: Mapping[str, str] | None = None) -> RehearsalProblem:
    """Return the problem that a text is; `known` maps the keys of texts to their answers."""
    key = key_of(text)
    chance = random.Random(key)
    modulus = chance.randrange(100_003, 999_983)
    recurrence = Recurrence(
        start=chance.randrange(2, modulus),
        add=chance.randrange(1, modulus),
        modulus=modulus,
        steps=chance.randrange(100, 2000),
    )
    right = chance.betavariate(RIGHT_ALPHA, RIGHT_BETA)
    marked = _MARK.search(text)
    if marked:
        right = float(marked[1])
    answer = (known or {}).get(key)
    if answer is None:
        return RehearsalProblem(key, right, recurrence, str(recurrence.value()))
    if re.fullmatch(r"\d{1,5}", answer):
        shift = (int(answer) - recurrence.value()) % ANSWERS
        recurrence = Recurrence(recurrence.start, recurrence.add, modulus, recurrence.steps, shift)
        answer = str(int(answer))
    return RehearsalProblem(key, right, recurrence, answer)


def key_of(text: str) -> str:
    """Return what a problem is known by: a hash of its text, whatever its white space."""
    return hashlib.blake2b(_SPACE.sub(" ", text).strip().encode(), digest_size=12).hexdigest()


def right_answer(text: str) -> str:
    """Return the right answer of a problem that is in no file of problems."""
    return problem_of(text).answer


def synthetic(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Return problems with their answers, as rows of a file for `quorum solve --file`."""
    chance = random.Random(f"problems {seed}")
    rows = []
    for number in range(1, count + 1):
        a, b = chance.randrange(10**6), chance.randrange(10**6)
        text = (
            f"Rehearsal problem {number}. A sequence begins with {a}, and each term is made of the"
            f" one before it and of {b}. What is the remainder of its last term modulo {ANSWERS}?"
        )
        rows.append({"id": f"rehearsal-{number}", "problem": text, "answer": right_answer(text)})
    return rows


def read_answers(path: Path) -> dict[str, str]:
    """Read the answers of a JSON-lines file of problems: `problem` and `answer` in each line.

    Raises:
        EngineFailed: it cannot be read, or a line has not both.
    """
    try:
        return dict(_rows(path.read_bytes().splitlines()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineFailed(
            f"rehearsal.problems {path}: must be JSON lines with problem and answer"
            f" ({type(error).__name__}: {error}); correct it or set rehearsal.problems to none"
        ) from error


def _rows(lines: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    for line in lines:
        if line.strip():
            row = orjson.loads(line)
            yield key_of(row["problem"]), str(row["answer"])
