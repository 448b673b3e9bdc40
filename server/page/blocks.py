"""Events of an attempt as blocks to read: thinking, code, output, answer, notes."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from client.schema import (
    AttemptCall,
    AttemptGap,
    AttemptResult,
    AttemptResumed,
    AttemptText,
    AttemptWaiting,
    Channel,
    EventBase,
)


class BlockKind(StrEnum):
    """What a block is."""

    THINKING = "thinking"
    FINAL = "final"
    CODE = "code"
    OUTPUT = "output"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of one kind; `status` and `seconds` are of a cell's output.

    `first` and `last` are ids of events; `sampled` counts the attempt's tokens up to its end, 0
    where that is not known.
    """

    kind: BlockKind
    turn: int
    text: str
    first: int
    last: int
    sampled: int = 0
    status: str = ""
    seconds: float | None = None
    state_lost: bool = False

    @property
    def name(self) -> str:
        """What it is, for people."""
        return NAMES[self.kind]


NAMES = {
    BlockKind.THINKING: "Thinking",
    BlockKind.FINAL: "Message",
    BlockKind.CODE: "Code",
    BlockKind.OUTPUT: "Output",
    BlockKind.NOTE: "Note",
}
OF_CHANNEL = {
    Channel.THINKING: BlockKind.THINKING,
    Channel.FINAL: BlockKind.FINAL,
    Channel.CODE: BlockKind.CODE,
}


class Blocks:
    """Folds an attempt's events; keeps at most `most_chars`, the oldest going first."""

    def __init__(self, most_chars: int | None = None) -> None:
        self.cut = False
        """Whether something older was left out."""
        self._most = most_chars
        self._size = 0
        self._done: deque[Block] = deque()
        self._open: Block | None = None
        self._parts: list[str] = []

    def add_all(self, events: Iterable[EventBase]) -> "Blocks":
        """Take events in order; those that are not to be read are passed over."""
        for event in events:
            self.add(event)
        return self

    def add(self, event: EventBase) -> None:
        """Take the next event."""
        match event:
            case AttemptText():
                self._text(event)
            case AttemptCall():
                self._call(event)
            case AttemptResult():
                self._push(
                    Block(
                        BlockKind.OUTPUT, event.turn, event.output, event.id, event.id,
                        status=event.status, seconds=event.seconds, state_lost=event.state_lost,
                    )
                )  # fmt: skip
            case AttemptWaiting():
                self._note(event.id, f"The engine is away ({event.reason}); the attempt waits.")
            case AttemptResumed():
                self._note(event.id, "The server was started again; the attempt goes on.")
            case AttemptGap():
                self._note(event.id, f"{event.events} events are missing from the journal here.")
            case _:
                pass

    def list(self) -> list[Block]:
        """Return the blocks so far."""
        self._close()
        return list(self._done)

    def _text(self, event: AttemptText) -> None:
        kind = OF_CHANNEL[event.channel]
        if self._open is None or self._open.kind is not kind or self._open.turn != event.turn:
            self._close()
            self._open = Block(kind, event.turn, "", event.id, event.id)
        self._parts.append(event.text)
        self._open = replace(self._open, last=event.id, sampled=event.sampled)
        self._grow(len(event.text))

    def _call(self, event: AttemptCall) -> None:
        """Put the code that runs in the place of what was written of it."""
        opened = self._open
        if opened is not None and opened.kind is BlockKind.CODE:
            self._size -= sum(map(len, self._parts))
            self._open, self._parts = None, []
        sampled = opened.sampled if opened else 0
        self._push(
            Block(BlockKind.CODE, event.turn, event.code, event.id, event.id, sampled=sampled)
        )

    def _note(self, event_id: int, text: str) -> None:
        turn = self._done[-1].turn if self._done else 0
        self._push(Block(BlockKind.NOTE, turn, text, event_id, event_id))

    def _push(self, block: Block) -> None:
        self._close()
        self._done.append(block)
        self._grow(len(block.text))

    def _close(self) -> None:
        if self._open is not None:
            self._done.append(replace(self._open, text="".join(self._parts)))
            self._open, self._parts = None, []

    def _grow(self, by: int) -> None:
        self._size += by
        if self._most is None:
            return
        while self._size > self._most and len(self._done) > 1:
            self._size -= len(self._done.popleft().text)
            self.cut = True
