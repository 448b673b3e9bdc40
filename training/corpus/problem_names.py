"""One name for a problem of which traces are there under several."""

from training.names import Names, plain
from training.traces.trace import Trace


class ProblemNames:
    """Names problems by their first id, those with the same statement alike.

    A journal has attempts at one problem with its id, and without one where it was asked by hand;
    sets have copies of one another's problems under ids of their own.
    """

    def __init__(self) -> None:
        self._names = Names()
        #: Statements of problems without an id.
        self._nameless: dict[str, str] = {}

    def see(self, trace: Trace) -> None:
        """Take note of a trace's problem; a choice among solutions brings a question of its own."""
        statement = trace.text_of("problem")
        if statement is None or trace.text_of("kind") is not None:
            return
        if trace.text_of("problem_id"):
            self._names.see(trace.key, plain(statement))
        else:
            self._nameless[trace.key] = plain(statement)

    def settle(self) -> None:
        """Name the problems without an id, now that those with one are known."""
        for key, statement in self._nameless.items():
            self._names.see(key, statement)

    def of(self, key: str) -> str:
        """Return the name of the problem that a trace's key names."""
        return self._names.of(key)
