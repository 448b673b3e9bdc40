"""`/v1/completions`: the model itself, with text or token ids, in OpenAI's form with vLLM's ids."""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from client.schema import (
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
    ProblemDetails,
    Usage,
)
from server.api.gone import unless_gone
from server.api.models import Served, check_model
from server.api.openai_stream import OpenaiStream, Write
from server.api.problems import TOO_LONG, RefusedField
from server.api.services import Services
from server.api.solves import MALFORMED, REFUSALS
from server.api.wishes import EVENTS
from server.completions.service import CompletionService, Piece, Wanted, seed_of
from server.engine.base import EngineInfo, Sampling

#: Tokens where a request says null.
USUAL_TOKENS = 16

router = APIRouter(tags=["OpenAI"], responses={422: MALFORMED})


async def service(request: Request) -> CompletionService:
    """Return the service that the lifespan opened."""
    services: Services = request.state.services
    return services.completing()


@router.post(
    "/v1/completions",
    response_model=Completion,
    responses={
        **REFUSALS,
        400: {"model": ProblemDetails, "description": "The request is malformed, or too long."},
        404: {"model": ProblemDetails, "description": "There is no such model."},
        502: {"model": ProblemDetails, "description": "The engine answered with nonsense."},
        200: {
            "content": {EVENTS: {}},
            "description": "The completions.",
        },
    },
)
async def create(
    body: CompletionRequest,
    request: Request,
    completions: Annotated[CompletionService, Depends(service)],
    served: Served,
) -> Response:
    """Go on from a text or from token ids: one stream of the engine for each completion.

    No tools, no votes, no prompt of ours. The caller's going away aborts it on the engine.
    """
    check_model(body.model, served)
    prompts = [completions.ids(prompt) for prompt in body.prompts]
    check_lengths(prompts, served)
    completions.check_room(len(prompts) * (body.n or 1))
    job = _Job(body, completions, prompts)
    if body.stream:
        return OpenaiStream(request, job.stream, lambda: None)
    answer = await unless_gone(request, job.answer)
    return Response() if answer is None else JSONResponse(answer.model_dump(mode="json"))


def check_lengths(prompts: Sequence[Sequence[int]], served: EngineInfo) -> None:
    """Refuse a prompt that leaves no room for a token."""
    longest = max(map(len, prompts))
    if longest >= served.context_tokens:
        said = (
            f"a prompt of {longest} tokens: must have under {served.context_tokens}, the model's "
            "context; shorten it"
        )
        raise RefusedField(HTTPStatus.BAD_REQUEST, "prompt", said, code=TOO_LONG)


@dataclass(slots=True)
class _Whole:
    """A completion, or what there is of it, and the prompt's scores."""

    pieces: list[Piece] = field(default_factory=list)
    scores: list[float | None] | None = None


@dataclass(slots=True)
class _Job:
    """The completions of one request."""

    asked: CompletionRequest
    completions: CompletionService
    prompts: Sequence[tuple[int, ...]]
    name: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    sampled: int = 0

    @property
    def each(self) -> int:
        """Completions of each prompt."""
        return self.asked.n or 1

    async def answer(self) -> Completion:
        """Run all to their ends."""
        wholes = [_Whole() for _ in range(len(self.prompts) * self.each)]

        async def run(index: int) -> None:
            whole, prompt = wholes[index], self.prompts[index // self.each]
            if self._scores_prompt:
                whole.scores = await self.completions.score(prompt)
            if self._most_tokens:
                await self._pieces(index, whole.pieces.append)

        await self._run([partial(run, index) for index in range(len(wholes))])
        choices = [self._choice(index, whole) for index, whole in enumerate(wholes)]
        return Completion(
            id=self.name,
            created=self.created,
            model=self.completions.model,
            choices=choices,
            usage=self._usage(),
        )

    async def stream(self, write: Write) -> None:
        """Run all, and tell each piece as it comes."""
        lock = anyio.Lock()

        async def run(index: int) -> None:
            first = True
            async with aclosing(self.completions.complete(self._wanted(index))) as pieces:
                async for piece in pieces:
                    self.sampled += len(piece.token_ids)
                    async with lock:
                        await write(self._chunk(index, piece, first=first))
                    first = False

        await self._run([partial(run, index) for index in range(len(self.prompts) * self.each)])
        options = self.asked.stream_options
        if options is not None and options.include_usage:
            usage = self._usage().model_dump(mode="json", exclude_none=True)
            await write({**self._head(), "choices": [], "usage": usage})

    async def _run(self, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
        await self.completions.unless_closed(lambda: _all(jobs))

    @property
    def _scores_prompt(self) -> bool:
        echoed = bool(self.asked.echo) and self.asked.logprobs is not None
        return echoed or self.asked.prompt_logprobs is not None

    @property
    def _most_tokens(self) -> int:
        return USUAL_TOKENS if self.asked.max_tokens is None else self.asked.max_tokens

    async def _pieces(self, index: int, take: Callable[[Piece], None]) -> None:
        async with aclosing(self.completions.complete(self._wanted(index))) as pieces:
            async for piece in pieces:
                self.sampled += len(piece.token_ids)
                take(piece)

    def _wanted(self, index: int) -> Wanted:
        asked = self.asked
        sampling = Sampling(
            max_tokens=self._most_tokens,
            temperature=1.0 if asked.temperature is None else asked.temperature,
            seed=seed_of(asked.seed, index % self.each),
            top_p=1.0 if asked.top_p is None else asked.top_p,
            top_k=max(asked.top_k or 0, 0),
            min_p=asked.min_p or 0.0,
            top_logprobs=0 if asked.logprobs is None else max(1, asked.logprobs),
        )
        return Wanted(
            prompt=self.prompts[index // self.each],
            sampling=sampling,
            stops=tuple(asked.stops),
            stop_ids=frozenset(asked.stop_token_ids or ()),
            include_stop=asked.include_stop_str_in_output is True,
            skip_special=asked.skip_special_tokens is not False,
        )

    def _head(self) -> dict[str, object]:
        return {
            "id": self.name,
            "object": "text_completion",
            "created": self.created,
            "model": self.completions.model,
        }

    def _chunk(self, index: int, piece: Piece, *, first: bool) -> dict[str, object]:
        choice: dict[str, object] = {
            "index": index,
            "text": piece.text,
            "finish_reason": piece.finish.value if piece.finish else None,
            "stop_reason": piece.stop,
            "logprobs": None,
        }
        if self.asked.logprobs is not None:
            choice["logprobs"] = self._logprobs([piece], 0).model_dump(mode="json")
        if self.asked.return_token_ids:
            choice["token_ids"] = piece.token_ids
            if first:
                choice["prompt_token_ids"] = list(self.prompts[index // self.each])
        return {**self._head(), "choices": [choice]}

    def _choice(self, index: int, whole: _Whole) -> CompletionChoice:
        asked, pieces = self.asked, whole.pieces
        prompt = list(self.prompts[index // self.each])
        text = "".join(piece.text for piece in pieces)
        lead = self.completions.vocabulary.decode(prompt) if asked.echo else ""
        last = pieces[-1] if pieces else None
        finish: Literal["stop", "length"] = "length"
        if last is not None and last.finish is not None:
            finish = last.finish.value
        return CompletionChoice(
            index=index,
            text=lead + text,
            finish_reason=finish,
            stop_reason=last.stop if last else None,
            logprobs=None
            if asked.logprobs is None
            else self._logprobs(pieces, len(lead), prompt if asked.echo else (), whole.scores),
            token_ids=[i for piece in pieces for i in piece.token_ids]
            if asked.return_token_ids
            else None,
            prompt_token_ids=prompt if asked.return_token_ids else None,
            prompt_logprobs=self._prompt_logprobs(prompt, whole.scores),
        )

    def _logprobs(
        self,
        pieces: Sequence[Piece],
        lead: int,
        prompt: Sequence[int] = (),
        scores: Sequence[float | None] | None = None,
    ) -> CompletionLogprobs:
        ids = [*prompt, *(i for piece in pieces for i in piece.token_ids)]
        sampled = [logprob for piece in pieces for logprob in piece.logprobs]
        shown = self.asked.logprobs or 0
        likely: list[dict[str, float] | None] = [
            {self._name(i): logprob for i, logprob in top[:shown]}
            for piece in pieces
            for top in piece.top
        ]
        # The engine scores a prompt's own tokens alone. Programs that take the likeliest of the
        # rest (lm-eval's `local-completions`) want an entry at each but the first.
        own = [
            None if score is None else {self._name(i): score} if shown else {}
            for i, score in zip(prompt, scores or (), strict=False)
        ]
        offsets = self._offsets(prompt)
        return CompletionLogprobs(
            tokens=[self._name(i) for i in ids],
            token_logprobs=[*(scores or ()), *sampled],
            top_logprobs=[*own, *likely],
            text_offset=[*offsets, *(lead + at for piece in pieces for at in piece.offsets)],
        )

    def _offsets(self, ids: Sequence[int]) -> list[int]:
        decoder = self.completions.vocabulary.decoder()
        offsets, length = [], 0
        for token_id in ids:
            offsets.append(length)
            length += len(decoder.feed([token_id]))
        return offsets

    def _prompt_logprobs(
        self, prompt: Sequence[int], scores: Sequence[float | None] | None
    ) -> list[dict[str, dict[str, Any]] | None] | None:
        if self.asked.prompt_logprobs is None or scores is None:
            return None
        return [
            None if score is None else {str(i): {"logprob": score, "decoded_token": self._text(i)}}
            for i, score in zip(prompt, scores, strict=True)
        ]

    def _name(self, token_id: int) -> str:
        if self.asked.return_tokens_as_token_ids:
            return f"token_id:{token_id}"
        return self._text(token_id)

    def _text(self, token_id: int) -> str:
        return self.completions.vocabulary.decode([token_id])

    def _usage(self) -> Usage:
        given = sum(map(len, self.prompts))
        return Usage(
            prompt_tokens=given, completion_tokens=self.sampled, total_tokens=given + self.sampled
        )


async def _all(jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run jobs at once; the first that fails ends the others, and its error is raised."""
    failures: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def run(job: Callable[[], Awaitable[None]]) -> None:
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - raised again outside of the group
                failures.append(error)
                group.cancel_scope.cancel()

        for job in jobs:
            group.start_soon(run, job)
    if failures:
        raise failures[0]
