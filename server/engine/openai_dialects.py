"""How servers of `/v1/completions` differ once token ids are wanted: one class for each.

OpenAI's own API knows no ids; each server has added them in its way. Sources: vLLM,
`vllm/entrypoints/openai/protocol.py`; llama.cpp, `tools/server/README.md`, and what was measured of
it; sglang 0.5.23, `srt/entrypoints/openai/serving_completions.py`.

| | vLLM | llama-server | SGLang |
| --- | --- | --- | --- |
| asks for ids by | `return_token_ids` | `logprobs`, with ids in them | as vLLM, from 0.5.23 on |
| ids of likely tokens | `return_tokens_as_token_ids` | yes | none: they are given as text |
| ids inside a character | all | lost, and seen by `timings.predicted_n` | all |
| end token | in the ids | in the ids | in the ids |
| stops of ours | `stop_token_ids` | the model's only | `stop_token_ids` |
| scores a prompt by | `prompt_logprobs` | a forced token a request | `echo` |
| a closed stream ends | at once | with the prefill, if in it | within seconds |
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from server.engine.base import Sampling, TopLogprobs
from server.engine.errors import EngineProtocolError
from server.engine.llamacpp_http import SEEDS as LLAMA_SEEDS
from server.engine.remote import RemoteServer

#: vLLM's seeds are 64-bit and signed.
SEEDS = 2**63
#: Outweighs any logit, so that llama.cpp samples a given token.
FORCING_BIAS = 1_000.0
_TOKEN_ID = "token_id:"  # noqa: S105 - a prefix of vLLM's, no secret


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one event says of tokens; `total` is how many were sampled so far, where it is told."""

    ids: list[Any]
    logprobs: list[float]
    top: list[TopLogprobs]
    total: int | None = None


class VllmCompletions:
    """vLLM from 0.10.2 on, and servers that took over its parameters."""

    name = "vLLM"

    def body(self, prompt: list[int], sampling: Sampling, end_ids: Iterable[int]) -> dict[str, Any]:
        """Return the request, but for the model's name."""
        body = common_body(prompt, sampling) | {
            "top_k": sampling.top_k or -1,
            "min_tokens": 0,
            "repetition_penalty": 1.0,
            "seed": sampling.seed % SEEDS,
            "stop_token_ids": sorted(end_ids),
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        if sampling.top_logprobs:
            body |= {"logprobs": sampling.top_logprobs, "return_tokens_as_token_ids": True}
        return body

    def tokens(self, choice: dict[str, Any], event: dict[str, Any]) -> Tokens:
        """Return the tokens of one event."""
        del event
        ids = choice.get("token_ids") or []
        if not ids and choice.get("text"):
            raise KeyError("token_ids")
        told = choice.get("logprobs")
        # JSON has no infinities: what a server could not tell is null.
        if not told or None in told["token_logprobs"]:
            return Tokens(ids, [], [])
        top = [_by_id(place or {}) for place in told.get("top_logprobs") or [None] * len(ids)]
        return Tokens(ids, list(map(float, told["token_logprobs"])), top)

    async def score(
        self, server: RemoteServer, model: str, ids: list[int], start: int, read_s: float
    ) -> list[float]:
        """Return the log-probabilities of `ids[start:]`."""
        body = {"model": model, "prompt": ids, "max_tokens": 1, "prompt_logprobs": 1}
        answer = await server.post("/v1/completions", body, read_s)
        places = answer["choices"][0]["prompt_logprobs"]
        return [float(places[i][str(ids[i])]["logprob"]) for i in range(start, len(ids))]


class SglangCompletions(VllmCompletions):
    """SGLang from 0.5.23 on; its own `/generate` is better served by `engine.kind` sglang."""

    name = "SGLang"

    async def score(
        self, server: RemoteServer, model: str, ids: list[int], start: int, read_s: float
    ) -> list[float]:
        """Return the log-probabilities of `ids[start:]`, echoed."""
        body = {"model": model, "prompt": ids, "max_tokens": 1, "echo": True, "logprobs": 1}
        answer = await server.post("/v1/completions", body, read_s)
        echoed = answer["choices"][0]["logprobs"]["token_logprobs"]
        return [float(echoed[i]) for i in range(start, len(ids))]


class LlamaCompletions:
    """llama.cpp's `llama-server`."""

    name = "llama-server"

    def body(self, prompt: list[int], sampling: Sampling, end_ids: Iterable[int]) -> dict[str, Any]:
        """Return the request, but for the model's name."""
        del end_ids
        return common_body(prompt, sampling) | {
            "top_k": sampling.top_k,
            "repeat_penalty": 1.0,
            "seed": sampling.seed % LLAMA_SEEDS,
            # The order of vLLM and SGLang: temperature first, then the cuts.
            "samplers": ["temperature", "top_k", "top_p", "min_p"],
            "cache_prompt": True,
            # Ids come with log-probabilities only.
            "logprobs": max(1, sampling.top_logprobs),
            "timings_per_token": True,
        }

    def tokens(self, choice: dict[str, Any], event: dict[str, Any]) -> Tokens:
        """Return the tokens of one event."""
        told = choice.get("logprobs")
        entries = told["content"] if told else []
        timings = event.get("timings")
        return Tokens(
            [entry["id"] for entry in entries],
            [float(entry["logprob"]) for entry in entries],
            [
                tuple((int(item["id"]), float(item["logprob"])) for item in entry["top_logprobs"])
                for entry in entries
            ],
            None if timings is None else int(timings["predicted_n"]),
        )

    async def score(
        self, server: RemoteServer, model: str, ids: list[int], start: int, read_s: float
    ) -> list[float]:
        """Return the log-probabilities of `ids[start:]`: one request each, so for short targets."""
        found = []
        for position in range(start, len(ids)):
            sampling = Sampling(max_tokens=1, temperature=0, seed=0, top_logprobs=1)
            body = self.body(ids[:position], sampling, ()) | {
                "model": model,
                "stream": False,
                "logit_bias": [[ids[position], FORCING_BIAS]],
            }
            answer = await server.post("/v1/completions", body, read_s)
            tokens = self.tokens(answer["choices"][0], answer)
            if tokens.ids != [ids[position]]:
                raise EngineProtocolError(
                    f"llama-server has no log-probability of token {ids[position]}, which ends "
                    "inside a character; use engine.kind llamacpp to score"
                )
            found += tokens.logprobs
        return found


Completions = VllmCompletions | LlamaCompletions

#: By `owned_by` in `/v1/models`; others are taken for servers that follow vLLM.
KNOWN: dict[str, Completions] = {
    "vllm": VllmCompletions(),
    "sglang": SglangCompletions(),
    "llamacpp": LlamaCompletions(),
}


def common_body(prompt: list[int], sampling: Sampling) -> dict[str, Any]:
    """Return what all servers take."""
    return {
        "prompt": prompt,
        "stream": True,
        "n": 1,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def _by_id(place: dict[str, float]) -> TopLogprobs:
    """Return one position's tokens that are named by their ids, best first."""
    found = [
        (int(name.removeprefix(_TOKEN_ID)), float(logprob))
        for name, logprob in place.items()
        if name.startswith(_TOKEN_ID)
    ]
    return tuple(sorted(found, key=lambda item: -item[1]))
