"""Gives out tokens at the machine's pace: prefills in turn, steps for all streams at once.

One step gives each running stream one token. Where this computer cannot keep the pace, time is not
made up for later than `MOST_BEHIND_S`: the machine is slower then, and `lost_s` says by how much.
"""

import asyncio
import time
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from server.engine.rehearsal.faults import FaultKind, Schedule
from server.engine.rehearsal.machine import Machine

#: Shorter waits are not worth a timer: the steps of this time are taken at once.
SHORTEST_WAIT_S = 0.001
#: Between two looks whether it is time to die.
LOOK_S = 0.02
MOST_BEHIND_S = 0.25
#: Steps at a time, so that requests and aborts are seen in between.
MOST_STEPS = 64
#: What is kept to be looked at: of steps before an abort, of aborts, and of prefills.
KEPT_ADVANCES = 64
KEPT_FREED = 256
KEPT_PREFILLS = 4096
#: Tokens that the prefix cache takes together, as SGLang's pages.
PAGE_TOKENS = 64


class Clock:
    """The machine's seconds since `begun` (CLOCK_MONOTONIC), `speed` times as fast as real ones."""

    def __init__(self, begun: float, speed: float) -> None:
        self._begun = begun
        self.speed = speed

    def now(self) -> float:
        """Return the machine's seconds since the rehearsal began."""
        return (time.monotonic() - self._begun) * self.speed


@dataclass(slots=True, eq=False)
class Stream:
    """One request: what it will say, how far it is, and who is told of each token.

    `emit` gets how many ids are new; it may be told of several at a time. `silent` streams get
    nothing more.
    """

    rid: str
    prompt: list[int]
    ids: list[int]
    most: int
    emit: Callable[["Stream", int], None]
    blocked: Callable[[], bool]
    sent: int = 0
    cached: int = 0
    silent: bool = False
    finish: str | None = None
    end_ids: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Freed:
    """A stream that was aborted: when, of CLOCK_MONOTONIC, and when it had got tokens before."""

    at: float
    given_at: list[float]


class PrefixCache:
    """Which beginnings of token lists have been computed, in pages, the oldest forgotten first."""

    def __init__(self, most_tokens: float) -> None:
        self._most_pages = max(int(most_tokens) // PAGE_TOKENS, 1)
        self._pages: OrderedDict[int, None] = OrderedDict()

    def hold(self, ids: list[int]) -> int:
        """Keep a list; return how many ids at its beginning were kept already."""
        data = array("I", ids)
        known, chain, growing = 0, 0, True
        for start in range(0, len(ids) - PAGE_TOKENS + 1, PAGE_TOKENS):
            chain = hash((chain, data[start : start + PAGE_TOKENS].tobytes()))
            growing = growing and chain in self._pages
            known += growing
            self._pages[chain] = None
            self._pages.move_to_end(chain)
        while len(self._pages) > self._most_pages:
            self._pages.popitem(last=False)
        return known * PAGE_TOKENS


class Scheduler:
    """Runs streams; `die` is called by faults that end the process."""

    def __init__(
        self,
        machine: Machine,
        clock: Clock,
        faults: Schedule,
        die: Callable[[str], None],
        *,
        together: bool = True,
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._faults = faults
        self._die = die
        self._together = together
        self._waiting: deque[Stream] = deque()
        self._running: dict[str, Stream] = {}
        self._cache = PrefixCache(machine.kv_tokens)
        self._work = asyncio.Event()
        self._prefill = asyncio.Event()
        self._advances: deque[float] = deque(maxlen=KEPT_ADVANCES)
        self._hangs = False
        self.lost_s = 0.0
        self.steps = 0
        self.freed: deque[Freed] = deque(maxlen=KEPT_FREED)
        self.prefills: deque[tuple[int, int]] = deque(maxlen=KEPT_PREFILLS)
        """Tokens of the last prompts, and how many of each were in the prefix cache."""

    @property
    def running(self) -> int:
        """Streams that have been prefilled."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Streams that have not."""
        return len(self._waiting)

    def add(self, stream: Stream) -> None:
        """Take a request."""
        self._waiting.append(stream)
        self._prefill.set()

    def abort(self, rid: str) -> list[Stream]:
        """Free the requests whose ids begin so; return them."""
        if self._faults.due(FaultKind.ABORT_DIE, self._clock.now()):
            self._die("abort")
        gone = [s for s in (*self._waiting, *self._running.values()) if s.rid.startswith(rid)]
        for stream in gone:
            if stream.rid in self._running:
                self.freed.append(Freed(time.monotonic(), [*self._advances]))
            self._forget(stream)
        return gone

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_prefilling())
            group.create_task(self._keep_stepping())
            group.create_task(self._keep_dying())

    async def _keep_dying(self) -> None:
        """Die on time, with or without work."""
        while not self._faults.due(FaultKind.DIE, self._clock.now()):  # noqa: ASYNC110 - a clock
            await asyncio.sleep(LOOK_S)
        self._die("idle or not")

    async def _keep_prefilling(self) -> None:
        while True:
            await self._prefill.wait()
            self._prefill.clear()
            while self._waiting and self._has_room(self._waiting[0]):
                stream = self._waiting[0]
                if self._faults.due(FaultKind.PREFILL_DIE, self._clock.now()):
                    self._die("prefill")
                stream.cached = min(self._cache.hold(stream.prompt), len(stream.prompt) - 1)
                self.prefills.append((len(stream.prompt), stream.cached))
                todo = len(stream.prompt) - stream.cached
                await asyncio.sleep(todo / self._machine.prefill_tokens_s / self._clock.speed)
                if self._waiting and self._waiting[0] is stream:
                    self._waiting.popleft()
                    self._running[stream.rid] = stream
                    self._work.set()

    def _has_room(self, stream: Stream) -> bool:
        used = sum(len(other.prompt) + other.sent for other in self._running.values())
        fits = used + len(stream.prompt) <= self._machine.kv_tokens
        return (fits or not self._running) and len(self._running) < self._machine.most_running

    async def _keep_stepping(self) -> None:
        due = self._clock.now()
        while True:
            if not self._running:
                self._work.clear()
                await self._work.wait()
                due = self._clock.now()
            now = self._clock.now()
            if now - due > MOST_BEHIND_S * self._clock.speed:
                self.lost_s += now - due
                due = now
            steps = 0
            while due <= now and steps < MOST_STEPS:
                steps += 1
                due += self._step_s(now)
            if steps:
                self._advance(steps, now)
            wait = (due - self._clock.now()) / self._clock.speed
            await asyncio.sleep(max(wait, SHORTEST_WAIT_S) if wait > 0 else 0)

    def _step_s(self, now: float) -> float:
        slow = self._faults.lasting(FaultKind.SLOW, now)
        return self._machine.step(len(self._running)) * (slow.factor if slow else 1)

    def _advance(self, steps: int, now: float) -> None:
        """Give each stream a token for each step, unless a fault or a slow reader is in the way."""
        if self._faults.due(FaultKind.DECODE_DIE, now):
            self._die("decode")
        self._hangs = self._hangs or self._faults.due(FaultKind.HANG, now)
        if self._hangs or self._faults.lasting(FaultKind.STALL, now):
            return
        self.steps += steps
        self._advances.append(time.monotonic())
        for part in [steps] if self._together else [1] * steps:
            for stream in [*self._running.values()]:
                if self._faults.due(FaultKind.STALL_ONE, now):
                    stream.silent = True
                if not stream.silent and not stream.blocked():
                    self._give(stream, part)

    def _give(self, stream: Stream, steps: int) -> None:
        count = min(steps, len(stream.ids) - stream.sent, stream.most - stream.sent)
        stream.sent += count
        if stream.sent == len(stream.ids) and stream.ids[-1] in stream.end_ids:
            stream.finish = "stop"
        elif stream.sent == stream.most:
            stream.finish = "length"
        elif stream.sent == len(stream.ids):
            stream.finish = "stop"
        if stream.finish:
            self._forget(stream)
        stream.emit(stream, count)

    def _forget(self, stream: Stream) -> None:
        """Free a stream's place; what it computed stays in the prefix cache."""
        if self._running.pop(stream.rid, None):
            self._cache.hold([*stream.prompt, *stream.ids[: stream.sent]])
        elif stream in self._waiting:
            self._waiting.remove(stream)
        self._prefill.set()
