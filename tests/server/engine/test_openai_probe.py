"""The generation by which a server of completions shows its ids, where some of them are lost."""

from asyncio import StreamWriter
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from server.engine import attached as attached_module
from server.engine.errors import EngineFailed, EngineProtocolError
from server.vocabulary import Vocabulary
from tests.server.engine.openai_cases import attached, ready
from tests.server.engine.played_server import STREAM_HEAD, Play, data, played, whole

BOUND_S = 30


def made(text: str, ids: Sequence[int], total: int | None) -> bytes:
    """Return a generation as llama-server tells it: of `total` tokens it shows some."""
    content = [{"id": i, "logprob": -0.5, "top_logprobs": []} for i in ids]
    told = {"content": content} if ids else None
    choice = {"index": 0, "text": text, "logprobs": told, "finish_reason": "length"}
    timings = {} if total is None else {"timings": {"predicted_n": total}}
    return data({"choices": [choice], **timings})


LOST = made("", (), 2)
SHOWN = made("ab", (5, 6), 2)


def playing(*generations: bytes) -> Play:
    """Serve these generations, one a request; the last one lasts."""
    to_come = list(generations)

    async def play(path: str, body: dict[str, Any], writer: StreamWriter) -> None:
        del body
        if path == "/v1/models":
            writer.write(whole(b'{"data": [{"id": "served", "owned_by": "llamacpp"}]}'))
        else:
            writer.write(STREAM_HEAD + (to_come.pop(0) if len(to_come) > 1 else to_come[0]))

    return play


@pytest.mark.parametrize("lost", [1, 2, 5])
async def test_tokens_inside_a_character_are_no_reason_to_give_up(
    tiny_vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(attached_module, "BACK_OFF_FIRST_S", 0.01)
    async with (
        played(playing(*[LOST] * lost, SHOWN)) as url,
        ready(url, tiny_vocabulary) as engine,
    ):
        assert engine.status().restarts == 0


@pytest.mark.parametrize("generations", [[made("ab", (), 2)], [LOST, made("ab", (), None)]])
async def test_text_without_ids_is_one(
    tiny_vocabulary: Vocabulary, generations: Sequence[bytes]
) -> None:
    async with played(playing(*generations)) as url, attached(url, tiny_vocabulary) as engine:
        with anyio.fail_after(BOUND_S), pytest.raises(EngineFailed, match="no token ids"):
            await engine.wait_ready()


async def test_a_lost_token_is_work_and_none_is_not(tiny_vocabulary: Vocabulary) -> None:
    play = playing(SHOWN, LOST, made("", (), 0))
    async with played(play) as url, ready(url, tiny_vocabulary) as engine:
        with anyio.fail_after(BOUND_S):
            await engine.work()
            with pytest.raises(EngineProtocolError, match="no token"):
                await engine.work()
