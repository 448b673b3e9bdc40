"""The routes of servers that run process reward models.

vLLM (0.6.4 on, documented up to 0.18): ``POST /pooling`` with a text gives the classes at each mark
where the model is pooled by steps. That is the default for Qwen2.5-Math-PRM; math-shepherd is
served with ``--pooler-config '{"pooling_type": "STEP", "step_tag_id": 12902,
"returned_token_ids": [648, 387]}'``. SGLang (0.5.12 to 0.5.23, `srt/managers/io_struct.py` and
`scheduler_output_processor_mixin.py`) has no class for Qwen2.5-Math-PRM, but serves math-shepherd
as the language model that it is: ``POST /generate`` gives the log-probabilities of `+` and `-` at
every place of the prompt.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from server.engine.errors import EngineFailed, EngineProtocolError
from server.engine.remote import RemoteServer
from server.rewards.formats import SHEPHERD_SIGN_IDS, SHEPHERD_TAG_ID, RewardFormat

#: Probabilities of two classes add up to 1 but for rounding to half precision.
ROUNDING = 0.02


class RewardRoute(Protocol):
    """One server's way of telling the classes at each mark."""

    async def classes(
        self, server: RemoteServer, model: str, text: str, marks: int, read_s: float
    ) -> list[tuple[float, float]]:
        """Return the probabilities of the two classes at each of the marks of a text.

        Raises:
            EngineError: as for `RemoteServer.post`; `EngineProtocolError` where it is no such
                answer.
        """
        ...


class VllmRoute:
    """vLLM's `/pooling`."""

    async def classes(
        self, server: RemoteServer, model: str, text: str, marks: int, read_s: float
    ) -> list[tuple[float, float]]:
        """See `RewardRoute`."""
        answer = await server.post("/pooling", {"model": model, "input": text}, read_s)
        try:
            rows = [_two(row) for row in answer["data"][0]["data"]]
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            raise _no_classes(server, f"{type(problem).__name__}: {problem}") from None
        if len(rows) != marks:
            raise _no_classes(
                server, f"{len(rows)} rows for {marks} steps; have it pool by steps (pooler config)"
            )
        return rows


class SglangRoute:
    """SGLang's `/generate`, for a model whose classes are two tokens after a tag."""

    async def classes(
        self, server: RemoteServer, model: str, text: str, marks: int, read_s: float
    ) -> list[tuple[float, float]]:
        """See `RewardRoute`. A line end follows the last tag: classes show at the next place."""
        del model
        body = {
            "text": f"{text}\n",
            "stream": False,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0.0},
            "return_logprob": True,
            "logprob_start_len": 0,
            "top_logprobs_num": 0,
            "token_ids_logprob": list(SHEPHERD_SIGN_IDS),
        }
        answer = await server.post("/generate", body, read_s)
        try:
            told = answer["meta_info"]
            ids = [entry[1] for entry in told["input_token_logprobs"]]
            signs = told["input_token_ids_logprobs"]
            places = [place + 1 for place, token in enumerate(ids) if token == SHEPHERD_TAG_ID]
            rows = [
                _two([_of(signs[place], sign) for sign in SHEPHERD_SIGN_IDS]) for place in places
            ]
        except (KeyError, TypeError, ValueError, IndexError, StopIteration) as problem:
            raise _no_classes(server, f"{type(problem).__name__}: {problem}") from None
        if len(rows) != marks:
            raise _no_classes(server, f"{len(rows)} tags for {marks} steps; serve math-shepherd")
        return rows


def route_of(owner: str, chosen: RewardFormat, server: RemoteServer) -> RewardRoute:
    """Return the route of a server that names itself so.

    Raises:
        EngineFailed: it cannot serve models of this format.
    """
    if owner != "sglang":
        return VllmRoute()
    if chosen.name != "shepherd":
        raise EngineFailed(
            f"{server.name} is SGLang, which has no class for models of format {chosen.name}; "
            "serve it with vLLM and set reward.url to that"
        )
    return SglangRoute()


def _of(entries: Sequence[Any], token: int) -> float:
    return next(float(entry[0]) for entry in entries if entry[1] == token)


def _two(row: Sequence[Any]) -> tuple[float, float]:
    """Return two probabilities; numbers that are none are logits or log-probabilities of both."""
    one, other = map(float, row)
    if not (math.isfinite(one) and math.isfinite(other)):
        raise ValueError("a class that is no number")
    if min(one, other) >= 0 and abs(one + other - 1) <= ROUNDING:
        return one, other
    first = 1 / (1 + math.exp(min(other - one, 700.0)))
    return first, 1 - first


def _no_classes(server: RemoteServer, why: str) -> EngineProtocolError:
    return EngineProtocolError(f"{server.name} gave no classes at the steps' marks: {why}"[:400])
