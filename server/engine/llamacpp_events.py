"""Reads llama-server's stream events into chunks, and finds the ids that its stream loses.

Measured (llama.cpp of 2026): each event carries the ids that its text ends with; a token that ends
inside a UTF-8 character gets no event, and the next event's `tokens_predicted` jumps. The last
event has no ids of its own; an end token comes with the one before.
"""

from typing import Any

import orjson

from server.engine.base import Chunk, FinishReason, TopLogprobs
from server.engine.errors import (
    EngineError,
    EngineProtocolError,
    EngineRefused,
    EngineUnavailable,
)
from server.vocabulary import Vocabulary

#: A loss is a character of up to four bytes, or some in a row; longer ones are not searched, since
#: the time grows with tokens times bytes.
MOST_LOST_TOKENS = 32
MOST_LOST_BYTES = 256
SERVER_ERROR, BAD_GATEWAY, SERVICE_UNAVAILABLE = 500, 502, 503

_FINISH = {
    "limit": FinishReason.LENGTH,
    "eos": FinishReason.STOP,
    "word": FinishReason.STOP,
}


def refusal(status: int, message: str) -> EngineError:
    """Return the error for an HTTP status of llama-server, or for a code inside its stream."""
    text = f"llama.cpp answered {status}: {message}"
    if status in (BAD_GATEWAY, SERVICE_UNAVAILABLE):
        return EngineUnavailable(text)
    return EngineRefused(text) if status < SERVER_ERROR else EngineProtocolError(text)


class EventReader:
    """State of one stream: how many tokens have been accounted for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._seen = 0

    def read(self, line: bytes) -> Chunk:
        """Return the chunk of one event.

        Raises:
            EngineRefused, EngineUnavailable: the event is an error that says so.
            EngineProtocolError: the event is another error, or not one of llama-server's.
        """
        try:
            event = orjson.loads(line)
            if "error" in event:
                error = event["error"]
                raise refusal(int(error.get("code", SERVER_ERROR)), str(error["message"]))
            return self._chunk(event)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as problem:
            raise EngineProtocolError(
                f"not an event of llama-server ({type(problem).__name__}): {line[:200]!r}"
            ) from None

    def _chunk(self, event: dict[str, Any]) -> Chunk:
        ids = tuple(event["tokens"])
        size = self._vocabulary.size
        if not all(type(token_id) is int and 0 <= token_id < size for token_id in ids):
            raise EngineProtocolError(
                f"token ids {ids!r:.200}: must be whole numbers from 0 to {size - 1}; the "
                " engine serves another model than the vocabulary's"
            )
        logprobs, top = _probabilities(event)
        lost = event["tokens_predicted"] - self._seen - len(ids)
        self._seen = event["tokens_predicted"]
        finish = _FINISH[event["stop_type"]] if event["stop"] else None
        if lost <= 0:
            return Chunk(ids, logprobs, top, finish)
        found, certain = self._recover(event["content"], ids, lost)
        # Their probabilities are lost too; a short list says so, a made-up number would not.
        return Chunk((*found, *ids), (), (), finish, exact=certain)

    def _recover(self, text: str, ids: tuple[int, ...], lost: int) -> tuple[tuple[int, ...], bool]:
        """Return the ids of the tokens before `ids` in the event's text, and whether for certain.

        Of several ways to write it, the tokenizer's own is the likeliest: it keeps the text right.
        """
        tail = b"".join(map(self._vocabulary.token_bytes, ids))
        data = text.encode("utf-8", "surrogatepass")
        if not data.endswith(tail) or lost > MOST_LOST_TOKENS or len(data) > MOST_LOST_BYTES:
            return (), False
        ways = self._vocabulary.spell(data[: len(data) - len(tail)], lost)
        if len(ways) == 1:
            return ways[0], True
        usual = tuple(self._vocabulary.encode(text))
        if len(usual) == lost + len(ids) and usual[lost:] == ids:
            return usual[:lost], False
        return (ways[0] if ways else ()), False


def _probabilities(event: dict[str, Any]) -> tuple[tuple[float, ...], tuple[TopLogprobs, ...]]:
    entries = event.get("completion_probabilities") or ()
    if len(entries) not in (0, len(event["tokens"])):
        raise ValueError("a probability for each token, or none")
    logprobs = tuple(float(entry["logprob"]) for entry in entries)
    top = tuple(
        tuple((item["id"], float(item["logprob"])) for item in entry["top_logprobs"])
        for entry in entries
    )
    return logprobs, top
