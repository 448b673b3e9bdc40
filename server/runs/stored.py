"""Runs read back from the journal, with what their problems came to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.schema import AnswerKind, Event, SolveEnd, SolveFinished, SolveStarted
from server.journal.reader import JournalReader
from server.journal.rows import EventRow, sound_event
from server.journal.runs import AnswerRow, RunRow
from server.runs.clock import Clocks
from server.runs.evidence import Evidence
from server.runs.run import WHOLE, Entry, Run, run_of
from server.solve.past import path_of
from voting.paths import ProblemPath

_PATHS = (
    "SELECT e.id, e.solve_id, e.attempt, e.type, e.at, e.recorded, e.body "
    "FROM solves AS s JOIN events AS e ON e.solve_id = s.id "
    "WHERE s.run_id = ? AND e.type IN ('solve.started', 'ballot', 'solve.finished') ORDER BY e.id"
)
_RESULTS = (
    "SELECT e.id, e.solve_id, e.attempt, e.type, e.at, e.recorded, e.body, s.problem_id "
    "FROM solves AS s JOIN events AS e ON e.solve_id = s.id AND e.type = 'solve.finished' "
    "WHERE s.run_id = ? ORDER BY e.id"
)
#: What `Evidence` looks at.
_TOLD = (
    "SELECT id, solve_id, attempt, type, at, recorded, body FROM events WHERE solve_id = ? "
    "AND type IN ('solve.started', 'attempt.text', 'attempt.result', 'ballot') ORDER BY id"
)
_FINISHED = "SELECT id FROM runs WHERE finished IS NOT NULL"
_OPEN = "SELECT id FROM runs WHERE finished IS NULL ORDER BY created"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run of the journal: its problems that have a result, and how they went."""

    row: RunRow
    entries: Sequence[Entry]
    history: tuple[ProblemPath, ...] = ()
    answers: tuple[AnswerRow, ...] = ()

    def run(self, clocks: Clocks) -> Run:
        """Return the run."""
        run = run_of(self.row, clocks)
        # Of several solves of a problem the last one counts.
        run.entries.update((entry.problem_id, entry) for entry in self.entries)
        run.history = self.history
        run.answers.update((row.problem_id, row) for row in self.answers)
        return run

    def fill(self, run: Run) -> None:
        """Give a run of this id what it lacks: results, and answers that its caller told."""
        for entry in self.entries:
            run.entries.setdefault(entry.problem_id, entry)
        for row in self.answers:
            run.answers.setdefault(row.problem_id, row)


def load_run(path: Path, run_id: str) -> StoredRun | None:
    """Return a run with its results, None where there is none.

    Raises:
        JournalUnreadable: the journal cannot be read.
    """
    with JournalReader(path) as reader, reader.snapshot():
        row = reader.run(run_id)
        return None if row is None else _stored(reader, row)


def load_open_runs(path: Path) -> list[StoredRun]:
    """Return the runs that are not finished, oldest first. Errors as for `load_run`."""
    with JournalReader(path) as reader, reader.snapshot():
        rows = [reader.run(run_id) for (run_id,) in reader.query(_OPEN)]
        return [_stored(reader, row) for row in rows if row is not None]


def finished_runs(path: Path) -> frozenset[str]:
    """Return the ids of the runs that are finished. Errors as for `load_run`."""
    with JournalReader(path) as reader:
        return frozenset(run_id for (run_id,) in reader.query(_FINISHED))


def list_runs(
    path: Path, limit: int, before: tuple[float, str] | None
) -> tuple[list[RunRow], Counter[str]]:
    """Return a page of runs, and how many problems of each are done. Errors as for `load_run`."""
    with JournalReader(path) as reader, reader.snapshot():
        return reader.runs(limit, before), reader.runs_done()


def answered(problem_id: str, event: SolveFinished, before: Iterable[Event] = ()) -> Entry:
    """Return a problem that has a result; `before` is what its solve told, where that is read."""
    evidence = Evidence(AnswerKind.TEXT, event.solve_id)
    for each in (*before, event):
        if isinstance(each, SolveStarted):
            evidence.kind = each.answer_kind
        evidence.observe(each)
    return Entry(problem_id, evidence, event.solve_id, result=event.result)


def _stored(reader: JournalReader, row: RunRow) -> StoredRun:
    entries = []
    for *columns, problem_id in reader.query(_RESULTS, (row.id,)):
        event = sound_event(EventRow(*columns))
        if isinstance(event, SolveFinished) and problem_id is not None:
            before = _evidence(reader, event) if row.finished is None else ()
            entries.append(answered(problem_id, event, before))
    history = _history(reader, row) if row.finished is None else ()
    return StoredRun(row, entries, history, tuple(reader.run_answers(row.id)))


def _evidence(reader: JournalReader, event: SolveFinished) -> Iterable[Event]:
    """Return what was told of an interrupted solve whose result has no answer: it may have one."""
    if event.result.end is not SolveEnd.INTERRUPTED or event.result.answer is not None:
        return ()
    rows = (EventRow(*columns) for columns in reader.query(_TOLD, (event.solve_id,)))
    return [each for row in rows if (each := sound_event(row)) is not None]


def _history(reader: JournalReader, row: RunRow) -> tuple[ProblemPath, ...]:
    """Return how the run's problems went, in the order of their ends."""
    events: dict[str, list[Event]] = defaultdict(list)
    paths: list[ProblemPath] = []
    for columns in reader.query(_PATHS, (row.id,)):
        event = sound_event(EventRow(*columns))
        if event is None:
            continue
        events[event.solve_id].append(event)
        if isinstance(event, SolveFinished):
            whole = event.result.end in WHOLE
            path = path_of(events.pop(event.solve_id), whole=whole)
            paths += [path] if path is not None else []
    return tuple(paths)
