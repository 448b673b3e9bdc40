"""A session: all problems of one notebook, under one clock, each answered once and for all."""

import json
import logging
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_notebook.allowance import allowance
from kaggle_notebook.clock import SessionClock
from kaggle_notebook.files import read_json
from kaggle_notebook.frames import Asked
from kaggle_notebook.ladder import Choice, Rung, choose
from kaggle_notebook.record import AnswerLine, AnswerRecord
from kaggle_notebook.settings import Mode, SessionSettings
from kaggle_notebook.solving import ProblemSolver, RunTerms, Task
from kaggle_notebook.statement import fit, key_of
from kaggle_notebook.supervised import SupervisedServer

log = logging.getLogger("kaggle_notebook")

FALLBACK_FILE = "fallback.json"
LOG_FILE = "session.log"
#: How much longer than a problem's end its caller waits for the thread that is at it.
THREAD_GRACE_S = 0.25
#: Of the margin, what a server's last result may take past the end of the usable time.
GRACE_OF_MARGIN = 0.25


@dataclass(slots=True)
class _Pending:
    """A problem that is being answered; several callers may wait for it."""

    asked: Asked
    task: Task
    left_s: float
    done: threading.Event = field(default_factory=threading.Event)
    line: AnswerLine | None = None


class Session:
    """Answers problems; safe to call from several threads.

    ``id`` names the run on the server. A session whose folder has a record goes on from there.
    """

    def __init__(
        self, settings: SessionSettings, folder: Path, clock: SessionClock, session_id: str
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.clock = clock
        self.id = session_id
        self.record = AnswerRecord(folder)
        self.server = SupervisedServer(settings, folder)
        terms = RunTerms(
            session_id,
            settings.problems,
            settings.usable_s,
            lambda: self.clock.elapsed_s,
            settings.mode,
        )
        self._solver = ProblemSolver(settings, terms, lambda: self.server.state, self.server.ensure)
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._told: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """Start the server in the background, where the mode needs one."""
        if self.settings.mode is not Mode.TIMING:
            self.server.ensure()
        left_s, done = self.clock.left_s, len(self.record)
        self.tell("session", f"{self.id}: {left_s:.0f} s left, {done} answered")

    def close(self, reason: str = "the session is over") -> None:
        """End the server; the record stays."""
        self._solver.finish_run(reason)
        self.server.close()

    def answer(self, asked: Asked) -> Choice:
        """Return a problem's answer, in time; the same for the same id, whenever it is asked.

        An interrupt of the waiting thread makes it answer at once.
        """
        for note in asked.notes:
            self.tell("input", note)
        key = key_of(asked.id, asked.text)
        known = self.record.get(key)
        if known is not None:
            return known.choice
        pending = self._begin(key, asked)
        try:
            while not pending.done.is_set():
                left_s = pending.task.end() + THREAD_GRACE_S - time.monotonic()
                if left_s <= 0 or pending.done.wait(min(left_s, 1.0)):
                    break
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too: an answer is due
            pending.task.notes.append(f"interrupted ({type(error).__name__})")
        return self._settle(pending).choice

    def tell(self, kind: str, text: str) -> None:
        """Log a line once; never raises."""
        with self._lock:
            if (kind, text) in self._told or len(self._told) > 1000:
                return
            self._told.add((kind, text))
        try:
            log.warning("%s: %s", kind, text)
            with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
                line = {"at": round(time.time(), 3), "kind": kind, "text": text}
                file.write(json.dumps(line) + "\n")
        except Exception as error:  # noqa: BLE001 - a log must not cost an answer
            sys.stderr.write(f"kaggle_notebook: no log ({type(error).__name__})\n")

    def _begin(self, key: str, asked: Asked) -> _Pending:
        """Start to answer a problem, or join those who wait for it."""
        with self._lock:
            found = self._pending.get(key)
            if found is not None:
                return found
            left_s = self.clock.left_s
            done = len(self.record) + len(self._pending)
            given = allowance(left_s, self.clock.usable_s, self.settings.problems, done)
            grace_s = GRACE_OF_MARGIN * self.settings.kept_s
            pending = _Pending(asked, Task(key, fit(asked.text), given, grace_s), left_s)
            self._pending[key] = pending
        threading.Thread(target=self._work, args=(pending,), daemon=True, name=key[:40]).start()
        return pending

    def _work(self, pending: _Pending) -> None:
        """Learn what can be learned of a problem, and answer it."""
        task = pending.task
        try:
            if self.settings.mode is Mode.TIMING:
                task.pause(self.settings.timing_s)
            elif task.text:
                self._solver.solve(task)
            self._settle(pending)
        except Exception as error:  # noqa: BLE001 - a defect of ours: the ladder still answers
            task.notes.append(f"a defect: {type(error).__name__}: {error}")
            self._settle(pending)

    def _settle(self, pending: _Pending) -> AnswerLine:
        """Choose and record a problem's answer, once."""
        task = pending.task
        task.stopped.set()
        with self._lock:
            first = pending.line is None
            if pending.line is None:
                pending.line = self._line(pending)
                self.record.add(pending.line)
                self._pending.pop(task.key, None)
            line = pending.line
        pending.done.set()
        if first and not (task.evidence and task.evidence[0].finished):
            threading.Thread(target=self._solver.give_up, args=(task,), daemon=True).start()
        if self.record.trouble:
            self.tell("record", self.record.trouble)
        if line.rung not in (Rung.VOTE, Rung.BALLOT):
            self.tell("rung", f"{line.key}: {line.rung}: {'; '.join(line.notes) or line.end}")
        return line

    def _line(self, pending: _Pending) -> AnswerLine:
        task, asked = pending.task, pending.asked
        seen = task.evidence[0] if task.evidence else None
        try:
            choice = choose(task.evidence, self._fallback(task.key), self.settings.default_answer)
        except Exception as error:  # noqa: BLE001 - a defect of ours: some answer is due
            task.notes.append(f"a defect of the ladder: {type(error).__name__}: {error}")
            choice = Choice(self.settings.default_answer, Rung.DEFAULT)
        return AnswerLine(
            key=task.key,
            id=_short(asked.id),
            answer=choice.answer,
            rung=choice.rung.value,
            seconds=round(time.monotonic() - task.begun, 3),
            left_s=round(pending.left_s, 3),
            solve=seen.solve_id if seen else "",
            end=seen.end if seen else "",
            detail=seen.detail[:400] if seen else "",
            limit_s=seen.limit_s if seen else None,
            tokens=seen.tokens if seen else 0,
            attempts=seen.attempts if seen else 0,
            tool_calls=sum(each.tool_calls for each in task.evidence),
            tool_errors=sum(each.tool_errors for each in task.evidence),
            engine_losses=sum(each.engine_losses for each in task.evidence),
            tries=task.tries,
            notes=tuple(note[:400] for note in (*asked.notes, *task.notes)),
        )

    def _fallback(self, key: str) -> Mapping[str, Any] | None:
        """Return what the server left on disk of a problem, should it be dead."""
        value = read_json(self.folder / FALLBACK_FILE)
        try:
            found = value["runs"][self.id]["problems"][key] if value else None
        except (KeyError, TypeError):
            return None
        return found if isinstance(found, dict) else None


def _short(value: object) -> str:
    try:
        return str(value)[:200]
    except Exception:  # noqa: BLE001 - an object of the gateway that has no text
        return type(value).__name__
