"""Problems with their right answers, and what was wrong with the rows that became none."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

import orjson

from server.evaluation.choices import choice_letter
from server.evaluation.errors import SetUnreadable
from voting.answers import Answer, AnswerKind, parse_answer

#: Rows that one fault names by their ids; the count has them all.
NAMED = 5


class Kind(StrEnum):
    """How an answer is told from a wrong one."""

    #: Equal as mathematics.
    TEXT = "text"
    #: The contest's: an integer from 0 to 99999 and nothing else.
    INTEGER = "integer"
    #: One letter of several choices.
    CHOICE = "choice"


class Fault(StrEnum):
    """Why a row of a set is no problem to score."""

    NO_STATEMENT = "no statement"
    NO_ANSWER = "no answer"
    UNPARSED = "an answer that does not parse"
    DUPLICATE = "an id that another row has"
    TOO_LONG = "a statement longer than the server takes"
    NOT_TEXT = "a statement that is not text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. `answer` is the right one as its source writes it; it never leaves for a server.

    `year` and `source` say where it comes from, where its set tells. `copy` is above 0 in a
    repetition of a set: then its attempts have seeds of their own, and `original` is what it is
    a copy of.
    """

    id: str
    statement: str
    answer: str
    kind: Kind = Kind.TEXT
    level: str | None = None
    subject: str | None = None
    year: str | None = None
    source: str | None = None
    copy: int = 0

    @property
    def original(self) -> str:
        """The id of what this is a copy of; its own where it is none."""
        return self.id.removesuffix(f"@{self.copy}") if self.copy else self.id

    @property
    def truth(self) -> Answer:
        """The right answer; a problem whose answer does not parse is never made."""
        truth = read_answer(self.answer, self.kind)
        if truth is None:
            raise ValueError(f"problem {self.id[:40]!r}: its answer does not parse")
        return truth


def read_answer(written: str | None, kind: Kind) -> Answer | None:
    """Return the answer that a text writes under a kind, None where it is none."""
    if written is None:
        return None
    if kind is Kind.CHOICE:
        letter = choice_letter(written)
        return None if letter is None else Answer(written, letter, AnswerKind.TEXT)
    return parse_answer(written, AnswerKind.INTEGER if kind is Kind.INTEGER else AnswerKind.TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """Problems under a name, with what was wrong with the other rows of the source."""

    name: str
    problems: tuple[Problem, ...]
    licence: str = "not stated"
    origin: str = ""
    faults: Mapping[Fault, Sequence[str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the problems, in hexadecimal: what an evaluation is resumed by."""
        rows = [orjson.dumps(asdict(problem)) for problem in self.problems]
        return hashlib.sha256(b"\n".join(rows)).hexdigest()

    def notes(self) -> list[str]:
        """Return a sentence for each kind of fault: how many rows, and which."""
        notes = []
        for fault, ids in self.faults.items():
            named = ", ".join(repr(name[:40]) for name in ids[:NAMED])
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            notes.append(f"{len(ids)} rows left out, {fault.value}: {named}{more}")
        return notes

    def first(self, count: int | None) -> "ProblemSet":
        """Return the first so many problems by SHA-256 of their ids; all for None.

        Which ones these are does not depend on the order of the source.
        """
        if count is None:
            return self
        ordered = sorted(self.problems, key=lambda p: hashlib.sha256(p.id.encode()).hexdigest())
        return self.having(ordered[:count])

    def repeated(self, times: int) -> "ProblemSet":
        """Return the set so many times over: `x`, `x@1`, `x@2` …, in rounds of the whole set.

        Raises:
            SetUnreadable: a problem is called as a repetition of another would be.
        """
        copies = [
            replace(problem, id=f"{problem.id}@{copy}" if copy else problem.id, copy=copy)
            for copy in range(times)
            for problem in self.problems
        ]
        taken = Counter(problem.id for problem in copies)
        doubled = next((name for name, count in taken.items() if count > 1), None)
        if doubled is not None:
            raise SetUnreadable(
                f"problem {doubled[:60]!r}: is also what a repetition would be called; rename it, "
                "or evaluate without --repeat"
            )
        return self.having(copies)

    def having(self, problems: Sequence[Problem]) -> "ProblemSet":
        """Return the set with these problems of it."""
        return ProblemSet(
            name=self.name, problems=tuple(problems), licence=self.licence, origin=self.origin,
            faults=self.faults,
        )  # fmt: skip

    def counts(self) -> dict[str, int]:
        """Return how many problems there are of each level."""
        return dict(sorted(Counter(problem.level or "-" for problem in self.problems).items()))
