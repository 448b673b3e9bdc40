"""The model behind a server: token ids in and out, text as tokens, tokens as text."""

from collections.abc import Sequence

from client.exchange import Call, reader
from client.http import AsyncQuorumClient, QuorumClient
from client.schema import (
    Completion,
    CompletionChoice,
    CompletionRequest,
    DetokenizeRequest,
    RequestModel,
    TokenizedText,
    TokenizeRequest,
)

#: Seconds for all completions of one request: 64 paragraphs, after others on a busy small machine.
COMPLETION_S = 1_800.0
#: Seconds to write or read a million tokens.
TOKENS_S = 60.0
#: Ids of one request: 400 KB, below what a server takes by default.
MOST_IDS = 50_000


class ServedModel:
    """Asks a server for what its model goes on with. All methods raise `QuorumClientError`."""

    def __init__(self, client: AsyncQuorumClient) -> None:
        self._client = client

    async def complete(self, asked: CompletionRequest) -> list[CompletionChoice]:
        """Return the completions of a request, with their ids; it may be asked again."""
        wanted = asked.model_copy(update={"return_token_ids": True})
        call = Call(
            "POST", "/v1/completions", reader(Completion), read_timeout_s=COMPLETION_S,
            body=_body(wanted), repeatable=asked.seed is not None,
        )  # fmt: skip
        return (await self._client.ask(call)).choices

    async def opening(self, system: str, user: str) -> list[int]:
        """Return the ids that a conversation opens with, in the model's own form."""
        told = await self._tokens("/v1/tokenize", TokenizeRequest(system=system, user=user))
        return told.token_ids

    async def texts(self, ids: Sequence[int]) -> list[str]:
        """Return what each id adds to the text, control tokens by their names."""
        found: list[str] = []
        for begin in range(0, len(ids), MOST_IDS):
            part = DetokenizeRequest(token_ids=list(ids[begin : begin + MOST_IDS]))
            found += (await self._tokens("/v1/detokenize", part)).texts
        return found

    async def _tokens(self, path: str, asked: RequestModel) -> TokenizedText:
        return await self._client.ask(_tokens_call(path, asked))


class ServedDecoder:
    """Reads token ids by asking a server, as a `training.text.Decoder` that needs no file.

    Its methods raise `QuorumClientError`. Close it.
    """

    def __init__(self, url: str) -> None:
        self._client = QuorumClient(url)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        return "".join(self.pieces(ids))

    def pieces(self, ids: list[int]) -> list[str]:
        """Return what each id adds to the text."""
        found: list[str] = []
        for begin in range(0, len(ids), MOST_IDS):
            part = DetokenizeRequest(token_ids=ids[begin : begin + MOST_IDS])
            found += self._client.ask(_tokens_call("/v1/detokenize", part)).texts
        return found


def _tokens_call(path: str, asked: RequestModel) -> Call[TokenizedText]:
    return Call(
        "POST", path, reader(TokenizedText), read_timeout_s=TOKENS_S, body=_body(asked),
        repeatable=True,
    )  # fmt: skip


def _body(asked: RequestModel) -> bytes:
    return asked.model_dump_json(exclude_unset=True).encode()
