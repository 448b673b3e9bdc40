"""Tells the events of one attempt: text at a readable rate, calls, results, token segments."""

from collections.abc import Callable
from typing import Any

import anyio

from client.schema import (
    AttemptCall,
    AttemptFinished,
    AttemptReport,
    AttemptResult,
    AttemptResumed,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    AttemptWaiting,
    Channel,
    Event,
)
from sandbox.types import CellResult
from server.engine.base import Sampling
from server.solve.events import EventLog
from server.solve.record import TokenRecord

#: Sampled text is sent at most this often: a reader sees no difference, and the cost of events does
#: not grow with the engine's speed.
TEXT_EVERY_S = 0.1
#: Sampled tokens are sent this often within a turn: with the journal's own delay, less than a
#: second of them is lost when the server is killed.
TOKENS_EVERY_S = 0.4


class Narrator:
    """Emits the events of attempt `index`; with `with_tokens` its segments too."""

    def __init__(
        self, events: EventLog, index: int, record: TokenRecord, *, with_tokens: bool
    ) -> None:
        self._events = events
        self._index = index
        self._record = record
        self._text: list[str] = []
        self._channel = Channel.FINAL
        self._with_tokens = with_tokens
        self._text_sent = 0.0
        self._tokens_sent = 0.0
        self._segment = 0
        self._position = 0
        self.turn = 0

    def started(self, seed: int, sampling: Sampling, **told: str | int | None) -> None:
        """Tell the start; `told` are further fields of the event."""
        self._emit(
            AttemptStarted,
            seed=seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            top_k=sampling.top_k,
            **told,
        )

    def resumed(self, cells: int) -> None:
        """Tell that the attempt goes on from its tokens."""
        self._emit(AttemptResumed, kept_tokens=len(self._record.ids), cells=cells)

    def restore(self, tokens: int) -> None:
        """Take the first `tokens` of the record as told."""
        self._segment = max(len(self._record.segments) - 1, 0)
        self._position = tokens

    def text(self, channel: Channel, text: str) -> None:
        """Take sampled text; it is sent now or a little later."""
        if channel is not self._channel:
            self._send_text()
            self._channel = channel
        if text:
            self._text.append(text)
        now = anyio.current_time()
        if now - self._text_sent >= TEXT_EVERY_S:
            self._send_text()
        if now - self._tokens_sent >= TOKENS_EVERY_S:
            self._send_tokens()

    def call(self, number: int, code: str) -> None:
        """Tell that a tool call is being executed."""
        self.flush()
        self._emit(AttemptCall, turn=self.turn, call=number, code=code)

    def result(self, number: int, result: CellResult, shown: str) -> None:
        """Tell what a tool call came to; `shown` is what the model is told."""
        self._emit(
            AttemptResult,
            turn=self.turn,
            call=number,
            status=result.status.value,
            output=shown,
            seconds=round(result.seconds, 4),
            state_lost=result.state_lost,
        )
        self.flush()

    def waiting(self, reason: str) -> None:
        """Tell that the engine is gone and the attempt waits."""
        self.flush()
        self._emit(AttemptWaiting, reason=reason, kept_tokens=len(self._record.ids))

    def finished(self, report: AttemptReport) -> None:
        """Tell the end."""
        self.flush()
        self._emit(AttemptFinished, report=report)

    def flush(self) -> None:
        """Send what is held back: text, and the tokens since the last time."""
        self._send_text()
        self._send_tokens()

    def _send_tokens(self) -> None:
        if not self._with_tokens:
            return
        self._tokens_sent = anyio.current_time()
        segments = self._record.segments
        for number in range(self._segment, len(segments)):
            self._send_segment(number)
        self._segment = len(segments) - 1

    def _send_segment(self, number: int) -> None:
        segment = self._record.segments[number]
        skip = max(self._position - segment.start, 0)
        ids = segment.ids[skip:]
        if not ids:
            return
        self._position = segment.start + skip + len(ids)
        self._emit(
            AttemptSegment,
            turn=self.turn,
            kind=segment.kind,
            start=segment.start + skip,
            token_ids=ids,
            logprobs=segment.logprobs[skip:] or None,
            confidence=segment.confidence[skip:] or None,
        )

    def _send_text(self) -> None:
        if self._text:
            text, self._text = "".join(self._text), []
            self._text_sent = anyio.current_time()
            self._emit(
                AttemptText,
                turn=self.turn,
                channel=self._channel,
                text=text,
                sampled=self._record.sampled,
            )

    def _emit(self, event_type: Callable[..., Event], **values: Any) -> None:  # noqa: ANN401
        self._events.emit(event_type, attempt=self._index, **values)
