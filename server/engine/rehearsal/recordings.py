"""Recorded attempts that a rehearsal plays: the tokens that were sampled, turn by turn.

Two forms of JSON lines are read. An export of a journal (`quorum journal export`): `problem`,
`ids`, `mask` (1 for sampled), `logprobs`, `answer`. A conversation of Harmony's as one list:
`statement` (or `problem`), `completion_tokens`, `attempt_answer`; there a turn ends with a call or
a return, and the next one begins after the next header of the model's.

What tools print today is not what they printed then: the model goes on as it was recorded.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from server.dialect.base import Dialect
from server.dialect.harmony_tokens import HarmonyTokens
from server.engine.errors import EngineFailed
from server.engine.rehearsal.likely import NEUTRAL, SURPRISE
from server.engine.rehearsal.problems import key_of
from server.engine.rehearsal.script import Turn
from server.engine.rehearsal.search import find
from server.engine.rehearsal.writer import Writer
from server.vocabulary import Vocabulary

#: An attempt is known by so many of its first tokens; with fewer it may as well begin anew.
KNOWN_BY = 4
#: What stands where no log-probability was recorded.
UNKNOWN = -SURPRISE[True]


@dataclass(slots=True)
class Recording:
    """One attempt: its turns as ids, what was answered, and each sampled id's log-probability.

    A recording that stops in mid-text is played with an end that says its answer: whoever recorded
    it had the answer already.
    """

    turns: "list[array[int]]"
    answered: str
    writer: Writer
    logprobs: "array[float]" = field(default_factory=lambda: array("f"))

    def turn(self, number: int, results: Sequence[str]) -> Turn:
        """Return a turn; what its tools print changes nothing."""
        del results
        number = min(number, len(self.turns) - 1)
        ids = self.turns[number].tolist()
        last = number == len(self.turns) - 1
        if last and ids[-1] not in self.writer.ends():
            said = f"The answer is \\boxed{{{self.answered}}}." if self.answered else ""
            ids = self.writer.cut_short(ids, said)
        return Turn(ids, len(ids), last)

    def answer(self, results: Sequence[str]) -> str:
        """Return what was answered."""
        del results
        return self.answered

    def begun(self, prompt: Sequence[int]) -> bool:
        """Tell whether a prompt goes on after some of the first turn."""
        first = self.turns[0]
        at = find(prompt, first[:KNOWN_BY])
        while at >= 0:
            count = min(len(prompt) - at, len(first))
            if array("I", prompt[at : at + count]) == first[:count]:
                return True
            at = find(prompt, first[:KNOWN_BY], at + 1)
        return False

    def mood(self, prompt: int, number: int, begun: int) -> "Recalled":
        """Return the log-probabilities of what comes after `begun` ids of a turn in a prompt."""
        start = sum(len(turn) for turn in self.turns[:number])
        end = start + len(self.turns[number])
        return Recalled(self.logprobs[start + begun : end], prompt)


@dataclass(frozen=True, slots=True)
class Recalled:
    """Log-probabilities as they were recorded, the first of them at the place `begins`."""

    logprobs: Sequence[float]
    begins: int

    def logprob(self, place: int) -> float:
        """Return that of the id at a place."""
        number = place - self.begins
        known = 0 <= number < len(self.logprobs)
        return self.logprobs[number] if known else UNKNOWN

    def likeliest(
        self, token_id: int, place: int, count: int, size: int
    ) -> list[tuple[float, int, None]]:
        """Return the sampled id first; the others were not recorded, and are made up."""
        others = NEUTRAL.likeliest(token_id, place, count, size)[1:]
        first = self.logprob(place)
        return [(first, token_id, None), *((min(p, first), i, None) for p, i, _ in others)]


class Recordings:
    """The recordings of a file, by problem; each attempt that begins plays the next one."""

    def __init__(self, rows: Iterator[tuple[str, Recording]]) -> None:
        self._by_problem: dict[str, list[Recording]] = defaultdict(list)
        self._begun: dict[str, int] = defaultdict(int)
        for problem, recording in rows:
            self._by_problem[key_of(problem)].append(recording)

    def __len__(self) -> int:
        """How many there are."""
        return sum(map(len, self._by_problem.values()))

    def find(self, problem: str, prompt: Sequence[int], *, begins: bool) -> Recording | None:
        """Return the recording that a prompt is in; the next one where an attempt begins."""
        key = key_of(problem)
        those = self._by_problem.get(key)
        if not those:
            return None
        for recording in those:
            if recording.begun(prompt):
                return recording
        if not begins:
            return None
        number = self._begun[key]
        self._begun[key] = number + 1
        return those[number % len(those)]


def read_recordings(
    path: Path, vocabulary: Vocabulary, dialect: Dialect, writer: Writer
) -> Recordings:
    """Read a file of recorded attempts; those without sampled tokens are left out.

    Raises:
        EngineFailed: it cannot be read, or its ids are not of this vocabulary.
    """
    try:
        return Recordings(_rows(path, vocabulary, dialect, writer))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise EngineFailed(
            f"rehearsal.traces {path}: must be JSON lines of recorded attempts"
            f" ({type(error).__name__}: {error}); correct it or set rehearsal.traces to none"
        ) from error


def _rows(
    path: Path, vocabulary: Vocabulary, dialect: Dialect, writer: Writer
) -> Iterator[tuple[str, Recording]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            row = orjson.loads(line) if line.strip() else None
            if row is None:
                continue
            flat = "completion_tokens" in row
            made = _harmony(row, vocabulary, dialect) if flat else _exported(row, dialect)
            problem, answer, turns, logprobs = made
            worst = max((max(turn) for turn in turns), default=0)
            if worst >= vocabulary.size:
                raise ValueError(
                    f"line {number}: token id {worst} is none of the vocabulary's"
                    f" {vocabulary.size}; set engine.model to the model that was recorded"
                )
            if turns:
                yield problem, Recording(turns, answer, writer, logprobs)


_Made = tuple[str, str, "list[array[int]]", "array[float]"]


def _exported(row: dict[str, Any], dialect: Dialect) -> _Made:
    """Read a row of a journal's export: its sampled stretches are the turns."""
    recorded_by = row.get("dialect") or dialect.name
    if recorded_by != dialect.name:
        raise ValueError(
            f"an attempt in the dialect {recorded_by}, not {dialect.name}: set engine.model"
        )
    told = row.get("logprobs") or [None] * len(row["ids"])
    tokens = zip(row["ids"], row["mask"], told, strict=True)
    turns: list[array[int]] = []
    logprobs = array("f")
    for sampled, stretch in groupby(tokens, key=lambda token: token[1]):
        if sampled:
            those = [*stretch]
            turns.append(array("I", [token_id for token_id, _, _ in those]))
            logprobs.extend(UNKNOWN if p is None else min(p, 0.0) for _, _, p in those)
    known = logprobs if row.get("logprobs") else array("f")
    return row["problem"], str(row.get("answer") or ""), turns, known


def _harmony(row: dict[str, Any], vocabulary: Vocabulary, dialect: Dialect) -> _Made:
    """Read a conversation that is one list: what is between calls and headers was appended."""
    if dialect.name != "harmony":
        raise ValueError(f"Harmony's tokens for the dialect {dialect.name}: set engine.model")
    tokens = HarmonyTokens(vocabulary)
    ids, begin = row["completion_tokens"], tokens.begin()
    stops = {tokens.call, *tokens.ends}
    turns: list[array[int]] = []
    start = 0
    while 0 <= start < len(ids):
        end = next((n + 1 for n in range(start, len(ids)) if ids[n] in stops), len(ids))
        turns.append(array("I", ids[start:end]))
        header = find(ids, begin, end)
        start = header + len(begin) if header >= 0 else -1
    answer = row.get("attempt_answer")
    problem = row.get("statement") or row["problem"]
    return problem, "" if answer is None else str(answer), turns, array("f")
