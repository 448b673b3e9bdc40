"""One turn: streams from the engine into the conversation until something ends it.

The engine may die or talk nonsense in mid-stream: what was sampled stands, the turn waits for the
engine and goes on from the same token list, until its time is up.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain, repeat

import anyio

from client.schema import Channel
from server.dialect.base import Conversation, MessageEnd, ParseEvent, Text, ToolCall
from server.engine.base import Chunk, Engine, FinishReason, Sampling
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineUnavailable,
)
from server.solve.record import TokenRecord
from server.solve.repetition import (
    EVERY,
    EVERY_PARAGRAPH,
    repeats,
    repeats_items,
    repeats_paragraph,
)
from server.vocabulary.errors import UnknownToken
from voting.confidence import ConfidenceMeter, token_confidence

#: Broken streams that one attempt survives. An engine that restarts costs one or two.
MOST_LOSSES = 20
#: Answers that are none (status 500, half an event) that it survives: with the pauses after them
#: they span about twenty seconds, which a passing fault takes, and a wrong engine wastes.
MOST_NONSENSE = 8
#: Pause after a broken stream on an engine that says it is ready, doubled each time.
PAUSE_FIRST_S = 0.1
PAUSE_MOST_S = 5.0


class TurnEnd(Enum):
    """What ended a turn. `ENGINE_AWAY`: the time came while the engine was waited for."""

    CALL = auto()
    MESSAGE = auto()
    BOX = auto()
    LIMIT = auto()
    REPETITION = auto()
    PRUNED = auto()
    TIME = auto()
    ENGINE_AWAY = auto()
    ENGINE_LOST = auto()
    ENGINE_ERROR = auto()


#: Stretches of text that are looked back at, about a token each.
MOST_STRETCHES = 4_096

#: Ends that a turn comes to by what the model wrote.
WHOLE = frozenset({TurnEnd.CALL, TurnEnd.MESSAGE, TurnEnd.BOX})


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """How a turn ended; `call` for `CALL`, `detail` in words where there is more to say."""

    end: TurnEnd
    call: ToolCall | None = None
    detail: str = ""


class _Gathering:
    """Puts the texts together that come in one block, by channel: telling one costs a microsecond.

    An error in the block leaves what came before it told.
    """

    def __init__(self, on_text: Callable[[Channel, str], None]) -> None:
        self._on_text = on_text
        self._channel = Channel.FINAL
        self._parts: list[str] = []
        self._recent: deque[str] = deque(maxlen=MOST_STRETCHES)

    def add(self, channel: Channel, text: str) -> None:
        """Take a stretch of text."""
        if channel is not self._channel:
            self._send()
            self._channel = channel
        self._parts.append(text)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *details: object) -> None:
        self._send()

    def _send(self) -> None:
        if self._parts:
            text, self._parts = "".join(self._parts), []
            self._recent.append(text)
            self._on_text(self._channel, text)

    def recent(self) -> str:
        """Return the text that was told last."""
        return "".join(self._recent)


@dataclass(slots=True, kw_only=True)
class TurnReader:
    """Reads turns of one attempt into its record and conversation.

    `on_text` gets each stretch of text; `on_loss` is told of each broken stream. Without `tools` a
    call is text like any other. `meter` is given the log-probabilities; `hopeless` is asked now and
    then why the attempt is to be given up, empty where it is not. `whole` is whether the last turn
    came to an end of its own: what is under way, or was cut, is not.
    """

    engine: Engine
    session: str
    record: TokenRecord
    conversation: Conversation
    on_text: Callable[[Channel, str], None]
    on_loss: Callable[[str], None]
    tools: bool = True
    meter: ConfidenceMeter | None = None
    hopeless: Callable[[], str] | None = None
    losses: int = 0
    nonsense: int = 0
    streams: int = 0
    whole: bool = True
    stream_s: float = 0.0
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _until: Callable[[], float] = anyio.current_time
    _gathering: "_Gathering" = field(init=False)

    def __post_init__(self) -> None:
        self._gathering = _Gathering(self.on_text)

    @property
    def pace_s(self) -> float:
        """Seconds a sampled token so far, prefills included; 0 before the first."""
        return self.stream_s / self.record.sampled if self.record.sampled else 0.0

    def move(self) -> None:
        """Ask again when the turn under way is to end."""
        self._scope.deadline = self._until()

    async def read(
        self,
        sampling: Callable[[int], Sampling],
        *,
        until: Callable[[], float],
        to_box: Callable[[], bool] | None = None,
    ) -> TurnOutcome:
        """Sample until the turn ends or the event-loop time `until` comes, asked after each chunk.

        `sampling` returns the parameters of the attempt's n-th stream. With `to_box` the turn also
        ends once that says so, asked after each token.
        """
        self.whole = False
        outcome = await self._read(sampling, until, to_box)
        self.whole = outcome.end in WHOLE
        # The text goes on in another turn: half a character at its end stays half.
        with self._gathering:
            self._tell(self.conversation.flush())
        return outcome

    async def _read(
        self,
        sampling: Callable[[int], Sampling],
        until: Callable[[], float],
        to_box: Callable[[], bool] | None,
    ) -> TurnOutcome:
        while True:
            outcome: TurnOutcome | None = None
            problem = ""
            self._scope = scope = anyio.CancelScope(deadline=until())
            self._until = until
            with scope:
                try:
                    outcome = await self._stream(sampling(self.streams), scope, until, to_box)
                except EngineFailed as error:
                    return TurnOutcome(TurnEnd.ENGINE_LOST, detail=str(error))
                except EngineProtocolError as error:
                    self.nonsense += 1
                    problem = str(error)
                    if self.nonsense > MOST_NONSENSE:
                        return TurnOutcome(TurnEnd.ENGINE_ERROR, detail=problem)
                except EngineUnavailable as error:
                    problem = str(error)
                except (EngineError, UnknownToken) as error:
                    return TurnOutcome(TurnEnd.ENGINE_ERROR, detail=str(error))
                if problem:
                    outcome = await self._recover(problem)
            if scope.cancelled_caught:
                end = TurnEnd.ENGINE_AWAY if problem else TurnEnd.TIME
                return TurnOutcome(end, detail=problem)
            if outcome is not None:
                return outcome

    async def _stream(
        self,
        sampling: Sampling,
        scope: anyio.CancelScope,
        until: Callable[[], float],
        to_box: Callable[[], bool] | None,
    ) -> TurnOutcome:
        if sampling.max_tokens <= 0:
            return TurnOutcome(TurnEnd.LIMIT)
        self.streams += 1
        last = anyio.current_time()
        async with self.engine.generate(self.record.ids, sampling, session=self.session) as stream:
            async for chunk in stream:
                outcome = self._take(chunk, to_box)
                if outcome is not None:
                    return outcome
                now = anyio.current_time()
                self.stream_s += now - last
                last = now
                scope.deadline = until()
        raise EngineUnavailable("the engine ended the stream without a reason")

    def _take(self, chunk: Chunk, to_box: Callable[[], bool] | None) -> TurnOutcome | None:
        self.record.exact = self.record.exact and chunk.exact
        logprobs = chunk.logprobs or (None,) * len(chunk.token_ids)
        if len(logprobs) != len(chunk.token_ids):
            raise EngineProtocolError(
                f"{len(logprobs)} log-probabilities for {len(chunk.token_ids)} tokens"
            )
        likely = chain(chunk.top_logprobs, repeat(()))
        with self._gathering:
            for token_id, logprob, top in zip(chunk.token_ids, logprobs, likely, strict=False):
                # An id that is none of the vocabulary's raises here, before it is kept.
                parsed = self.conversation.feed(token_id)
                confidence = self._weigh([p for _, p in top]) if top else None
                self.record.sample(token_id, logprob, confidence)
                outcome = self._tell(parsed) if parsed else None
                if self.record.sampled % EVERY == 0:
                    outcome = outcome or self._loop() or self._prune()
                if outcome is None and to_box is not None and to_box():
                    outcome = TurnOutcome(TurnEnd.BOX)
                if outcome is not None:
                    # Ids after this one were sampled past the end of the turn; they never happened.
                    return outcome
        if chunk.finish_reason is FinishReason.LENGTH:
            return TurnOutcome(TurnEnd.LIMIT)
        if chunk.finish_reason is FinishReason.STOP:
            return TurnOutcome(TurnEnd.MESSAGE)
        return None

    def _weigh(self, likely: Iterable[float]) -> float | None:
        return token_confidence(likely) if self.meter is None else self.meter.push(likely)

    def _tell(self, parsed: Sequence[ParseEvent]) -> TurnOutcome | None:
        outcome: TurnOutcome | None = None
        for event in parsed:
            match event:
                case Text():
                    self._gathering.add(event.channel, event.text)
                case ToolCall() if self.tools:
                    outcome = TurnOutcome(TurnEnd.CALL, call=event)
                case MessageEnd():
                    outcome = outcome or TurnOutcome(TurnEnd.MESSAGE)
        return outcome

    def _loop(self) -> TurnOutcome | None:
        ids, due = self.record.segments[-1].ids, self.record.sampled % EVERY_PARAGRAPH == 0
        repeated = repeats(ids) or (
            due and (repeats_paragraph(ids) or repeats_items(self._gathering.recent()))
        )
        return TurnOutcome(TurnEnd.REPETITION) if repeated else None

    def _prune(self) -> TurnOutcome | None:
        why = self.hopeless() if self.hopeless is not None else ""
        return TurnOutcome(TurnEnd.PRUNED, detail=why) if why else None

    async def _recover(self, problem: str) -> TurnOutcome | None:
        """Wait until the engine can be asked again; the caller's scope bounds the wait."""
        self.losses += 1
        self.on_loss(problem)
        if self.losses > MOST_LOSSES:
            return TurnOutcome(
                TurnEnd.ENGINE_LOST, detail=f"{self.losses} broken streams, the last: {problem}"
            )
        await anyio.sleep(min(PAUSE_FIRST_S * 2**self.losses, PAUSE_MOST_S))
        try:
            await self.engine.wait_ready()
        except EngineFailed as error:
            return TurnOutcome(TurnEnd.ENGINE_LOST, detail=str(error))
        return None
