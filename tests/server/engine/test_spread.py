"""Several engines as one: sessions stay where their prefix is, and move when they must."""

import random
from collections.abc import Iterable
from contextlib import AsyncExitStack

import anyio
import pytest

from server.engine.base import EngineState, Sampling
from server.engine.errors import EngineFailed, EngineUnavailable
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.engine.spread import SpreadEngine

SAMPLING = Sampling(max_tokens=1, temperature=0, seed=0)


def play(request: StreamRequest) -> Iterable[Step]:
    del request
    yield [1]


def engines(count: int) -> list[ScriptedEngine]:
    return [ScriptedEngine(play, 10, context_tokens=100 + i, slots=2) for i in range(count)]


async def once(spread: SpreadEngine, session: str) -> None:
    async with spread.generate([1], SAMPLING, session=session) as stream:
        assert [chunk.token_ids async for chunk in stream] == [(1,)]


def counts(parts: list[ScriptedEngine]) -> list[int]:
    return [len(part.requests) for part in parts]


async def test_a_session_stays_at_its_engine() -> None:
    parts = engines(3)
    spread = SpreadEngine(parts)
    order = random.Random(1).choices(["a", "b", "c"], k=60)
    for session in order:
        await once(spread, session)
    for part in parts:
        assert len({request.session for request in part.requests}) == 1
    assert sum(counts(parts)) == 60


async def test_streams_are_spread_evenly() -> None:
    parts = engines(2)
    spread = SpreadEngine(parts)
    async with AsyncExitStack() as stack:
        for number in range(6):
            opening = spread.generate([1], SAMPLING, session=f"s-{number}")
            await stack.enter_async_context(opening)
        assert counts(parts) == [3, 3]


async def test_a_death_moves_sessions_and_a_return_is_noticed() -> None:
    parts = engines(2)
    spread = SpreadEngine(parts)
    await once(spread, "a")
    parts[0].up = anyio.Event()
    await once(spread, "a")
    assert counts(parts) == [1, 1]
    assert spread.status().state is EngineState.READY
    assert "1 of 2" in spread.status().detail
    assert "script says to wait" in spread.status().detail
    parts[0].up.set()
    await once(spread, "a")
    await once(spread, "b")
    assert counts(parts) == [2, 2]


async def test_it_waits_for_whichever_is_ready_first() -> None:
    parts = engines(2)
    spread = SpreadEngine(parts)
    for part in parts:
        part.up = anyio.Event()
    with pytest.raises(EngineUnavailable):
        await once(spread, "a")
    parts[0].failed = "it is broken"
    async with anyio.create_task_group() as group:
        group.start_soon(spread.wait_ready)
        await anyio.lowlevel.checkpoint()
        assert spread.status().state is EngineState.RESTARTING
        assert parts[1].up is not None
        parts[1].up.set()
    await once(spread, "a")
    assert counts(parts) == [0, 1]


async def test_it_fails_when_all_have() -> None:
    parts = engines(2)
    spread = SpreadEngine(parts)
    parts[0].failed, parts[1].failed = "the first reason", "the second reason"
    with pytest.raises(EngineFailed, match=r"the first reason; the second reason"):
        await spread.wait_ready()
    for call in (once(spread, "a"), spread.score([1, 2], 1)):
        with pytest.raises(EngineFailed, match="the second reason"):
            await call
    assert spread.status().state is EngineState.FAILED


async def test_what_it_says_of_itself() -> None:
    parts = engines(2)
    spread = SpreadEngine(parts)
    assert (spread.info.context_tokens, spread.info.slots) == (100, 4)
    assert await spread.score([1, 2, 3], 1) == [0.0, 0.0]
    await once(spread, "a")
    spread.release("a")
    spread.release("never seen")
    assert spread._places == {}
