"""The script of one rehearsed attempt: what it thinks, which programs it writes, what it answers.

All of it follows from the problem, a number that is the attempt's own, and what its programs
printed; so a turn can be worked out again from the prompt alone, after a death of the engine too.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from server.engine.rehearsal.machine import Habits
from server.engine.rehearsal.problems import ANSWERS, RehearsalProblem
from server.engine.rehearsal.prose import Prose
from server.engine.rehearsal.writer import Writer

#: How an attempt begins: with its name.
NAMED = re.compile(r"Rehearsal ([0-9a-f]{8})\. ")
#: What a program prints before the value that it is about.
_PRINTED = re.compile(r"\bvalue ([^\s\]]+)")
#: Of wrong attempts, this share makes the same mistake, so that majorities can be wrong. Votes of
#: recorded runs are right for .745 of the problems where single attempts are for .47.
POPULAR_SLIP = 0.25
#: Programs that are written again, whole, where the last one printed no value.
RETRIES = 2
#: The tool's errors of recorded attempts: 290 of 7,669 calls.
ERRORS = 0.038
LEAST_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn's ids; `head` of them begin it whatever came before. `last`: the answer is in it."""

    ids: list[int]
    head: int
    last: bool


class Script:
    """One attempt at a problem; `name` is written at its beginning, and tells it from others.

    `fenced`: its message begins in a program, as where a prompt has opened a fence for it.
    """

    def __init__(
        self,
        name: str,
        problem: RehearsalProblem,
        habits: Habits,
        writer: Writer,
        prose: Prose,
        *,
        fenced: bool = False,
    ) -> None:
        self.name = name
        self._fenced = fenced
        self.problem = problem
        self._writer, self._prose = writer, prose
        self._seed = f"{problem.key} {name}"
        chance = random.Random(self._seed)
        self.right = chance.random() < problem.right
        popular = chance.random() < POPULAR_SLIP
        self._slip = 0 if self.right else 1 if popular else chance.randrange(2, 1000)
        # Harder problems are thought about for longer.
        median = habits.tokens_median * 2 ** (1 - 2 * problem.right)
        length = chance.lognormvariate(0, habits.tokens_sigma) * median
        self.tokens = int(min(max(length, LEAST_TOKENS), habits.tokens_most))
        calls = habits.calls_median * (self.tokens / habits.tokens_median) ** 0.5
        self.calls = max(round(calls * chance.uniform(0.5, 1.5)), 1) if habits.calls_median else 0
        self.calls = max(self.calls, int(fenced))
        self._made: dict[tuple[int, str], Turn] = {}

    def turn(self, number: int, results: Sequence[str]) -> Turn:
        """Return the turn after these results of the ones before it."""
        value = self.value(results)
        done = number >= self.calls and (value is not None or number >= self.calls + RETRIES)
        kind = f"final {value}" if done or not self.calls else "call"
        made = self._made.get((number, kind))
        if made is None:
            made = self._final(number, value) if kind != "call" else self._call(number)
            self._made[number, kind] = made
        return made

    def value(self, results: Sequence[str]) -> str | None:
        """Return what the last program printed, once it has run."""
        for result in results[max(self.calls - 1, 0) :]:
            found = _PRINTED.search(result)
            if found:
                return found[1][:200]
        return None

    def answer(self, results: Sequence[str]) -> str:
        """Return what it answers now: what a program printed, or a guess."""
        value = self.value(results)
        if value is not None:
            return value
        if not self.calls or not self.problem.computed:
            return self._told()
        # No program has printed it yet.
        return str(random.Random(f"guess {self._seed}").randrange(ANSWERS))

    def _told(self) -> str:
        """Return its answer where no program computes it."""
        if self.right:
            return self.problem.answer
        return str(self.problem.recurrence.value(self._slip or 1))

    def _call(self, number: int) -> Turn:
        head, ids = self._thought(number)
        if self._fenced and number == 0:
            ids = self._writer.program(ids, self._program(number))
            return Turn(ids, head + len(self._writer.encode("# ")), last=False)
        return Turn(self._writer.call(ids, self._program(number)), head, last=False)

    def _final(self, number: int, value: str | None) -> Turn:
        head, ids = self._thought(number)
        answer = value if value is not None else self.answer(())
        text = f"The value is {answer}.\n\nThe answer is \\boxed{{{answer}}}."
        return Turn(self._writer.final(ids, text), head, last=True)

    def _thought(self, number: int) -> tuple[int, list[int]]:
        """Return the ids of the turn's thinking, and how many begin the turn in any case."""
        named = f"Rehearsal {self.name}. " if number == 0 else ""
        begin = self._writer.encode(f"{named}Step {number + 1}.")
        chance = random.Random(f"{self._seed} {number}")
        share = self.tokens // (self.calls + 1)
        rest = self._prose.tokens(chance, max(share, 1))
        return self._writer.before + len(begin), [*begin, *rest]

    def _program(self, number: int) -> str:
        chance = random.Random(f"program {self._seed} {number}")
        if number >= self.calls:
            return f"{self._definition()}\n{self._whole()}"
        if number == self.calls - 1:
            # Alone it needs nothing; after others it uses what they defined.
            return self._whole() if number else f"{self._definition()}\n{self._whole()}"
        if number == 0:
            return (
                f"{self._definition()}\nprint([step(k) for k in range({chance.randrange(2, 9)})])"
            )
        if chance.random() < ERRORS:
            return f"print(undefined_{number} + {chance.randrange(1000)})"
        count = chance.randrange(2, 60)
        return (
            f"x = start\nfor _ in range({count}):\n    x = step(x)\n"
            f"print({number}, x, math.gcd(x, {chance.randrange(2, 1000)}))"
        )

    def _definition(self) -> str:
        r = self.problem.recurrence
        return (
            f"start = {r.start + self._slip}\n\ndef step(x):\n"
            f"    return (x * x + {r.add}) % {r.modulus}\n"
        )

    def _whole(self) -> str:
        if not self.problem.computed:
            return f"print('value', {self._told()!r})"
        r = self.problem.recurrence
        return (
            f"x = start\nfor _ in range({r.steps}):\n    x = step(x)\n"
            f"print('value', (x + {r.shift}) % {ANSWERS})"
        )
