"""A made-up population of recorded attempts, where nothing is recorded: stated, and by seed."""

import math
import random
from dataclasses import dataclass

from voting.answers import Answer, AnswerKind
from voting.errors import ReplayError
from voting.replay.records import RecordedAttempt, RecordedProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """What attempts are drawn from.

    The values are those of 22 olympiad problems with eight attempts or more of gpt-oss-120b each
    (high effort, with Python; public recordings of 2025): means, and deviations of logarithms. They
    are where a budget begins that knows nothing else, and no claim about another model.

    A problem's accuracy is drawn from a Beta distribution of mean ``accuracy`` and concentration
    ``concentration`` (low: problems are all easy or all hard). A wrong attempt gives the problem's
    own wrong answer with probability ``trap``, which is drawn evenly from 0 to twice it for each
    problem, else one that nobody shares. Tokens are log-normal: ``tokens`` in the median problem,
    the logarithm's deviation ``between`` problems and ``within`` one; a hard problem's attempts
    take ``hardness`` times as many (at accuracy 0 against 1), and a wrong one ``wrong`` times as
    many as a right one. A tool call comes every ``tokens_per_call`` tokens, of which ``errors``
    fail.

    Raises:
        ReplayError: a value is out of its range.
    """

    problems: int = 40
    attempts: int = 24
    accuracy: float = 0.62
    concentration: float = 2.3
    trap: float = 0.64
    tokens: float = 26_000
    between: float = 0.73
    within: float = 0.27
    hardness: float = 1.4
    wrong: float = 0.8
    tokens_per_call: float = 1_500
    errors: float = 0.05

    def __post_init__(self) -> None:
        shares = (self.accuracy, self.trap, self.errors)
        sizes = (
            self.concentration, self.tokens, self.hardness, self.wrong, self.tokens_per_call,
            self.problems, self.attempts,
        )  # fmt: skip
        spreads = (self.between, self.within)
        if (
            not all(0 <= share <= 1 for share in shares)
            or not 0 < self.accuracy < 1
            or not all(0 < size < math.inf for size in sizes)
            or not all(0 <= spread < 5 for spread in spreads)
        ):
            raise ReplayError(
                f"population {self}: shares must be from 0 to 1 (the accuracy strictly), sizes "
                "above 0 and finite, deviations from 0 to 5; correct the value that is not"
            )

    def stated(self) -> str:
        """Return a sentence that says what is made up, and how."""
        return (
            f"synthetic attempts: {self.problems} problems of {self.attempts}, accuracy "
            f"Beta(mean {self.accuracy:g}, concentration {self.concentration:g}), wrong answers "
            f"equal with probability 0-{min(1.0, 2 * self.trap):g}, {self.tokens:,.0f} tokens, "
            f"log deviation {self.between:g} between and {self.within:g} within problems, hard "
            f"problems x{self.hardness:g}, wrong attempts x{self.wrong:g}"
        )


def draw_population(population: Population, seed: int) -> list[RecordedProblem]:
    """Draw problems with their attempts; the same seed draws the same."""
    return [_problem(population, seed, number) for number in range(population.problems)]


def _problem(population: Population, seed: int, number: int) -> RecordedProblem:
    draw = random.Random(f"{seed}:{number}")
    alpha = population.accuracy * population.concentration
    accuracy = draw.betavariate(alpha, population.concentration - alpha)
    trap = min(1.0, draw.uniform(0, 2 * population.trap))
    hard = population.hardness ** (population.accuracy - accuracy)
    median = population.tokens * hard * math.exp(draw.gauss(0, population.between))
    attempts = tuple(
        _attempt(population, draw, accuracy, trap, median, place)
        for place in range(population.attempts)
    )
    return RecordedProblem(f"synthetic-{number:03}", attempts)


def _attempt(
    population: Population,
    draw: random.Random,
    accuracy: float,
    trap: float,
    median: float,
    place: int,
) -> RecordedAttempt:
    right = draw.random() < accuracy
    # 1 is the right answer and 2 the trap; the others are drawn from so many that none is shared.
    wrong = "2" if draw.random() < trap else str(draw.randrange(3, 10**12))
    answer = "1" if right else wrong
    factor = 1.0 if right else population.wrong
    tokens = max(1, round(median * factor * math.exp(draw.gauss(0, population.within))))
    calls = round(tokens / population.tokens_per_call * math.exp(draw.gauss(0, 0.5)))
    errors = sum(draw.random() < population.errors for _ in range(calls))
    return RecordedAttempt(
        answer=Answer(answer, answer, AnswerKind.TEXT),
        right=right,
        tokens=tokens,
        tool_calls=calls,
        tool_errors=errors,
        # All alike, so that any entry of a mix may have made it.
        number=place,
    )
