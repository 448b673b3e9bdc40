"""Session folders with a record and a journal, as a run leaves them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from kaggle_notebook.record import AnswerLine, AnswerRecord

SCHEMA = Path(__file__).resolve().parents[3] / "server" / "journal" / "schema"
HOSTILE = '</p><script>alert("x")</script><img src=x onerror=alert(1)>\x1b[2J\u202eevil'


def line(number: int, **changes: Any) -> AnswerLine:  # noqa: ANN401 - any field
    """An answer of a run."""
    values: dict[str, Any] = {
        "key": f"p{number}",
        "id": f"p{number}",
        "answer": number * 11,
        "rung": "vote",
        "seconds": 120.5,
        "left_s": 17_000.0 - 130 * number,
        "at": "2026-03-01T12:00:00.000+00:00",
        "solve": f"solve-{number}",
        "end": "agreement",
        "detail": "4 of 5 agreed",
        "limit_s": 300.0,
        "tokens": 1200,
        "attempts": 2,
        "tool_calls": 7,
        "tool_errors": 1,
    }
    return AnswerLine(**{**values, **changes})


def make_session(folder: Path, lines: list[AnswerLine]) -> Path:
    """Write a session's files."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"problems": 50, "limit_s": 18_000.0}
    identity = {"id": "kaggle-1", "mode": "full", "settings": settings, "finished": True}
    (folder / "session.json").write_text(json.dumps(identity))
    (folder / "server.json").write_text(
        json.dumps({"phase": "serving", "url": "", "pid": 1, "detail": "", "starts": 2})
    )
    record = AnswerRecord(folder)
    for each in lines:
        record.add(each)
    return folder


def make_journal(folder: Path, lines: list[AnswerLine], text: str = "fine") -> Path:
    """Write a journal with two attempts a solve; what a model wrote is `text`."""
    path = folder / "journal.sqlite"
    with closing(sqlite3.connect(path)) as journal:
        journal.execute("PRAGMA foreign_keys = ON")
        for script in sorted(SCHEMA.glob("*.sql")):
            journal.executescript(script.read_text())
        journal.execute(
            "INSERT INTO runs (id, created, problems, limit_s, budget, request, elapsed_s, boot, "
            "boot_s, wall) VALUES ('kaggle-1', 1, 50, 18000, 'none', '{}', 0, '', 0, 0)"
        )
        for each in lines:
            ballot = [
                {"answer": str(each.answer), "votes": 4, "weight": 3.5, "attempts": [0, 1]},
                {"answer": text, "votes": 1, "weight": 0.5, "attempts": [2]},
            ]
            result = {"ballot": ballot, "sandbox": "strict", "model": "tiny"}
            journal.execute("INSERT INTO solves (id, created) VALUES (?, 1)", (each.solve,))
            journal.execute(
                "INSERT INTO run_answers VALUES ('kaggle-1', ?, 1, ?, ?, ?, 1, '[]')",
                (each.key, str(each.answer), each.rung, each.solve),
            )
            journal.executemany(
                "INSERT INTO attempts (solve_id, attempt, outcome, answer, weight, turns, sampled, "
                "tool_calls, tool_errors, seconds, engine_losses, detail) "
                "VALUES (?, ?, 'answered', ?, 0.9, 3, 600, 4, 1, 60.0, 1, ?)",
                [(each.solve, number, str(each.answer), text) for number in (0, 1)],
            )
            bodies = [
                ("solve.finished", {"result": result}),
                ("attempt.result", {"status": "ok", "state_lost": False}),
                ("attempt.result", {"status": "timeout", "state_lost": True}),
            ]
            journal.executemany(
                "INSERT INTO events (solve_id, type, at, recorded, body) VALUES (?, ?, 1, 1, ?)",
                [(each.solve, kind, json.dumps(body)) for kind, body in bodies],
            )
        journal.commit()
    return path
