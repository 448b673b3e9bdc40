"""Tells the server what was answered, and from which rung: its journal then has it too.

In a thread of its own and as well as can be: an answer never waits for it. What a server that is
away was not told, it is told when it is back; a server that has an answer already keeps it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from kaggle_notebook.errors import ServerRefused, ServerUnreachable
from kaggle_notebook.record import AnswerLine
from kaggle_notebook.run_terms import RunTerms
from kaggle_notebook.server_state import ServerPhase, ServerState
from kaggle_notebook.wire import Wire

#: Seconds for one call, and between two tries.
CALL_S, AGAIN_S = 5.0, 1.0
#: Seconds for telling all lines again to a server that may have lost them.
ALL_S = 5.0
#: Seconds that the end of a session waits for what is still to be told.
CLOSE_S = 3.0
#: Statuses after which the same may be accepted later.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Teller:
    """Has lines of the record sent to whatever server there is."""

    def __init__(self, terms: RunTerms, state: Callable[[], ServerState | None]) -> None:
        self._terms = terms
        self._state = state
        self._lines: deque[AnswerLine] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed_at: float | None = None

    def tell(self, lines: Iterable[AnswerLine]) -> None:
        """Have lines sent; never waits, never raises an Exception."""
        with self._changed:
            self._lines.extend(lines)
            self._changed.notify_all()
            if self._thread is None and self._lines:
                thread = threading.Thread(target=self._run, daemon=True, name="telling")
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def close(self) -> None:
        """Send what is left, as far as that works at once."""
        with self._changed:
            self._closed_at = time.monotonic()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed_at is not None)
                if not self._lines:
                    return
                line = self._lines[0]
            if self._sent(line):
                with self._changed:
                    self._lines.popleft()
            elif self._closed_at is not None:
                return
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed_at is not None, AGAIN_S)

    def _sent(self, line: AnswerLine) -> bool:
        """Send a line; False where it should be tried again."""
        state = self._state()
        if state is None or state.phase is not ServerPhase.SERVING:
            return False
        path = answers_path(self._terms.id)
        try:
            wire = Wire(state.url)
            try:
                wire.call("POST", path, wire_form(line), timeout_s=CALL_S)
            except ServerRefused as refusal:
                if refusal.status != 404:
                    raise
                # a problem that never reached the server: the run is not open there yet
                wire.call("POST", "/v1/runs", self._terms.body(), timeout_s=CALL_S)
                wire.call("POST", path, wire_form(line), timeout_s=CALL_S)
        except ServerUnreachable:
            return False
        except ServerRefused as refusal:
            return refusal.status not in PASSING
        except Exception:  # noqa: BLE001 - a line that cannot be sent must not hold up the others
            return True
        return True


def tell_all(wire: Wire, run_id: str, lines: Iterable[AnswerLine]) -> None:
    """Send lines at once, while the server is there and for `ALL_S` seconds at most; best effort.

    Raises no Exception: a problem is waiting to be asked.
    """
    end = time.monotonic() + ALL_S
    for line in lines:
        left_s = end - time.monotonic()
        if left_s <= 0:
            return
        try:
            wire.call("POST", answers_path(run_id), wire_form(line), timeout_s=min(CALL_S, left_s))
        except ServerUnreachable:
            return
        except Exception:  # noqa: BLE001, S112 - a line that cannot be sent: the others can
            continue


def answers_path(run_id: str) -> str:
    """Return where answers of a run are told."""
    return f"/v1/runs/{quote(run_id, safe='')}/answers"


def wire_form(line: AnswerLine) -> dict[str, Any]:
    """Return a line as the server takes it."""
    return {
        "problem_id": line.key,
        "answer": str(line.answer),
        "rung": line.rung,
        "solve": line.solve or None,
        "seconds": max(0.0, line.seconds),
        "notes": list(line.notes),
    }
