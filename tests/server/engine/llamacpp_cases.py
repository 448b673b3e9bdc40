"""llama.cpp engines for tests: of the tiny model, and of the default weights where they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from server.engine.base import Chunk, Sampling
from server.engine.llamacpp import LlamaCppEngine, LlamaCppOptions, open_llamacpp
from server.vocabulary import Vocabulary
from server.weights import DEFAULT, WeightsError, resolve

#: For anything that ends by itself, in seconds.
PATIENCE_S = 30
NEEDS_XLLAMACPP = "needs the embedded engine (extra: embedded)"


def default_weights() -> Path:
    """Return the path of the default weights, or skip the test."""
    try:
        return resolve(DEFAULT.name)
    except WeightsError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def ready_engine(
    model: Path,
    vocabulary: Vocabulary,
    *,
    slots: int = 2,
    context_tokens: int = 2048,
    threads: int = 1,
    ready_s: float = 60,
    stall_timeout_s: float = 60,
) -> AsyncIterator[LlamaCppEngine]:
    """Run an engine and yield it once it is ready."""
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    options = LlamaCppOptions(
        model_path=model,
        slots=slots,
        context_tokens=context_tokens,
        threads=threads,
        stall_timeout_s=stall_timeout_s,
    )
    async with open_llamacpp(options, vocabulary) as engine:
        with anyio.fail_after(ready_s):
            await engine.wait_ready()
        yield engine


async def busy_slots(engine: LlamaCppEngine) -> int:
    """Return how many slots work, as llama.cpp itself says."""
    reply = await _client(engine).get("/slots")
    return sum(slot["is_processing"] for slot in reply.raise_for_status().json())


async def metric(engine: LlamaCppEngine, name: str) -> float:
    """Return one of llama.cpp's own counters; a request counts when it has ended."""
    reply = await _client(engine).get("/metrics")
    lines = [line.split() for line in reply.raise_for_status().text.splitlines()]
    return next(float(words[1]) for words in lines if words[0] == f"llamacpp:{name}")


async def until_idle(engine: LlamaCppEngine, within_s: float) -> None:
    """Return when no slot works any more."""
    with anyio.fail_after(within_s):
        while await busy_slots(engine):
            await anyio.lowlevel.checkpoint()


def child_pid(engine: LlamaCppEngine) -> int:
    """Return the id of the process that serves now."""
    assert engine.supervisor.child is not None
    return engine.supervisor.child.process.pid


def _client(engine: LlamaCppEngine) -> httpx.AsyncClient:
    assert engine._server is not None
    return engine._server._http


def greedy(max_tokens: int, top_logprobs: int = 0) -> Sampling:
    """Return the sampling at temperature 0."""
    return Sampling(max_tokens=max_tokens, temperature=0, seed=0, top_logprobs=top_logprobs)


async def chunks_of(
    engine: LlamaCppEngine, prompt: list[int], sampling: Sampling, session: str = "alone"
) -> list[Chunk]:
    with anyio.fail_after(PATIENCE_S):
        async with engine.generate(prompt, sampling, session=session) as stream:
            return [chunk async for chunk in stream]


async def generated(
    engine: LlamaCppEngine, prompt: list[int], max_tokens: int, session: str = "alone"
) -> list[int]:
    chunks = await chunks_of(engine, prompt, greedy(max_tokens), session)
    return [token_id for chunk in chunks for token_id in chunk.token_ids]


async def ready(engine: LlamaCppEngine) -> None:
    with anyio.fail_after(PATIENCE_S):
        await engine.wait_ready()
