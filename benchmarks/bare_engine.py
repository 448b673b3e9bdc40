"""The gateway's llama.cpp process with nothing around it, to compare with."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE

import anyio
import httpx
import orjson

from server.engine.llamacpp_child import ChildConfig
from server.settings import Settings
from server.weights import resolve

KEY = "bench"
CHILD = "server.engine.llamacpp_child"
START_TIMEOUT_S = 120.0
REPLY_TIMEOUT_S = 120.0


@asynccontextmanager
async def bare_engine(
    settings: Settings, *, module: str = CHILD, slots: int = 0
) -> AsyncIterator[httpx.AsyncClient]:
    """Run it for the length of the block, with the settings' slots where none are given."""
    with tempfile.TemporaryDirectory() as folder:
        config = ChildConfig(
            model_path=str(resolve(settings.engine.model)),
            api_key=KEY,
            slots=slots or settings.engine_slots,
            context_tokens=settings.engine.context_tokens,
            threads=settings.engine_threads,
            gpu_layers=settings.engine.gpu_layers,
            slot_dir=folder,
        )
        command = [sys.executable, "-m", module]
        async with await anyio.open_process(command, stdin=PIPE, stderr=None) as process:
            try:
                if process.stdin is None or process.stdout is None:
                    raise RuntimeError("the bare engine has no pipes")
                await process.stdin.send(config.to_line())
                with anyio.fail_after(START_TIMEOUT_S):
                    url = orjson.loads(await process.stdout.receive())["url"]
                headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}
                async with httpx.AsyncClient(
                    base_url=url, headers=headers, timeout=REPLY_TIMEOUT_S
                ) as bare:
                    yield bare
            finally:
                process.terminate()
