"""llama.cpp's child is killed, stopped, or loses its parent: who is told, and what goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import psutil
import pytest

from server.engine.base import EngineState, Sampling
from server.engine.errors import EngineStalled, EngineUnavailable
from server.engine.llamacpp import LlamaCppEngine
from server.vocabulary import Vocabulary
from tests.server.engine.llamacpp_cases import (
    NEEDS_XLLAMACPP,
    PATIENCE_S,
    busy_slots,
    child_pid,
    default_weights,
    generated,
    greedy,
    ready,
    ready_engine,
)

#: A stream far longer than what sockets hold, so that a child killed at its start cannot end it.
LONG_TOKENS = 2500
LONG = Sampling(max_tokens=LONG_TOKENS, temperature=0, seed=0, top_logprobs=100)


def assert_gone(pid: int) -> None:
    try:
        psutil.Process(pid).wait(timeout=5)
    except psutil.NoSuchProcess:
        return


async def test_generation_goes_on_after_the_child_is_killed_in_decode(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    prompt = tiny_vocabulary.encode("The quick brown fox")
    async with ready_engine(tiny_path, tiny_vocabulary, context_tokens=4096) as engine:
        uninterrupted = await generated(engine, prompt, LONG_TOKENS)
        first_pid = child_pid(engine)
        kept: list[int] = []
        killed = 0.0

        async def read_and_kill() -> None:
            nonlocal killed
            async with engine.generate(prompt, LONG, session="s") as stream:
                async for chunk in stream:
                    kept.extend(chunk.token_ids)
                    if not killed:
                        killed = time.monotonic()
                        os.kill(first_pid, signal.SIGKILL)

        with pytest.raises(EngineUnavailable):
            await read_and_kill()
        assert time.monotonic() - killed < 2
        assert engine.status().state is not EngineState.READY
        assert 0 < len(kept) < LONG_TOKENS
        await ready(engine)
        assert engine.status().restarts == 1
        assert child_pid(engine) != first_pid
        rest = await generated(engine, [*prompt, *kept], LONG_TOKENS - len(kept), "s")
        assert kept + rest == uninterrupted


async def test_a_child_that_lives_and_does_nothing_is_replaced(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    prompt = tiny_vocabulary.encode("The quick brown fox")
    async with ready_engine(
        tiny_path, tiny_vocabulary, context_tokens=4096, stall_timeout_s=1.0
    ) as engine:
        whole = await generated(engine, prompt, LONG_TOKENS)
        stopped = child_pid(engine)
        kept: list[int] = []

        async def read_and_stop() -> None:
            async with engine.generate(prompt, LONG, session="s") as stream:
                async for chunk in stream:
                    kept.extend(chunk.token_ids)
                    os.kill(stopped, signal.SIGSTOP)

        with anyio.fail_after(PATIENCE_S), pytest.raises(EngineStalled):
            await read_and_stop()
        with anyio.fail_after(PATIENCE_S):
            await engine.supervisor.changed()
        assert "stopped working: no token within 1 s" in engine.status().detail
        with pytest.raises(EngineUnavailable):
            await generated(engine, prompt, 1)
        await ready(engine)
        assert not psutil.pid_exists(stopped)
        assert engine.status().restarts == 1
        rest = await generated(engine, [*prompt, *kept], LONG_TOKENS - len(kept), "s")
        assert kept + rest == whole


async def test_all_streams_are_told_when_the_child_dies(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    prompt = tiny_vocabulary.encode("The quick brown fox")
    reading, told = 0, 0

    async def read(engine: LlamaCppEngine, session: str) -> None:
        nonlocal reading, told
        try:
            async with engine.generate(prompt, LONG, session=session) as stream:
                await anext(stream)
                reading += 1
                if reading == 2:
                    os.kill(child_pid(engine), signal.SIGKILL)
                async for _ in stream:
                    pass
        except EngineUnavailable:
            told += 1
        finally:
            engine.release(session)

    async with ready_engine(tiny_path, tiny_vocabulary, context_tokens=4096) as engine:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                # Two in slots, one that waits for a slot when it happens.
                for number in range(3):
                    group.start_soon(read, engine, f"s{number}")
        assert told == 3
        await ready(engine)
        assert len(await generated(engine, prompt, 4)) == 4


PARENT = """
import sys, anyio
from pathlib import Path
from server.engine.llamacpp import LlamaCppOptions, open_llamacpp
from server.vocabulary import Vocabulary

async def main():
    path = Path(sys.argv[1])
    options = LlamaCppOptions(model_path=path, slots=1, context_tokens=512, threads=1)
    async with open_llamacpp(options, Vocabulary.load(path)) as engine:
        await engine.wait_ready()
        sys.stdout.write(f"pid {engine.supervisor.child.process.pid}\\n")
        sys.stdout.flush()
        await anyio.sleep_forever()

anyio.run(main)
"""


def test_the_child_dies_with_a_parent_that_is_killed(tiny_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        words = next((line.split() for line in parent.stdout if line.startswith("pid ")), [])
        parent.kill()
    assert_gone(int(words[1]))


@pytest.mark.model
async def test_a_child_killed_in_prefill_is_noticed_at_once() -> None:
    path = default_weights()
    vocabulary = Vocabulary.load(path)
    prompt = vocabulary.encode("To be prefilled: " + "seven eight nine " * 150)
    async with ready_engine(path, vocabulary, context_tokens=512, slots=1) as engine:
        killed = 0.0

        async def kill_while_it_works() -> None:
            nonlocal killed
            while not await busy_slots(engine):
                await anyio.lowlevel.checkpoint()
            killed = time.monotonic()
            os.kill(child_pid(engine), signal.SIGKILL)

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(kill_while_it_works)
                with pytest.raises(EngineUnavailable):
                    async with engine.generate(prompt, greedy(4), session="s") as stream:
                        await anext(stream)
            assert time.monotonic() - killed < 2
        await ready(engine)
        assert len(await generated(engine, vocabulary.encode("1 2 3"), 4)) == 4
