"""What a chat is told while its problem is solved: a readable account of many attempts at once.

All that happens is told in a line; what attempts write is told of one of them at a time, for the
texts of several mixed together would be read by nobody. When that one ends, the next is listened
to from there on.
"""

from client.schema import (
    AttemptCall,
    AttemptEnd,
    AttemptFinished,
    AttemptResult,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    Event,
    SolveQueued,
    SolveStarted,
    attempt_name,
)

#: Characters of code and of output that one line of the account may hold.
MOST_SHOWN = 1_500


class Progress:
    """Turns the events of a solve into text."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._heard: int | None = None
        self._open = False

    def tell(self, event: Event) -> str:
        """Return what to say of an event; nothing for most."""
        if isinstance(event, AttemptText):
            return self._text(event)
        if isinstance(event, AttemptStarted):
            self._running.add(event.attempt)
        elif isinstance(event, AttemptFinished):
            self._running.discard(event.attempt)
        said = _said(event)
        return self._line(said) if said else ""

    def _text(self, event: AttemptText) -> str:
        if self._heard is None or self._heard not in self._running:
            self._heard = event.attempt
            return self._line(f"{attempt_name(event.attempt)} writes") + self._raw(event.text)
        return self._raw(event.text) if event.attempt == self._heard else ""

    def _line(self, text: str) -> str:
        """Return a line of ours, in brackets, and what is quoted below it."""
        lead = "\n" if self._open else ""
        self._open = False
        head, _, quoted = text.partition("\n")
        return f"{lead}[{head}]\n" + (f"{quoted}\n" if quoted else "")

    def _raw(self, text: str) -> str:
        self._open = not text.endswith("\n")
        return text


def _said(event: Event) -> str:
    said = ""
    match event:
        case AttemptCall():
            said = f"attempt {event.attempt} runs\n{_cut(event.code)}"
        case AttemptResult():
            said = f"attempt {event.attempt} gets ({event.status})\n{_cut(event.output)}"
        case AttemptFinished(report=report):
            answer = "no answer" if report.answer is None else f"answer {report.answer}"
            answer = f": {answer}" if report.end is not AttemptEnd.PLANNED else ""
            said = f"{attempt_name(event.attempt)} ended ({report.end.value}){answer}"
        case BallotChanged():
            lines = ", ".join(f"{line.answer}: {line.votes}" for line in event.lines)
            said = f"votes: {lines or 'none'}; {event.running} attempts at work"
        case SolveQueued() if event.position:
            said = f"waiting: {event.position} problems ahead"
        case SolveStarted():
            said = f"{event.attempts} attempts, {event.time_limit_s:g} s"
        case _:
            pass
    return said


def _cut(text: str) -> str:
    text = text.strip("\n")
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} …"
