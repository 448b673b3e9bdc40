"""How long no server has listened that had given up. Standard library alone."""

import time
from dataclasses import dataclass

from kaggle_notebook.server_state import ServerPhase, ServerState


@dataclass(slots=True)
class Absence:
    """Counts the seconds; what they count for is over once an engine can work.

    A server that is started again and again does not listen in between: a start alone is no hope.
    One that listens has its time to load, which is not counted, but where it gives up again, what
    was counted before goes on.
    """

    _counted_s: float = 0.0
    _since: float | None = None

    def observe(self, state: ServerState | None) -> None:
        """Take what is known of the server now."""
        now = time.monotonic()
        if state is None:
            self.end()
        elif state.phase is ServerPhase.SERVING:
            self._counted_s, self._since = self.seconds, None
        elif state.phase is ServerPhase.FAILED or self._counted_s:
            self._since = now if self._since is None else self._since

    def end(self) -> None:
        """Begin anew: an engine can work."""
        self._counted_s, self._since = 0.0, None

    @property
    def seconds(self) -> float:
        """Seconds without a server since one gave up; 0 where none has."""
        running_s = 0.0 if self._since is None else time.monotonic() - self._since
        return self._counted_s + running_s
