"""What all models of the wire have in common."""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """Base of everything on the wire: immutable, unknown fields ignored when read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RequestModel(BaseModel):
    """Base of requests: immutable, unknown fields refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
