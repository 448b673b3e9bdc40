"""The board of a run: its problems by their attempts, right, wrong or stopped, and their time."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlencode

from client.schema import Run as WireRun
from server.journal.errors import JournalUnreadable
from server.journal.reader import JournalReader, SolveFilter, StoredAttempt, StoredSolve
from server.journal.runs import RunRow
from server.page.render import Frame
from server.page.view import NotThere, View
from server.regular import regular
from server.runs.clock import SystemClocks
from server.runs.listing import Place, written
from server.runs.run import run_of
from voting.answers import AnswerKind, parse_answer
from voting.equivalence import compare
from voting.exact import Comparison

#: Problems on a board; a contest has 50 to 110.
MOST_PROBLEMS = 1_000
#: Runs in a page of the list.
MOST_RUNS = 200
#: Bytes of a file of answers.
MOST_BYTES = 50_000_000
#: Ends of attempts that were stopped and did not answer.
STOPPED = frozenset({"early_stop", "cancelled", "pruned", "deadline"})
ID_COLUMNS = ("id", "problem_id")
ANSWER_COLUMNS = ("answer", "expected", "truth")


class Verdict(StrEnum):
    """What an answer is, by a file of answers; without one, by the run's own answer."""

    RIGHT = "right"
    WRONG = "wrong"
    SAME = "same"
    OTHER = "other"
    STOPPED = "stopped"
    NONE = "none"
    RUNNING = "live"


@dataclass(frozen=True, slots=True)
class Cell:
    """An attempt on the board."""

    attempt: int
    answer: str
    end: str
    verdict: Verdict
    seconds: float | None


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A problem on the board; the last solve of it where there were several."""

    problem_id: str
    problem: str
    solve: StoredSolve
    verdict: Verdict
    truth: str | None
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Board:
    """A run with its problems; `tested` where there are answers to compare with."""

    run: WireRun
    rows: list[BoardRow]
    tested: bool
    columns: int = 0
    counts: Mapping[Verdict, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """What changes when something on the board does."""
        ended = sum(cell.end != "running" for row in self.rows for cell in row.cells)
        return f"{self.run.state}-{self.run.done}-{self.run.running}-{ended}"


def runs_view(
    reader: JournalReader, frame: Frame, before: Place | None = None, most: int = MOST_RUNS
) -> View:
    """Return the list of runs, those below `before` where that is given."""
    done = dict(
        reader.query(
            "SELECT run_id, count(DISTINCT problem_id) FROM solves "
            "WHERE run_id IS NOT NULL AND outcome IS NOT NULL GROUP BY run_id"
        )
    )
    rows = reader.runs(most + 1, before)
    runs: list[WireRun] = []
    for row in rows[:most]:
        # One that is damaged keeps nobody from seeing the others.
        with suppress(NotThere):
            runs.append(wire(row).model_copy(update={"done": done.get(row.id, 0)}))
    older = None
    if len(rows) > most and frame.links.served:
        last = rows[most - 1]
        older = f"/runs?{urlencode({'before': written((last.created, last.id))})}"
    return View("runs.html", frame, {"runs": runs, "older": older, "first": before is None})


def board_view(
    reader: JournalReader, frame: Frame, run_id: str, answers: Mapping[str, str]
) -> View:
    """Return the board of a run.

    Raises:
        NotThere: there is no such run.
    """
    return View("run.html", frame, {"board": find_board(reader, run_id, answers)})


def find_board(reader: JournalReader, run_id: str, answers: Mapping[str, str]) -> Board:
    """Return the board of a run.

    Raises:
        NotThere: there is no such run.
    """
    row = reader.run(run_id)
    if row is None:
        raise NotThere(f"run {run_id[:80]!r} is not recorded")
    return board(reader, row, answers)


def wire(row: RunRow) -> WireRun:
    """Return a run as callers see it, without its problems.

    Raises:
        NotThere: its record is damaged.
    """
    try:
        return run_of(row, SystemClocks()).wire(solves=False)
    except (ValueError, TypeError) as error:
        raise NotThere(f"the record of run {row.id[:80]!r} is damaged") from error


def board(reader: JournalReader, row: RunRow, answers: Mapping[str, str]) -> Board:
    """Return a run with its problems, in the order in which they came."""
    newest: dict[str, StoredSolve] = {}
    for solve in reversed(reader.solves(SolveFilter(run=row.id, limit=MOST_PROBLEMS))):
        name = solve.problem_id or solve.id
        newest.pop(name, None)
        newest[name] = solve
    rows = [_row(reader, name, solve, answers.get(name)) for name, solve in newest.items()]
    counts: dict[Verdict, int] = {}
    for each in rows:
        counts[each.verdict] = counts.get(each.verdict, 0) + 1
    run = wire(row).model_copy(
        update={
            "done": sum(solve.outcome is not None for solve in newest.values()),
            "running": sum(solve.outcome is None for solve in newest.values()),
        }
    )
    tested = any(each.truth is not None for each in rows)
    columns = max((len(each.cells) for each in rows), default=0)
    return Board(run, rows, tested, columns, counts)


def _row(reader: JournalReader, name: str, solve: StoredSolve, truth: str | None) -> BoardRow:
    attempts = reader.attempts(solve.id)
    cells = [_cell(attempt, solve, truth) for attempt in attempts]
    if solve.outcome is None:
        verdict = Verdict.RUNNING
    elif solve.answer is None:
        verdict = Verdict.NONE
    else:
        verdict = judged(solve.answer, truth) if truth is not None else Verdict.SAME
    return BoardRow(name, solve.problem or "", solve, verdict, truth, cells)


def _cell(attempt: StoredAttempt, solve: StoredSolve, truth: str | None) -> Cell:
    end = attempt.outcome or ("running" if solve.outcome is None else "interrupted")
    if attempt.answer is None:
        verdict = Verdict.STOPPED if end in STOPPED else Verdict.NONE
        verdict = Verdict.RUNNING if end == "running" else verdict
    elif truth is not None:
        verdict = judged(attempt.answer, truth)
    else:
        same = solve.answer is None or judged(attempt.answer, solve.answer) is Verdict.RIGHT
        verdict = Verdict.SAME if same else Verdict.OTHER
    return Cell(attempt.attempt, attempt.answer or "", end, verdict, attempt.seconds)


def judged(answer: str, truth: str) -> Verdict:
    """Return whether two answers are equal, as far as no symbolic algebra is needed."""
    if answer.strip() == truth.strip():
        return Verdict.RIGHT
    ours, theirs = (parse_answer(text, AnswerKind.TEXT) for text in (answer, truth))
    if ours is None or theirs is None:
        return Verdict.WRONG
    equal = compare(ours, theirs) is Comparison.SAME
    return Verdict.RIGHT if equal else Verdict.WRONG


def read_answers(path: Path | None) -> dict[str, str]:
    """Return the answers of a CSV file by problem; nothing where there is no file.

    Raises:
        JournalUnreadable: it cannot be read, or has not the columns.
    """
    if path is None:
        return {}
    try:
        if regular(path).stat().st_size > MOST_BYTES:
            raise ValueError(f"it has over {MOST_BYTES:,} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            name = next((each for each in ID_COLUMNS if each in columns), None)
            answer = next((each for each in ANSWER_COLUMNS if each in columns), None)
            if name is None or answer is None:
                raise ValueError("it has no columns id and answer")
            return {row[name]: row[answer] for row in rows if row[answer]}
    except (OSError, ValueError, csv.Error) as error:
        raise JournalUnreadable(
            f"answers {path}: cannot be read ({error}); correct page.answers"
        ) from error
