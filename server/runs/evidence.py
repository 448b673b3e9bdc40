"""What is known of a problem's answer while it is being solved, from its events."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from client.schema import (
    AnswerKind,
    AttemptFinished,
    AttemptResult,
    AttemptText,
    BallotChanged,
    Event,
    SolveEnd,
    SolveFinished,
    SolveResult,
)
from server.solve.wording import answer_text
from voting.answers import AnswerKind as VotedKind
from voting.answers import extract

#: Characters of an attempt's text in which a box is looked for: its last one, with room.
TAIL_CHARS = 4_000
#: A whole number that stands by itself, not a part of a decimal or of a name.
WHOLE = re.compile(r"(?<![\w.])[+-]?\d+(?![\w.])")
MOST_INTEGER = 99_999


class Rung(StrEnum):
    """How an answer came about, the surest first."""

    VOTE = "vote"
    """The solve's own choice."""
    BALLOT = "ballot"
    """The leading answer of the attempts that have ended."""
    BOXED = "boxed"
    """The last one that an attempt has put in a box."""
    PRINTED = "printed"
    """The last whole number that an attempt's code has printed."""


Line = dict[str, Any]
"""What `fallback.json` says of a problem."""


def surer(now: Line, before: Line | None) -> Line:
    """Return what is to be said of a problem: `now`, unless an answer known `before` is surer.

    A solve that is begun anew knows nothing at first, and what was known is not to be lost by that.
    """
    if before is None or before.get("answer") is None:
        return now
    if now["answer"] is None:
        return before
    less_sure = _rank(now) > _rank(before)
    return before if less_sure and not now["final"] else now


def _rank(line: Line) -> int:
    rungs = [rung.value for rung in Rung]
    rung = line.get("rung")
    return rungs.index(rung) if rung in rungs else len(rungs)


@dataclass(slots=True)
class Evidence:
    """The best answer to one problem so far; `observe` is told its events."""

    kind: AnswerKind
    solve_id: str = ""
    final: bool = False
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _voted: str | None = None
    _leader: str | None = None
    _votes: int = 0
    _tails: dict[int, str] = field(default_factory=dict)
    _boxed_by: int | None = None
    _printed: str | None = None

    def observe(self, event: Event) -> bool:
        """Take an event; return whether the answer may be another one now."""
        changed = self._take(event)
        if changed:
            self.at = datetime.now(UTC)
        return changed

    def _take(self, event: Event) -> bool:
        match event:
            case AttemptText() if not event.is_plan:
                tail = (self._tails.get(event.attempt, "") + event.text)[-TAIL_CHARS:]
                self._tails[event.attempt] = tail
                boxed = "}" in event.text and "\\boxed" in tail
                self._boxed_by = event.attempt if boxed else self._boxed_by
                return boxed
            case AttemptResult(status="ok"):
                found = self._whole(event.output)
                self._printed = found or self._printed
                return found is not None
            case AttemptFinished():
                return True
            case BallotChanged():
                lead = event.lines[0] if event.lines else None
                self._leader, self._votes = (lead.answer, lead.votes) if lead else (None, 0)
                return True
            case SolveFinished():
                return self._ended(event.result)
            case _:
                return False

    def _ended(self, result: SolveResult) -> bool:
        votes = next((line.votes for line in result.ballot if line.answer == result.answer), 0)
        if result.end is not SolveEnd.INTERRUPTED:
            self.final, self._voted, self._votes = True, result.answer, votes
        elif result.answer is not None:
            # The votes cast until then; without any, what was known before stands.
            self._leader, self._votes = result.answer, votes
        return self.final or result.answer is not None

    def _whole(self, output: str) -> str | None:
        for text in reversed(WHOLE.findall(output[-TAIL_CHARS:])):
            if self.kind is AnswerKind.TEXT or 0 <= int(text) <= MOST_INTEGER:
                return str(int(text))
        return None

    def best(self) -> tuple[str | None, Rung, int]:
        """Return the answer with its rung and its votes."""
        if self._voted is not None:
            return self._voted, Rung.VOTE, self._votes
        if self._leader is not None:
            return self._leader, Rung.BALLOT, self._votes
        if self._boxed_by is not None:
            answer = extract(self._tails[self._boxed_by], VotedKind(self.kind.value))
            if answer is not None:
                return answer_text(answer), Rung.BOXED, 0
        return self._printed, Rung.PRINTED, 0

    def line(self) -> Line:
        """Return what `fallback.json` says of the problem."""
        answer, rung, votes = self.best()
        return {
            "solve": self.solve_id,
            "answer": answer,
            "rung": rung.value,
            "votes": votes,
            "final": self.final,
            "at": self.at.isoformat(),
        }
