"""The engine interface: token ids in, a stream of chunks out.

Implementations: `server.engine.llamacpp` (llama.cpp in a child process), `server.engine.sglang`
(SGLang, in a child process or at a URL), `server.engine.openai` (servers of completions),
`server.engine.spread` (several as one), `server.engine.rehearsal_process` (attempts that are made
up, at a described machine's speed), `server.engine.scripted` (a script, for tests). One contract
suite runs over all: `tests/contract/test_engine.py`.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, groupby
from typing import Protocol

TopLogprobs = tuple[tuple[int, float], ...]
"""The k most likely tokens at one position: (id, natural-log probability), best first."""


class FinishReason(StrEnum):
    """Why the engine ended a stream by itself."""

    STOP = "stop"
    """An end token was sampled; it is the last id of the stream."""
    LENGTH = "length"
    """`max_tokens` or the context is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to sample. Everything is always sent: engines' own defaults differ.

    `temperature` 0 is greedy; `top_p` 1, `top_k` 0 and `min_p` 0 are off. `top_logprobs` k > 0 asks
    for the log-probability of each sampled token and of the k most likely ones, before temperature
    and truncation. `max_tokens` is at least 1.
    """

    max_tokens: int
    temperature: float
    seed: int
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event of the stream brought.

    `token_ids` has any length, zero too. `logprobs` and `top_logprobs` have its length where they
    were asked for, and are empty where not or where the engine lost them. `exact` is False when the
    engine sampled tokens here whose ids are unknown (absent) or likely but not certain. The last
    chunk of a stream that the engine ended has a `finish_reason`.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[TopLogprobs, ...] = ()
    finish_reason: FinishReason | None = None
    exact: bool = True


def merged(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Yield the same tokens in as few chunks as can say what these say."""
    for _, alike in groupby(chunks, lambda c: (bool(c.logprobs), bool(c.top_logprobs))):
        group = [*alike]
        yield (
            group[0]
            if len(group) == 1
            else Chunk(
                tuple(chain.from_iterable(chunk.token_ids for chunk in group)),
                tuple(chain.from_iterable(chunk.logprobs for chunk in group)),
                tuple(chain.from_iterable(chunk.top_logprobs for chunk in group)),
                group[-1].finish_reason,
                exact=all(chunk.exact for chunk in group),
            )
        )


class EngineState(StrEnum):
    """Where an engine process is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """State in a word and in a sentence; `restarts` counts deaths since the start."""

    state: EngineState
    detail: str
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What does not change while it runs: model name, tokens of context per stream, streams."""

    model: str
    context_tokens: int
    slots: int


Stream = AsyncIterator[Chunk]


class Engine(Protocol):
    """One language model. Methods are safe to call from many tasks at once."""

    @property
    def info(self) -> EngineInfo:
        """Model, context and slots."""
        ...

    def status(self) -> EngineStatus:
        """Return where it is now, without waiting."""
        ...

    async def wait_ready(self) -> None:
        """Return when it can serve. The caller bounds the wait.

        Raises:
            EngineFailed: it never will.
        """
        ...

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AbstractAsyncContextManager[Stream]:
        """Open a stream of sampled tokens; leaving the block aborts the request on the engine.

        `session` names the token list that grows from call to call, so that an engine that
        keeps prefixes by slot can keep this one's. Exhausting the iterator is not needed.

        Raises:
            EngineUnavailable, EngineStalled: before or during the stream; the ids received so far
                stand, and generation may go on from them.
            EngineRefused: the prompt is empty, too long, or has an id out of range; or
                `max_tokens` is under 1.
            EngineProtocolError: the stream is garbage.
            EngineFailed: it is gone for good.
        """
        ...

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return the natural-log probability of each of `ids[start:]` given all before it.

        `start` is at least 1. Errors as for `generate`.
        """
        ...

    def release(self, session: str) -> None:
        """Say that a session's token list will not grow again."""
        ...
