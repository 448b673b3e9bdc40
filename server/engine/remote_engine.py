"""What engines behind HTTP have in common: checks of requests, state, and counts of faults."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Generic, TypeVar

from server.engine.allowance import Allowance
from server.engine.base import EngineInfo, EngineState, EngineStatus, Sampling
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.lifecycle import Lifecycle
from server.engine.remote import RemoteServer
from server.vocabulary import Vocabulary

Server = TypeVar("Server", bound=RemoteServer)


class RemoteEngine(Generic[Server]):
    """Base of the engines that are one server at a time; `faults` counts errors by their names.

    `over_max_tokens` are streams that brought more than was asked for.
    """

    def __init__(self, info: EngineInfo, vocabulary: Vocabulary) -> None:
        self._info = info
        self._vocabulary = vocabulary
        self._server: Server | None = None
        self.faults: Counter[str] = Counter()
        self.life: Lifecycle

    @property
    def info(self) -> EngineInfo:
        """Model, context per stream, streams."""
        return self._info

    def status(self) -> EngineStatus:
        """State of the server."""
        return self.life.status()

    async def wait_ready(self) -> None:
        """Return when the server has answered a generation; the caller bounds the wait."""
        await self.life.wait_ready()

    def release(self, session: str) -> None:
        """Nothing is kept by session: the server's prefix cache goes by token ids."""

    @property
    def server(self) -> Server:
        """The server that is ready now; raises the errors of `Engine.generate` where none is."""
        return self._running_server()

    def _running_server(self) -> Server:
        status = self.status()
        if status.state in (EngineState.FAILED, EngineState.STOPPED):
            raise EngineFailed(status.detail)
        if self._server is None or status.state is not EngineState.READY:
            raise EngineUnavailable(status.detail)
        return self._server

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            self.faults[type(error).__name__] += 1
            if isinstance(error, EngineStalled | EngineProtocolError):
                self.life.doubt()
            raise

    def _allowance(self, sampling: Sampling) -> Allowance:
        """Return what holds a stream to the tokens of a checked request."""

        def count() -> None:
            self.faults["over_max_tokens"] += 1

        return Allowance(sampling.max_tokens, count)

    def _within(self, prompt: Sequence[int], sampling: Sampling) -> Sampling:
        """Check a request; return its sampling with no more tokens than there is room for."""
        self._check(prompt)
        if sampling.max_tokens < 1:
            raise EngineRefused(f"max_tokens {sampling.max_tokens}: must be at least 1")
        room = self._info.context_tokens - len(prompt)
        return replace(sampling, max_tokens=min(sampling.max_tokens, room))

    def _check_score(self, ids: Sequence[int], start: int) -> None:
        self._check(ids)
        if not 1 <= start <= len(ids):
            raise EngineRefused(f"start {start}: must be from 1 to the number of ids ({len(ids)})")

    def _check(self, prompt: Sequence[int]) -> None:
        if not prompt:
            raise EngineRefused("the prompt is empty: give at least one token id")
        if len(prompt) >= self._info.context_tokens:
            raise EngineRefused(
                f"a prompt of {len(prompt)} tokens: must be under the context of "
                f"{self._info.context_tokens}; raise engine.context_tokens"
            )
        worst = min(prompt) if min(prompt) < 0 else max(prompt)
        if not 0 <= worst < self._vocabulary.size:
            raise EngineRefused(
                f"token id {worst}: must be from 0 to {self._vocabulary.size - 1}; "
                "encode with this model's vocabulary"
            )
