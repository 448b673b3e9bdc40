"""OpenAI's chat completions, completions and models: what the server replies.

Names and forms are those of OpenAI's API reference; of its extensions, those of vLLM.
"""

from typing import Literal

from pydantic import Field, JsonValue

from client.schema.base import WireModel


class ModelInfo(WireModel):
    """A model, in OpenAI's form."""

    id: str = Field(description="The name, for `model` in a request.")
    object: Literal["model"] = Field(default="model", description="Always `model`.")
    created: int = Field(description="When the server started, in seconds since 1970.")
    owned_by: str = Field(default="quorum", description="Always `quorum`.")
    max_model_len: int = Field(description="Tokens of context of one attempt.")


class ModelList(WireModel):
    """The models: the one that is served by its own name, and `quorum`, which stands for it."""

    object: Literal["list"] = Field(default="list", description="Always `list`.")
    data: list[ModelInfo] = Field(description="The models.")


class CompletionTokensDetails(WireModel):
    """Of the tokens sampled."""

    reasoning_tokens: int = Field(description="Those that are not in the content.")


class Usage(WireModel):
    """What a request cost, in tokens of the model."""

    prompt_tokens: int = Field(description="Given to the model: prompts and tools' output.")
    completion_tokens: int = Field(description="Sampled, by all attempts together.")
    total_tokens: int = Field(description="Both.")
    completion_tokens_details: CompletionTokensDetails | None = Field(
        default=None, description="Of those sampled, in a chat."
    )


class ChatReply(WireModel):
    """What the server says."""

    role: Literal["assistant"] = Field(default="assistant", description="Always `assistant`.")
    content: str = Field(description="The answer; empty where there is none.")
    reasoning_content: str | None = Field(
        default=None, description="How it came about, as a stream would have told it."
    )


class ChatChoice(WireModel):
    """One answer."""

    index: int = Field(description="From 0; 0 is the answer that was voted for.")
    message: ChatReply = Field(description="The answer as a message.")
    finish_reason: Literal["stop", "length"] = Field(
        description="`stop`, or `length` where there is no answer."
    )
    logprobs: None = Field(default=None, description="Always null.")


class SolveSummary(WireModel):
    """Quorum's own account of a chat."""

    solve_id: str = Field(description="The solve; `/v1/solves/{solve_id}` has all of it.")
    end: str = Field(description="Why the solve ended (`SolveEnd`).")
    detail: str = Field(description="Why it ended and how the answer was chosen, in words.")
    seconds: float = Field(description="How long it took, in seconds.")


class ChatCompletion(WireModel):
    """The answer of a chat, in OpenAI's form."""

    id: str = Field(description="`chatcmpl-` and the name of the solve.")
    object: Literal["chat.completion"] = Field(
        default="chat.completion", description="Always `chat.completion`."
    )
    created: int = Field(description="When, in seconds since 1970.")
    model: str = Field(description="Name of the model.")
    choices: list[ChatChoice] = Field(description="The answers.")
    usage: Usage = Field(description="What it cost.")
    quorum: SolveSummary | None = Field(default=None, description="How the solve went.")


class CompletionLogprobs(WireModel):
    """Log-probabilities in OpenAI's form: lists of one entry a token."""

    tokens: list[str] = Field(description="The tokens' texts, or `token_id:N`.")
    token_logprobs: list[float | None] = Field(description="Natural-log probabilities.")
    top_logprobs: list[dict[str, float] | None] = Field(description="Those of the likeliest.")
    text_offset: list[int] = Field(description="Where each begins in the text, in characters.")


class CompletionChoice(WireModel):
    """One completion, or a piece of one."""

    index: int = Field(description="From 0, all of one prompt one after another.")
    text: str = Field(description="The text.")
    finish_reason: Literal["stop", "length"] | None = Field(description="Null until it has ended.")
    stop_reason: str | int | None = Field(
        default=None, description="The stop that ended it, where it was one of the request's."
    )
    logprobs: CompletionLogprobs | None = Field(default=None, description="Where asked for.")
    token_ids: list[int] | None = Field(
        default=None, description="The ids, exactly as sampled, with those of the stop."
    )
    prompt_token_ids: list[int] | None = Field(default=None, description="The prompt's ids.")
    prompt_logprobs: list[dict[str, dict[str, JsonValue]] | None] | None = Field(
        default=None, description="For each id of the prompt, its log-probability by its id."
    )


class Completion(WireModel):
    """Completions, or a chunk of a stream of them, in OpenAI's form."""

    id: str = Field(description="Name of the request, made by the server.")
    object: Literal["text_completion"] = Field(
        default="text_completion", description="Always `text_completion`."
    )
    created: int = Field(description="When, in seconds since 1970.")
    model: str = Field(description="Name of the model.")
    choices: list[CompletionChoice] = Field(description="The completions.")
    usage: Usage | None = Field(default=None, description="What it cost.")
