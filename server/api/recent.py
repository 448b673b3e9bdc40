"""What many ask at once is read once."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Value]):
    value: Value
    until: float
    weight: int


class Recent(Generic[Key, Value]):
    """Keeps what was read for `keep_s` seconds more, and lets one caller read for all that wait.

    A caller that is cancelled while it reads leaves the reading to the next one. What fails is not
    kept. At most `most` values of at most `most_bytes` together are kept, the oldest go first;
    `weigh` says about how many bytes of memory a value takes.
    """

    def __init__(
        self, keep_s: float, most: int, most_bytes: int, weigh: Callable[[Value], int]
    ) -> None:
        self._keep_s = keep_s
        self._most = most
        self._most_bytes = most_bytes
        self._weigh = weigh
        self._bytes = 0
        self._kept: dict[Key, _Kept[Value]] = {}
        self._reading: dict[Key, anyio.Lock] = {}
        self._generation = 0

    def forget(self) -> None:
        """Drop everything, also what is being read now: it may have changed."""
        self._generation += 1
        self._kept.clear()
        self._bytes = 0
        self._reading.clear()

    async def get(self, key: Key, read: Callable[[], Awaitable[Value]]) -> Value:
        """Return what is kept of a key, or read it."""
        if (kept := self._fresh(key)) is not None:
            return kept.value
        lock = self._reading.setdefault(key, anyio.Lock())
        try:
            async with lock:
                if (kept := self._fresh(key)) is not None:
                    return kept.value
                generation = self._generation
                value = await read()
                if generation == self._generation:
                    until = time.monotonic() + self._keep_s
                    self._keep(key, _Kept(value, until, self._weigh(value)))
                return value
        finally:
            # Whoever goes last, read or not, leaves nothing.
            if self._reading.get(key) is lock and not lock.locked():
                del self._reading[key]

    def _fresh(self, key: Key) -> _Kept[Value] | None:
        kept = self._kept.get(key)
        return kept if kept is not None and time.monotonic() < kept.until else None

    def _keep(self, key: Key, kept: _Kept[Value]) -> None:
        self._drop(key)
        self._kept[key] = kept
        self._bytes += kept.weight
        # In the order of their ends: the first ones are the oldest.
        now = time.monotonic()
        while self._kept:
            oldest = next(iter(self._kept))
            bounded = len(self._kept) <= self._most and self._bytes <= self._most_bytes
            if bounded and now < self._kept[oldest].until:
                break
            self._drop(oldest)

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.weight
