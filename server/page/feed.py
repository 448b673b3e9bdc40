"""Events of a running solve as the page's script takes them: small, and with nothing to escape."""

from collections.abc import Iterable
from typing import Any

from client.schema import (
    AttemptEvent,
    AttemptFinished,
    AttemptStarted,
    AttemptText,
    BallotChanged,
    BallotLine,
    BudgetDecided,
    Event,
    SolveFinished,
    SolveResult,
    SolveResumed,
    SolveStarted,
)
from server.page.blocks import NAMES, OF_CHANNEL, BlockKind, Blocks
from server.page.render import ENDS, TONES, duration
from server.page.visible import visible
from server.page.writing import BREAKS, Writing

Message = dict[str, Any]


class Feed:
    """What one reader is told of a solve, from the event after `before` on."""

    def __init__(self, before: Iterable[Event] = ()) -> None:
        self._writing = Writing(before)

    def message(self, event: Event) -> Message | None:
        """Return what the script is told of the next event; None: nothing.

        Formulas are converted here, which takes milliseconds where there are many.
        """
        if isinstance(event, AttemptText):
            return self._text(event)
        if isinstance(event, BREAKS):
            self._writing.close(event)
            return _block(event)
        return _other(event)

    def _text(self, event: AttemptText) -> Message:
        kind = OF_CHANNEL[event.channel]
        told = {"do": "text", "kind": kind, "name": NAMES[kind], "turn": event.turn} | _of(event)
        told["sampled"] = event.sampled
        if kind is BlockKind.CODE:
            return told | {"text": visible(event.text)}
        return told | self._writing.stretch(event).take(event.text)


def _other(event: Event) -> Message | None:
    told: Message | None = None
    match event:
        case AttemptStarted():
            told = {"do": "lane", "seed": event.seed} | _state("running") | _of(event)
        case AttemptFinished():
            told = _ended(event)
        case SolveStarted():
            told = {"do": "started", "at": event.at, "limit": event.time_limit_s}
        case SolveResumed():
            told = {"do": "resumed"}
        case BudgetDecided():
            told = {"do": "limit", "limit": event.limit_s}
        case BallotChanged():
            bars = _bars(event.lines, None)
            told = {"do": "ballot", "bars": bars, "reason": visible(event.reason)}
        case SolveFinished():
            told = _finished(event.result)
        case _:
            pass
    return told


def _finished(result: SolveResult) -> Message:
    return {
        "do": "finished",
        "answer": visible(result.answer),
        "detail": visible(result.detail),
        "seconds": duration(result.seconds),
        "bars": _bars(result.ballot, result.answer),
    } | _state(result.end.value)


def _of(event: AttemptText | AttemptStarted) -> Message:
    return {"attempt": event.attempt}


def _state(state: str) -> Message:
    return {"state": ENDS[state], "tone": TONES.get(state, "bad")}


def _block(event: AttemptEvent) -> Message:
    blocks = Blocks()
    blocks.add(event)
    block = blocks.list()[0]
    ran = block.kind is BlockKind.OUTPUT
    return {
        "do": "block",
        "attempt": event.attempt,
        "kind": block.kind,
        "name": block.name,
        "turn": block.turn,
        "text": visible(block.text),
        "status": visible(block.status) if ran else "",
        "seconds": duration(block.seconds) if ran else "",
        "lost": block.state_lost,
    }


def _ended(event: AttemptFinished) -> Message:
    report = event.report
    return {
        "do": "lane",
        "attempt": event.attempt,
        "answer": visible(report.answer),
        "detail": visible(report.detail),
        "sampled": report.tokens.sampled,
        "seconds": duration(report.seconds),
    } | _state(report.end.value)


def _bars(lines: list[BallotLine], answer: str | None) -> list[Message]:
    most = max((line.weight for line in lines), default=0.0) or 1.0
    return [
        {
            "answer": visible(line.answer),
            "votes": line.votes,
            "weight": f"{line.weight:.2f}",
            "share": max(line.weight, 0.0) / most,
            "attempts": ", ".join(map(str, line.attempts)),
            "chosen": line.answer == answer,
        }
        for line in sorted(lines, key=lambda line: -line.weight)
    ]
