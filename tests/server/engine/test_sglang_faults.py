"""What a faulty SGLang server does to a stream, over real HTTP from a real process."""

import time
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import ANY

import anyio
import anyio.lowlevel
import pytest

from server.engine.base import EngineState, EngineStatus, Sampling, Stream
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.sglang import MOST_REPEATS, SglangEngine
from server.engine.sglang_http import generate_body, scores
from server.vocabulary import Vocabulary
from tests.server.engine.fake_sglang_server import FAULTS
from tests.server.engine.sglang_cases import attached, fake_server, load

PLACES = list(FAULTS)
STALL_S = 2.0
#: A stall, a look at whether the server lives, and a busy machine.
BOUND_S = 30

ERRORS: dict[str, type[EngineError]] = {
    "status_400": EngineRefused,
    "status_401": EngineFailed,
    "status_404_in_html": EngineRefused,
    "status_429": EngineUnavailable,
    "status_500": EngineProtocolError,
    "status_503": EngineUnavailable,
    "error_event_of_0_5_12": EngineRefused,
    "error_event_400": EngineRefused,
    "error_event_500": EngineProtocolError,
    "error_event_503": EngineUnavailable,
    "abort_400": EngineRefused,
    "abort_500": EngineProtocolError,
    "abort_503": EngineUnavailable,
    "abort_by_somebody": EngineUnavailable,
    "garbage_event": EngineProtocolError,
    "event_is_no_object": EngineProtocolError,
    "event_lacks_its_ids": EngineProtocolError,
    "event_lacks_its_meta": EngineProtocolError,
    "invalid_utf8": EngineProtocolError,
    "id_too_large": EngineProtocolError,
    "id_negative": EngineProtocolError,
    "id_is_text": EngineProtocolError,
    "id_is_a_fraction": EngineProtocolError,
    "id_is_a_truth_value": EngineProtocolError,
    "ids_are_missing": EngineProtocolError,
    "no_numbers": EngineProtocolError,
    "unknown_finish": EngineProtocolError,
    "event_too_long": EngineProtocolError,
    "ends_in_mid_event": EngineUnavailable,
    "ends_before_the_last_event": EngineUnavailable,
    "breaks_in_mid_stream": EngineUnavailable,
    "silent_from_the_start": EngineStalled,
    "silent_in_mid_stream": EngineStalled,
}
DEATHS = {"dies_in_prefill", "dies_in_decode", "dies_at_abort"}
TELLS_WHY = [name for name in ERRORS if name.startswith(("status", "error_event", "abort"))]


@pytest.fixture(scope="module")
async def engine(tiny_vocabulary: Vocabulary) -> AsyncIterator[SglangEngine]:
    with fake_server(tiny_vocabulary) as url:
        async with attached(url, tiny_vocabulary, stall_timeout_s=STALL_S) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
            yield engine


async def ids_from(engine: SglangEngine, name: str) -> list[int]:
    sampling = Sampling(max_tokens=8, temperature=0, seed=0)
    async with engine.generate([PLACES.index(name)], sampling, session="s") as stream:
        return [token_id async for chunk in stream for token_id in chunk.token_ids]


def test_each_fault_has_its_error() -> None:
    assert set(FAULTS) == {"works", "brings_too_many", *ERRORS, *DEATHS}


@pytest.mark.parametrize("name", ERRORS)
async def test_a_fault_is_the_right_error_in_bounded_time(engine: SglangEngine, name: str) -> None:
    counted = engine.faults[ERRORS[name].__name__]
    with anyio.fail_after(BOUND_S), pytest.raises(EngineError) as caught:
        await ids_from(engine, name)
    assert type(caught.value) is ERRORS[name]
    if ERRORS[name] is EngineStalled:
        assert "engine.stall_timeout_s" in str(caught.value)
    if name in TELLS_WHY:
        assert "it says why" in str(caught.value)
    assert engine.faults[ERRORS[name].__name__] == counted + 1
    # One stream's fault is no other's.
    assert engine.status().state is EngineState.READY
    assert len(await ids_from(engine, "works")) == 8


async def test_tokens_that_were_not_asked_for_are_not_passed_on(engine: SglangEngine) -> None:
    counted = engine.faults["over_max_tokens"]
    assert await ids_from(engine, "brings_too_many") == [5] * 8
    assert engine.faults["over_max_tokens"] == counted + 1
    # It ends at our word: the server is told.
    assert engine._left


@pytest.mark.parametrize("name", sorted(DEATHS))
async def test_a_death_is_noticed_at_once_and_attempts_wait(
    tiny_vocabulary: Vocabulary, name: str
) -> None:
    with fake_server(tiny_vocabulary) as url:
        async with attached(url, tiny_vocabulary) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
            started = time.monotonic()
            if name == "dies_at_abort":
                sampling = Sampling(max_tokens=8, temperature=0, seed=0)
                prompt = [PLACES.index(name)]
                async with engine.generate(prompt, sampling, session="s") as stream:
                    await anext(stream)
                await engine.life.confirm_death()
            else:
                with pytest.raises(EngineUnavailable):
                    await ids_from(engine, name)
            assert engine.status().state is EngineState.RESTARTING
            assert time.monotonic() - started < BOUND_S
            with pytest.raises(EngineUnavailable, match="was lost"):
                await ids_from(engine, "works")
            port = url.rpartition(":")[2]
            with fake_server(tiny_vocabulary, f"--port={port}"), anyio.fail_after(BOUND_S):
                await engine.wait_ready()
                assert len(await ids_from(engine, "works")) == 8
            assert engine.status().restarts == 1


async def test_what_was_left_early_is_swept(tiny_vocabulary: Vocabulary) -> None:
    """An abort that got lost is repeated: the sweep ends with nothing running for nobody."""
    sampling = Sampling(max_tokens=400, temperature=0, seed=0)
    with fake_server(tiny_vocabulary, "--step-s=0.05") as url:
        async with attached(url, tiny_vocabulary) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
                assert engine._server is not None
                abort, lost = engine._server.abort, []

                async def lose(rid: str) -> None:
                    lost.append(rid)

                engine._server.abort = lose  # type: ignore[method-assign]
                async with engine.generate([300], sampling, session="s") as stream:
                    await anext(stream)
                assert await load(url) == 1
                assert await engine.sweep() == 1
                engine._server.abort = abort  # type: ignore[method-assign]
                while await engine.sweep():
                    await anyio.lowlevel.checkpoint()
                assert await load(url) == 0
                assert not engine._left
                assert len(lost) == 2


async def drained(stream: Stream) -> None:
    async for _ in stream:
        pass


async def test_what_nobody_knows_of_is_ended_on_a_server_of_our_own(
    tiny_vocabulary: Vocabulary,
) -> None:
    sampling = Sampling(max_tokens=400, temperature=0, seed=0)
    with fake_server(tiny_vocabulary, "--step-s=0.05") as url:
        async with attached(url, tiny_vocabulary) as mine, attached(url, tiny_vocabulary) as other:
            with anyio.fail_after(BOUND_S):
                await mine.wait_ready()
                await other.wait_ready()
                async with other.generate([300], sampling, session="s") as stream:
                    await anext(stream)
                    # Others use a server at a URL too.
                    for _ in range(3):
                        assert await mine.sweep() == 1
                    mine._alone = True
                    while await mine.sweep():
                        await anyio.lowlevel.checkpoint()
                    with pytest.raises(EngineUnavailable, match="Abort"):
                        await drained(stream)
            assert await load(url) == 0


async def test_what_was_left_early_is_not_aborted_for_ever_where_others_are_at_work(
    tiny_vocabulary: Vocabulary,
) -> None:
    """Of what runs on a server at a URL nobody can say whether it is left of ours."""
    sampling = Sampling(max_tokens=400, temperature=0, seed=0)
    with fake_server(tiny_vocabulary, "--step-s=0.05") as url:
        async with attached(url, tiny_vocabulary) as mine, attached(url, tiny_vocabulary) as other:
            with anyio.fail_after(BOUND_S):
                await mine.wait_ready()
                await other.wait_ready()
                async with other.generate([300], sampling, session="s") as stream:
                    await anext(stream)
                    async with mine.generate([301], sampling, session="s") as own:
                        await anext(own)
                    assert len(mine._left) == 1
                    for _ in range(MOST_REPEATS):
                        assert await mine.sweep() >= 1
                    assert not mine._left


async def test_what_is_in_front_of_the_server_may_have_generate_alone(
    tiny_vocabulary: Vocabulary,
) -> None:
    lacks = ("/model_info", "/server_info", "/v1/loads", "/abort_request")
    sampling = Sampling(max_tokens=400, temperature=0, seed=0)
    with fake_server(tiny_vocabulary, "--step-s=0.05", "--lacks", *lacks) as url:
        async with attached(url, tiny_vocabulary) as engine:
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
                async with engine.generate([300], sampling, session="s") as stream:
                    await anext(stream)
                assert engine.faults["abort"] == len(engine._left) == 1
                await engine.life.confirm_death()
                assert engine.status() == EngineStatus(EngineState.READY, ANY)
                assert await engine.sweep() == 0
                assert not engine._left


@pytest.mark.parametrize(
    ("argument", "sent"), [("--deterministic", 0.0), ("--no-deterministic", 0.1)]
)
async def test_a_deterministic_server_is_not_killed_by_min_p(
    tiny_vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, argument: str, sent: float
) -> None:
    bodies: list[float] = []

    def spy(prompt: list[int], sampling: Sampling, *rest: Any) -> dict[str, Any]:  # noqa: ANN401
        bodies.append(sampling.min_p)
        return generate_body(prompt, sampling, *rest)

    monkeypatch.setattr("server.engine.sglang.generate_body", spy)
    sampling = Sampling(max_tokens=8, temperature=1, seed=0, min_p=0.1)
    with fake_server(tiny_vocabulary, argument) as url, anyio.fail_after(BOUND_S):
        async with attached(url, tiny_vocabulary) as engine:
            await engine.wait_ready()
            async with engine.generate([300], sampling, session="s") as stream:
                await drained(stream)
            assert engine.status().state is EngineState.READY
    assert bodies[-1] == sent


async def test_the_engine_never_gets_ready(tiny_vocabulary: Vocabulary) -> None:
    async with attached("http://127.0.0.1:9", tiny_vocabulary) as engine:
        with anyio.move_on_after(1) as scope:
            await engine.wait_ready()
        assert scope.cancelled_caught
        with pytest.raises(EngineUnavailable):
            await ids_from(engine, "works")


@pytest.mark.parametrize(
    ("arguments", "key", "context_tokens", "sentence"),
    [
        (["--version=0.5.11"], None, None, r"SGLang 0\.5\.11: must be 0\.5\.12 to 0\.5\.23"),
        (["--version=0.6.0"], None, None, r"SGLang 0\.6\.0: must be"),
        ([], "another", None, r"401: Unauthorized; set engine\.api_key"),
        ([], None, 600, r"with a context of 520; lower engine\.context_tokens"),
    ],
)
async def test_what_no_waiting_would_change_is_said(
    tiny_vocabulary: Vocabulary,
    arguments: list[str],
    key: str | None,
    context_tokens: int | None,
    sentence: str,
) -> None:
    changes = {"key": key, "context_tokens": context_tokens}
    given = {name: value for name, value in changes.items() if value is not None}
    with fake_server(tiny_vocabulary, *arguments) as url:
        async with attached(url, tiny_vocabulary, **given) as engine:  # type: ignore[arg-type]
            with anyio.fail_after(BOUND_S), pytest.raises(EngineFailed, match=sentence):
                await engine.wait_ready()


@pytest.mark.parametrize(
    ("told", "fits"), [([5, 7, 9], True), ([5, 7, 0], True), ([5, 7], False), ([5, 8, 9], False)]
)
def test_scores_are_of_the_ids_that_were_asked(told: list[int], *, fits: bool) -> None:
    """The last id of the vocabulary is told as 0."""
    entries = [[None, 3, None], *([-0.5, token_id, None] for token_id in told)]
    answer = {"meta_info": {"input_token_logprobs": entries}}
    if fits:
        assert scores(answer, [5, 7, 9]) == [-0.5] * 3
    else:
        with pytest.raises(EngineProtocolError, match="no log-probabilities of the prompt"):
            scores(answer, [5, 7, 9])
