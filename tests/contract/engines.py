"""Every implementation of the engine interface, each with what the contract suite asks of it."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from server.dialect.harmony_tokens import HarmonyTokens
from server.engine.base import Engine, Sampling
from server.engine.llamacpp import LlamaCppEngine
from server.engine.rehearsal_process import OWN_VOCABULARIES, RehearsalOptions, open_rehearsal
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.engine.sglang import SglangLimits
from server.vocabulary import Vocabulary
from tests.server.engine.llamacpp_cases import busy_slots, default_weights, ready_engine
from tests.server.engine.openai_cases import address_of, fake_vllm, running
from tests.server.engine.openai_cases import ready as ready_openai
from tests.server.engine.sglang_cases import fake_server, load
from tests.server.engine.sglang_cases import ready as ready_sglang
from tests.server.engine.tiny_llama import write_tiny_llama

CONTEXT_TOKENS = 512
#: Fast enough for tests, and so slow that a stream is left in its midst.
SLOW_MACHINE = """
load_s = 0
step_s = 0.001
step_s_per_stream = 0
prefill_tokens_s = 1e6
kv_tokens = 100000
most_running = 8
[habits]
tokens_median = 5000
tokens_sigma = 0
tokens_most = 5000
calls_median = 0
"""
#: Small, since prefilling takes the default model seconds per hundred tokens.
DEFAULT_MODEL_CONTEXT_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An engine with two slots, and prompts that make it do things.

    `endless` goes on greedily for at least 64 tokens, `varied` goes on differently for different
    seeds, and `stopping` comes to an end token under `stopping_sampling`. `busy` returns how many
    streams the engine works on, as it says itself.
    """

    engine: Engine
    vocabulary_size: int
    end_ids: frozenset[int]
    endless: list[int]
    varied: list[int]
    stopping: list[int]
    stopping_sampling: Sampling
    busy: Callable[[], Awaitable[int]]
    logprob_tolerance: float


@asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[Subject]:
    """A script of random ids, fixed by prompt and seed."""
    del folder
    end = 99

    def play(request: StreamRequest) -> Iterable[Step]:
        seed = request.sampling.seed if request.sampling.temperature else 0
        generator = random.Random(f"{seed} {request.prompt[:1]}")
        if request.prompt[-1] == 98:
            yield [5, 6, 7, end]
        while True:
            yield [generator.randrange(90)]

    engine = ScriptedEngine(play, 100, frozenset({end}), context_tokens=CONTEXT_TOKENS, slots=2)

    async def busy() -> int:
        return len(engine.open_streams)

    yield Subject(
        engine=engine,
        vocabulary_size=100,
        end_ids=frozenset({end}),
        endless=[1, 2, 3],
        varied=[4, 5, 6],
        stopping=[7, 98],
        stopping_sampling=Sampling(max_tokens=64, temperature=0, seed=0),
        busy=busy,
        logprob_tolerance=0,
    )


@asynccontextmanager
async def tiny_llamacpp(folder: Path) -> AsyncIterator[Subject]:
    """llama.cpp with a random model."""
    path = folder / "tiny.gguf"
    write_tiny_llama(path)
    vocabulary = Vocabulary.load(path)
    async with ready_engine(path, vocabulary, context_tokens=CONTEXT_TOKENS) as engine:
        yield Subject(
            engine=engine,
            vocabulary_size=vocabulary.size,
            end_ids=frozenset(vocabulary.eos_ids),
            endless=vocabulary.encode("The quick brown fox"),
            varied=vocabulary.encode("The quick brown fox"),
            stopping=vocabulary.encode("The quick brown fox"),
            stopping_sampling=Sampling(max_tokens=450, temperature=1, seed=1),
            busy=lambda: busy_slots(engine),
            logprob_tolerance=1e-3,
        )


@asynccontextmanager
async def default_llamacpp(folder: Path) -> AsyncIterator[Subject]:
    """llama.cpp with the default weights."""
    del folder
    path = default_weights()
    vocabulary = Vocabulary.load(path)
    start, end = vocabulary.control("<|im_start|>"), vocabulary.control("<|im_end|>")
    header = [start, *vocabulary.encode("assistant\n")]
    question = [start, *vocabulary.encode("user\nSay only OK."), end, *vocabulary.encode("\n")]
    async with ready_engine(
        path, vocabulary, context_tokens=DEFAULT_MODEL_CONTEXT_TOKENS
    ) as engine:
        yield Subject(
            engine=engine,
            vocabulary_size=vocabulary.size,
            end_ids=frozenset(vocabulary.eos_ids),
            endless=vocabulary.encode("1 2 3 4 5 6 7 8 9 10 11 12"),
            varied=vocabulary.encode("My favourite animals are"),
            stopping=[*question, *header],
            stopping_sampling=Sampling(max_tokens=32, temperature=0, seed=0),
            busy=lambda: busy_slots(engine),
            # How tokens are batched changes the quantised matrix products in the second decimal.
            logprob_tolerance=0.1,
        )


def fake_sglang(*arguments: str) -> Callable[[Path], AbstractAsyncContextManager[Subject]]:
    """Return what attaches to a server that speaks SGLang's protocol."""

    @asynccontextmanager
    async def attach(folder: Path) -> AsyncIterator[Subject]:
        path = folder / "tiny.gguf"
        write_tiny_llama(path)
        vocabulary = Vocabulary.load(path)
        prompt = [vocabulary.size - 300, 2, 3]
        with fake_server(vocabulary, *arguments) as url:
            async with ready_sglang(url, vocabulary) as engine:
                yield Subject(
                    engine=engine,
                    vocabulary_size=vocabulary.size,
                    end_ids=frozenset(vocabulary.eos_ids),
                    endless=prompt,
                    varied=prompt,
                    stopping=prompt,
                    stopping_sampling=Sampling(max_tokens=450, temperature=1, seed=1),
                    busy=lambda: load(url),
                    logprob_tolerance=1e-6,
                )

    return attach


@asynccontextmanager
async def rehearsal(folder: Path) -> AsyncIterator[Subject]:
    """The rehearsal's process, read as SGLang."""
    machine = folder / "machine.toml"
    machine.write_text(SLOW_MACHINE)
    path = OWN_VOCABULARIES["harmony"]
    vocabulary = Vocabulary.load(path)
    options = RehearsalOptions(
        model_path=path,
        limits=SglangLimits(slots=2, context_tokens=CONTEXT_TOKENS + 8, start_timeout_s=20),
        machine=str(machine),
    )
    prompt = [vocabulary.control("<|start|>"), *vocabulary.encode("user")]
    begun = HarmonyTokens(vocabulary).on_channel("analysis")
    async with open_rehearsal(options, vocabulary) as engine:
        with anyio.fail_after(30):
            await engine.wait_ready()
        yield Subject(
            engine=engine,
            vocabulary_size=vocabulary.size,
            end_ids=frozenset(vocabulary.eos_ids),
            endless=prompt,
            # An attempt's first words are its own after this.
            varied=[*prompt, *begun, *vocabulary.encode("Rehearsal")],
            # What selectors ask is answered in few words.
            stopping=[*prompt, *vocabulary.encode("an integer from 1 to 3, in \\boxed{}")],
            stopping_sampling=Sampling(max_tokens=450, temperature=1, seed=1),
            busy=engine.server.load,
            logprob_tolerance=1e-9,
        )


@asynccontextmanager
async def openai_vllm(folder: Path) -> AsyncIterator[Subject]:
    """The engine of completions at a server that speaks vLLM's protocol."""
    path = folder / "tiny.gguf"
    write_tiny_llama(path)
    vocabulary = Vocabulary.load(path)
    prompt = [vocabulary.size - 300, 2, 3]
    with fake_vllm(vocabulary) as url:
        async with ready_openai(url, vocabulary) as engine:
            yield Subject(
                engine=engine,
                vocabulary_size=vocabulary.size,
                end_ids=frozenset(vocabulary.eos_ids),
                endless=prompt,
                varied=prompt,
                stopping=prompt,
                stopping_sampling=Sampling(max_tokens=450, temperature=1, seed=1),
                busy=lambda: running(url),
                logprob_tolerance=1e-6,
            )


@asynccontextmanager
async def openai_llama(folder: Path) -> AsyncIterator[Subject]:
    """The engine of completions at the server of the real llama.cpp."""
    async with tiny_llamacpp(folder) as subject:
        assert isinstance(subject.engine, LlamaCppEngine)
        llama = subject.engine
        url, key = address_of(llama)
        async with ready_openai(url, llama._vocabulary, key) as engine:
            yield replace(subject, engine=engine)
