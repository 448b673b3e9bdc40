"""An engine that streams at a set speed, over real HTTP, in llama-server's words.

The server is a process of its own (`python -m benchmarks.paced_engine`), so that its work is not
counted as the gateway's; what reads it is the gateway's own client of llama-server.
"""

import asyncio
import random
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from subprocess import PIPE

import anyio
import orjson

from server.engine.base import Chunk, EngineInfo, EngineState, EngineStatus, Sampling, Stream
from server.engine.llamacpp_events import EventReader
from server.engine.llamacpp_http import LlamaServer, completion_body
from server.vocabulary import Vocabulary

#: Tokens a second of one stream: what vLLM gave a stream of this workload on one H100.
STREAM_RATE = 100
#: Seconds of silence after which the server counts as dead.
SILENCE_S = 30.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
END_OF_REQUEST = b"\r\n\r\n"


@dataclass(slots=True)
class PacedEngine:
    """Reads the paced server as the gateway reads llama-server."""

    vocabulary: Vocabulary
    server: LlamaServer
    context_tokens: int = 131_072

    @property
    def info(self) -> EngineInfo:
        """A model named `paced`."""
        return EngineInfo("paced", self.context_tokens, 256)

    def status(self) -> EngineStatus:
        """Always ready."""
        return EngineStatus(EngineState.READY, "paced")

    async def wait_ready(self) -> None:
        """It is."""

    def release(self, session: str) -> None:
        """Nothing is kept."""

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return zeros."""
        return [0.0] * (len(ids) - start)

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream until the caller leaves."""
        del session
        body = completion_body(list(prompt_ids), sampling, slot=0)
        async with self.server.complete(body, SILENCE_S) as lines:
            yield self._chunks(lines)

    async def _chunks(self, lines: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
        reader = EventReader(self.vocabulary)
        async for line in lines:
            yield reader.read(line)


@asynccontextmanager
async def paced_engine(vocabulary: Vocabulary) -> AsyncIterator[PacedEngine]:
    """Run the server for the length of the block."""
    source = random.Random(0)
    # Letters at random never count as a loop, as prose said again and again would.
    words = "".join(source.choice("abcdefgh ijklmnop qrstuvwxyz") for _ in range(20_000))
    pieces = [(token, vocabulary.decode([token])) for token in vocabulary.encode(words)]
    command = [sys.executable, "-m", "benchmarks.paced_engine"]

    async def confirm_death() -> None:
        """Nothing watches this process."""

    async with await anyio.open_process(command, stdin=PIPE, stderr=None) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the paced server has no pipes")
            await process.stdin.send(orjson.dumps(pieces) + b"\n")
            url = (await process.stdout.receive()).decode().strip()
            async with LlamaServer(url, "none", confirm_death) as server:
                yield PacedEngine(vocabulary, server)
        finally:
            process.terminate()


async def _serve(pieces: list[tuple[int, str]]) -> None:
    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await reader.readuntil(END_OF_REQUEST)
            writer.write(HEAD)
            await _stream(writer, pieces)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _stream(writer: StreamWriter, pieces: list[tuple[int, str]]) -> None:
    """Send a token an event, with its log-probability, at `STREAM_RATE`."""
    begun = asyncio.get_running_loop().time()
    for number in range(1, sys.maxsize):
        token, text = pieces[number % len(pieces)]
        event = {
            "content": text, "tokens": [token], "stop": False, "tokens_predicted": number,
            "completion_probabilities": [{"id": token, "logprob": -0.25, "top_logprobs": []}],
        }  # fmt: skip
        writer.write(b"data: " + orjson.dumps(event) + b"\n\n")
        await writer.drain()
        due = begun + number / STREAM_RATE - asyncio.get_running_loop().time()
        await asyncio.sleep(max(due, 0.0))


if __name__ == "__main__":
    asyncio.run(_serve(orjson.loads(sys.stdin.readline())))
