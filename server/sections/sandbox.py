"""Settings of the pool of kernels."""

from pydantic import Field, field_validator

from sandbox.confinement.tiers import parse_requirement
from sandbox.types import StartMethod
from server.sections.section import Section


class SandboxSettings(Section):
    """The pool of Jupyter kernels."""

    kernels: int = Field(4, ge=1, le=1024, description="most kernels at once")
    spares: int = Field(4, ge=0, le=1024, description="kernels kept started ahead of demand")
    start: StartMethod = Field(
        StartMethod.AUTO,
        description="how kernels come to be: fork, from a process that has imported mathematics;"
        " cold; auto forks where that is possible",
    )
    cell_timeout_s: float = Field(6.0, gt=0, le=3600, description="seconds a cell may run")
    start_timeout_s: float = Field(60.0, gt=0, le=600, description="seconds a kernel may start")
    memory_mib: int = Field(
        4096,
        ge=1024,
        description="MiB of address space of each process of a kernel, and of memory of all",
    )
    scratch_mib: int = Field(512, ge=1, description="MiB of files of a kernel")
    require: str = Field(
        "none",
        description="what confinement must guarantee: none, basic, strict or full; or some of"
        " network, sockets, files, signals, memory, processes, separated by commas",
    )
    output_chars: int = Field(
        4000, ge=200, le=1_000_000, description="characters of a cell's output shown to the model"
    )
    http: bool = Field(
        False, description="whether kernels are leased over HTTP; always so without an engine"
    )
    http_max_waiting: int = Field(
        64, ge=0, le=10_000, description="leases that may wait for kernels; more get 429"
    )

    @field_validator("require")
    @classmethod
    def _is_a_requirement(cls, require: str) -> str:
        parse_requirement(require)
        return require
