"""Labels in a file of JSON lines that is only appended to: a removal is a line as well.

Every line is on disk before the caller hears of it. A line that was cut short by the machine's end
was heard of by nobody; the next writer drops it.
"""

import csv
import io
import os
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from client.schema import Label, LabelBody
from server.errors import QuorumServerError
from server.regular import regular

#: Columns of a `reflections.csv`, as training reads them.
COLUMNS = (
    "problem_id", "solve_id", "attempt", "annotator", "tag", "begin", "end", "source", "reason",
    "alternate",
)  # fmt: skip
#: Labels that one file holds; a person makes some hundreds a day.
MOST_LABELS = 200_000


class LabelsUnwritable(QuorumServerError):
    """The labels' file cannot be read or written."""


class UnknownLabel(QuorumServerError):
    """There is no label of that name."""


class LabelStore:
    """All labels of one server. Its methods block for a write to disk; threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._labels: dict[str, Label] | None = None

    def add(self, bodies: Sequence[LabelBody], annotator: str) -> list[Label]:
        """Store labels together; those that name no annotator are of the given one.

        Raises:
            LabelsUnwritable: the file cannot be written, or is full.
        """
        now = time.time()
        made = [_label(body, annotator, now) for body in bodies]
        with self._lock:
            known = self._known()
            if len(known) + len(made) > MOST_LABELS:
                raise LabelsUnwritable(
                    f"{self.path}: has {len(known)} labels, of at most {MOST_LABELS}; take the "
                    "file away and begin another one"
                )
            self._append({"labels": [each.model_dump(mode="json") for each in made]})
            known.update((each.id, each) for each in made)
        return made

    def remove(self, label_id: str) -> None:
        """Take a label back.

        Raises:
            UnknownLabel: there is none of that name.
            LabelsUnwritable: the file cannot be written.
        """
        with self._lock:
            known = self._known()
            if label_id not in known:
                raise UnknownLabel(f"label {label_id[:80]!r}: there is none of that name")
            self._append({"removed": label_id})
            del known[label_id]

    def find(
        self,
        solve_id: str | None = None,
        attempt: int | None = None,
        annotator: str | None = None,
    ) -> list[Label]:
        """Return labels in the order in which they came.

        Raises:
            LabelsUnwritable: the file cannot be read.
        """
        with self._lock:
            known = list(self._known().values())
        return [
            each
            for each in known
            if solve_id in (None, each.solve_id)
            and attempt in (None, each.attempt)
            and annotator in (None, each.annotator)
        ]

    def _known(self) -> dict[str, Label]:
        if self._labels is None:
            self._labels = self._read()
        return self._labels

    def _read(self) -> dict[str, Label]:
        found: dict[str, Label] = {}
        try:
            content = regular(self.path).read_bytes() if self.path.exists() else b""
            for line in content.splitlines(keepends=True):
                if line.endswith(b"\n"):
                    _apply(found, orjson.loads(line))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise LabelsUnwritable(
                f"{self.path}: cannot be read as labels ({error}); move it away, or name another "
                "file in page.labels"
            ) from error
        return found

    def _append(self, change: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                size = file.seek(0, os.SEEK_END)
                if size and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.truncate(self.path.read_bytes().rfind(b"\n") + 1)
                file.write(orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # what is on disk is not known any more
            self._labels = None
            raise LabelsUnwritable(
                f"{self.path}: the labels cannot be written ({error.strerror or error}); make room "
                "or name another file in page.labels"
            ) from error


def _label(body: LabelBody, annotator: str, now: float) -> Label:
    told = body.model_dump()
    return Label(
        id=f"label-{secrets.token_hex(8)}",
        at=now,
        **{**told, "annotator": body.annotator or annotator},
    )


def _apply(found: dict[str, Label], change: dict[str, Any]) -> None:
    for each in change.get("labels", ()):
        label = Label.model_validate(each)
        found[label.id] = label
    found.pop(change.get("removed", ""), None)


def as_csv(labels: Iterable[Label]) -> str:
    """Return labels as the text of a `reflections.csv`."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for label in labels:
        told = label.model_dump(mode="json")
        writer.writerow(["" if told[name] is None else told[name] for name in COLUMNS])
    return file.getvalue()
