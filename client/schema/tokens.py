"""Text as the served model's tokens, and tokens as text."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from client.schema.base import RequestModel, WireModel
from client.schema.openai_requests import TokenId

#: Characters of a text, and ids of a list: a context of a million tokens.
MAX_TEXT_CHARS = 4_000_000
MAX_IDS = 1_000_000


class TokenizeRequest(RequestModel):
    """A text, or what a conversation opens with, to be written in the model's tokens."""

    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = Field(
        default=None, description="Plain text: no part of it becomes a control token."
    )
    system: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = Field(
        default=None, description="With `user`: the system's message; absent: empty."
    )
    user: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = Field(
        default=None, description="The user's message, in the place of `text`."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.user is None):
            raise ValueError("must have either text or user")
        if self.text is not None and self.system is not None:
            raise ValueError("system goes with user, not with text")
        return self


class DetokenizeRequest(RequestModel):
    """Token ids to be read."""

    token_ids: Annotated[list[TokenId], Field(max_length=MAX_IDS)] = Field(
        description="Ids of the served model."
    )


class TokenizedText(WireModel):
    """Tokens and what each adds to the text."""

    token_ids: list[int] = Field(description="The ids.")
    texts: list[str] = Field(
        description="What each adds to the text: empty where a character is not whole yet."
    )
    model: str = Field(description="Name of the model.")
