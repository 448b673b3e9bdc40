"""llama.cpp beyond the contract: exact ids, prefixes prefilled once, deaths, damaged weights."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from server.engine import llamacpp
from server.engine.base import Chunk, EngineState, Sampling
from server.engine.errors import EngineFailed, EngineStalled, EngineUnavailable
from server.engine.llamacpp import LlamaCppEngine, LlamaCppOptions, open_llamacpp
from server.engine.llamacpp_http import completion_body
from server.engine.prefixes import WORTH_TOKENS
from server.vocabulary import Vocabulary
from tests.server.engine.llamacpp_cases import (
    NEEDS_XLLAMACPP,
    busy_slots,
    child_pid,
    default_weights,
    metric,
    ready_engine,
    until_idle,
)
from tests.server.engine.tiny_llama import CONTEXT_TOKENS

#: Emoji and rare characters, whose bytes are tokens of their own in every small vocabulary.
RARE = "😀鱻🧮"
PATIENCE_S = 30
#: A stream far longer than what sockets hold, so that a child killed at its start cannot end it.
LONG_TOKENS = 2500
LONG = Sampling(max_tokens=LONG_TOKENS, temperature=0, seed=0, top_logprobs=100)


@pytest.fixture(scope="module")
async def tiny(tiny_path: Path, tiny_vocabulary: Vocabulary) -> AsyncIterator[LlamaCppEngine]:
    async with ready_engine(tiny_path, tiny_vocabulary, slots=4) as engine:
        yield engine


@pytest.fixture(scope="module")
async def default() -> AsyncIterator[LlamaCppEngine]:
    path = default_weights()
    async with ready_engine(path, Vocabulary.load(path), context_tokens=512) as engine:
        yield engine


@pytest.fixture(
    params=[
        pytest.param("tiny", id="tiny"),
        pytest.param("default", id="default", marks=pytest.mark.model),
    ]
)
def engine(request: pytest.FixtureRequest) -> LlamaCppEngine:
    engine: LlamaCppEngine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def grammar(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes llama.cpp sample nothing but this text."""
    plain = completion_body

    def write_only(text: str) -> None:
        def body(prompt: list[int], sampling: Sampling, slot: int) -> dict[str, Any]:
            return {**plain(prompt, sampling, slot), "grammar": f'root ::= "{text}"'}

        monkeypatch.setattr(llamacpp, "completion_body", body)

    return write_only


def greedy(max_tokens: int, top_logprobs: int = 0) -> Sampling:
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


def truncated(whole: Path, path: Path) -> Path:
    """Write the first two thirds of a file, and return where."""
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def assert_gone(pid: int) -> None:
    try:
        psutil.Process(pid).wait(timeout=5)
    except psutil.NoSuchProcess:
        return


async def ready(engine: LlamaCppEngine) -> None:
    with anyio.fail_after(PATIENCE_S):
        await engine.wait_ready()


@pytest.mark.parametrize("text", [*RARE, RARE, f"a{RARE}b", "x = 1  # ≤ ∑ é"])
async def test_no_text_is_lost_inside_characters(
    engine: LlamaCppEngine, grammar: Callable[[str], None], text: str
) -> None:
    vocabulary = engine._vocabulary
    grammar(text)
    chunks = await chunks_of(engine, vocabulary.encode("Hello"), greedy(64, top_logprobs=1))
    *ids, end = [token_id for chunk in chunks for token_id in chunk.token_ids]
    assert end in vocabulary.eos_ids
    assert vocabulary.decode(ids) == text
    for chunk in chunks:
        assert len(chunk.logprobs) in (0, len(chunk.token_ids))


async def test_recovered_ids_are_the_sampled_ones(
    tiny: LlamaCppEngine, grammar: Callable[[str], None]
) -> None:
    """A character that has one spelling only, in three tokens: its ids are certain."""
    vocabulary = tiny._vocabulary
    ways = [vocabulary.spell("鱻".encode(), count) for count in (1, 2, 3)]
    assert list(map(len, ways)) == [0, 0, 1]
    grammar("鱻")
    chunks = await chunks_of(tiny, vocabulary.encode("Hello"), greedy(8))
    ids = [token_id for chunk in chunks for token_id in chunk.token_ids]
    assert tuple(ids[:-1]) == ways[2][0]
    assert all(chunk.exact for chunk in chunks)


async def test_every_kind_of_token_has_a_score(engine: LlamaCppEngine) -> None:
    vocabulary = engine._vocabulary
    prompt = vocabulary.encode("Hello")
    ((partial,), *_) = vocabulary.spell(b"\xf0", 1)
    for token_id in (partial, vocabulary.control("<|im_end|>"), vocabulary.encode(" a")[0]):
        with anyio.fail_after(PATIENCE_S):
            (logprob,) = await engine.score([*prompt, token_id], len(prompt))
        assert -100 < logprob < 0


async def test_scores_are_of_one_distribution(tiny: LlamaCppEngine) -> None:
    """All tokens' probabilities sum to one, those that only a wide look finds too."""
    prompt = tiny._vocabulary.encode("The quick")
    total = 0.0
    for token_id in range(tiny._vocabulary.size):
        (logprob,) = await tiny.score([*prompt, token_id], len(prompt))
        total += math.exp(logprob)
    assert total == pytest.approx(1, abs=1e-3)


async def test_a_prompt_is_prefilled_once_for_all_sessions(tiny: LlamaCppEngine) -> None:
    prompt = tiny._vocabulary.encode("A prompt that no other test has: " + "one two three " * 30)
    assert len(prompt) > 4 * WORTH_TOKENS
    before = await metric(tiny, "prompt_tokens_total")
    results: list[list[int]] = []

    async def run(session: str) -> None:
        results.append(await generated(tiny, prompt, 4, session))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(run, f"shared-{number}")
    for number in range(4):
        tiny.release(f"shared-{number}")
    prefilled = await metric(tiny, "prompt_tokens_total") - before
    # Each session computes the last token anew, for its logits.
    assert len(prompt) <= prefilled <= len(prompt) + 4
    assert results == results[:1] * 4


async def test_what_a_prompt_shares_with_an_earlier_one_is_not_prefilled(
    tiny: LlamaCppEngine,
) -> None:
    encode = tiny._vocabulary.encode
    system = encode("Another prompt of its own: " + "four five six " * 30)
    await generated(tiny, [*system, *encode(" first problem")], 4, "first")
    # The first session's slot is its own, so the second one starts from the saved state.
    before = await metric(tiny, "prompt_tokens_total")
    problem = encode(" second problem")
    await generated(tiny, [*system, *problem], 4, "second")
    prefilled = await metric(tiny, "prompt_tokens_total") - before
    tiny.release("first")
    tiny.release("second")
    assert prefilled <= len(problem) + 2


async def test_each_later_turn_computes_only_what_is_new(engine: LlamaCppEngine) -> None:
    encode = engine._vocabulary.encode
    ids = encode("Once upon a time there was a number, and its name was")
    ids += await generated(engine, ids, 8, "turns")
    for turn in range(3):
        appended = encode(f" (turn {turn})")
        ids += appended
        before = await metric(engine, "prompt_tokens_total")
        ids += await generated(engine, ids, 8, "turns")
        prefilled = await metric(engine, "prompt_tokens_total") - before
        # The last sampled token was never put into the slot.
        assert prefilled <= len(appended) + 1
    engine.release("turns")


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


async def test_damaged_weights_fail_soon_with_the_reason(
    tiny_path: Path, tiny_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    damaged = truncated(tiny_path, tmp_path / "damaged.gguf")
    others = set(psutil.Process().children())
    options = LlamaCppOptions(model_path=damaged, slots=1, context_tokens=512, threads=1)
    with anyio.fail_after(10):
        async with open_llamacpp(options, tiny_vocabulary) as engine:
            # llama.cpp writes its log on a thread of its own: the reason may not be out at its end.
            with pytest.raises(EngineFailed, match=r"corrupted or incomplete|did not start"):
                await engine.wait_ready()
            assert engine.status().state is EngineState.FAILED
            assert "damaged" in engine.status().detail
            assert set(psutil.Process().children()) <= others


async def test_a_context_that_the_model_does_not_have_is_refused_at_once(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    pytest.importorskip("xllamacpp", reason=NEEDS_XLLAMACPP)
    options = LlamaCppOptions(
        model_path=tiny_path, slots=1, context_tokens=CONTEXT_TOKENS + 1, threads=1
    )
    with anyio.fail_after(10):
        async with open_llamacpp(options, tiny_vocabulary) as engine:
            with pytest.raises(EngineFailed, match=r"context_tokens 4097: tiny .* 4096 tokens"):
                await engine.wait_ready()
            assert engine.status().restarts == 0


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
async def test_closing_a_stream_stops_the_decode_at_once(default: LlamaCppEngine) -> None:
    prompt = default._vocabulary.encode("1 2 3 4 5 6 7 8 9 10 11 12")
    before = await metric(default, "tokens_predicted_total")
    seen = 0
    async with default.generate(prompt, greedy(400), session="leaves") as stream:
        async for chunk in stream:
            seen += len(chunk.token_ids)
            if seen >= 8:
                break
    await until_idle(default, within_s=2)
    after = await metric(default, "tokens_predicted_total")
    assert after - before - seen <= 3
    default.release("leaves")


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
