"""A session: all problems of one notebook, under one clock, each answered once and for all."""

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kaggle_notebook.allowance import Allowance, allowance
from kaggle_notebook.clock import SessionClock
from kaggle_notebook.disk import Disk
from kaggle_notebook.files import read_json
from kaggle_notebook.frames import Asked, text_of
from kaggle_notebook.ladder import Choice, Rung, choose
from kaggle_notebook.output import warn
from kaggle_notebook.record import AnswerLine, AnswerRecord
from kaggle_notebook.run_terms import RunTerms
from kaggle_notebook.settings import Mode, SessionSettings
from kaggle_notebook.solving import ProblemSolver, Task
from kaggle_notebook.statement import fit, key_of
from kaggle_notebook.supervised import SupervisedServer, fallback_path
from kaggle_notebook.telling import Teller

LOG_FILE = "session.log"
#: How much longer than a problem's end its caller waits for the thread that is at it.
THREAD_GRACE_S = 0.25
#: Of the margin, what a server's last result may take past the end of the usable time.
GRACE_OF_MARGIN = 0.25
#: And once the usable time is over: enough to be given an answer that the server has already.
LATE_GRACE_OF_MARGIN = 0.01
#: Of what is left of the limit itself, what any one problem may take past the usable time.
GRACE_OF_LIMIT = 0.25
#: Seconds that an answer waits for a file of the server's, where the disk hangs.
FALLBACK_WAIT_S = 1.0
#: Lines that are told of one answer, or of one session.
MOST_NOTES, MOST_TOLD = 40, 1_000


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
    ``unkept`` writes down what the folder had no room for at the start; None once it is there.
    """

    def __init__(
        self, settings: SessionSettings, folder: Path, clock: SessionClock, session_id: str
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.clock = clock
        self.id = session_id
        self.unkept: Callable[[], None] | None = None
        self._disk = Disk()
        self.record = AnswerRecord(folder, session_id, self._disk)
        self.server = SupervisedServer(settings, folder)
        self._expected = settings.problems
        terms = RunTerms(
            session_id,
            lambda: self._expected,
            settings.usable_s,
            lambda: self.clock.elapsed_s,
            settings.mode,
        )
        self._solver = ProblemSolver(
            settings, terms, lambda: self.server.state, self.server.ensure, self.record.lines
        )
        self._teller = Teller(terms, lambda: self.server.state)
        # a caller's signal handler may ask too, in the middle of anything
        self._lock = threading.RLock()
        self._pending: dict[str, _Pending] = {}
        self._told: set[tuple[str, str]] = set()
        self._retired = False

    def begin(self) -> None:
        """Start the server in the background, where the mode needs one."""
        if self.settings.mode is not Mode.TIMING:
            self.server.ensure()
            self._teller.tell(self.record.lines())
        left_s, done = self.clock.left_s, len(self.record)
        hint = "" if left_s else "; for another one set resume to False in the first cell"
        self.tell("session", f"{self.id}: {left_s:.0f} s left, {done} answered{hint}")

    def expect(self, problems: int) -> None:
        """Keep time for so many problems; fewer than the settings say change nothing."""
        self._expected = max(self._expected, problems)

    def retire(self) -> None:
        """Answer at once whatever is asked, with what is known."""
        with self._lock:
            self._retired = True
            pending = list(self._pending.values())
        for each in pending:
            each.task.notes.append("the session was ended")
            self._settle(each)

    def close(self, reason: str | None = "the session is over") -> None:
        """End the server; the record stays. Without a reason its run can be gone on with."""
        self.retire()
        self._teller.close()
        if reason is not None:
            self._solver.finish_run(reason)
        self.server.close()

    def is_what(self, settings: SessionSettings) -> bool:
        """Tell whether a session of these settings would be this one, which is at work."""
        over = self.clock.elapsed_s >= settings.over_s or not self.folder.is_dir()
        return settings == self.settings and settings.resume and not over and not self.ended

    @property
    def ended(self) -> bool:
        """Whether it answers only what it knows."""
        return self._retired

    def answers(self, rows: Sequence[Asked], *, wait: bool = True) -> list[Choice]:
        """Return the answers to the problems of one call; its bound is shared by those to come."""
        end = time.monotonic() + self._call_s()
        choices: list[Choice] = []
        for asked in rows:
            share_s = (end - time.monotonic()) / (len(rows) - len(choices))
            choices.append(self.answer(asked, share_s, wait=wait))
        return choices

    def answer(self, asked: Asked, within_s: float | None = None, *, wait: bool = True) -> Choice:
        """Return a problem's answer, in time; the same for the same id, whenever it is asked.

        `within_s` bounds it; without, the bound of a call does. An interrupt of the waiting thread
        makes it answer at once, as does `wait` where it is not.
        """
        for note in asked.notes:
            self.tell("input", note)
        within_s = self._call_s() if within_s is None else max(0.0, within_s)
        pending = self._begin(key_of(asked.id, asked.text), asked, within_s)
        if isinstance(pending, AnswerLine):
            return pending.choice
        try:
            while wait and not pending.done.is_set():
                left_s = pending.task.end() + THREAD_GRACE_S - time.monotonic()
                if left_s <= 0 or pending.done.wait(min(left_s, 1.0)):
                    break
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt too: an answer is due
            pending.task.notes.append(f"interrupted ({type(error).__name__})")
        return self._settle(pending).choice

    def tell(self, kind: str, text: str) -> None:
        """Log a line once; never raises, never waits for the disk."""
        with self._lock:
            if (kind, text) in self._told or len(self._told) > MOST_TOLD:
                return
            self._told.add((kind, text))
        warn(f"{kind}: {text}")
        line = {"at": round(time.time(), 3), "kind": kind, "text": text}
        with suppress(Exception):  # a log must not cost an answer
            self._disk.do(lambda: self._log(json.dumps(line)))

    def _log(self, line: str) -> None:
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _begin(self, key: str, asked: Asked, within_s: float) -> _Pending | AnswerLine:
        """Start to answer a problem, or join those who wait for it; its line if it has one."""
        with self._lock:
            known = self.record.get(key)
            if known is not None:
                return known
            found = self._pending.get(key)
            if found is not None:
                return found
            given = self._allowance(within_s)
            task = Task(key, fit(asked.text), given, self._grace_s(within_s - given.most_s))
            pending = _Pending(asked, task, self.clock.left_s)
            self._pending[key] = pending
        try:
            name = f"problem-{len(self.record)}"
            threading.Thread(target=self._work, args=(pending,), daemon=True, name=name).start()
        except RuntimeError as error:
            # no thread can be started any more: what a dead server left is still an answer
            task.notes.append(f"nobody can work at it ({error})")
            self._settle(pending)
        return pending

    def _call_s(self) -> float:
        """Return what a call may take that comes now.

        The gateway waits for its first answer without a bound, for the others with one.
        """
        return self.settings.call_limit_s if len(self.record) + len(self._pending) else math.inf

    def _allowance(self, within_s: float) -> Allowance:
        """Return what the next problem gets, which is to be answered within so many seconds."""
        done = len(self.record) + len(self._pending)
        given = allowance(self.clock.left_s, self.clock.usable_s, self._expected, done)
        most_s = min(given.most_s, within_s)
        return replace(given, limit_s=min(given.limit_s, most_s), most_s=most_s)

    def _grace_s(self, call_left_s: float) -> float:
        """Return what a problem may take past the usable time, where its call has so much left.

        All together that is never the limit, and no call but the first outlasts its own.
        """
        kept_s, left_s = self.settings.kept_s, self.clock.left_s
        wanted_s = min(GRACE_OF_MARGIN * kept_s, max(left_s, LATE_GRACE_OF_MARGIN * kept_s))
        limit_left_s = self.settings.limit_s - self.clock.elapsed_s
        return max(0.0, min(wanted_s, call_left_s, GRACE_OF_LIMIT * limit_left_s))

    def _work(self, pending: _Pending) -> None:
        """Learn what can be learned of a problem, and answer it."""
        task = pending.task
        try:
            if self.settings.mode is Mode.TIMING:
                task.pause(self.settings.timing_s)
            elif task.text and not self._retired:
                self._solver.solve(task)
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread: an answer is due
            task.notes.append(f"a defect: {type(error).__name__}: {error}")
        self._settle(pending)

    def _settle(self, pending: _Pending) -> AnswerLine:
        """Choose and record a problem's answer, once; whoever comes later gets the same."""
        task = pending.task
        task.stopped.set()
        line = pending.line or self._line(pending)
        with self._lock:
            first = pending.line is None
            line = pending.line = pending.line or line
        line = pending.line = self.record.add(line)
        if first:
            self._after(pending, line)
        with self._lock:
            if self._pending.get(task.key) is pending:
                del self._pending[task.key]
        pending.done.set()
        return line

    def _after(self, pending: _Pending, line: AnswerLine) -> None:
        """Tell of an answer whoever should know: the log, and the server. Never waits for it."""
        task = pending.task
        if self.settings.mode is not Mode.TIMING:
            self._teller.tell([line])
        if task.evidence and not task.evidence[0].finished:
            give_up = threading.Thread(target=self._solver.give_up, args=(task,), daemon=True)
            with suppress(RuntimeError):
                give_up.start()
        if self.unkept is not None:
            self._disk.do(self._keep)
        if self.record.trouble:
            self.tell("record", self.record.trouble)
        if line.rung not in (Rung.VOTE, Rung.BALLOT):
            self.tell("rung", f"{line.key}: {line.rung}: {'; '.join(line.notes) or line.end}")

    def _keep(self) -> None:
        if self.unkept is not None:
            self.unkept()
            self.unkept = None

    def _line(self, pending: _Pending) -> AnswerLine:
        task, asked = pending.task, pending.asked
        choice = choose(task.evidence, self._fallback(task), self.settings.default_answer)
        # where none gave the answer, the last one that told anything: a server that came back may
        # have said nothing yet
        named = [each for each in task.evidence if each.solve_id]
        seen = choice.source or next(iter(named or task.evidence), None)
        return AnswerLine(
            key=task.key,
            id=text_of(asked.id)[:200],
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
            notes=tuple(note[:400] for note in (*asked.notes, *task.notes)[:MOST_NOTES]),
            session=self.id,
        )

    def _fallback(self, task: Task) -> Mapping[str, Any] | None:
        """Return what the server left on disk of a problem, should it be dead."""
        path = fallback_path(self.settings, self.folder)
        value = self._disk.do(lambda: read_json(path), FALLBACK_WAIT_S)
        try:
            found = value["runs"][self.id]["problems"][task.key]
        except (KeyError, TypeError, IndexError):
            return None
        has_answer = isinstance(found, dict) and found.get("answer") is not None
        return found if has_answer else None
