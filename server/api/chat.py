"""`/v1/chat/completions`: a problem as a chat, for programs that speak to OpenAI's API."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from client.schema import (
    AttemptEnd,
    AttemptReport,
    ChatChoice,
    ChatCompletion,
    ChatReply,
    ChatRequest,
    CompletionTokensDetails,
    Policies,
    ProblemDetails,
    SolveEnd,
    SolveFinished,
    SolveRequest,
    SolveResult,
    SolveSummary,
    Usage,
)
from server.api.catalogue import OpenParts
from server.api.gone import unless_gone
from server.api.models import Served, check_model
from server.api.openai_stream import OpenaiStream, Write
from server.api.problems import TOO_LONG, RefusedField
from server.api.progress import Progress
from server.api.runs import submit
from server.api.solves import MALFORMED, REFUSALS, Service
from server.api.wishes import EVENTS
from server.api.wording import worded
from server.engine.base import EngineInfo
from server.sections.solve import SolveSettings
from server.solve.service import SolveHandle, SolveService
from voting.strategies import strategy

#: Fields that a chat and a solve have in common, by the same name.
SAME = (
    "attempts", "agree", "strategy", "time_limit_s", "max_turns", "min_p", "top_k", "answer_kind",
    "problem_id", "temperature", "top_p", "seed", *Policies.model_fields,
)  # fmt: skip
#: Why a solve may have no answer through no fault of the problem's. An empty answer would be
#: scored as a wrong one; after these statuses clients ask again.
BROKEN = {
    SolveEnd.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    SolveEnd.INTERRUPTED: HTTPStatus.SERVICE_UNAVAILABLE,
    SolveEnd.ENGINE_LOST: HTTPStatus.SERVICE_UNAVAILABLE,
    SolveEnd.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}
#: The same of attempts: a solve whose attempts all ended so says itself that all have finished.
BROKEN_ATTEMPTS = frozenset(
    {AttemptEnd.ENGINE_LOST, AttemptEnd.ENGINE_ERROR, AttemptEnd.SANDBOX_ERROR, AttemptEnd.FAILED}
)
CHUNK = "chat.completion.chunk"

router = APIRouter(prefix="/v1/chat", tags=["OpenAI"], responses={422: MALFORMED})


@router.post(
    "/completions",
    response_model=ChatCompletion,
    responses={
        **REFUSALS,
        400: {"model": ProblemDetails, "description": "The request is malformed."},
        404: {"model": ProblemDetails, "description": "There is no such model."},
        500: {"model": ProblemDetails, "description": "A defect ended every attempt."},
        503: {"model": ProblemDetails, "description": "The solve was ended without an answer."},
        200: {
            "content": {EVENTS: {}},
            "description": "The answer.",
        },
    },
)
async def create(
    body: ChatRequest, request: Request, solves: Service, served: Served, parts: OpenParts
) -> Response:
    """Solve the problem in the user's last message.

    Earlier messages are not read. The content is the answer; with `stream`, what the attempts do
    comes as `reasoning_content` while they do it. The caller's going away cancels the solve.
    """
    check_model(body.model, served)
    wanted = solve_request(body, parts.settings.solve)
    check_length(wanted.problem, served, solves)
    handle = await submit(request, solves, wanted)
    chat = _Chat(body, handle, served.model, solves)
    if body.stream:
        return OpenaiStream(request, chat.stream, handle.leave)
    try:
        answer = await unless_gone(request, chat.answer)
    finally:
        handle.leave()
    return Response() if answer is None else JSONResponse(answer.model_dump(mode="json"))


def solve_request(body: ChatRequest, settings: SolveSettings) -> SolveRequest:
    """Return the solve that a chat asks for; refuse what is no problem."""
    values: dict[str, Any] = {
        name: value for name in SAME if (value := getattr(body, name)) is not None
    }
    values |= {"problem": body.problem}
    if "top_k" in values:
        values["top_k"] = max(0, values["top_k"])
    if (most := body.max_completion_tokens or body.max_tokens) is not None:
        values["max_tokens"] = most
    if body.n is not None and body.n > 1:
        # Every choice is an attempt of its own, so that none may be stopped by the others.
        most = strategy(body.strategy or settings.strategy).attempts
        if most is not None and most < body.n:
            said = f"n {body.n}: must be at most {most}, the attempts of the strategy; lower it"
            raise RefusedField(HTTPStatus.BAD_REQUEST, "n", said)
        values.setdefault("attempts", max(body.n, settings.attempts))
        values |= {"early_stop": "none", "launch": "all"}
    try:
        return SolveRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        item = worded({**first, "loc": ("body", *first["loc"])})
        of_problem = item.field == "problem"
        raise RefusedField(
            HTTPStatus.BAD_REQUEST,
            "messages" if of_problem else item.field,
            item.message,
            code=TOO_LONG if of_problem and first["type"] == "string_too_long" else None,
        ) from None


def check_length(problem: str, served: EngineInfo, solves: SolveService) -> None:
    """Refuse a problem that no attempt could read: its tokens alone fill the context."""
    if len(problem.encode("utf-8", "replace")) < served.context_tokens:
        return  # a token has at least a byte
    tokens = len(solves.parts.vocabulary.encode(problem))
    if tokens >= served.context_tokens:
        said = (
            f"a problem of {tokens} tokens: must have under {served.context_tokens}, the model's "
            "context; shorten it"
        )
        raise RefusedField(HTTPStatus.BAD_REQUEST, "messages", said, code=TOO_LONG)


def check_answered(result: SolveResult) -> None:
    """Raise where the server, or the problem's length alone, is why there is no answer."""
    if result.answer is not None:
        return
    status = BROKEN.get(result.end)
    ends = {report.end for report in result.attempts}
    if ends == {AttemptEnd.NO_ANSWER} and not result.tokens.sampled:
        said = result.attempts[0].detail
        raise RefusedField(HTTPStatus.BAD_REQUEST, "messages", said, code=TOO_LONG)
    if status is None and ends and ends <= BROKEN_ATTEMPTS:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    if status is not None:
        said = f"solve {result.solve_id}: must end with an answer, and was ended ({result.detail})"
        raise HTTPException(status, f"{said}; ask again")


@dataclass(slots=True)
class _Chat:
    """One chat: the solve behind it and the forms in which it is told."""

    asked: ChatRequest
    handle: SolveHandle
    model: str
    solves: SolveService
    created: int = 0

    def __post_init__(self) -> None:
        self.created = int(time.time())

    @property
    def name(self) -> str:
        """The chat's id."""
        return f"chatcmpl-{self.handle.solve_id}"

    async def answer(self) -> ChatCompletion:
        """Wait for the end; return the answer. Raises as `check_answered`."""
        progress = Progress()
        told = [progress.tell(event) async for event in self.handle.events.follow()]
        result = await self.handle.result()
        check_answered(result)
        choices = self._choices(result)
        for place, choice in enumerate(choices[:1]):
            reply = choice.message.model_copy(update={"reasoning_content": "".join(told)})
            choices[place] = choice.model_copy(update={"message": reply})
        return ChatCompletion(
            id=self.name,
            created=self.created,
            model=self.model,
            choices=choices,
            usage=self._usage(result, choices),
            quorum=_summary(result),
        )

    async def stream(self, write: Write) -> None:
        """Tell the solve as it goes, then the answer."""
        await write(self._chunk(0, {"role": "assistant", "content": ""}))
        progress = Progress()
        async for event in self.handle.events.follow():
            text = progress.tell(event)
            if text:
                await write(self._chunk(0, {"reasoning_content": text}))
            if isinstance(event, SolveFinished):
                await self._end(write, event.result)

    async def _end(self, write: Write, result: SolveResult) -> None:
        check_answered(result)
        choices = self._choices(result)
        for choice in choices:
            if choice.index:
                await write(self._chunk(choice.index, {"role": "assistant", "content": ""}))
            if choice.message.content:
                await write(self._chunk(choice.index, {"content": choice.message.content}))
            last = self._chunk(choice.index, {}, choice.finish_reason)
            await write(last | {"quorum": _summary(result).model_dump(mode="json")})
        options = self.asked.stream_options
        if options is not None and options.include_usage:
            usage = self._usage(result, choices).model_dump(mode="json")
            await write({**self._head(), "choices": [], "usage": usage})

    def _head(self) -> dict[str, object]:
        return {"id": self.name, "object": CHUNK, "created": self.created, "model": self.model}

    def _chunk(
        self, index: int, delta: dict[str, str], finish: str | None = None
    ) -> dict[str, object]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head(), "choices": [choice]}

    def _choices(self, result: SolveResult) -> list[ChatChoice]:
        """Return as many answers as were asked for: the vote's, then those of other attempts."""
        answers = [result.answer]
        if (self.asked.n or 1) > 1:
            answers += _others(result)
        return [
            ChatChoice(
                index=index,
                message=ChatReply(content=self._content(answer)),
                finish_reason="length" if answer is None else "stop",
            )
            for index, answer in enumerate(answers[: self.asked.n or 1])
        ]

    def _content(self, answer: str | None) -> str:
        if answer is None:
            return ""
        content = f"\\boxed{{{answer}}}" if self.asked.answer_form == "boxed" else answer
        ends = [end for stop in self.asked.stops if (end := content.find(stop)) >= 0]
        return content[: min(ends, default=len(content))]

    def _usage(self, result: SolveResult, choices: Sequence[ChatChoice]) -> Usage:
        tokens = result.tokens
        vocabulary = self.solves.parts.vocabulary
        content = sum(len(vocabulary.encode(each.message.content)) for each in choices)
        given = tokens.prompt + tokens.appended
        return Usage(
            prompt_tokens=given,
            completion_tokens=tokens.sampled,
            total_tokens=given + tokens.sampled,
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=max(tokens.sampled - content, 0)
            ),
        )


def _others(result: SolveResult) -> list[str | None]:
    """Return the answers of all attempts but one that gave the vote's: the likeliest first."""
    places = {
        attempt: place for place, line in enumerate(result.ballot) for attempt in line.attempts
    }

    def order(report: AttemptReport) -> tuple[bool, int, int]:
        return report.answer is None, places.get(report.attempt, len(places)), report.attempt

    reports = sorted(result.attempts, key=order)
    chosen = next((line for line in result.ballot if line.answer == result.answer), None)
    spoken = chosen.attempts[0] if chosen and chosen.attempts else None
    if spoken is None and result.answer is None and reports:
        spoken = reports[-1].attempt
    return [report.answer for report in reports if report.attempt != spoken]


def _summary(result: SolveResult) -> SolveSummary:
    return SolveSummary(
        solve_id=result.solve_id,
        end=result.end.value,
        detail=result.detail,
        seconds=result.seconds,
    )
