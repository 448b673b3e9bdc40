"""The session's own record of answers: a line of JSON each, on disk before the answer is given.

It survives the end of the notebook's process. A disk that is full or gone loses nothing as long as
this process lives: what could not be written is kept, and tried again with the next line.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kaggle_notebook.disk import Disk
from kaggle_notebook.ladder import Choice, Rung, contest_integer

FILE = "answers.jsonl"
#: An answer takes some hundred bytes; what is longer is none, however the file came to be.
_MOST_LINE_BYTES = 64 * 1024
_MOST_BYTES = 64 * 1024 * 1024
#: Types of fields as JSON has them.
_IN_JSON: Mapping[object, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    float | None: (int, float, type(None)),
    tuple[str, ...]: (list,),
}
#: Numbers of a line are counts and seconds; what is not below this is none, nor is NaN.
_MOST_NUMBER = 2**53
#: An answer waits at most this long for the disk, in seconds: one that hangs must not cost it.
WRITE_WAIT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLine:
    """One answer as it was given, in the session of that id; times in seconds."""

    key: str
    id: str
    answer: int
    rung: str
    seconds: float
    left_s: float
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    solve: str = ""
    end: str = ""
    detail: str = ""
    limit_s: float | None = None
    tokens: int = 0
    attempts: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    engine_losses: int = 0
    tries: int = 0
    notes: tuple[str, ...] = ()
    session: str = ""

    @property
    def choice(self) -> Choice:
        """The answer and its rung."""
        return Choice(self.answer, Rung(self.rung))


class AnswerRecord:
    """All answers of a session, by key. `trouble` says why the last write failed, if it did.

    Lines of other sessions in the file are passed over, unless `session` is None: all are taken.
    """

    def __init__(self, folder: Path, session: str | None = None, disk: Disk | None = None) -> None:
        self._path = folder / FILE
        self._disk = disk or Disk()
        self._answers: dict[str, AnswerLine] = {}
        self._on_disk: set[str] = set()
        self.trouble = ""
        for line in _read(self._path):
            if session is None or line.session in ("", session):
                self._answers.setdefault(line.key, line)
                self._on_disk.add(line.key)

    def get(self, key: str) -> AnswerLine | None:
        """Return the answer given to a problem, or None."""
        return self._answers.get(key)

    def __len__(self) -> int:
        """The number of problems answered."""
        return len(self._answers)

    def lines(self) -> list[AnswerLine]:
        """Return all answers in the order in which they were given."""
        return list(self._answers.values())

    def add(self, line: AnswerLine) -> AnswerLine:
        """Keep an answer; returns the one that stands, which is the first of its key.

        Waits for the disk, but for a disk that hangs only so long. Never raises OSError: see
        `trouble`.
        """
        standing = self._answers.setdefault(line.key, line)
        if standing.key not in self._on_disk and not self._disk.do(self._keep, WRITE_WAIT_S):
            self.trouble = self.trouble or f"{self._path}: the disk does not answer"
        return standing

    def _keep(self) -> bool:
        """Write what is not on the disk yet, earlier answers too; in the disk's thread alone."""
        try:
            if not self._path.exists():
                # it was removed: all of it is written again
                self._on_disk.clear()
                self._path.parent.mkdir(parents=True, exist_ok=True)
            lines = [line for line in self.lines() if line.key not in self._on_disk]
            self._write("".join(json.dumps(asdict(line)) + "\n" for line in lines))
        except OSError as error:
            self.trouble = f"{self._path}: cannot be written ({error.strerror or error})"
        else:
            self._on_disk.update(line.key for line in lines)
            self.trouble = ""
        return True

    def _write(self, lines: str) -> None:
        end = self._path.stat().st_size if self._path.exists() else 0
        with self._path.open("ab") as file:
            # what a full disk took of an earlier try, or a killed process, ends here
            torn = end > 0 and not _ends_with_newline(self._path)
            file.write(b"\n" * torn + lines.encode())
            file.flush()
            os.fsync(file.fileno())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _read(path: Path) -> Iterator[AnswerLine]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError:
        return
    for raw in data.splitlines():
        line = _line(raw)
        if line is not None:
            yield line


def _line(raw: bytes) -> AnswerLine | None:
    """Return a line of the file; None for a torn or foreign one.

    What of it is of another type than it should be is left out: the answer counts all the same.
    """
    if len(raw) > _MOST_LINE_BYTES:
        return None
    try:
        value: Mapping[str, Any] = json.loads(raw)
        key, answer, rung = value["key"], contest_integer(value["answer"]), Rung(value["rung"])
        if not isinstance(key, str) or answer is None:
            return None
        known: dict[str, Any] = {"id": key, "seconds": 0.0, "left_s": 0.0}
        known |= {
            each.name: value[each.name]
            for each in fields(AnswerLine)
            if each.name in value and _fits(value[each.name], each.type)
        }
        known["notes"] = tuple(note for note in known.get("notes", ()) if isinstance(note, str))
        return AnswerLine(**{**known, "answer": answer, "rung": rung.value})
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _fits(value: Any, kind: object) -> bool:  # noqa: ANN401 - whatever the file holds
    """Tell whether a value of JSON is of a field's type, and a number that can be reckoned with."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float) and not abs(value) < _MOST_NUMBER:
        return False
    return isinstance(value, _IN_JSON[kind])
