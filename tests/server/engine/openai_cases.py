"""Servers of `/v1/completions` for tests: llama.cpp's real one, and a fake of vLLM's."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import httpx

from server.engine.llamacpp import LlamaCppEngine
from server.engine.openai import OpenaiEngine, OpenaiOptions, open_openai
from server.vocabulary import Vocabulary
from tests.server.engine.sglang_cases import ROOT

MODULE = "tests.server.engine.fake_vllm_server"


@contextmanager
def fake_vllm(vocabulary: Vocabulary, *arguments: str) -> Iterator[str]:
    """Run the fake and yield its address."""
    command = [
        *(sys.executable, "-m", MODULE, *arguments),
        f"--vocabulary-size={vocabulary.size}",
        f"--end-id={min(vocabulary.eos_ids)}",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()


@asynccontextmanager
async def attached(
    url: str,
    vocabulary: Vocabulary,
    *,
    api_key: str = "",
    context_tokens: int = 512,
    stall_timeout_s: float = 20,
) -> AsyncIterator[OpenaiEngine]:
    """Attach to a server, ready or not."""
    options = OpenaiOptions(
        url=url,
        model_path=Path("tiny"),
        slots=2,
        context_tokens=context_tokens,
        api_key=api_key,
        start_timeout_s=20,
        stall_timeout_s=stall_timeout_s,
    )
    async with open_openai(options, vocabulary) as engine:
        yield engine


@asynccontextmanager
async def ready(url: str, vocabulary: Vocabulary, api_key: str = "") -> AsyncIterator[OpenaiEngine]:
    """Attach to a server and wait for it."""
    async with attached(url, vocabulary, api_key=api_key) as engine:
        with anyio.fail_after(30):
            await engine.wait_ready()
        yield engine


def address_of(engine: LlamaCppEngine) -> tuple[str, str]:
    """Return address and key of the server that llama.cpp's engine runs."""
    assert engine._server is not None
    return str(engine._server._http.base_url), engine._key


async def running(url: str) -> int:
    """Return how many requests the fake works on, as it says itself."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{url}/metrics")).raise_for_status().text
    return int(text.split()[-1])
