"""Reads llama-server's stream events into chunks, and finds the ids that its stream loses.

Measured (llama.cpp of 2026): each event carries the ids that its text ends with; a token that ends
inside a UTF-8 character gets no event, and the next event's `tokens_predicted` jumps.
"""

from typing import Any

import orjson

from server.engine.base import Chunk, FinishReason, TopLogprobs
from server.engine.errors import EngineProtocolError, EngineRefused
from server.vocabulary import Vocabulary


class EventReader:
    """State of one stream: how many tokens have been accounted for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._seen = 0

    def read(self, line: bytes) -> Chunk:
        """Return the chunk of one event.

        Raises:
            EngineRefused: the event says that the request cannot be served.
            EngineProtocolError: the event is not one of llama-server's.
        """
        try:
            event = orjson.loads(line)
            if "error" in event:
                raise EngineRefused(f"llama.cpp: {event['error'].get('message', event['error'])}")
            return self._chunk(event)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise EngineProtocolError(
                f"not an event of llama-server ({type(error).__name__}): {line[:200]!r}"
            ) from None

    def _chunk(self, event: dict[str, Any]) -> Chunk:
        ids = tuple(event["tokens"])
        if any(not 0 <= token_id < self._vocabulary.size for token_id in ids):
            raise EngineProtocolError(
                f"token ids {ids}: must be from 0 to {self._vocabulary.size - 1}; "
                "the engine serves another model than the vocabulary's"
            )
        logprobs, top = _probabilities(event)
        lost = event["tokens_predicted"] - self._seen - len(ids)
        self._seen = event["tokens_predicted"]
        finish = _finish_reason(event) if event["stop"] else None
        if lost <= 0:
            return Chunk(ids, logprobs, top, finish)
        found = self._recover(event["content"], ids, lost)
        # Their probabilities are lost too; a short list says so, a made-up number would not.
        return Chunk((*found, *ids), (), (), finish, exact=len(found) == lost)

    def _recover(self, text: str, ids: tuple[int, ...], lost: int) -> tuple[int, ...]:
        """Return the ids of the tokens before `ids` that the event's text begins with, if sure."""
        tail = b"".join(map(self._vocabulary.token_bytes, ids))
        data = text.encode("utf-8", "surrogatepass")
        if not data.endswith(tail):
            return ()
        ways = self._vocabulary.spell(data[: len(data) - len(tail)], lost)
        return ways[0] if len(ways) == 1 else ()


def _finish_reason(event: dict[str, Any]) -> FinishReason:
    return FinishReason.LENGTH if event["stop_type"] == "limit" else FinishReason.STOP


def _probabilities(event: dict[str, Any]) -> tuple[tuple[float, ...], tuple[TopLogprobs, ...]]:
    entries = event.get("completion_probabilities") or ()
    logprobs = tuple(float(entry["logprob"]) for entry in entries)
    top = tuple(
        tuple((item["id"], float(item["logprob"])) for item in entry["top_logprobs"])
        for entry in entries
    )
    return logprobs, top
