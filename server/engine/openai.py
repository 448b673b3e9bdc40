"""Any server of `/v1/completions` that takes and gives token ids, at a URL.

How servers differ is in `openai_dialects`. Leaving a stream closes its connection, which ends it.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from server.engine.allowance import Allowance
from server.engine.attached import Attached
from server.engine.base import Chunk, EngineInfo, FinishReason, Sampling, Stream
from server.engine.errors import EngineError, EngineFailed, EngineProtocolError, EngineUnavailable
from server.engine.lifecycle import Proof
from server.engine.openai_dialects import KNOWN, Completions, Tokens
from server.engine.remote import RemoteServer, no_doubt, refusal
from server.engine.remote_engine import RemoteEngine
from server.vocabulary import Vocabulary
from server.weights import model_name

log = structlog.get_logger(__name__)

COMPLETIONS = "/v1/completions"
#: Slowest prefill that does not count as a stall, tokens per second: llama-server on a small CPU.
SLOWEST_PREFILL = 10.0
BAD_REQUEST = 400
#: Tokens of the generation that shows ids; where their ids are lost, of a second one.
FIRST_PROBE_TOKENS, SECOND_PROBE_TOKENS = 2, 16
_FINISH = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenaiOptions:
    """Where the server is; `model_path` is what the vocabulary was read from, times are seconds."""

    url: str
    model_path: Path
    slots: int
    context_tokens: int
    api_key: str = ""
    start_timeout_s: float = 600.0
    stall_timeout_s: float = 60.0


class OpenaiEngine(RemoteEngine[RemoteServer]):
    """One server of completions; opened by `open_openai`."""

    def __init__(self, options: OpenaiOptions, vocabulary: Vocabulary) -> None:
        info = EngineInfo(model_name(options.model_path), options.context_tokens, options.slots)
        super().__init__(info, vocabulary)
        self._options = options
        self._model = ""
        self._completions: Completions = KNOWN["vllm"]

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream sampled tokens; see `server.engine.base.Engine.generate`."""
        del session
        prompt = list(prompt_ids)
        sampling = self._within(prompt, sampling)
        server = self._running_server()
        body = self._body(prompt, sampling)
        with self._counted(), self.life.streaming() as heard:
            async with server.stream(COMPLETIONS, body, self._silence_s(prompt)) as lines:
                allowance = self._allowance(sampling)
                yield self._chunks(lines, self._reader(sampling), allowance, heard)

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return log-probabilities of `ids[start:]`."""
        ids = list(ids)
        self._check_score(ids, start)
        server = self._running_server()
        if start == len(ids):
            return []
        with self._counted(), _understood(b"the answer to a request for scores"):
            return await self._completions.score(
                server, self._model, ids, start, self._silence_s(ids)
            )

    async def prepare(self, server: RemoteServer) -> None:
        """Find out what the server is, and have it answer a real generation with ids."""
        listing = await server.get("/v1/models")
        with _understood(b"/v1/models"):
            models = {str(model["id"]): model for model in listing["data"]}
            if not models:
                raise EngineUnavailable(f"{server.name} lists no model")
            self._model = name = _chosen(models, self._options.model_path)
            owner = str(models[name].get("owned_by", ""))
            context = int(_context_of(models[name]) or 0)
        self._completions = KNOWN.get(owner, KNOWN["vllm"])
        if 0 < context < self._info.context_tokens:
            raise EngineFailed(
                f"engine.context_tokens {self._info.context_tokens}: {server.name} serves {name} "
                f"with a context of {context}; lower engine.context_tokens to that"
            )
        await self._prove_ids(server)
        log.info("engine.facts", engine=server.name, kind=self._completions.name, model=name)
        self._server = server

    async def work(self) -> None:
        """Return once the server has made a token; raise the error of it where it has not."""
        reader = await self._generated(self._running_server(), [0], FIRST_PROBE_TOKENS)
        if not (reader.seen or reader.text):
            raise EngineProtocolError(f"{self._completions.name} made no token")

    async def _prove_ids(self, server: RemoteServer) -> None:
        """Have ids given once; raise `EngineFailed` where there is text and there are none."""
        # Which tokens end inside a character, and so are lost, depends on the model.
        digits = self._vocabulary.encode("1 2 3 4 5 6 7")
        for prompt, tokens in (([0], FIRST_PROBE_TOKENS), (digits, SECOND_PROBE_TOKENS)):
            reader = await self._generated(server, prompt, tokens)
            if reader.ids:
                return
            if reader.text:
                raise self._without_ids(server)
        raise EngineUnavailable(
            f"{server.name} gave neither ids nor text in two generations; it is asked again"
        )

    async def _generated(
        self, server: RemoteServer, prompt: list[int], tokens: int
    ) -> "CompletionReader":
        """Read one short generation to its end; return what read it."""
        sampling = Sampling(max_tokens=tokens, temperature=0, seed=0)
        body, reader = self._body(prompt, sampling), self._reader(sampling)
        async with server.stream(COMPLETIONS, body, self._options.start_timeout_s) as lines:
            try:
                async for _ in self._chunks(lines, reader, Allowance(tokens)):
                    pass
            except EngineProtocolError as error:
                if reader.without_ids:
                    raise self._without_ids(server) from error
                # An error that the server tells, or half an event, may pass.
                raise
        return reader

    def _without_ids(self, server: RemoteServer) -> EngineError:
        return EngineFailed(
            f"{server.name} gives no token ids that can be read (as {self._completions.name}); use "
            "vLLM from 0.10.2 on, llama-server, or SGLang with engine.kind sglang"
        )

    def _body(self, prompt: list[int], sampling: Sampling) -> dict[str, Any]:
        body = self._completions.body(prompt, sampling, self._vocabulary.eos_ids)
        return body | {"model": self._model}

    def _reader(self, sampling: Sampling) -> "CompletionReader":
        return CompletionReader(self._completions, self._vocabulary.size, sampling.top_logprobs)

    async def _chunks(
        self,
        blocks: AsyncIterator[list[bytes]],
        reader: "CompletionReader",
        allowance: Allowance,
        heard: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Chunk]:
        async for lines in blocks:
            heard()
            for told in map(reader.read, lines):
                if told is not None:
                    chunk = allowance.held(told)
                    yield chunk
                    if chunk.finish_reason is not None:
                        return
        await self.life.confirm_death()
        raise EngineUnavailable("the server ended the stream before its last event")

    def _silence_s(self, prompt: list[int]) -> float:
        return self._options.stall_timeout_s + len(prompt) / SLOWEST_PREFILL


class CompletionReader:
    """State of one stream: `seen` tokens have been accounted for, `ids` of them with their ids.

    `text` is whether there was any; `without_ids` whether the last event was one of a completion,
    but its ids could not be read.
    """

    def __init__(self, completions: Completions, vocabulary_size: int, top: int) -> None:
        self._completions = completions
        self._vocabulary_size = vocabulary_size
        self._top = top
        self.seen = self.ids = 0
        self.text = self.without_ids = False

    def read(self, line: bytes) -> Chunk | None:
        """Return the chunk of one event; None for one that is not of tokens, as usage.

        Raises the errors of `Engine.generate` that come from an answer.
        """
        with _understood(line):
            event = orjson.loads(line)
            if event.get("error") or event.get("object") == "error":
                raise self._told(event.get("error") or event)
            if not event["choices"]:
                return None
            choice = event["choices"][0]
            finish = choice.get("finish_reason")
            if finish == "abort":
                raise EngineUnavailable(f"{self._completions.name} aborted the request")
            reason = None if finish is None else _FINISH[finish]
            self.text = self.text or bool(choice.get("text"))
            self.without_ids = True
            chunk = self._chunk(self._completions.tokens(choice, event), reason)
            self.without_ids = False
            return chunk

    def _chunk(self, tokens: Tokens, finish: FinishReason | None) -> Chunk:
        ids, size = tuple(tokens.ids), self._vocabulary_size
        if not all(type(token_id) is int and 0 <= token_id < size for token_id in ids):
            raise EngineProtocolError(
                f"token ids {ids!r:.200}: must be whole numbers from 0 to {size - 1}; the engine "
                "serves another model than the vocabulary's"
            )
        self.ids += len(ids)
        self.seen += len(ids)
        lost = tokens.total is not None and tokens.total > self.seen
        self.seen = max(self.seen, tokens.total or 0)
        if not self._top or len(tokens.logprobs) != len(ids):
            return Chunk(ids, (), (), finish, exact=not lost)
        top = tuple(place[: self._top] for place in tokens.top)
        if len(top) != len(ids):
            top = ((),) * len(ids)
        return Chunk(ids, tuple(tokens.logprobs), top, finish, exact=not lost)

    def _told(self, error: str | dict[str, Any]) -> EngineError:
        if isinstance(error, str):
            return refusal(self._completions.name, BAD_REQUEST, error)
        code = error.get("code")
        status = code if isinstance(code, int) else BAD_REQUEST
        return refusal(self._completions.name, status, str(error["message"]))


@contextmanager
def _understood(what: bytes) -> Iterator[None]:
    """Turn what reading a malformed answer raises into `EngineProtocolError`."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as problem:
        raise EngineProtocolError(
            f"not an answer of a server of completions ({type(problem).__name__}): {what[:200]!r}"
        ) from None


def _chosen(models: dict[str, Any], path: Path) -> str:
    """Return the served model whose name is the path's, or the first."""
    names = {model_name(path), path.name, str(path)}
    return next((name for name in models if name in names), next(iter(models)))


def _context_of(model: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return model.get("max_model_len") or (model.get("meta") or {}).get("n_ctx")


@asynccontextmanager
async def open_openai(
    options: OpenaiOptions, vocabulary: Vocabulary
) -> AsyncIterator[OpenaiEngine]:
    """Use the server for the length of the block; it is awaited in the background."""
    engine = OpenaiEngine(options, vocabulary)
    name = f"the server at {options.url}"

    async def prepare(stack: AsyncExitStack) -> None:
        server = RemoteServer(name, options.url, options.api_key, engine.life.confirm_death)
        await engine.prepare(await stack.enter_async_context(server))

    async def probe() -> None:
        async with RemoteServer(name, options.url, options.api_key, no_doubt) as server:
            await server.get("/v1/models")

    proof = Proof(engine.work, options.stall_timeout_s)
    engine.life = Attached(
        name, prepare, probe, start_timeout_s=options.start_timeout_s, proof=proof
    )
    async with engine.life.running():
        yield engine
