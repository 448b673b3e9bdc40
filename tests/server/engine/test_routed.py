"""Several SGLang servers by sglang-router: a stand-in's process, and the real one where it is.

The real one is used where this interpreter, or the one that SGLANG_ROUTER_PYTHON names, has it.
"""

import importlib.util
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from server.engine import supervisor
from server.engine.base import EngineState, Sampling
from server.engine.errors import EngineFailed, EngineUnavailable
from server.engine.routed import RoutedEngine, open_routed
from server.engine.router import Router, RouterOptions, RouterServer, arguments
from server.engine.sglang import SglangEngine, SglangLimits, attach_sglang
from server.engine.supervisor import Supervisor
from server.vocabulary import Vocabulary
from tests.server.engine import fake_router
from tests.server.engine.fake_sglang_server import FAULTS
from tests.server.engine.sglang_cases import CONTEXT_TOKENS, KEY, ROOT, fake_server, load

PATIENCE_S = 45
REAL = os.environ.get("SGLANG_ROUTER_PYTHON") or (
    sys.executable if importlib.util.find_spec("sglang_router") else ""
)
needs_the_real_one = pytest.mark.skipif(
    not REAL, reason="needs sglang-router: install it, or set SGLANG_ROUTER_PYTHON to a Python"
)
LIMITS = SglangLimits(
    slots=2, context_tokens=CONTEXT_TOKENS, start_timeout_s=20, stall_timeout_s=20
)
LONG = Sampling(max_tokens=400, temperature=0, seed=0)


@dataclass(frozen=True, slots=True)
class World:
    """Two servers, and the engine in front of them."""

    engine: RoutedEngine
    parts: list[SglangEngine]
    urls: list[str]

    @property
    def front(self) -> SglangEngine:
        return self.engine._front

    async def routed(self) -> None:
        """Wait until requests go by the router."""
        with anyio.fail_after(PATIENCE_S):
            await self.front.wait_ready()
        assert self.engine.routed

    async def known(self, count: int) -> None:
        """Wait until the router has so many servers."""
        assert isinstance(self.front.server, RouterServer)
        with anyio.fail_after(PATIENCE_S):
            while len(await self.front.server.workers()) != count:
                await anyio.lowlevel.checkpoint()


def options(python: str, folder: Path) -> RouterOptions:
    return RouterOptions(limits=LIMITS, log_path=folder / "router.log", python=python, api_key=KEY)


@pytest.fixture(scope="module", params=["stand-in", pytest.param("real", marks=needs_the_real_one)])
async def made(
    request: pytest.FixtureRequest,
    tiny_vocabulary: Vocabulary,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """One router for all tests; the one in which a server dies comes last."""
    folder = tmp_path_factory.mktemp("router")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "BACK_OFF_FIRST_S", 0.01)
        patch.setattr(supervisor, "TERMINATE_S", 0.5)
        if request.param == "stand-in":
            fake_router.install(folder / "site")
            patch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "site"), str(ROOT)]))
        python = sys.executable if request.param == "stand-in" else REAL
        async with world(python, tiny_vocabulary, folder) as made:
            yield made


@asynccontextmanager
async def world(python: str, vocabulary: Vocabulary, folder: Path) -> AsyncIterator[World]:
    slow = "--step-s=0.02"
    async with AsyncExitStack() as stack:
        urls = [stack.enter_context(fake_server(vocabulary, slow)) for _ in range(2)]
        parts = [
            await stack.enter_async_context(
                attach_sglang(url, KEY, Path("fake"), LIMITS, vocabulary)
            )
            for url in urls
        ]
        opening = open_routed(options(python, folder), parts, vocabulary)
        made = World(await stack.enter_async_context(opening), parts, urls)
        with anyio.fail_after(PATIENCE_S):
            for part in parts:
                await part.wait_ready()
            await made.engine.wait_ready()
        await made.routed()
        await made.known(2)
        yield made


async def exhaust(
    engine: RoutedEngine, prompt: list[int], begun: Callable[[], object] = bool
) -> None:
    """Read a stream to its end; `begun` is called at its first chunk."""
    async with engine.generate(prompt, LONG, session="a") as stream:
        await anext(stream)
        begun()
        async for _ in stream:
            pass


async def loads(urls: list[str]) -> list[int]:
    return [await load(url) for url in urls]


@pytest.mark.timeout(120)
async def test_sessions_are_spread_stay_and_are_freed(made: World) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with AsyncExitStack() as stack:
            for number in range(4):
                opening = made.engine.generate([300], LONG, session=f"s-{number}")
                stream = await stack.enter_async_context(opening)
                await anext(stream)
            assert await loads(made.urls) == [2, 2]
            assert made.front.info.model == "sglang-router"
        # Each is aborted at the server that has it, though the fake runs on without a reader.
        while any(await loads(made.urls)):
            await anyio.lowlevel.checkpoint()
        while await made.front.sweep():
            await anyio.lowlevel.checkpoint()
        places = []
        for _ in range(3):
            async with made.engine.generate([300], LONG, session="s-0") as stream:
                await anext(stream)
                places.append(await loads(made.urls))
            while any(await loads(made.urls)):
                await anyio.lowlevel.checkpoint()
        assert places[0] in ([0, 1], [1, 0])
        assert places == [places[0]] * 3
        # All that is asked arrives: the answer is that of a server alone.
        asked = Sampling(max_tokens=12, temperature=1, seed=2**32 - 1, top_logprobs=3)
        answers = []
        for engine in (made.engine, made.parts[0]):
            async with engine.generate([300], asked, session="x") as stream:
                answers.append([chunk async for chunk in stream])
        routed, alone = ([i for c in chunks for i in c.token_ids] for chunks in answers)
        assert routed == alone
        assert [p for c in answers[0] for p in c.logprobs] == pytest.approx(
            [p for c in answers[1] for p in c.logprobs]
        )


@pytest.mark.timeout(120)
async def test_the_router_dies_and_is_started_again(made: World) -> None:
    life = made.front.life
    assert isinstance(life, Supervisor)
    with anyio.fail_after(PATIENCE_S):
        assert life.child is not None
        pid = life.child.process.pid
        with pytest.raises(EngineUnavailable):
            await exhaust(made.engine, [300], lambda: os.kill(pid, signal.SIGKILL))
        # Meanwhile there are servers, and the one that is chosen here serves.
        assert made.engine.status().state is EngineState.READY
        async with made.engine.generate([300], LONG, session="a") as stream:
            await anext(stream)
        await made.routed()
        await made.known(2)
        assert made.front.status().restarts == 1
        while any(await loads(made.urls)):
            await anyio.lowlevel.checkpoint()


@pytest.mark.timeout(150)
async def test_a_server_that_dies_is_taken_out_and_one_that_joins_is_put_in(
    made: World, tiny_vocabulary: Vocabulary
) -> None:
    with anyio.fail_after(2 * PATIENCE_S):
        dying = [list(FAULTS).index("dies_in_decode")]
        with pytest.raises(EngineUnavailable):
            await exhaust(made.engine, dying)
        await made.known(1)
        assert "1 of 2 engines are ready" in made.engine.status().detail
        for number in range(3):
            async with made.engine.generate([300], LONG, session=f"b-{number}") as stream:
                await anext(stream)
        dead = next(
            place
            for place, part in enumerate(made.parts)
            if part.status().state is not EngineState.READY
        )
        port = made.urls[dead].rpartition(":")[2]
        with fake_server(tiny_vocabulary, f"--port={port}", "--step-s=0.02"):
            await made.known(2)
            async with AsyncExitStack() as stack:
                for number in range(2):
                    opening = made.engine.generate([300], LONG, session=f"c-{number}")
                    await anext(await stack.enter_async_context(opening))
                assert await loads(made.urls) == [1, 1]


@pytest.mark.parametrize("kind", ["absent", "too old", "dies"])
async def test_without_a_router_sessions_are_spread_here(
    kind: str, tiny_vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACK_OFF_FIRST_S", 0.01)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o700)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if kind != "absent":
        fake_router.install(tmp_path / "site", "0.2.4" if kind == "too old" else "0.3.2")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
        monkeypatch.setenv("FAKE_ROUTER_DIES", "1")
    python = str(bare) if kind == "absent" else sys.executable
    said = {
        "absent": "sglang-router is not installed",
        "too old": "sglang-router 0.2.4: must be at least 0.3.2",
        "dies": "the router says why it dies",
    }
    with fake_server(tiny_vocabulary) as url:
        async with (
            attach_sglang(url, KEY, Path("fake"), LIMITS, tiny_vocabulary) as part,
            open_routed(options(python, tmp_path), [part], tiny_vocabulary) as engine,
        ):
            with anyio.fail_after(PATIENCE_S):
                await engine.wait_ready()
                with pytest.raises(EngineFailed):
                    await engine._front.wait_ready()
            status = engine.status()
            assert status.state is EngineState.READY
            assert said[kind] in status.detail
            short = Sampling(max_tokens=3, temperature=0, seed=0)
            async with engine.generate([300], short, session="a") as stream:
                assert [i async for chunk in stream for i in chunk.token_ids]


@needs_the_real_one
def test_the_real_one_takes_our_arguments() -> None:
    """What the start checks too, said here by itself."""
    line = " ".join(arguments(1, 2, "k"))
    assert "--policy manual --assignment-mode min_load" in line


def test_the_key_is_on_no_command_line(tmp_path: Path, tiny_vocabulary: Vocabulary) -> None:
    router = Router(options(sys.executable, tmp_path), [], tiny_vocabulary)
    command, first_line = router._launch()
    assert router._key in first_line.decode()
    assert router._key not in " ".join(command)
