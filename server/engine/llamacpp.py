"""llama.cpp as an engine: a supervised child process that speaks llama-server's HTTP.

Source of the protocol: llama.cpp, tools/server/README.md, and what was measured of it. Changed
against plain use: ids in and out only, sessions pinned to slots, a problem's prompt prefilled once.
"""

import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread

from sandbox.scratch import ScratchFolder, sweep
from server.engine.allowance import Allowance
from server.engine.base import Chunk, EngineInfo, EngineState, EngineStatus, Sampling, Stream
from server.engine.child_address import read_address
from server.engine.errors import (
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.lifecycle import Proof
from server.engine.llamacpp_child import ChildConfig
from server.engine.llamacpp_events import EventReader
from server.engine.llamacpp_http import LlamaServer, completion_body
from server.engine.prefixes import PrefixStore
from server.engine.slots import Slot, SlotTable
from server.engine.supervisor import Child, Supervisor
from server.vocabulary import Vocabulary

#: Slowest prefill that does not count as a stall, tokens per second. Two shared cores reach 60-90
#: with the default model, all slots together.
SLOWEST_PREFILL = 10.0
#: Outweighs any logit, so that `score` makes the model sample a given token.
FORCING_BIAS = 1_000.0
#: Most likely tokens asked for at first where a token's own event would be lost.
TOP_FIRST = 1_000
#: llama-server chooses an idle one.
ANY_SLOT = -1
#: Removing the saved states that killed engines have left must not hold up a start for longer.
SWEEP_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppOptions:
    """How to run it; tokens are per slot, times in seconds, `gpu_layers` -1 is all that fit."""

    model_path: Path
    slots: int
    context_tokens: int
    threads: int
    gpu_layers: int = -1
    start_timeout_s: float = 180.0
    stall_timeout_s: float = 60.0
    max_restarts: int = 5


@asynccontextmanager
async def open_llamacpp(
    options: LlamaCppOptions, vocabulary: Vocabulary
) -> AsyncIterator["LlamaCppEngine"]:
    """Run the engine for the length of the block; it gets ready in the background.

    Raises:
        EngineFailed: there is no folder for the slots' states.
    """
    with anyio.move_on_after(SWEEP_WAIT_S):
        await anyio.to_thread.run_sync(sweep, abandon_on_cancel=True)
    with _slot_directory() as slot_dir:
        engine = LlamaCppEngine(options, vocabulary, str(slot_dir.path))
        async with engine.supervisor.running():
            yield engine


def _slot_directory() -> ScratchFolder:
    try:
        return ScratchFolder(purpose="engine-")
    except OSError as error:
        raise EngineFailed(
            f"no temporary folder for the engine can be made ({error}); set TMPDIR to a folder "
            "that can be written"
        ) from error


class LlamaCppEngine:
    """One GGUF model in one child process; opened by `open_llamacpp`."""

    def __init__(self, options: LlamaCppOptions, vocabulary: Vocabulary, slot_dir: str) -> None:
        self._options = options
        self._vocabulary = vocabulary
        self._slot_dir = slot_dir
        self._info = EngineInfo(options.model_path.stem, options.context_tokens, options.slots)
        self._slots = SlotTable(options.slots)
        self._prefixes = PrefixStore()
        self._server: LlamaServer | None = None
        self._key = ""
        self.supervisor = Supervisor(
            f"llama.cpp with {self._info.model}",
            self._launch,
            self._prepare,
            start_timeout_s=options.start_timeout_s,
            max_restarts=options.max_restarts,
            proof=Proof(self.work, options.stall_timeout_s),
        )

    @property
    def info(self) -> EngineInfo:
        """Model, context per slot, slots."""
        return self._info

    def status(self) -> EngineStatus:
        """State of the child process."""
        return self.supervisor.status()

    async def wait_ready(self) -> None:
        """Return when the child has answered a generation; the caller bounds the wait."""
        await self.supervisor.wait_ready()

    def release(self, session: str) -> None:
        """Free the session's slot; what it holds may serve another."""
        self._slots.release(session)

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream sampled tokens; see `server.engine.base.Engine.generate`."""
        prompt = list(prompt_ids)
        self._check(prompt)
        if sampling.max_tokens < 1:
            raise EngineRefused(f"max_tokens {sampling.max_tokens}: must be at least 1")
        # llama.cpp rounds the context up, so that it would not stop at ours.
        room = self._info.context_tokens - len(prompt)
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        # Nobody waits for a slot of an engine that is not there.
        self._running_server()
        async with self._slots.use(session, prompt) as slot:
            server = self._running_server()
            with self._doubted():
                # Within: an engine that hangs does so in the prefill as well as in the stream.
                await self._share_prefix(server, slot, prompt)
                slot.held = list(prompt)
                body = completion_body(prompt, sampling, slot.number)
                with self.supervisor.streaming() as heard:
                    async with server.complete(body, self._silence_s(prompt)) as lines:
                        yield self._chunks(lines, slot, sampling, heard)

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return log-probabilities of `ids[start:]`: one request a token, so for short targets.

        llama-server gives none for a prompt. Each token is sampled under a bias that forces it, and
        its probability before the bias is read.
        """
        ids = list(ids)
        self._check(ids)
        if not 1 <= start <= len(ids):
            raise EngineRefused(f"start {start}: must be from 1 to the number of ids ({len(ids)})")
        self._running_server()
        session = f"score-{secrets.token_hex(4)}"
        try:
            async with self._slots.use(session, ids) as slot:
                server = self._running_server()
                with self._doubted():
                    return [
                        await self._score_one(server, slot, ids, position)
                        for position in range(start, len(ids))
                    ]
        finally:
            self._slots.release(session)

    async def _score_one(
        self, server: LlamaServer, slot: Slot, ids: list[int], position: int
    ) -> float:
        wanted = ids[position]
        chunk = await self._force(server, slot, ids[:position], wanted, top=1)
        if chunk is None:
            # A token that ends inside a character: read it beside one that does not.
            newline = self._vocabulary.encode("\n")[-1]
            for top in (TOP_FIRST, self._vocabulary.size):
                chunk = await self._force(server, slot, ids[:position], newline, top=top)
                found = dict(chunk.top_logprobs[0]) if chunk else {}
                if wanted in found:
                    return found[wanted]
            raise EngineProtocolError(f"token {wanted} has no probability, so is not scored")
        return chunk.logprobs[0]

    async def _force(
        self, server: LlamaServer, slot: Slot, prompt: list[int], token_id: int, *, top: int
    ) -> Chunk | None:
        """Have the token sampled, with the probabilities that the bias did not touch.

        None where its event is missing, since its bytes end inside a character.
        """
        slot.held = list(prompt)
        sampling = Sampling(max_tokens=1, temperature=0, seed=0, top_logprobs=top)
        body = completion_body(prompt, sampling, slot.number)
        body["logit_bias"] = [[token_id, FORCING_BIAS]]
        async with server.complete(body, self._silence_s(prompt)) as lines:
            async for chunk in self._chunks(lines, slot, sampling):
                if chunk.token_ids == (token_id,) and chunk.logprobs:
                    return chunk
        return None

    async def _share_prefix(self, server: LlamaServer, slot: Slot, prompt: list[int]) -> None:
        async def prefill() -> None:
            nothing = Sampling(max_tokens=0, temperature=0, seed=0)
            body = completion_body(prompt, nothing, slot.number)
            async with server.complete(body, self._silence_s(prompt)) as lines:
                async for _ in lines:
                    pass

        async def slot_action(action: str, filename: str) -> None:
            await server.slot_action(slot.number, action, filename)

        await self._prefixes.share(slot, prompt, prefill, slot_action)

    async def _chunks(
        self,
        lines: AsyncIterator[bytes],
        slot: Slot,
        sampling: Sampling,
        heard: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Chunk]:
        reader, allowance = EventReader(self._vocabulary), Allowance(sampling.max_tokens)
        async for line in lines:
            heard()
            chunk = allowance.held(reader.read(line))
            slot.held.extend(chunk.token_ids)
            yield chunk
            if chunk.finish_reason is not None:
                return
        await self.supervisor.confirm_death()
        raise EngineUnavailable("the engine ended the stream before its last event")

    def _check(self, prompt: list[int]) -> None:
        if not prompt:
            raise EngineRefused("the prompt is empty: give at least one token id")
        if len(prompt) >= self._info.context_tokens:
            raise EngineRefused(
                f"a prompt of {len(prompt)} tokens: must be under the context of "
                f"{self._info.context_tokens}; raise engine.context_tokens"
            )
        worst = min(prompt) if min(prompt) < 0 else max(prompt)
        if not 0 <= worst < self._vocabulary.size:
            raise EngineRefused(
                f"token id {worst}: must be from 0 to {self._vocabulary.size - 1}; "
                "encode with this model's vocabulary"
            )

    @contextmanager
    def _doubted(self) -> Iterator[None]:
        """Have the engine prove that it works where a stream stalls or is garbage."""
        try:
            yield
        except (EngineStalled, EngineProtocolError):
            self.supervisor.doubt()
            raise

    async def work(self) -> None:
        """Return once the child has made a token; raise the error of it where it has not."""
        await self._generate_one(self._running_server(), slot=ANY_SLOT)

    async def _generate_one(self, server: LlamaServer, slot: int = 0) -> None:
        body = completion_body([0], Sampling(max_tokens=1, temperature=0, seed=0), slot)
        reader, ended = EventReader(self._vocabulary), False
        async with server.complete(body, self._options.start_timeout_s) as lines:
            async for line in lines:
                ended = reader.read(line).finish_reason is not None or ended
        if not ended:
            raise EngineProtocolError("the engine ended the stream before its last event")

    @property
    def server(self) -> LlamaServer:
        """The server that is ready now; raises the errors of `Engine.generate` where none is."""
        return self._running_server()

    def _running_server(self) -> LlamaServer:
        status = self.status()
        if status.state in (EngineState.FAILED, EngineState.STOPPED):
            raise EngineFailed(status.detail)
        if self._server is None or self.supervisor.child is None:
            raise EngineUnavailable(status.detail)
        return self._server

    def _silence_s(self, prompt: list[int]) -> float:
        return self._options.stall_timeout_s + len(prompt) / SLOWEST_PREFILL

    def _launch(self) -> tuple[list[str], bytes]:
        options = self._options
        self._key = secrets.token_urlsafe(24)
        config = ChildConfig(
            model_path=str(options.model_path),
            api_key=self._key,
            slots=options.slots,
            context_tokens=options.context_tokens,
            threads=options.threads,
            gpu_layers=options.gpu_layers,
            slot_dir=self._slot_dir,
        )
        return [sys.executable, "-m", "server.engine.llamacpp_child"], config.to_line()

    async def _prepare(self, child: Child, stack: AsyncExitStack) -> None:
        """Wait for the address, then have the child answer one generation."""
        url = await read_address(child)
        self._slots.forget()
        self._prefixes.forget()
        self._server = await stack.enter_async_context(
            LlamaServer(url, self._key, self.supervisor.confirm_death)
        )
        await self._generate_one(self._server)
        slot_tokens = await self._server.slot_tokens()
        if slot_tokens < self._info.context_tokens:
            raise EngineFailed(
                f"engine.context_tokens {self._info.context_tokens}: {self._info.model} has a "
                f"context of {slot_tokens} tokens; lower engine.context_tokens to that"
            )
