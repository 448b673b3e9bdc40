"""The sandbox over HTTP: leases of kernels, cells, and a cell's output while it runs."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, field_validator

from client.schema.base import RequestModel, WireModel
from client.schema.problems import ProblemDetails
from client.schema.requests import MAX_SEED

#: Most seconds that a request may ask for: a client that asks for more means something else.
MAX_TTL_S = 3_600
MAX_WAIT_S = 600
MAX_CELL_TIMEOUT_S = 3_600
#: Longest code accepted, in characters; the server's bound on a request's body is usually lower.
MAX_CODE_CHARS = 1_000_000


class CellStatus(StrEnum):
    """How a cell ended."""

    OK = "ok"
    """It ran to its end."""
    ERROR = "error"
    """It raised, or it does not compile."""
    TIMEOUT = "timeout"
    """It was still running when its time was up, and was stopped."""
    INTERRUPTED = "interrupted"
    """It was interrupted by request, or because its caller went away."""
    DIED = "died"
    """Its kernel's process ended, or stopped answering, while it ran."""


class InterruptStep(StrEnum):
    """What it took to stop a cell."""

    NONE = "none"
    """Nothing: it ended by itself."""
    SIGINT = "sigint"
    """A KeyboardInterrupt; variables are kept."""
    POKE = "poke"
    """A second one, after the kernel was woken; variables are kept."""
    KILL = "kill"
    """The kernel was killed and replaced; variables are lost."""


class LeaseRequest(RequestModel):
    """A kernel to have for oneself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"seed": 7, "owner": "load test", "ttl_s": 30}]}
    )

    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="Seeds the random generators.")
    owner: str = Field(
        default="", max_length=100, description="Who asks, in their own words; shown in lists."
    )
    ttl_s: float = Field(
        default=60.0,
        ge=1,
        le=MAX_TTL_S,
        description="Seconds without a heartbeat or a running cell after which the lease ends.",
    )
    wait_s: float = Field(
        default=30.0, ge=0, le=MAX_WAIT_S, description="Seconds to wait for a kernel, at most."
    )

    @field_validator("owner")
    @classmethod
    def _owner_is_one_line_of_text(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("the owner must be one line of printable text; remove what is not")
        return value


class ExecuteRequest(RequestModel):
    """A cell to run."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"code": "from sympy import *\nfactorint(2**64 + 1)"}]}
    )

    code: str = Field(
        max_length=MAX_CODE_CHARS, description="Python source, with IPython's magics."
    )
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=MAX_CELL_TIMEOUT_S,
        description="Seconds until it is stopped; the setting `sandbox.cell_timeout_s` if absent.",
    )


class LeaseInfo(WireModel):
    """What anybody may know of a lease. Its id is not shown: who knows it can use the lease."""

    owner: str = Field(description="Who holds it, in their own words.")
    seed: int = Field(description="Seed of the random generators.")
    ttl_s: float = Field(description="Seconds that it lasts without a heartbeat.")
    age_s: float = Field(description="Seconds since it was granted.")
    waited_s: float = Field(description="Seconds that its holder waited for it.")
    expires_in_s: float | None = Field(
        description="Seconds until it ends; null while a cell runs, for then it does not."
    )
    busy: bool = Field(description="Whether a cell runs.")
    cells: int = Field(description="Cells that have run.")


class Lease(LeaseInfo):
    """A kernel that is the caller's alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "lease-5f0c6a0f9d0e4b1e8f7a6b5c4d3e2f10",
                    "owner": "load test",
                    "seed": 7,
                    "ttl_s": 30.0,
                    "age_s": 0.0,
                    "waited_s": 0.05,
                    "expires_in_s": 30.0,
                    "busy": False,
                    "cells": 0,
                }
            ]
        }
    )

    lease_id: str = Field(description="The right to use the lease: keep it to yourself.")


class LeaseList(WireModel):
    """All leases over HTTP, in the order in which they were asked for."""

    leases: list[LeaseInfo] = Field(description="Those that hold a kernel.")
    waiting: int = Field(description="Requests that wait for a kernel.")
    kernels: int = Field(description="Most kernels at once, those of solves included.")


class InterruptReport(WireModel):
    """Answer to an interrupt."""

    interrupted: bool = Field(description="Whether there was a cell to interrupt.")


class CellResult(WireModel):
    """How a cell ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "output": "{274177: 1, 67280421310721: 1}\n",
                    "status": "ok",
                    "interrupt_step": "none",
                    "state_lost": False,
                    "seconds": 0.012,
                    "truncated": False,
                    "error_name": None,
                }
            ]
        }
    )

    output: str = Field(
        description="What it printed and displayed, its last expression and its error, as plain "
        "text; the middle of what is too long is cut."
    )
    status: CellStatus = Field(description="How it ended.")
    interrupt_step: InterruptStep = Field(description="What it took to stop it.")
    state_lost: bool = Field(
        description="The kernel was replaced: what earlier cells defined is gone."
    )
    seconds: float = Field(description="How long it took, in seconds.")
    truncated: bool = Field(description="Whether some of the output was cut.")
    error_name: str | None = Field(
        default=None, description="Class of the exception that ended it, if one did."
    )


class CellOutput(WireModel):
    """A piece of the output, as it comes. Carriage returns are kept, so a progress bar moves."""

    type: Literal["cell.output"] = "cell.output"
    text: str = Field(description="The next piece.")


class CellFinished(WireModel):
    """The last event of a cell. Its result's output is that of all pieces together."""

    type: Literal["cell.finished"] = "cell.finished"
    result: CellResult = Field(description="How the cell ended.")


class CellFailed(WireModel):
    """The last event of a cell that has no result: its lease ended, or there was no kernel."""

    type: Literal["cell.failed"] = "cell.failed"
    problem: ProblemDetails = Field(description="Why, as a refused request would say it.")


CellEvent = Annotated[CellOutput | CellFinished | CellFailed, Field(discriminator="type")]

CELL_EVENT_ADAPTER: TypeAdapter[CellEvent] = TypeAdapter(CellEvent)
