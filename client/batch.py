"""Files of problems and of their results, as JSON lines.

Problems: one object a line with `id`, `problem` and, optional, `answer`; other fields are ignored.
Results: the `SolveResult` plus `id`, `expected` and `correct` (null without an expected answer).
Only what says something about the problem is a result (`client.outcome`).
"""

import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from client.errors import QuorumClientError, UsageError
from client.outcome import Outcome, outcome_of_row
from client.schema import SolveRequest, SolveResult

#: Faulty lines that one error names; more would hide the first.
FAULTS_SHOWN = 10
#: How each line of a file of results begins.
ROW_BEGINS = b'{"id": '


class InvalidFile(UsageError):
    """A file of problems or results cannot be used; the message names the lines."""


class ResultLost(QuorumClientError):
    """A result could not be written, most often because the disk is full."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a file; `expected` never leaves this process."""

    id: str
    request: SolveRequest
    expected: str | None
    line: int


def read_problems(path: Path, make_request: Callable[[str, str], SolveRequest]) -> list[Problem]:
    """Read and check the whole file; `make_request(problem, id)` builds each request.

    Raises `InvalidFile`, naming every faulty line, before anything is solved.
    """
    problems: dict[str, Problem] = {}
    faults: list[str] = []
    for number, line in _lines(path):
        try:
            problem = _problem(number, line, make_request)
        except ValueError as error:
            faults.append(f"line {number}: {_reason(error)}")
            continue
        if problem.id in problems:
            faults.append(
                f"line {number}: id {problem.id!r} is taken by line "
                f"{problems[problem.id].line}; ids must differ"
            )
        else:
            problems[problem.id] = problem
    if faults:
        more = f"; and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
        raise InvalidFile(f"{path}: " + "; ".join(faults[:FAULTS_SHOWN]) + more)
    if not problems:
        raise InvalidFile(f"{path}: holds no problem; write one JSON object a line")
    return list(problems.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise InvalidFile(
            f"{path}: cannot be read ({reason}); name a file of JSON lines"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path}: must be UTF-8 text ({error}); save it as such") from error
    # not splitlines: JSON strings may hold U+2028 and its like
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _problem(number: int, line: str, make_request: Callable[[str, str], SolveRequest]) -> Problem:
    row = _object(line)
    name = _text(row, "id")
    statement = _text(row, "problem")
    if name is None:
        raise ValueError("field id: missing; give each problem its own")
    if statement is None:
        raise ValueError("field problem: missing; give the statement as text")
    return Problem(name, make_request(statement, name), _text(row, "answer"), number)


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deep; write an object") from error
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}: must be an object")
    return row


def _text(row: dict[str, Any], field: str) -> str | None:
    """Return a field as text; a number counts as its digits."""
    value = row.get(field)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"field {field}: a {type(value).__name__}; must be text or a number")


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )


def is_correct(answer: str | None, expected: str | None) -> bool | None:
    """Compare an answer with the expected one; None without an expected one.

    Numbers by value, other text by its characters without spaces, dollar signs and `\\boxed`.
    Equivalent forms that are written differently count as wrong: this is a lower bound.
    """
    if expected is None:
        return None
    if answer is None:
        return False
    left, right = _normal(answer), _normal(expected)
    numbers = _number(left), _number(right)
    return numbers[0] == numbers[1] if None not in numbers else left == right


def _normal(answer: str) -> str:
    answer = re.sub(r"\s|\$|\\[,;!]|\\left|\\right", "", answer)
    boxed = re.fullmatch(r"\\boxed\{(.*)\}", answer)
    return (boxed.group(1) if boxed else answer).replace("\\dfrac", "\\frac")


_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+|/[0-9]+)?")
#: Numbers longer than this are compared as text: parsing must not take long.
_NUMBER_CHARS = 1_000


def _number(text: str) -> Fraction | None:
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    if len(plain) > _NUMBER_CHARS or not _NUMBER.fullmatch(plain):
        return None
    try:
        return Fraction(plain)
    except ZeroDivisionError:
        return None


class ResultFile:
    """A file of results that only grows; opened by one process at a time.

    Opening it deletes a last line that was cut off, and reads which problems are `done`: their
    ids, and whether the answers were correct. Rows of aborted solves, which earlier versions wrote,
    are passed over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, bool | None] = {}

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("a+b")
        except OSError as error:
            raise InvalidFile(
                f"{self.path}: cannot be written ({error.strerror or error}); name a file in a "
                "folder that is there and can be written"
            ) from error
        try:
            self._require_regular()
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What could not be written once is tried again here, and has been told of.
        with suppress(OSError):
            self._file.close()

    def append(self, problem: Problem, result: SolveResult) -> None:
        """Write a result and wait until it is on the disk; raises `ResultLost`."""
        correct = is_correct(result.answer, problem.expected)
        row = {
            "id": problem.id,
            **result.model_dump(mode="json"),
            "expected": problem.expected,
            "correct": correct,
        }
        try:
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ResultLost(
                f"{self.path}: the result of {problem.id!r} cannot be written ({error.strerror}); "
                "free some space and run the command again, it goes on from there"
            ) from error
        self.done[problem.id] = correct

    def _require_regular(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise InvalidFile(
                f"{self.path}: must be a regular file, since it is read again to resume; "
                "name another one"
            )

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidFile(
                f"{self.path}: another process writes it; wait for its end or name another file"
            ) from error

    def _read(self) -> None:
        """Read what is done. Only then is a last line deleted that was cut off: of results."""
        self._file.seek(0)
        content = self._file.read()
        *lines, last = content.split(b"\n")
        for number, line in enumerate(lines, start=1):
            self._read_line(number, line)
        if _is_cut_off(last):
            self._file.truncate(len(content) - len(last))
        elif last:
            self._read_line(len(lines) + 1, last)
            self._file.write(b"\n")

    def _read_line(self, number: int, line: bytes) -> None:
        try:
            row = json.loads(line)
            name, correct = row["id"], row["correct"]
            if outcome_of_row(row) is Outcome.DONE:
                self.done[name] = correct
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidFile(
                f"{self.path}: line {number}: not a result; name a file of results or a new one"
            ) from error


def _is_cut_off(last: bytes) -> bool:
    """Whether this is the beginning of a result; what a crash left unwritten reads as zeros."""
    begun = last.rstrip(b"\0")
    if not last or begun[: len(ROW_BEGINS)] != ROW_BEGINS[: len(begun)]:
        return False
    try:
        json.loads(last)
    except ValueError:
        return True
    return False
