"""Reads files of recorded attempts: one JSON object a line."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from server.replay.errors import RecordsUnreadable
from server.replay.rows import PLAN, CellsName, cells_name, read_row
from voting.answers import Answer, AnswerKind, parse_answer
from voting.equivalence import AnswerClasses, compare
from voting.exact import Comparison
from voting.replay.records import RecordedAttempt, RecordedProblem

#: The longest line read: an attempt of a million tokens with its confidences takes 40 MB.
MAX_LINE = 256 * 2**20
#: Of whole numbers from here on, either way, orjson makes floats.
MOST_INTEGER = 2**63
#: What some editors begin a file in UTF-8 with.
BOM = b"\xef\xbb\xbf"
#: A column that every row of a journal's export has.
SOLVE = "solve_id"


@dataclass(frozen=True, slots=True)
class Records:
    """Recorded problems, in the order of their first row, and how many attempts were left out.

    Those were cut when they were recorded. Where early stop cut them, the ones that remain are the
    quick ones, and policies that wait for slow ones look worse than they are. `unnamed` ones are of
    a journal's solves whose caller gave the problem no name, so that no right answer can be found.
    """

    problems: tuple[RecordedProblem, ...]
    left_out: int
    unnamed: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of attempts that are left out, in sentences."""
        notes = []
        if self.left_out:
            notes.append(
                f"{self.left_out} attempts were cut when they were recorded and are left out: "
                "those that remain are the quicker ones."
            )
        if self.unnamed:
            notes.append(
                f"{self.unnamed} attempts are left out because their problems have no problem_id."
            )
        return tuple(notes)

    @property
    def attempts(self) -> int:
        """How many attempts there are."""
        return sum(len(problem.attempts) for problem in self.problems)


class RightAnswers:
    """What was told to be right so far, by problem."""

    def __init__(self) -> None:
        self._told: dict[str, Answer] = {}

    def add(self, problem_id: str, answer: Answer) -> None:
        """Take in a right answer. Spellings that arithmetic cannot compare may be of one number.

        Raises:
            RecordsUnreadable: another one was told of the problem.
        """
        known = self._told.setdefault(problem_id, answer)
        if known.key != answer.key and compare(known, answer) is Comparison.DIFFERENT:
            raise RecordsUnreadable(
                f"problem {problem_id[:40]!r}: right answers {known.written[:40]!r} and "
                f"{answer.written[:40]!r}: must be one; correct the rows, give the problems "
                "different names, or name a file of right answers with --answers"
            )


def load_records(
    files: Sequence[Path], answers: Path | None = None, cells: Path | None = None
) -> Records:
    """Read attempts from files; `answers` has right answers by problem, `cells` what code printed.

    Raises:
        RecordsUnreadable: a file cannot be read, or a row is malformed; the text names the line.
    """
    truths = {} if answers is None else _truths(answers)
    told = RightAnswers()
    outputs = {} if cells is None else _outputs(cells)
    attempts: dict[str, list[RecordedAttempt]] = defaultdict(list)
    left_out = unnamed = 0
    for file in files:
        for number, row in _rows(file):
            if row.get("role") == PLAN:
                continue
            if row.get("problem_id") is None and SOLVE in row:
                unnamed += 1
                continue
            try:
                read = read_row(row, truths, outputs)
                if read is not None and read.truth is not None:
                    told.add(read.problem_id, read.truth)
            except RecordsUnreadable as error:
                raise RecordsUnreadable(f"{file}, line {number}: {error}") from error
            if read is None:
                left_out += 1
            else:
                attempts[read.problem_id].append(read.attempt)
    if unnamed and not attempts and not left_out:
        raise RecordsUnreadable(
            f"{', '.join(map(str, files))}: {unnamed} attempts, none at a problem with a name: a "
            "problem must have one, by which its right answer is found; record solves with a "
            "problem_id, as `quorum solve --file` does"
        )
    if not attempts:
        raise RecordsUnreadable(
            f"{', '.join(map(str, files))}: 0 attempts that came to an end of their own: must be "
            "at least 1; record solves without early stop (solve.early_stop none)"
        )
    problems = tuple(RecordedProblem(name, _classed(rows)) for name, rows in attempts.items())
    return Records(problems, left_out, unnamed)


def _classed(attempts: Sequence[RecordedAttempt]) -> tuple[RecordedAttempt, ...]:
    r"""Return attempts whose equal answers are one: ``1/2`` and ``\frac12`` share a ballot line.

    As far as exact arithmetic tells: no symbolic check is asked.
    """
    classes = AnswerClasses()
    for attempt in attempts:
        if attempt.answer is not None:
            classes.add(attempt.answer)
    return tuple(
        attempt if attempt.answer is None else replace(attempt, answer=classes.of(attempt.answer))
        for attempt in attempts
    )


def _truths(file: Path) -> dict[str, str]:
    truths, told = {}, RightAnswers()
    for number, row in _rows(file):
        name, answer = row.get("id", row.get("problem_id")), row.get("answer")
        if name is None or answer is None:
            raise RecordsUnreadable(
                f"{file}, line {number}: no id or no answer: must have both; add the columns"
            )
        truths[str(name)] = str(answer)
        parsed = parse_answer(str(answer), AnswerKind.TEXT)
        try:
            if parsed is not None:
                told.add(str(name), parsed)
        except RecordsUnreadable as error:
            raise RecordsUnreadable(f"{file}, line {number}: {error}") from error
    return truths


def _outputs(file: Path) -> dict[CellsName, list[str]]:
    outputs: dict[CellsName, list[str]] = defaultdict(list)
    for number, row in _rows(file):
        name = cells_name(row)
        if name is None:
            raise RecordsUnreadable(
                f"{file}, line {number}: must have problem_id, state_hash and action_hash, the "
                "attempt's name; add the columns"
            )
        outputs[name].append(str(row.get("output", "")))
    return dict(outputs)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's number, from 1, and its object; blank lines are skipped."""
    try:
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(MAX_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix(BOM)
                if line.strip():
                    yield number, _object(file, number, line)
    except OSError as error:
        raise RecordsUnreadable(
            f"{file}: cannot be read ({error.strerror or error}); name a file of JSON lines"
        ) from error


def _object(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
        if isinstance(row, dict) and any(map(_is_rounded, row.values())):
            row = json.loads(line)
    except ValueError as error:
        raise RecordsUnreadable(
            f"{file}, line {number}: must be a JSON object, {error}; correct or remove the line"
        ) from error
    if not isinstance(row, dict):
        raise RecordsUnreadable(
            f"{file}, line {number}: must be a JSON object; correct or remove the line"
        )
    return row


def _is_rounded(value: Any) -> bool:  # noqa: ANN401 - whatever JSON has
    """Whether a number may have been written with digits that are lost: two answers, one float."""
    return isinstance(value, float) and abs(value) >= MOST_INTEGER
