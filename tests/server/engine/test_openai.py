"""The engine of `/v1/completions`: faults over real HTTP, and what servers differ in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from server.engine.base import EngineState, FinishReason, Sampling
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.openai import CompletionReader, OpenaiEngine
from server.engine.openai_dialects import KNOWN
from server.vocabulary import Vocabulary
from tests.server.engine.fake_vllm_server import FAULTS, event
from tests.server.engine.llamacpp_cases import ready_engine
from tests.server.engine.openai_cases import address_of, attached, fake_vllm, ready

PLACES = list(FAULTS)
BOUND_S = 30
ERRORS: dict[str, type[EngineError]] = {
    "status_400": EngineRefused,
    "status_404": EngineRefused,
    "status_500": EngineProtocolError,
    "status_503": EngineUnavailable,
    "status_200_503": EngineUnavailable,
    "error_event_400": EngineRefused,
    "error_event_500": EngineProtocolError,
    "error_event_without_code": EngineRefused,
    "aborted": EngineUnavailable,
    "garbage_event": EngineProtocolError,
    "event_is_no_object": EngineProtocolError,
    "event_lacks_choices": EngineProtocolError,
    "ids_are_missing": EngineProtocolError,
    "invalid_utf8": EngineProtocolError,
    "id_too_large": EngineProtocolError,
    "id_negative": EngineProtocolError,
    "id_is_text": EngineProtocolError,
    "unknown_finish": EngineProtocolError,
    "ends_before_the_last_event": EngineUnavailable,
    "ends_in_mid_event": EngineUnavailable,
    "silent_in_mid_stream": EngineStalled,
    "pings_in_mid_stream": EngineStalled,
}
DEATHS = {"dies_in_prefill", "dies_in_decode", "dies_at_abort"}
SAMPLING = Sampling(max_tokens=8, temperature=0, seed=0)


@pytest.fixture(scope="module")
async def engine(tiny_vocabulary: Vocabulary) -> AsyncIterator[OpenaiEngine]:
    with fake_vllm(tiny_vocabulary) as url:
        async with attached(url, tiny_vocabulary, stall_timeout_s=2) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
            yield engine


async def ids_from(engine: OpenaiEngine, first: int) -> list[int]:
    async with engine.generate([first], SAMPLING, session="s") as stream:
        return [token_id async for chunk in stream for token_id in chunk.token_ids]


def test_each_fault_has_its_error() -> None:
    assert set(FAULTS) == {"works", "brings_too_many", *ERRORS, *DEATHS}


@pytest.mark.parametrize("name", ERRORS)
async def test_a_fault_is_the_right_error_in_bounded_time(engine: OpenaiEngine, name: str) -> None:
    counted = engine.faults[ERRORS[name].__name__]
    with anyio.fail_after(BOUND_S), pytest.raises(EngineError) as caught:
        # A stall waits for the slowest prefill of the prompt too, which is one token.
        await ids_from(engine, PLACES.index(name))
    assert type(caught.value) is ERRORS[name]
    if name.startswith(("status", "error_event")):
        assert "it says why" in str(caught.value)
    assert engine.faults[ERRORS[name].__name__] == counted + 1
    assert engine.status().state is EngineState.READY
    assert len(await ids_from(engine, 300)) == 8


async def test_tokens_that_were_not_asked_for_are_not_passed_on(engine: OpenaiEngine) -> None:
    counted = engine.faults["over_max_tokens"]
    assert await ids_from(engine, PLACES.index("brings_too_many")) == [5] * 8
    assert engine.faults["over_max_tokens"] == counted + 1


@pytest.mark.parametrize("name", sorted(DEATHS))
async def test_a_death_is_noticed_at_once_and_a_return_too(
    tiny_vocabulary: Vocabulary, name: str
) -> None:
    with fake_vllm(tiny_vocabulary) as url:
        async with attached(url, tiny_vocabulary) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
                if name == "dies_at_abort":
                    prompt = [PLACES.index(name)]
                    async with engine.generate(prompt, SAMPLING, session="s") as stream:
                        await anext(stream)
                    while engine.status().state is EngineState.READY:
                        await engine.life.confirm_death()
                else:
                    with pytest.raises(EngineUnavailable):
                        await ids_from(engine, PLACES.index(name))
                assert engine.status().state is EngineState.RESTARTING
                with pytest.raises(EngineUnavailable, match="was lost"):
                    await ids_from(engine, 300)
            port = url.rpartition(":")[2]
            with fake_vllm(tiny_vocabulary, f"--port={port}"), anyio.fail_after(BOUND_S):
                await engine.wait_ready()
                assert len(await ids_from(engine, 300)) == 8
            assert engine.status().restarts == 1


async def test_a_server_that_gives_no_ids_is_refused(tiny_vocabulary: Vocabulary) -> None:
    with fake_vllm(tiny_vocabulary, "--gives-no-ids") as url:
        async with attached(url, tiny_vocabulary) as engine:
            with anyio.fail_after(BOUND_S), pytest.raises(EngineFailed, match="no token ids"):
                await engine.wait_ready()


async def test_a_server_that_lists_no_model_yet_is_waited_for(tiny_vocabulary: Vocabulary) -> None:
    with fake_vllm(tiny_vocabulary, "--lists-nothing-at-first") as url:
        async with ready(url, tiny_vocabulary) as engine:
            assert len(await ids_from(engine, 300)) == 8


@pytest.mark.parametrize(
    "name", ["status_500", "error_event_500", "garbage_event", "event_lacks_choices"]
)
async def test_a_fault_in_the_first_generation_may_pass(
    tiny_vocabulary: Vocabulary, name: str
) -> None:
    """Only ids that are missing or another model's are a reason never to ask again."""
    with fake_vllm(tiny_vocabulary, f"--first-fault={name}") as url:
        async with ready(url, tiny_vocabulary) as engine:
            assert len(await ids_from(engine, 300)) == 8


@pytest.mark.parametrize("name", ["ids_are_missing", "id_too_large"])
async def test_ids_that_cannot_be_read_do_not_pass(tiny_vocabulary: Vocabulary, name: str) -> None:
    with fake_vllm(tiny_vocabulary, f"--first-fault={name}") as url:
        async with attached(url, tiny_vocabulary) as engine:
            with anyio.fail_after(BOUND_S), pytest.raises(EngineFailed, match="no token ids"):
                await engine.wait_ready()


async def test_a_context_that_the_server_lacks_is_refused(tiny_vocabulary: Vocabulary) -> None:
    with fake_vllm(tiny_vocabulary) as url:
        async with attached(url, tiny_vocabulary, context_tokens=600) as engine:
            with anyio.fail_after(BOUND_S), pytest.raises(EngineFailed, match="context of 512"):
                await engine.wait_ready()


async def test_a_wrong_key_of_a_real_server_is_said(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    async with ready_engine(tiny_path, tiny_vocabulary, context_tokens=512) as llama:
        url, _ = address_of(llama)
        async with attached(url, tiny_vocabulary, api_key="wrong") as engine:
            with anyio.fail_after(BOUND_S), pytest.raises(EngineFailed, match=r"engine\.api_key"):
                await engine.wait_ready()


async def test_the_death_of_a_real_server_is_noticed_at_once(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    # The tiny model needs half a second for all it may write: on a busy machine it can be done
    # before it is killed. That is no death in the middle, and is tried again.
    while not await _noticed_in_mid_stream(tiny_path, tiny_vocabulary):
        pass


async def _noticed_in_mid_stream(path: Path, vocabulary: Vocabulary) -> bool:
    """Kill a server after its first token; return False where its last one had come by then."""
    async with ready_engine(path, vocabulary, context_tokens=2048) as llama:
        url, key = address_of(llama)
        async with attached(url, vocabulary, api_key=key) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
            assert llama.supervisor.child is not None
            endless = replace(SAMPLING, max_tokens=2000)
            finish = None
            try:
                async with engine.generate(
                    vocabulary.encode("The quick"), endless, session="s"
                ) as stream:
                    await anext(stream)
                    llama.supervisor.child.process.kill()
                    async for chunk in stream:
                        finish = chunk.finish_reason
            except EngineUnavailable:
                assert engine.status().state is EngineState.RESTARTING
                return True
            assert finish is FinishReason.LENGTH
            return False


async def test_ids_lost_inside_a_character_are_owned_up_to(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    """llama-server shows one event for a character of several tokens."""
    async with ready_engine(tiny_path, tiny_vocabulary, context_tokens=512) as llama:
        url, key = address_of(llama)
        async with ready(url, tiny_vocabulary, key) as engine:
            plain = engine._body

            def body(prompt: list[int], sampling: Sampling) -> dict[str, Any]:
                return plain(prompt, sampling) | {"grammar": 'root ::= "a鱻b"'}

            engine._body = body  # type: ignore[method-assign]
            with anyio.fail_after(BOUND_S):
                async with engine.generate([1, 2], SAMPLING, session="s") as stream:
                    chunks = [chunk async for chunk in stream]
    assert not all(chunk.exact for chunk in chunks)
    assert chunks[0].exact


def test_likely_tokens_are_named_by_id_and_cut_to_what_was_asked_for() -> None:
    reader = CompletionReader(KNOWN["vllm"], 100, top=2)
    told = {
        "token_logprobs": [-3.0],
        "top_logprobs": [{"token_id:5": -3.0, "token_id:1": -0.5, "token_id:2": -0.75, "x": -9}],
    }
    chunk = reader.read(event(logprobs=told, finish_reason="length").removeprefix(b"data: "))
    assert chunk is not None
    assert chunk.logprobs == (-3.0,)
    assert chunk.top_logprobs == (((1, -0.5), (2, -0.75)),)
    assert chunk.finish_reason is FinishReason.LENGTH


def test_a_log_probability_that_is_not_told_is_lost_and_its_id_is_not() -> None:
    reader = CompletionReader(KNOWN["vllm"], 100, top=1)
    told = {"token_logprobs": [None], "top_logprobs": [None]}
    chunk = reader.read(event(logprobs=told).removeprefix(b"data: "))
    assert chunk is not None
    assert (len(chunk.token_ids), chunk.logprobs, chunk.exact) == (1, (), True)


def test_an_error_that_is_none_is_none() -> None:
    reader = CompletionReader(KNOWN["vllm"], 100, top=0)
    line = event().removeprefix(b"data: ").strip()
    chunk = reader.read(line[:-1] + b', "error": null}')
    assert chunk is not None
    assert chunk.token_ids


def test_usage_is_no_chunk() -> None:
    reader = CompletionReader(KNOWN["vllm"], 100, top=0)
    assert reader.read(b'{"choices": [], "usage": {"total_tokens": 3}}') is None
