"""Fake SGLang servers as processes, and engines attached to them."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import httpx

from server.engine.sglang import SglangEngine, SglangLimits, attach_sglang
from server.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[3]
MODULE = "tests.server.engine.fake_sglang_server"
KEY = "a key"
CONTEXT_TOKENS = 520


@contextmanager
def fake_server(vocabulary: Vocabulary, *arguments: str) -> Iterator[str]:
    """Run the fake and yield its address."""
    command = [
        sys.executable,
        "-m",
        MODULE,
        f"--vocabulary-size={vocabulary.size}",
        f"--end-id={min(vocabulary.eos_ids)}",
        f"--api-key={KEY}",
        f"--context-length={CONTEXT_TOKENS}",
        *arguments,
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
    key: str = KEY,
    context_tokens: int = CONTEXT_TOKENS,
    stall_timeout_s: float = 20,
) -> AsyncIterator[SglangEngine]:
    """Attach to a server, ready or not."""
    limits = SglangLimits(
        slots=2,
        context_tokens=context_tokens,
        start_timeout_s=20,
        stall_timeout_s=stall_timeout_s,
    )
    async with attach_sglang(url, key, Path("fake"), limits, vocabulary) as engine:
        yield engine


@asynccontextmanager
async def ready(url: str, vocabulary: Vocabulary) -> AsyncIterator[SglangEngine]:
    """Attach to a server and wait for it."""
    async with attached(url, vocabulary) as engine:
        with anyio.fail_after(30):
            await engine.wait_ready()
        yield engine


async def load(url: str, key: str = KEY) -> int:
    """Return how many requests the server works on, as it says itself."""
    # A busy machine is slow to answer; the test has a limit of its own.
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        loads = (await http.get(f"{url}/v1/loads")).raise_for_status().json()["loads"]
    return sum(entry["num_running_reqs"] + entry["num_waiting_reqs"] for entry in loads)
