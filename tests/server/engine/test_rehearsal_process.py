"""The rehearsal as the gateway has it: a process that is read as SGLang, with faults on time."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from client.schema import AnswerKind
from server.dialect.catalogue import open_dialect
from server.engine.base import EngineState, Sampling
from server.engine.errors import (
    EngineFailed,
    EngineProtocolError,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.opening import model_path
from server.engine.rehearsal.child import ChildConfig
from server.engine.rehearsal_process import OWN_VOCABULARIES, RehearsalOptions, open_rehearsal
from server.engine.sglang import SglangEngine, SglangLimits, attach_sglang
from server.prompts import compose
from server.settings import load_settings
from server.vocabulary import Vocabulary
from tests.contract.engines import SLOW_MACHINE

PATIENCE_S = 30
HARMONY = OWN_VOCABULARIES["harmony"]
VOCABULARY = Vocabulary.load(HARMONY)
PROMPT = list(
    open_dialect("auto", VOCABULARY)
    .open(compose("What is it?", AnswerKind.INTEGER, tools=False, chosen="harmony"))
    .opening
)


@asynccontextmanager
async def rehearsing(folder: Path, **options: Any) -> AsyncIterator[SglangEngine]:  # noqa: ANN401
    machine = folder / "machine.toml"
    machine.write_text(options.pop("machine", SLOW_MACHINE))
    limits = SglangLimits(
        slots=8, context_tokens=8192, start_timeout_s=20, stall_timeout_s=options.pop("stall", 20.0)
    )
    made = RehearsalOptions(model_path=HARMONY, limits=limits, machine=str(machine), **options)
    async with open_rehearsal(made, VOCABULARY) as engine:
        with anyio.fail_after(PATIENCE_S):
            await engine.wait_ready()
        yield engine


async def read_into(
    ids: list[int], engine: SglangEngine, count: int, prompt: list[int] | None = None
) -> None:
    sampling = Sampling(max_tokens=count, temperature=1, seed=3)
    async with engine.generate(prompt or PROMPT, sampling, session="s") as stream:
        async for chunk in stream:
            ids += chunk.token_ids


async def ids_of(engine: SglangEngine, count: int, prompt: list[int] | None = None) -> list[int]:
    ids: list[int] = []
    await read_into(ids, engine, count, prompt)
    return ids


async def order(engine: SglangEngine, faults: str) -> None:
    """Have faults happen, their times from now on."""
    await engine.server.post("/rehearsal/faults", {"faults": faults})


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SglangEngine]:
    async with rehearsing(tmp_path_factory.mktemp("rehearsal"), stall=1.0, max_restarts=9) as it:
        yield it


def test_it_ends_with_its_parent_before_all_is_imported() -> None:
    """What serves takes seconds to import on a busy machine."""
    script = (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'server.engine.rehearsal.serving':\n"
        "            print('importing', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from server.engine.rehearsal.child import main\n"
        "main()"
    )
    config = {field.name: 0 for field in dataclasses.fields(ChildConfig)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(orjson.dumps(config) + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"importing\n"
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 0


async def test_nonsense_at_the_start_that_passes_is_no_death(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, faults="refuse@0+2; garbage@2") as engine:
        assert engine.status().restarts == 0
        assert len(await ids_of(engine, 20)) == 20


async def test_it_needs_no_weights_and_says_how_it_is_named() -> None:
    settings = load_settings({"engine.kind": "rehearsal"})
    assert model_path(settings) == HARMONY
    qwen = load_settings({"engine.kind": "rehearsal", "engine.model": "qwen"})
    assert model_path(qwen).name == "qwen"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("cut@0", EngineUnavailable),
        ("decode-die@0", EngineUnavailable),
        ("prefill-die@0", EngineUnavailable),
        ("die@0.02", EngineUnavailable),
        ("stall-one@0", EngineStalled),
        ("stall@0+3", EngineStalled),
        ("hang@0", EngineStalled),
        ("garbage@0.02", EngineProtocolError),
        ("not-utf8@0.02", EngineProtocolError),
        ("out-of-range@0.02", EngineProtocolError),
        ("refuse@0+0.3", EngineProtocolError),
    ],
)
async def test_a_fault_is_named_and_the_tokens_go_on_exactly(
    engine: SglangEngine, fault: str, error: type[Exception]
) -> None:
    with anyio.fail_after(PATIENCE_S):
        await engine.wait_ready()
        whole = await ids_of(engine, 300)
        begun: list[int] = []
        await order(engine, fault)
        with pytest.raises(error):
            await read_into(begun, engine, 300)
        assert begun == whole[: len(begun)]
        rest: list[int] = []
        while begun + rest != whole:
            await engine.wait_ready()
            try:
                await read_into(
                    rest, engine, 300 - len(begun) - len(rest), [*PROMPT, *begun, *rest]
                )
            except (EngineUnavailable, EngineProtocolError):
                await anyio.sleep(0.05)


async def test_a_process_that_hangs_is_ended_and_started_again(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, stall=1.0) as engine:
        whole = await ids_of(engine, 300)
        await order(engine, "hang@0")
        begun: list[int] = []
        with anyio.fail_after(PATIENCE_S), pytest.raises(EngineStalled):
            await read_into(begun, engine, 300)
        with anyio.fail_after(PATIENCE_S):
            await engine.life.changed()
            assert engine.status().state is EngineState.RESTARTING
            assert "stopped working: no token within 1 s" in engine.status().detail
            await engine.wait_ready()
            rest = await ids_of(engine, 300 - len(begun), [*PROMPT, *begun])
        assert begun + rest == whole
        assert engine.status().restarts == 1


async def test_a_hang_is_seen_however_long_the_prompt_may_be_prefilled(tmp_path: Path) -> None:
    """The stream alone would be waited for until this prompt is prefilled at the slowest."""
    async with rehearsing(tmp_path, stall=1.0) as engine:
        prompt = PROMPT * 35
        assert engine._silence_s(prompt) > PATIENCE_S

        async def read_until_it_hangs() -> None:
            sampling = Sampling(max_tokens=1000, temperature=1, seed=3)
            async with engine.generate(prompt, sampling, session="s") as stream:
                await anext(stream)
                await order(engine, "hang@0")
                async for _ in stream:
                    pass

        with anyio.fail_after(PATIENCE_S), pytest.raises(EngineUnavailable):
            await read_until_it_hangs()
        with anyio.fail_after(PATIENCE_S):
            await engine.wait_ready()
        assert engine.status().restarts == 1


async def test_one_silent_stream_is_no_reason_to_end_a_process_that_works(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, stall=2.0) as engine:
        await order(engine, "stall-one@0")
        with pytest.raises(EngineStalled):
            await ids_of(engine, 300)
        # Longer than a proof may take.
        await anyio.sleep(3)
        assert (engine.status().state, engine.status().restarts) == (EngineState.READY, 0)


async def test_a_server_of_others_that_hangs_is_not_used_until_it_works(tmp_path: Path) -> None:
    """Its process answers whether it lives all the time, as SGLang's does."""
    async with rehearsing(tmp_path) as owned:
        server = owned.server
        limits = SglangLimits(slots=8, context_tokens=8192, start_timeout_s=20, stall_timeout_s=0.5)
        attaching = attach_sglang(server.url, server.api_key, HARMONY, limits, VOCABULARY)
        async with attaching as engine:
            with anyio.fail_after(PATIENCE_S):
                await engine.wait_ready()
                await order(owned, "stall@0+5")
                with pytest.raises(EngineStalled):
                    await ids_of(engine, 300)
                await engine.life.changed()
                assert engine.status().state is EngineState.RESTARTING
                assert "was lost: no token within 0.5 s" in engine.status().detail
                with pytest.raises(EngineUnavailable):
                    await ids_of(engine, 300)
                await engine.wait_ready()
                assert len(await ids_of(engine, 300)) == 300
        assert owned.status().restarts == 0


async def test_a_death_at_an_abort_is_seen_and_healed(engine: SglangEngine) -> None:
    with anyio.fail_after(PATIENCE_S):
        await engine.wait_ready()
        restarts = engine.status().restarts
        await order(engine, "abort-die@0")
        async with engine.generate(
            PROMPT, Sampling(max_tokens=3000, temperature=1, seed=3), session="s"
        ) as stream:
            await anext(stream)
        await engine.life.confirm_death()
        await engine.wait_ready()
        assert engine.status().restarts == restarts + 1


async def test_what_was_computed_is_in_the_prefix_cache(engine: SglangEngine) -> None:
    async def cached(ids: list[int]) -> int:
        body = {
            "rid": "quorum-x", "input_ids": ids, "stream": True,
            "sampling_params": {"max_new_tokens": 1, "temperature": 1.0},
        }  # fmt: skip
        async with engine.server.stream("/generate", body, 5.0) as blocks:
            lines = [line async for together in blocks for line in together]
            return int([orjson.loads(line) for line in lines][-1]["meta_info"]["cached_tokens"])

    with anyio.fail_after(PATIENCE_S):
        await engine.wait_ready()
        fresh = VOCABULARY.encode("Nobody has asked this before. " * 20)
        assert await cached(fresh) == 0
        sampled = await ids_of(engine, 200, fresh)
        again = await cached([*fresh, *sampled, *VOCABULARY.encode(" and more")])
        assert again > len(fresh) + len(sampled) - 64


async def test_starts_that_fail_on_schedule(tmp_path: Path) -> None:
    async with rehearsing(tmp_path, faults="load-die@1") as engine:
        assert engine.status().restarts == 1


async def test_a_start_that_never_ends_is_given_up(tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text(SLOW_MACHINE)
    options = RehearsalOptions(
        model_path=HARMONY,
        limits=SglangLimits(slots=1, context_tokens=512, start_timeout_s=1.0),
        machine=str(machine),
        faults="load-never@1; load-never@2",
    )
    with anyio.fail_after(PATIENCE_S):
        async with open_rehearsal(options, VOCABULARY) as engine:
            with pytest.raises(EngineFailed, match="not ready within 1 s"):
                await engine.wait_ready()
            assert engine.status().state is EngineState.FAILED


async def test_a_machine_that_there_is_not_is_refused_at_once(tmp_path: Path) -> None:
    options = RehearsalOptions(
        model_path=HARMONY,
        limits=SglangLimits(slots=1, context_tokens=512),
        machine=str(tmp_path / "none.toml"),
    )
    with pytest.raises(EngineFailed, match=r"rehearsal\.machine"):
        async with open_rehearsal(options, VOCABULARY):
            pass


async def test_it_keeps_the_pace_of_its_machine(tmp_path: Path) -> None:
    slow = SLOW_MACHINE.replace("step_s = 0.001", "step_s = 0.01")
    async with rehearsing(tmp_path, machine=slow, speed=4) as engine:
        begun = time.monotonic()
        assert len(await ids_of(engine, 400)) == 400
        # 400 steps of 10 ms at four times the speed take a second; a busy machine takes longer.
        assert time.monotonic() - begun > 0.9
