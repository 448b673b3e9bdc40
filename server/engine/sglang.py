"""SGLang as an engine: a server that is started and supervised, or one at a URL.

Ids in and out by `/generate`. What is left early is aborted by its request id, and a sweep looks
whether the server works on more than is wanted. Source of the protocol: `sglang_http`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import structlog

from server.engine.allowance import Allowance
from server.engine.attached import Attached
from server.engine.base import Chunk, EngineInfo, Sampling, Stream
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineUnavailable,
)
from server.engine.lifecycle import Proof
from server.engine.remote import no_doubt
from server.engine.remote_engine import RemoteEngine
from server.engine.sglang_events import EventReader
from server.engine.sglang_http import (
    RESERVED_TOKENS,
    SglangServer,
    check_version,
    generate_body,
    new_request_id,
    score_body,
    scores,
)
from server.groups import collapsed
from server.vocabulary import Vocabulary
from server.weights import model_name

log = structlog.get_logger(__name__)

#: Slowest prefill that does not count as a stall, tokens per second: a tenth of what four L4 reach
#: with a 32B model.
SLOWEST_PREFILL = 200.0
#: An abort is a message to the scheduler; a server that takes longer for it is about to die.
ABORT_S = 2.0
SWEEP_INTERVAL_S = 5.0
#: Aborts of one request by sweeps, where others' requests hide whether it is still there.
MOST_REPEATS = 3
#: Tokens of the generation that shows readiness; enough to tell how ids are streamed.
PROBE_TOKENS = 4
#: Before the server is asked again that answered with status 500 or half an event.
PROBE_PAUSES_S = (1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SglangLimits:
    """What holds for a started server and for one at a URL; tokens per stream, times in seconds."""

    slots: int
    context_tokens: int
    start_timeout_s: float = 600.0
    stall_timeout_s: float = 60.0


class SglangEngine(RemoteEngine[SglangServer]):
    """One SGLang server; opened by `attach_sglang` or `server.engine.sglang_process`.

    `alone` says that nobody else uses the server, so that all it does for nobody may be aborted.
    """

    def __init__(
        self, model: str, limits: SglangLimits, vocabulary: Vocabulary, *, alone: bool
    ) -> None:
        info = EngineInfo(model, limits.context_tokens - RESERVED_TOKENS, limits.slots)
        super().__init__(info, vocabulary)
        self._limits = limits
        self._alone = alone
        self._open: set[str] = set()
        #: Left early and perhaps still there, with how often a sweep has aborted it.
        self._left: dict[str, int] = {}
        self._stray_sweeps = 0
        self._deterministic = False

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream sampled tokens; see `server.engine.base.Engine.generate`."""
        prompt = list(prompt_ids)
        sampling = self._within(prompt, sampling)
        server = self._running_server()
        headers = server.headers(session)
        rid = new_request_id()
        if self._deterministic:
            # SGLang's sampler has no such pair, and ends with the whole server at it (#33695).
            sampling = replace(sampling, min_p=0.0)
        body = generate_body(prompt, sampling, rid, self._vocabulary.eos_ids)
        with self._counted(), self.life.streaming() as heard:
            async with (
                self._request(server, rid),
                server.stream("/generate", body, self._silence_s(prompt), headers) as lines,
            ):
                yield self._chunks(lines, rid, self._allowance(sampling), heard)

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return log-probabilities of `ids[start:]`, all in one prefill."""
        ids = list(ids)
        self._check_score(ids, start)
        server = self._running_server()
        if start == len(ids):
            return []
        rid = new_request_id()
        with self._counted():
            async with self._request(server, rid):
                body = score_body(ids, start, rid)
                answer = await server.post("/generate", body, self._silence_s(ids))
                self._open.discard(rid)
        return scores(answer, ids[start:])

    async def sweep(self) -> int:
        """Abort again what was left early; return how many requests run that nobody here wants.

        Other clients' requests count too, where there are others. Where what is in front of the
        server has no routes for it, a closed connection must do, and the answer is none.
        """
        server = self._running_server()
        wanted, left = len(self._open), tuple(self._left)
        try:
            for rid in left:
                await self._repeat_abort(server, rid)
            running = await server.load()
        except EngineRefused as error:
            log.info("engine.cannot_sweep", engine=server.name, reason=str(error))
            running = 0
        strays = max(0, running - max(wanted, len(self._open)))
        # Newer versions tell a load of some steps ago, so one look proves nothing.
        self._stray_sweeps = self._stray_sweeps + 1 if strays else 0
        if self._stray_sweeps > 1 and self._alone and not self._open:
            await server.abort_all()
            log.warning("engine.strays", engine=self._info.model, requests=strays)
        if not strays:
            for rid in left:
                self._left.pop(rid, None)
        return strays

    async def _repeat_abort(self, server: SglangServer, rid: str) -> None:
        await server.abort(rid)
        repeats = self._left.pop(rid, 0) + 1
        # With others at work there are always strays: without a bound each sweep would abort all
        # that was ever left.
        if self._alone or repeats < MOST_REPEATS:
            self._left[rid] = repeats

    async def keep_swept(self) -> None:
        """Sweep as long as there is something that was left early."""
        while True:
            await anyio.sleep(SWEEP_INTERVAL_S)
            if self._left:
                try:
                    await self.sweep()
                except EngineError as error:
                    # A server that is gone has nothing running.
                    log.debug("engine.not_swept", reason=str(error))

    async def prepare(self, server: SglangServer) -> None:
        """Have the server answer a real generation, and refuse what cannot work with it.

        An answer that is none (status 500, half an event) is asked for again: a fault may pass.
        """
        for pause_s in PROBE_PAUSES_S:
            try:
                return await self._prove(server)
            except EngineProtocolError as error:
                log.warning("engine.not_proved", engine=server.name, reason=str(error))
            await anyio.sleep(pause_s)
        return await self._prove(server)

    async def _prove(self, server: SglangServer) -> None:
        rid = new_request_id()
        async with self._request(server, rid):
            cumulative = await self._generate_some(server, rid, self._limits.start_timeout_s)
        await self._check_facts(server)
        if cumulative:
            log.warning(
                "engine.cumulative",
                engine=server.name,
                reason="every event repeats all ids; start SGLang with "
                "--incremental-streaming-output",
            )
        self._left.clear()
        self._server = server

    @property
    def proof(self) -> Proof:
        """How the server proves that it works."""
        return Proof(self._work, self._limits.stall_timeout_s)

    async def _work(self) -> None:
        server, rid = self._running_server(), new_request_id()
        async with self._request(server, rid):
            await self._generate_some(server, rid, self._limits.start_timeout_s)

    async def _generate_some(self, server: SglangServer, rid: str, silence_s: float) -> bool:
        """Read one short generation to its end; return whether its events repeat all ids."""
        sampling = Sampling(max_tokens=PROBE_TOKENS, temperature=0, seed=0)
        reader = EventReader(self._vocabulary.size)
        body = generate_body([0], sampling, rid, ())
        async with server.stream("/generate", body, silence_s) as blocks:
            async for lines in blocks:
                if any(chunk.finish_reason for chunk in reader.read_all(lines)):
                    self._open.discard(rid)
        if rid in self._open:
            raise EngineProtocolError(f"{server.name} ended a stream before its last event")
        return reader.cumulative

    async def _check_facts(self, server: SglangServer) -> None:
        try:
            facts = await server.facts()
        except EngineRefused as error:
            # A router in front of several servers does not tell what they are.
            log.warning("engine.unknown_version", engine=server.name, reason=str(error))
            return
        check_version(facts.version)
        self._check_room(facts.context_tokens, facts.prompt_tokens)
        # Without it SGLang samples with one generator for all, whatever the request's seed.
        log.info("engine.facts", version=facts.version, keeps_seeds=facts.deterministic)
        if facts.deterministic and not self._deterministic:
            log.info("engine.no_min_p", reason="SGLang's deterministic inference cannot have it")
        self._deterministic = facts.deterministic

    def _check_room(self, context_tokens: int, prompt_tokens: int) -> None:
        wanted = self._limits.context_tokens
        if 0 < context_tokens < wanted:
            raise EngineFailed(
                f"engine.context_tokens {wanted}: SGLang serves {self._info.model} with a context "
                f"of {context_tokens}; lower engine.context_tokens to that"
            )
        if 0 < prompt_tokens < self._info.context_tokens:
            raise EngineFailed(
                f"engine.context_tokens {wanted}: SGLang has memory for prompts of "
                f"{prompt_tokens}; lower engine.context_tokens or raise engine.memory_fraction"
            )

    @asynccontextmanager
    async def _request(self, server: SglangServer, rid: str) -> AsyncIterator[None]:
        """Hold a request id; at the end abort what has not ended by itself."""
        self._open.add(rid)
        try:
            yield
        finally:
            if rid in self._open:
                self._left[rid] = 0
                self._open.discard(rid)
                await self._abort(server, rid)

    async def _abort(self, server: SglangServer, rid: str) -> None:
        """Shielded but bounded; what fails here is repeated by the sweep."""
        with anyio.move_on_after(ABORT_S, shield=True):
            # Closing the connection frees the request too: all that are left now close theirs
            # before any of them takes the time for this request of its own.
            await anyio.lowlevel.checkpoint()
            try:
                await server.abort(rid)
            except EngineError as error:
                self.faults["abort"] += 1
                log.debug("engine.abort_failed", reason=str(error))

    async def _chunks(
        self,
        blocks: AsyncIterator[list[bytes]],
        rid: str,
        allowance: Allowance,
        heard: Callable[[], None],
    ) -> AsyncIterator[Chunk]:
        reader = EventReader(self._vocabulary.size)
        async for lines in blocks:
            heard()
            for told in reader.read_all(lines):
                # What ends at our word is not over at the server: it stays open, to be aborted.
                if told.finish_reason is not None:
                    self._open.discard(rid)
                chunk = allowance.held(told)
                yield chunk
                if chunk.finish_reason is not None:
                    return
        await self.life.confirm_death()
        raise EngineUnavailable("SGLang ended the stream before its last event")

    def _silence_s(self, prompt: list[int]) -> float:
        return self._limits.stall_timeout_s + len(prompt) / SLOWEST_PREFILL


@asynccontextmanager
async def attach_sglang(
    url: str, api_key: str, model: Path, limits: SglangLimits, vocabulary: Vocabulary
) -> AsyncIterator[SglangEngine]:
    """Use the server at a URL for the length of the block; it is awaited in the background."""
    engine = SglangEngine(model_name(model), limits, vocabulary, alone=False)
    name = f"SGLang at {url}"

    async def prepare(stack: AsyncExitStack) -> None:
        server = SglangServer(name, url, api_key, engine.life.confirm_death)
        await engine.prepare(await stack.enter_async_context(server))

    async def probe() -> None:
        async with SglangServer(name, url, api_key, no_doubt) as server:
            await server.alive()

    engine.life = Attached(
        name, prepare, probe, start_timeout_s=limits.start_timeout_s, proof=engine.proof
    )
    async with running(engine):
        yield engine


@asynccontextmanager
async def running(engine: SglangEngine) -> AsyncIterator[None]:
    """Keep the engine's server, and have it swept."""
    with collapsed():
        async with engine.life.running(), anyio.create_task_group() as group:
            group.start_soon(engine.keep_swept)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
