"""Recorded cells, attempt by attempt.

A file has one JSON object a line: `problem_id`, `state_hash`, `action_hash` name the attempt,
`call_index` orders its cells, `code` and `output` are what was run and what it showed, `flags`
mark outputs that are no plain ones (`timeout`, `no_output`, `truncated` …).
"""

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Marks of a recorded output that the recording tool, not the cell, has written or cut.
_NOT_THE_CELLS_OWN = frozenset({"timeout", "truncated", "toolerror"})


@dataclass(frozen=True, slots=True)
class RecordedCell:
    """One cell and the output it got when it was recorded; None where that was cut or stopped."""

    code: str
    output: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """The cells of one attempt, in order: they share a kernel's state."""

    name: str
    cells: tuple[RecordedCell, ...]


def read_attempts(path: Path) -> list[Attempt]:
    """All attempts of a file, in the order of their first cells.

    Raises:
        SystemExit: a line is no recorded cell; the message names it.
    """
    rows: defaultdict[str, list[tuple[int, RecordedCell]]] = defaultdict(list)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            name = f"{row['problem_id']}/{row['state_hash']}/{row['action_hash']}"
            rows[name].append((int(row["call_index"]), _cell(row)))
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path}, line {number}: no recorded cell ({error!r})") from error
    by_index = {name: sorted(cells, key=lambda cell: cell[0]) for name, cells in rows.items()}
    return [Attempt(name, tuple(cell for _, cell in cells)) for name, cells in by_index.items()]


def sample(attempts: list[Attempt], cells: int, seed: int) -> list[Attempt]:
    """Whole attempts, drawn at random until they have so many cells."""
    drawn: list[Attempt] = []
    for attempt in random.Random(seed).sample(attempts, len(attempts)):
        if sum(len(one.cells) for one in drawn) >= cells:
            break
        drawn.append(attempt)
    return drawn


def _cell(row: dict[str, Any]) -> RecordedCell:
    flags = frozenset(row.get("flags") or ())
    output = "" if "no_output" in flags else str(row["output"])
    return RecordedCell(str(row["code"]), None if flags & _NOT_THE_CELLS_OWN else output)
