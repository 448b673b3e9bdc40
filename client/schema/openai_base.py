"""What OpenAI's requests have in common: parameters that may say nothing here, stops, seeds."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from client.schema.base import Integer, RequestModel
from client.schema.requests import MAX_SEED

#: Stop strings of one completion, and characters of each.
MAX_STOPS = 16
MAX_STOP_CHARS = 200
#: A seed by which many user interfaces ask for a random one.
NO_SEED = -1
#: Values of parameters without a meaning here that change nothing, so that clients which always
#: send them are served.
NEUTRAL: dict[str, tuple[JsonValue, ...]] = {
    "audio": (None,),
    "bad_words": (None, []),
    "best_of": (None, 1),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "ignore_eos": (None, False),
    "length_penalty": (None, 1),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "min_tokens": (None, 0),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "priority": (None, 0),
    "repetition_penalty": (None, 1),
    "response_format": (None, {"type": "text"}),
    # Of how control tokens are written: a chat's content has none, and none gets spaces around it.
    "skip_special_tokens": (None, True, False),
    "spaces_between_special_tokens": (None, True, False),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto", {"type": "none"}),
    "tools": (None, []),
    "top_logprobs": (None, 0),
    "truncate_prompt_tokens": (None,),
    "use_beam_search": (None, False),
    "web_search_options": (None,),
}

Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS)]


def _none_if_empty(stop: object) -> object:
    return None if stop == "" else stop


#: Stop strings; forms in a browser send an empty one for none, which OpenAI's schema allows too.
OpenaiStops = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_STOP_CHARS)]
    | Annotated[list[Stop], Field(max_length=MAX_STOPS)]
    | None,
    BeforeValidator(_none_if_empty),
]


def _folded(seed: int | None) -> int | None:
    return None if seed in (None, NO_SEED) else seed % (MAX_SEED + 1)


#: A seed of 64 bits, as OpenAI's API has it, folded into what engines take.
OpenaiSeed = Annotated[
    Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None, AfterValidator(_folded)
]


class OpenaiRequest(RequestModel):
    """Base of both requests: parameters that mean nothing here must say nothing."""

    @classmethod
    def unmapped(cls) -> tuple[str, ...]:
        """Return the parameters that are refused unless neutral."""
        return tuple(name for name, field in cls.model_fields.items() if field.annotation is Any)

    @field_validator("*", mode="before")
    @classmethod
    def _says_nothing(cls, value: object, info: ValidationInfo) -> object:
        name = info.field_name or ""
        if name in cls.unmapped() and not _is_neutral(value, NEUTRAL[name]):
            raise ValueError(f"{name}: has no meaning for this server; leave it out")
        return value


def _is_neutral(value: object, neutral: tuple[JsonValue, ...]) -> bool:
    # in Python, 0 equals False and 1 equals True
    return any(value == each and isinstance(value, bool) == isinstance(each, bool)
               for each in neutral)  # fmt: skip


def must_be_neutral(name: str) -> Any:  # noqa: ANN401 - a field of pydantic
    """Return the field of a parameter that must be neutral."""
    shown = ", ".join(f"`{each}`".lower() for each in NEUTRAL[name] if each is not None)
    text = f"Has no meaning here: left out or {shown}." if shown else "Has no meaning here."
    return Field(default=None, description=text)
