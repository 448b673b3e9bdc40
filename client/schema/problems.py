"""Refusals: problem details of RFC 9457."""

from pydantic import Field

from client.schema.base import WireModel


class InvalidField(WireModel):
    """One field of a refused request."""

    field: str
    message: str


class ProblemDetails(WireModel):
    """RFC 9457 problem details; every error of the API has this form."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[InvalidField] = Field(default=[])
    retry_after_s: float | None = None
