"""Files of problems and of their results, as JSON lines.

Problems: one object a line with `id`, `problem` and, optional, `answer`; other fields are ignored.
Results: the `SolveResult` plus `id`, `statement_sha256`, `expected` and `correct` (null without an
expected answer).
Only what says something about the problem is a result (`client.outcome`).
"""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from client.correctness import is_correct
from client.errors import QuorumClientError, UsageError
from client.outcome import Outcome, outcome_of_row
from client.schema import SolveRequest, SolveResult

#: Faulty lines that one error names; more would hide the first.
FAULTS_SHOWN = 10
#: How each line of a file of results begins.
ROW_BEGINS = b'{"id": '
#: Hexadecimal digits of a statement's digest: two of a file's problems never have the same.
DIGEST_CHARS = 16
#: The field of a row that has it.
DIGEST = "statement_sha256"


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
        # A number stays as it is written: neither rounded, nor refused for its length.
        row = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deep; write an object") from error
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}: must be an object")
    return row


def _text(row: dict[str, Any], field: str) -> str | None:
    """Return a field as text, which numbers are too."""
    value = row.get(field)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"field {field}: a {type(value).__name__}; must be text or a number")


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )


@dataclass(frozen=True, slots=True)
class Done:
    """What the file of results says of a problem; `line` is where.

    Rows of earlier versions have no `digest`, and nothing tells of which statement they are.
    """

    line: int
    digest: str | None
    answer: str | None
    correct: bool | None

    def judged(self, problem: Problem) -> bool | None:
        """Return whether the answer is correct, by what the file of problems expects now."""
        if problem.expected is None:
            return self.correct
        return is_correct(self.answer, problem.expected)


def digest_of(problem: Problem) -> str:
    """Return the beginning of the SHA-256 of a statement, by which a row tells whose it is."""
    statement = problem.request.problem.encode("utf-8", "surrogatepass")
    return hashlib.sha256(statement).hexdigest()[:DIGEST_CHARS]


class ResultFile:
    """A file of results that only grows; opened by one process at a time.

    Opening it deletes a last line that was cut off, and reads which problems are `done`, by id.
    Rows of aborted solves, which earlier versions wrote, are passed over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Done] = {}
        self._lines = 0

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
        digest = digest_of(problem)
        row = {
            "id": problem.id,
            DIGEST: digest,
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
        self._lines += 1
        self.done[problem.id] = Done(self._lines, digest, result.answer, correct)

    def check(self, problem: Problem) -> None:
        """Raise `InvalidFile` where the result under a problem's id is of another problem."""
        done = self.done.get(problem.id)
        if done is not None and done.digest not in (None, digest_of(problem)):
            raise InvalidFile(
                f"{self.path}: line {done.line}: the result of {problem.id!r} is of another "
                f"problem than line {problem.line} of the file of problems has; name another file "
                "with --out"
            )

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
        self._lines = number
        if not line.strip():  # an editor, or two files put together, leave such
            return
        try:
            row = json.loads(line)
            name, correct = row["id"], row["correct"]
            if outcome_of_row(row) is Outcome.DONE:
                self.done[name] = Done(number, row.get(DIGEST), _text(row, "answer"), correct)
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
