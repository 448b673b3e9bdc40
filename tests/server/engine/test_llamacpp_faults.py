"""What a faulty llama-server does to a stream, over real HTTP from a real process."""

import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from server.engine import lifecycle, llamacpp
from server.engine.base import EngineState, FinishReason, Sampling
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.llamacpp import LlamaCppEngine, LlamaCppOptions, open_llamacpp
from server.engine.prefixes import _Saved
from server.vocabulary import Vocabulary
from tests.server.engine.fake_llama_server import FAULTS

SCRIPT = Path(__file__).with_name("fake_llama_server.py")
PLACES = list(FAULTS)
STALL_S = 0.3
#: A stall, a second to see whether the process died, and a busy machine.
BOUND_S = 10

ERRORS: dict[str, type[EngineError]] = {
    "status_500": EngineProtocolError,
    "status_503": EngineUnavailable,
    "status_400": EngineRefused,
    "status_404_in_html": EngineRefused,
    "status_500_damaged_gzip": EngineProtocolError,
    "status_500_without_end": EngineProtocolError,
    "no_http": EngineUnavailable,
    "garbage_event": EngineProtocolError,
    "event_is_no_object": EngineProtocolError,
    "event_lacks_its_tokens": EngineProtocolError,
    "invalid_utf8": EngineProtocolError,
    "id_too_large": EngineProtocolError,
    "id_negative": EngineProtocolError,
    "id_is_text": EngineProtocolError,
    "id_is_a_fraction": EngineProtocolError,
    "id_is_a_truth_value": EngineProtocolError,
    "probabilities_too_many": EngineProtocolError,
    "probability_is_text": EngineProtocolError,
    "unknown_stop": EngineProtocolError,
    "error_event_400": EngineRefused,
    "error_event_500": EngineProtocolError,
    "error_event_503": EngineUnavailable,
    "event_too_long": EngineProtocolError,
    "ends_before_the_last_event": EngineUnavailable,
    "closes_without_a_word": EngineUnavailable,
    "cut_in_mid_event": EngineUnavailable,
    "ends_in_mid_event": EngineUnavailable,
    "pings_in_mid_stream": EngineStalled,
    "silent_from_the_start": EngineStalled,
    "silent_in_mid_stream": EngineStalled,
}
TELLS_WHY = [name for name in ERRORS if name.startswith(("status", "error_event"))]


@pytest.fixture(scope="module")
async def engine(
    tiny_path: Path, tiny_vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LlamaCppEngine]:
    options = LlamaCppOptions(
        model_path=tiny_path, slots=2, context_tokens=512, threads=1, stall_timeout_s=STALL_S
    )
    engine = LlamaCppEngine(options, tiny_vocabulary, str(tmp_path_factory.mktemp("slots")))
    launch_llamacpp = engine.supervisor._launch
    engine.supervisor._launch = lambda: (
        [sys.executable, "-S", str(SCRIPT)],
        launch_llamacpp()[1],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "DEATH_SEEN_S", 0.1)
        async with engine.supervisor.running():
            with anyio.fail_after(BOUND_S):
                await engine.wait_ready()
            yield engine


async def ids_from(engine: LlamaCppEngine, prompt: list[int]) -> list[int]:
    sampling = Sampling(max_tokens=8, temperature=0, seed=0)
    ids: list[int] = []
    async with engine.generate(prompt, sampling, session="s") as stream:
        async for chunk in stream:
            ids += chunk.token_ids
            if chunk.finish_reason:
                assert chunk.finish_reason is FinishReason.LENGTH
    return ids


def test_each_fault_has_its_error() -> None:
    assert set(ERRORS) == set(FAULTS) - {"works", "absurd_count", "never_ends"}


@pytest.mark.parametrize("name", ERRORS)
async def test_a_fault_is_the_right_error_in_bounded_time(
    engine: LlamaCppEngine, name: str
) -> None:
    started = time.monotonic()
    with anyio.fail_after(BOUND_S), pytest.raises(EngineError) as caught:
        await ids_from(engine, [PLACES.index(name)])
    assert type(caught.value) is ERRORS[name]
    if ERRORS[name] is EngineStalled:
        assert time.monotonic() - started >= STALL_S
        assert "engine.stall_timeout_s" in str(caught.value)
    if name in TELLS_WHY:
        assert "it says why" in str(caught.value)
    # One stream's fault is no other's.
    assert engine.status().state is EngineState.READY
    assert await ids_from(engine, [PLACES.index("works")]) == [1]


@pytest.mark.parametrize("name", ["cut_in_mid_event", "silent_in_mid_stream", "garbage_event"])
async def test_the_error_comes_from_the_stream_itself(engine: LlamaCppEngine, name: str) -> None:
    sampling = Sampling(max_tokens=8, temperature=0, seed=0)
    with anyio.fail_after(BOUND_S):
        async with engine.generate([PLACES.index(name)], sampling, session="s") as stream:
            assert (await anext(stream)).token_ids == (1,)
            with pytest.raises(ERRORS[name]):
                await anext(stream)


async def asked(engine: LlamaCppEngine, prompt: list[int]) -> None:
    await ids_from(engine, prompt)


async def scored(engine: LlamaCppEngine, prompt: list[int]) -> None:
    await engine.score(prompt, len(prompt) - 1)


@pytest.mark.parametrize("work", [asked, scored])
async def test_a_stall_before_the_first_token_is_a_reason_for_doubt_too(
    engine: LlamaCppEngine,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[LlamaCppEngine, list[int]], Awaitable[None]],
) -> None:
    """A prompt is prefilled by a request of its own, and scores come by others."""
    doubts: list[bool] = []
    monkeypatch.setattr(engine.supervisor, "doubt", lambda: doubts.append(True))
    monkeypatch.setattr(llamacpp, "SLOWEST_PREFILL", 10_000.0)
    engine.release("s")
    with anyio.fail_after(BOUND_S), pytest.raises(EngineStalled):
        await work(engine, [PLACES.index("silent_from_the_start")] * 100)
    assert doubts == [True]


async def test_tokens_that_were_not_asked_for_are_not_passed_on(engine: LlamaCppEngine) -> None:
    with anyio.fail_after(BOUND_S):
        # Ends, and is of the length that was asked for.
        assert await ids_from(engine, [PLACES.index("never_ends")]) == [1] * 8


async def test_an_absurd_count_of_lost_tokens_costs_no_time(engine: LlamaCppEngine) -> None:
    sampling = Sampling(max_tokens=8, temperature=0, seed=0)
    started = time.monotonic()
    with anyio.fail_after(BOUND_S):
        async with engine.generate([PLACES.index("absurd_count")], sampling, session="s") as stream:
            chunk = await anext(stream)
    assert chunk.token_ids == (1,)
    assert not chunk.exact
    assert time.monotonic() - started < 2


async def test_slots_that_cannot_be_saved_cost_no_attempt(engine: LlamaCppEngine) -> None:
    prompt = [PLACES.index("works")] * 100
    for session in ("first", "second", "third"):
        sampling = Sampling(max_tokens=8, temperature=0, seed=0)
        async with engine.generate(prompt, sampling, session=session) as stream:
            chunks = [chunk async for chunk in stream]
        assert chunks[0].token_ids == (1,)
        engine.release(session)


async def test_faults_that_repeat_leave_nothing_open(engine: LlamaCppEngine) -> None:
    names = ["cut_in_mid_event", "garbage_event", "status_500", "silent_in_mid_stream"]
    for name in names * 3:
        with pytest.raises(EngineError):
            await ids_from(engine, [PLACES.index(name)])
    assert engine._server is not None
    assert engine._server._http._transport._pool.connections == []  # type: ignore[attr-defined]


async def test_an_engine_that_gave_up_says_so_to_each_request(
    tiny_path: Path, tiny_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    options = LlamaCppOptions(model_path=tiny_path, slots=1, context_tokens=512, threads=1)
    engine = LlamaCppEngine(options, tiny_vocabulary, str(tmp_path))
    engine.supervisor._launch = lambda: ([str(tmp_path / "nothing-here")], b"")
    with anyio.fail_after(BOUND_S):
        with pytest.raises(EngineUnavailable, match="is being started"):
            await ids_from(engine, [1])
        async with engine.supervisor.running():
            with pytest.raises(EngineFailed):
                await engine.wait_ready()
            with pytest.raises(EngineFailed, match="nothing-here"):
                await ids_from(engine, [1])
            with pytest.raises(EngineFailed, match="nothing-here"):
                await engine.score([1, 2], 1)


async def test_without_a_temporary_folder_it_says_what_to_set(
    tiny_path: Path,
    tiny_vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = LlamaCppOptions(model_path=tiny_path, slots=1, context_tokens=512, threads=1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(EngineFailed, match=r"no temporary folder .*; set TMPDIR"):
        async with open_llamacpp(options, tiny_vocabulary):
            pytest.fail("it has nowhere to keep states")


@pytest.mark.parametrize("stored", [False, True])
async def test_a_death_in_the_first_prefill_is_told_to_those_who_wait_for_it(
    tiny_path: Path, tiny_vocabulary: Vocabulary, tmp_path: Path, *, stored: bool
) -> None:
    """The first prefills for all; the others meet the server only when it is gone.

    With a state of an earlier problem, what they ask it for first is to restore that.
    """
    options = LlamaCppOptions(model_path=tiny_path, slots=3, context_tokens=512, threads=1)
    engine = LlamaCppEngine(options, tiny_vocabulary, str(tmp_path))
    launch_llamacpp = engine.supervisor._launch
    engine.supervisor._launch = lambda: (
        [sys.executable, "-S", str(SCRIPT)],
        launch_llamacpp()[1],
    )
    errors: list[EngineError] = []

    prompt = [PLACES.index("silent_from_the_start")] * 100

    async def ask(session: str) -> None:
        sampling = Sampling(max_tokens=8, temperature=0, seed=0)
        try:
            async with engine.generate(prompt, sampling, session=session) as stream:
                await anext(stream)
        except EngineError as error:
            errors.append(error)

    with anyio.fail_after(BOUND_S):
        async with engine.supervisor.running():
            await engine.wait_ready()
            assert engine.supervisor.child is not None
            async with anyio.create_task_group() as group:
                for session in ("first", "second", "third"):
                    group.start_soon(ask, session)
                while engine._prefixes._lock.statistics().tasks_waiting < 2:
                    await anyio.lowlevel.checkpoint()
                if stored:
                    engine._prefixes._saved = [_Saved("prefix-1", tuple(prompt))]
                engine.supervisor.child.process.kill()
    assert [type(error) for error in errors] == [EngineUnavailable] * 3
