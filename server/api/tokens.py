"""`/v1/tokenize` and `/v1/detokenize`: the served model's tokens, for callers without its files."""

from http import HTTPStatus
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends

from client.schema import DetokenizeRequest, ProblemDetails, TokenizedText, TokenizeRequest
from server.api.completions import service
from server.api.problems import RefusedField
from server.completions.service import CompletionService
from server.vocabulary.errors import UnknownToken

router = APIRouter(
    prefix="/v1",
    tags=["tokens"],
    responses={
        422: {"model": ProblemDetails, "description": "The request is malformed."},
        503: {"model": ProblemDetails, "description": "This server has no engine."},
    },
)
Completions = Annotated[CompletionService, Depends(service)]


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, completions: Completions) -> TokenizedText:
    """Write a text, or what a conversation opens with, in the model's tokens."""

    def work() -> TokenizedText:
        if body.text is not None:
            return _told(completions.ids(body.text), completions)
        return _told(completions.opening(body.system or "", body.user or ""), completions)

    return await anyio.to_thread.run_sync(work)


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, completions: Completions) -> TokenizedText:
    """Read token ids: what each adds to the text."""

    def work() -> TokenizedText:
        return _told(tuple(body.token_ids), completions)

    try:
        return await anyio.to_thread.run_sync(work)
    except UnknownToken as error:
        raise RefusedField(HTTPStatus.UNPROCESSABLE_ENTITY, "token_ids", str(error)) from None


def _told(ids: tuple[int, ...], completions: CompletionService) -> TokenizedText:
    decoder = completions.vocabulary.decoder()
    texts = [decoder.feed([each]) for each in ids]
    if texts:
        texts[-1] += decoder.flush()
    return TokenizedText(token_ids=list(ids), texts=texts, model=completions.model)
