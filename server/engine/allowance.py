"""Holds a stream to the tokens that were asked for, whatever the engine sends."""

from collections.abc import Callable

import structlog

from server.engine.base import Chunk, FinishReason

log = structlog.get_logger(__name__)


class Allowance:
    """How many tokens one stream may still bring; `exceeded` is called once, where it brings more.

    An engine that does not stop at `max_tokens` would fill the context, and the memory, of whoever
    reads it. Leaving the stream at the end that `held` makes up ends the request there.
    """

    def __init__(self, max_tokens: int, exceeded: Callable[[], None] = lambda: None) -> None:
        self._most = self._left = max_tokens
        self._exceeded = exceeded

    def held(self, chunk: Chunk) -> Chunk:
        """Return a chunk as it is, or cut to what is left, as the last one of its stream."""
        left = self._left
        self._left -= len(chunk.token_ids)
        if self._left >= 0:
            return chunk
        log.warning("engine.over_max_tokens", max_tokens=self._most)
        self._exceeded()
        return Chunk(
            chunk.token_ids[:left],
            chunk.logprobs[:left],
            chunk.top_logprobs[:left],
            FinishReason.LENGTH,
            exact=chunk.exact,
        )
