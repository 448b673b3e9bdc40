"""What an attempt is writing, as pieces: those that stay, and those that more text may change."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from client.schema import (
    AttemptCall,
    AttemptEvent,
    AttemptGap,
    AttemptResult,
    AttemptResumed,
    AttemptText,
    AttemptWaiting,
    Event,
)
from server.page.blocks import OF_CHANNEL, BlockKind
from server.page.lanes import LANE_CHARS
from server.page.prose import Formulas, Piece, PieceKind, pieces, settled

#: Formulas that one message converts: two screens of them. What is over is shown as it is written.
MOST_FORMULAS = 60
#: Events that are blocks of their own.
BREAKS = AttemptCall | AttemptResult | AttemptWaiting | AttemptGap | AttemptResumed


@dataclass(slots=True)
class Stretch:
    """Text of one kind and turn; `told` is whether the script has the beginning of it as pieces."""

    kind: BlockKind
    turn: int
    parts: list[str] = field(default_factory=list)
    told: bool = False

    def is_of(self, event: AttemptText) -> bool:
        """Whether the text of an event goes on here."""
        return self.kind is OF_CHANNEL[event.channel] and self.turn == event.turn

    def take(self, text: str) -> dict[str, Any]:
        """Return what a script is told of more text.

        `settled` pieces are added for good, `open` ones take the place of the open ones before;
        `whole`: they are all that the stretch has.
        """
        self.parts.append(text)
        whole = "".join(self.parts)
        whole = whole if self.told else whole[-LANE_CHARS:]
        cut = settled(whole)
        formulas = Formulas(MOST_FORMULAS)
        told = {
            "whole": not self.told,
            "settled": [_told(piece) for piece in pieces(whole[:cut], formulas)],
            "open": [_told(piece) for piece in pieces(whole[cut:], formulas)],
        }
        self.parts, self.told = [whole[cut:]], True
        return told


class Writing:
    """The open stretches of all attempts of a solve, for one reader of it."""

    def __init__(self, before: Iterable[Event] = ()) -> None:
        self._open: dict[int, Stretch] = {}
        for event in before:
            if isinstance(event, AttemptText):
                self.stretch(event).parts.append(event.text)
            elif isinstance(event, BREAKS):
                self.close(event)

    def stretch(self, event: AttemptText) -> Stretch:
        """Return what the text of an event belongs to, before it is added."""
        found = self._open.get(event.attempt)
        if found is None or not found.is_of(event):
            found = Stretch(OF_CHANNEL[event.channel], event.turn)
            self._open[event.attempt] = found
        return found

    def close(self, event: AttemptEvent) -> None:
        """Take an event that is a block of its own: it ends what was being written."""
        self._open.pop(event.attempt, None)


def _told(piece: Piece) -> Any:  # noqa: ANN401 - JSON
    if piece.kind is PieceKind.MATH and piece.math is not None:
        return ["math", piece.math.tree()]
    return piece.text if piece.kind is PieceKind.TEXT else [piece.kind.value, piece.text]
