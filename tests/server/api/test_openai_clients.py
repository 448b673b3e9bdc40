"""What programs that speak to OpenAI or to vLLM send, as they send it, and what they look for."""

from typing import Any

import httpx
import pytest

from client.schema import MAX_PROBLEM_CHARS
from tests.server.api.gateway import Gateway
from tests.server.api.test_openai_routes import CHAT, COMPLETIONS, PROBLEM, chat, complete, refused

#: NeMo-Skills' `VLLMModel`, which always sends all of them.
NEMO = {
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "spaces_between_special_tokens": False,
    "skip_special_tokens": False,
}
#: vLLM's parameters at their own defaults.
VLLM = {
    "min_tokens": 0,
    "ignore_eos": False,
    "best_of": 1,
    "length_penalty": 1.0,
    "use_beam_search": False,
    "priority": 0,
    "bad_words": [],
    "truncate_prompt_tokens": None,
    "spaces_between_special_tokens": True,
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}


@pytest.mark.parametrize("neutral", [NEMO, VLLM, {"bad_words": None}, {"stop": ""}])
def test_neutral_values_on_both_routes(http: httpx.Client, neutral: dict[str, object]) -> None:
    assert chat(http, **neutral).choices[0].message.content == "42"
    assert complete(http, **neutral).choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "body",
    [
        {"moderation": {"model": "omni-moderation-latest"}, "prompt_cache_options": {"mode": "x"}},
        {"moderation": None, "prompt_cache_options": None, "answer_form": None},
        {"tools": [TOOL], "tool_choice": "none"},
        {"tools": [TOOL], "tool_choice": {"type": "none"}},
        {"tool_choice": {"type": "none"}},
        {"functions": [{"name": "look_up"}], "function_call": "none"},
    ],
)
def test_what_a_chat_takes_and_does_not_read(http: httpx.Client, body: dict[str, object]) -> None:
    assert chat(http, **body).choices[0].message.content == "42"


def test_null_is_as_if_left_out(http: httpx.Client) -> None:
    (choice,) = complete(http, stop="compute", include_stop_str_in_output=None).choices
    assert choice.text == "I "


@pytest.mark.parametrize(
    ("asked", "sampled"),
    [(4_294_967_295, 2**31 - 1), (2**31, 0), (-2, 2**31 - 2), (2**63 - 1, 2**31 - 1)],
)
def test_seeds_of_64_bits_are_folded(
    http: httpx.Client, gateway: Gateway, asked: int, sampled: int
) -> None:
    before = len(gateway.engine.requests)
    complete(http, seed=asked)
    chat(http, seed=asked, attempts=1)
    seeds = [request.sampling.seed for request in gateway.engine.requests[before:]]
    assert seeds[:2] == [sampled] * 2


def test_a_seed_of_minus_one_is_none(http: httpx.Client, gateway: Gateway) -> None:
    before = len(gateway.engine.requests)
    complete(http, seed=-1)
    complete(http, seed=-1)
    first, second = (request.sampling.seed for request in gateway.engine.requests[before:])
    assert first != second
    chat(http, seed=-1)


def test_lm_eval_reads_the_log_likelihood_of_an_ending(
    http: httpx.Client, gateway: Gateway
) -> None:
    """The request of its `local-completions`, and what it does with the answer."""
    ids = gateway.vocabulary.encode("6 x 7? 42")
    body = {"prompt": [ids], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234}
    (choice,) = complete(http, **body, echo=True).choices
    assert choice.logprobs is not None
    assert choice.logprobs.top_logprobs[0] is None
    for context in range(1, len(ids)):
        scores = choice.logprobs.token_logprobs[context:-1]
        likeliest = choice.logprobs.top_logprobs[context:-1]
        assert len(scores) == len(likeliest) == len(ids) - context
        for score, top in zip(scores, likeliest, strict=True):
            assert score == max((top or {}).values())


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("POST", "/v1/responses", "use /v1/chat/completions: of OpenAI's API there are"),
        ("POST", "/v1/embeddings", "use /v1/chat/completions: of OpenAI's API there are"),
        ("POST", "/v1/audio/speech", "use /v1/chat/completions: of OpenAI's API there are"),
        ("POST", "/responses", "use /v1/chat/completions: of OpenAI's API there are"),
        ("POST", "/chat/completions", "use /v1/chat/completions: the client's base URL"),
        ("POST", "/v1/v1/chat/completions", "use /v1/chat/completions: the client's base URL"),
        ("POST", "/v1/chat/completions/", "use /v1/chat/completions: the client's base URL"),
        ("POST", "/completions", "use /v1/completions: the client's base URL"),
        ("GET", "/models", "use /v1/models: the client's base URL"),
        ("GET", "/nothing", "GET /openapi.json lists them"),
    ],
)
def test_an_address_that_is_not_there(
    http: httpx.Client, method: str, path: str, says: str
) -> None:
    reply = http.request(method, path, json={} if method == "POST" else None)
    assert reply.status_code == 404
    told = reply.json()
    assert told["error"]["message"] == told["detail"]
    assert says in told["detail"]


def test_models_with_a_slash(http: httpx.Client) -> None:
    listed = http.get("/v1/models/").json()
    assert [model["id"] for model in listed["data"]] == ["scripted", "quorum"]


class TestBeyondTheContext:
    """inspect-ai takes the code for the end of a sample, not for an error of the task."""

    def refusal(self, http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        error = refused(http, path, body)
        assert error["code"] == "context_length_exceeded"
        assert "the model's context; shorten it" in error["message"]
        return error

    def test_of_a_chat_whose_problem_is_longer_than_any(self, http: httpx.Client) -> None:
        body = {"messages": [{"role": "user", "content": "x" * (MAX_PROBLEM_CHARS + 1)}]}
        error = refused(http, "/v1/chat/completions", body)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        empty = refused(
            http, "/v1/chat/completions", {"messages": [{"role": "user", "content": " "}]}
        )
        assert empty["code"] is None

    @pytest.mark.parametrize("stream", [False, True])
    def test_of_a_completion(self, http: httpx.Client, gateway: Gateway, stream: bool) -> None:
        context = gateway.engine.context_tokens
        gateway.engine.context_tokens = 100
        try:
            body = {"prompt": ["a", "b" * 1_000], "stream": stream}
            assert self.refusal(http, COMPLETIONS, body)["param"] == "prompt"
        finally:
            gateway.engine.context_tokens = context

    def test_of_a_chat(self, http: httpx.Client, gateway: Gateway) -> None:
        context = gateway.engine.context_tokens
        gateway.engine.context_tokens = 100
        try:
            messages = [*PROBLEM, {"role": "user", "content": "数学" * 200}]
            assert self.refusal(http, CHAT, {"messages": messages})["param"] == "messages"
        finally:
            gateway.engine.context_tokens = context
