"""One suite over every engine: what `server.engine.base.Engine` promises."""

from collections.abc import AsyncIterator

import anyio
import pytest

from server.engine.base import Chunk, EngineState, FinishReason, Sampling
from server.engine.errors import EngineRefused
from tests.contract.engines import (
    Subject,
    default_llamacpp,
    fake_sglang,
    openai_llama,
    openai_vllm,
    rehearsal,
    scripted,
    tiny_llamacpp,
)

#: Far above what a request of these takes; bounds what would hang.
PATIENCE_S = 30

ENGINES = [
    pytest.param(scripted, id="scripted"),
    pytest.param(tiny_llamacpp, id="llamacpp-tiny"),
    pytest.param(default_llamacpp, id="llamacpp-default", marks=pytest.mark.model),
    pytest.param(fake_sglang(), id="sglang-fake-cumulative"),
    pytest.param(fake_sglang("--incremental-streaming-output"), id="sglang-fake"),
    pytest.param(rehearsal, id="rehearsal"),
    pytest.param(openai_llama, id="openai-llama"),
    pytest.param(openai_vllm, id="openai-vllm-fake"),
]


@pytest.fixture(scope="module", params=ENGINES)
async def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Subject]:
    async with request.param(tmp_path_factory.mktemp("engine")) as subject:
        yield subject


def greedy(max_tokens: int, top_logprobs: int = 0) -> Sampling:
    return Sampling(max_tokens=max_tokens, temperature=0, seed=0, top_logprobs=top_logprobs)


async def chunks_of(
    subject: Subject, prompt: list[int], sampling: Sampling, session: str = "alone"
) -> list[Chunk]:
    with anyio.fail_after(PATIENCE_S):
        async with subject.engine.generate(prompt, sampling, session=session) as stream:
            chunks = [chunk async for chunk in stream]
    subject.engine.release(session)
    return chunks


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [token_id for chunk in chunks for token_id in chunk.token_ids]


async def generated(
    subject: Subject, prompt: list[int], sampling: Sampling, session: str = "alone"
) -> list[int]:
    return ids_of(await chunks_of(subject, prompt, sampling, session))


async def read_some(subject: Subject, session: str, count: int) -> None:
    """Read from a long stream and leave it."""
    seen = 0
    async with subject.engine.generate(subject.endless, greedy(400), session=session) as stream:
        async for chunk in stream:
            seen += len(chunk.token_ids)
            if seen >= count:
                break
    assert seen >= count


async def assert_free(subject: Subject) -> None:
    """The engine works on nothing, and takes as many streams as it has slots."""
    with anyio.fail_after(5):
        while await subject.busy():
            await anyio.lowlevel.checkpoint()
    async with anyio.create_task_group() as group:
        for slot in range(subject.engine.info.slots):
            group.start_soon(generated, subject, subject.endless, greedy(2), f"free-{slot}")


async def test_it_is_ready_and_says_what_it_is(subject: Subject) -> None:
    with anyio.fail_after(PATIENCE_S):
        await subject.engine.wait_ready()
    assert subject.engine.status().state is EngineState.READY
    assert subject.engine.info.context_tokens >= 256
    assert subject.engine.info.slots == 2
    assert subject.engine.info.model


async def test_a_stream_ends_with_length_at_max_tokens_exactly(subject: Subject) -> None:
    chunks = await chunks_of(subject, subject.endless, greedy(24))
    ids = ids_of(chunks)
    assert len(ids) == 24
    assert all(0 <= token_id < subject.vocabulary_size for token_id in ids)
    assert not subject.end_ids & set(ids)
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason is FinishReason.LENGTH
    assert all(chunk.exact for chunk in chunks)


async def test_the_context_is_the_other_limit(subject: Subject) -> None:
    context_tokens = subject.engine.info.context_tokens
    prompt = (subject.endless * context_tokens)[: context_tokens - 3]
    chunks = await chunks_of(subject, prompt, greedy(50))
    assert len(ids_of(chunks)) <= 3
    if not subject.end_ids & set(ids_of(chunks)):
        assert len(ids_of(chunks)) == 3
        assert chunks[-1].finish_reason is FinishReason.LENGTH


async def test_a_stream_that_stops_has_the_end_token_as_its_last_id(subject: Subject) -> None:
    chunks = await chunks_of(subject, subject.stopping, subject.stopping_sampling)
    *before, last = ids_of(chunks)
    assert chunks[-1].finish_reason is FinishReason.STOP
    assert last in subject.end_ids
    assert not subject.end_ids & set(before)


async def test_greedy_is_deterministic_whatever_the_seed(subject: Subject) -> None:
    first = await generated(subject, subject.endless, greedy(16))
    other_seed = Sampling(max_tokens=16, temperature=0, seed=12345)
    assert await generated(subject, subject.endless, other_seed) == first


async def test_the_seed_decides_what_is_sampled(subject: Subject) -> None:
    async def sample(seed: int) -> tuple[int, ...]:
        sampling = Sampling(max_tokens=8, temperature=1, seed=seed)
        return tuple(await generated(subject, subject.varied, sampling))

    # The last is one that llama.cpp would take for "any seed".
    seeds = (1, 2, 2**31 - 1, 2**32 - 1)
    # A prompt that the engine keeps is computed in another batch, so to other last digits.
    await sample(0)
    first = [await sample(seed) for seed in seeds]
    assert [await sample(seed) for seed in seeds] == first
    assert len(set(first)) == len(seeds)


async def test_logprobs_come_where_asked_for(subject: Subject) -> None:
    chunks = await chunks_of(subject, subject.endless, greedy(8, top_logprobs=3))
    assert len(ids_of(chunks)) == 8
    for chunk in chunks:
        assert len(chunk.logprobs) == len(chunk.top_logprobs) == len(chunk.token_ids)
        for token_id, logprob, top in zip(
            chunk.token_ids, chunk.logprobs, chunk.top_logprobs, strict=True
        ):
            assert logprob <= 0
            assert 1 <= len(top) <= 3
            assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)
            # Greedy: what was sampled is the most likely.
            assert top[0] == (token_id, logprob)


async def test_logprobs_do_not_depend_on_the_temperature(subject: Subject) -> None:
    def sampling(temperature: float) -> Sampling:
        return Sampling(max_tokens=1, temperature=temperature, seed=3, top_logprobs=1)

    cold = await chunks_of(subject, subject.varied, sampling(0))
    hot = await chunks_of(subject, subject.varied, sampling(5))
    cold_best, hot_best = cold[0].top_logprobs[0][0], hot[0].top_logprobs[0][0]
    assert cold_best[1] == pytest.approx(hot_best[1], abs=max(subject.logprob_tolerance, 1e-6))


async def test_no_logprobs_where_not_asked_for(subject: Subject) -> None:
    chunks = await chunks_of(subject, subject.endless, greedy(4))
    assert all(chunk.logprobs == () and chunk.top_logprobs == () for chunk in chunks)


async def test_leaving_a_stream_early_frees_the_engine(subject: Subject) -> None:
    with anyio.fail_after(PATIENCE_S):
        for turn in range(2):
            await read_some(subject, f"leaver-{turn}", 4)
            await assert_free(subject)


async def test_leaving_a_stream_unread_frees_the_engine(subject: Subject) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with subject.engine.generate(subject.endless, greedy(400), session="unread"):
            pass
        await assert_free(subject)


async def test_cancellation_in_mid_stream_frees_the_engine(subject: Subject) -> None:
    reading = anyio.Event()

    async def read() -> None:
        async with subject.engine.generate(subject.endless, greedy(400), session="gone") as stream:
            async for chunk in stream:
                if chunk.token_ids:
                    reading.set()

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await reading.wait()
            group.cancel_scope.cancel()
        await assert_free(subject)


async def test_an_error_of_the_callers_own_passes_through(subject: Subject) -> None:
    async def break_off() -> None:
        async with subject.engine.generate(
            subject.endless, greedy(400), session="breaks"
        ) as stream:
            async for _ in stream:
                raise ZeroDivisionError

    with anyio.fail_after(PATIENCE_S):
        with pytest.raises(ZeroDivisionError):
            await break_off()
        await assert_free(subject)


@pytest.mark.parametrize("contexts", [0, 1, 20])
async def test_a_prompt_of_so_many_contexts_is_refused(subject: Subject, contexts: int) -> None:
    length = contexts * subject.engine.info.context_tokens
    with pytest.raises(EngineRefused, match="prompt"):
        await generated(subject, [1] * length, greedy(1))
    with pytest.raises(EngineRefused, match="prompt"):
        await subject.engine.score([1] * length, 1)


@pytest.mark.parametrize("place", [0, 1, -1])
async def test_an_id_out_of_range_is_refused(subject: Subject, place: int) -> None:
    for wrong in (-1, -(2**40), subject.vocabulary_size, 2**31, 2**70):
        prompt = list(subject.endless)
        prompt[place] = wrong
        with pytest.raises(EngineRefused, match="token id"):
            await generated(subject, prompt, greedy(1))


@pytest.mark.parametrize("max_tokens", [0, -1])
async def test_no_tokens_at_all_are_refused(subject: Subject, max_tokens: int) -> None:
    with pytest.raises(EngineRefused, match="max_tokens"):
        await generated(subject, subject.endless, greedy(max_tokens))


async def test_more_sessions_than_slots_all_get_their_own_tokens(subject: Subject) -> None:
    alone = await generated(subject, subject.endless, greedy(6))
    results: dict[str, list[int]] = {}

    async def run(session: str) -> None:
        results[session] = await generated(subject, subject.endless, greedy(6), session)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(run, f"crowd-{number}")
    assert results == {f"crowd-{number}": alone for number in range(5)}


async def test_a_sessions_list_grows_from_turn_to_turn(subject: Subject) -> None:
    once = await generated(subject, subject.endless, greedy(12))
    ids = list(subject.endless)
    for _ in range(3):
        async with subject.engine.generate(ids, greedy(4), session="grows") as stream:
            ids += [token_id async for chunk in stream for token_id in chunk.token_ids]
    subject.engine.release("grows")
    assert len(ids) == len(subject.endless) + 12
    if subject.logprob_tolerance:
        # A model goes on from what it said; a script starts anew.
        assert ids[len(subject.endless) :] == once


async def test_score_agrees_with_what_generation_reported(subject: Subject) -> None:
    chunks = await chunks_of(subject, subject.varied, greedy(6, top_logprobs=1))
    reported = [logprob for chunk in chunks for logprob in chunk.logprobs]
    ids = [*subject.varied, *ids_of(chunks)]
    with anyio.fail_after(PATIENCE_S):
        scored = await subject.engine.score(ids, len(subject.varied))
    assert scored == pytest.approx(reported, abs=subject.logprob_tolerance)
    assert len(scored) == 6


async def test_score_bounds(subject: Subject) -> None:
    ids = subject.varied
    for wrong in (-1, 0, len(ids) + 1):
        with pytest.raises(EngineRefused, match="start"):
            await subject.engine.score(ids, wrong)
    assert await subject.engine.score(ids, len(ids)) == []
