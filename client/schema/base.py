"""What all models of the wire have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class WireModel(BaseModel):
    """Base of everything on the wire: immutable, unknown fields ignored when read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RequestModel(BaseModel):
    """Base of requests: immutable, unknown fields refused, numbers finite.

    Its fields are `Integer`, `Number` and `Flag`, which read JSON's numbers and truth values alone:
    otherwise pydantic takes `"4"` for 4, `true` for 1 and `"no"` for false.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Integer = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
