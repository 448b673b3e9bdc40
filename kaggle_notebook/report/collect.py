"""Puts a run report together from the session's own files and the server's journal."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from client.escape import one_line
from kaggle_notebook.build.prepare import FINDINGS
from kaggle_notebook.bundle.doctor import FILE as DOCTOR_FILE
from kaggle_notebook.clock import kept_clock
from kaggle_notebook.errors import KaggleError
from kaggle_notebook.files import read_json
from kaggle_notebook.fixed_set import FILE as SCORE_FILE
from kaggle_notebook.record import FILE as ANSWERS_FILE
from kaggle_notebook.record import AnswerLine, AnswerRecord
from kaggle_notebook.report.data import AttemptLine, ProblemLine, RunReport
from kaggle_notebook.report.journal import FILE as JOURNAL_FILE
from kaggle_notebook.report.journal import RunJournal, open_journal
from kaggle_notebook.server_state import FILE as SERVER_FILE
from kaggle_notebook.session import LOG_FILE
from kaggle_notebook.settings import SessionSettings, read_settings
from kaggle_notebook.start import FILE as SESSION_FILE

#: Problems that are told one by one; a contest has 50.
MOST_PROBLEMS = 200
#: Characters of any text that a model or a caller wrote.
TEXT_CHARACTERS = 200
MOST_NOTES = 5
MOST_TROUBLES = 20
#: The session's log is read from its end.
_LOG_BYTES = 64 * 1024


def collect(folder: Path, journal: Path | None = None) -> RunReport:
    """Return the report of the session in a folder; what cannot be read is left out.

    Raises:
        KaggleError: the folder holds no session.
    """
    session = read_json(folder / SESSION_FILE)
    identity = str((session or {}).get("id", ""))
    record = AnswerRecord(folder, identity or None).lines()
    if session is None and not (folder / ANSWERS_FILE).exists():
        raise KaggleError(
            f"{folder}: holds no session; name the folder that the notebook wrote, such as "
            "quorum-session"
        )
    session = session or {}
    settings = _settings(session)
    clock = kept_clock(settings.usable_s, folder)
    expected = _expected(folder)
    with open_journal(journal or folder / JOURNAL_FILE) as found:
        told = found.rungs(identity)
        problems = [
            replace(
                _problem(number, line, found),
                expected=expected.get(line.key),
                journaled=_short(told.get(line.key, "")),
            )
            for number, line in enumerate(record, 1)
        ]
        cells, lost = found.cells(line.solve for line in record if line.solve)
        results = [found.result(line.solve) for line in record[-1:] if line.solve]
    last = record[-1].left_s if record else settings.usable_s
    elapsed_s = settings.usable_s - last + (record[-1].seconds if record else 0.0)
    if clock is not None and not session.get("finished"):
        elapsed_s = min(clock.elapsed_s, settings.limit_s)
    return RunReport(
        session=_short(session.get("id", "")),
        mode=settings.mode.value,
        problems_expected=max(settings.problems, len(problems)),
        limit_s=settings.limit_s,
        elapsed_s=round(max(0.0, elapsed_s), 3),
        problems=tuple(problems[:MOST_PROBLEMS]),
        answered=len(problems),
        rungs=dict(Counter(problem.rung for problem in problems)),
        right=_right(problems),
        tokens=sum(problem.tokens for problem in problems),
        tool_calls=sum(problem.tool_calls for problem in problems),
        tool_errors=sum(problem.tool_errors for problem in problems),
        engine_losses=sum(problem.engine_losses for problem in problems),
        cells=dict(sorted(cells.items())),
        kernels_lost=lost,
        server=_server(folder),
        sandbox=_short(results[0].get("sandbox", "")) if results else "",
        model=_short(results[0].get("model", "")) if results else "",
        findings=(*_findings(folder / FINDINGS), *_findings(folder / DOCTOR_FILE)),
        troubles=tuple(_troubles(folder)),
        omitted=max(0, len(problems) - MOST_PROBLEMS),
    )


def _problem(number: int, line: AnswerLine, journal: RunJournal) -> ProblemLine:
    attempts = tuple(_safe_attempt(each) for each in journal.attempts(line.solve))
    votes = tuple(replace(each, answer=_short(each.answer)) for each in journal.votes(line.solve))
    return ProblemLine(
        number=number,
        id=_short(line.id or line.key),
        answer=line.answer,
        rung=line.rung,
        seconds=line.seconds,
        budget_s=line.limit_s,
        left_s=line.left_s,
        end=_short(line.end),
        detail=_short(line.detail),
        solve=_short(line.solve),
        tokens=line.tokens or sum(each.tokens for each in attempts),
        tool_calls=line.tool_calls or sum(each.tool_calls for each in attempts),
        tool_errors=line.tool_errors or sum(each.tool_errors for each in attempts),
        engine_losses=max(line.engine_losses, sum(each.engine_losses for each in attempts)),
        notes=tuple(_short(note) for note in line.notes[:MOST_NOTES]),
        votes=votes,
        attempts=attempts,
    )


def _safe_attempt(attempt: AttemptLine) -> AttemptLine:
    answer = None if attempt.answer is None else _short(attempt.answer)
    return replace(attempt, answer=answer, end=_short(attempt.end), detail=_short(attempt.detail))


def _settings(session: Mapping[str, Any]) -> SessionSettings:
    given = session.get("settings")
    try:
        return read_settings(given if isinstance(given, dict) else {})
    except KaggleError:
        return SessionSettings()


def _expected(folder: Path) -> dict[str, int]:
    rows = (read_json(folder / SCORE_FILE) or {}).get("rows")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("expected"), int):
            found[str(row.get("id"))] = int(row["expected"])
    return found


def _right(problems: Iterable[ProblemLine]) -> int | None:
    scored = [problem for problem in problems if problem.expected is not None]
    return sum(each.answer == each.expected for each in scored) if scored else None


def _server(folder: Path) -> dict[str, Any]:
    state = read_json(folder / SERVER_FILE) or {}
    return {
        "phase": _short(state.get("phase", "unknown")),
        "starts": state.get("starts") if isinstance(state.get("starts"), int) else 0,
        "detail": _short(state.get("detail", "")),
    }


def _findings(path: Path) -> Iterable[dict[str, str]]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return
    for each in value if isinstance(value, list) else []:
        if isinstance(each, dict):
            yield {str(name): _short(text) for name, text in each.items()}


def _troubles(folder: Path) -> list[str]:
    """Return the session's log lines, the last ones where there are many."""
    try:
        with (folder / LOG_FILE).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
            found.append(_short(f"{value['kind']}: {value['text']}"))
        except (ValueError, KeyError, TypeError):
            continue
    return found[-MOST_TROUBLES:]


def _short(text: object) -> str:
    """Return text of anyone's in one line, without control characters, and not long."""
    line = one_line(str(text)[: 4 * TEXT_CHARACTERS])
    return line if len(line) <= TEXT_CHARACTERS else line[: TEXT_CHARACTERS - 1] + "…"
