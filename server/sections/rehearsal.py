"""Settings of rehearsals: an engine without a model."""

from pydantic import Field, field_validator

from server.engine.rehearsal.faults import parse_faults
from server.sections.section import Section


class RehearsalSettings(Section):
    """What `engine.kind` rehearsal plays."""

    machine: str = Field(
        "instant",
        description="the machine that is imitated: instant, h100-gpt-oss-120b,"
        " cpu-qwen2.5-coder-1.5b, or a TOML file of the same form",
    )
    speed: float = Field(
        1.0, gt=0, le=10_000, description="how many times faster than that machine"
    )
    grain: int = Field(
        1,
        ge=1,
        le=1000,
        description="tokens of the machine that one sent token stands for: attempts have so many"
        " times fewer, and each takes so many times longer",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of all that is left to chance")
    problems: str = Field(
        "none",
        description="JSON-lines file of problems with their answers; any other problem has the"
        " answer that its text hashes to",
    )
    traces: str = Field(
        "none",
        description="JSON-lines file of recorded attempts (`quorum journal export`, or Harmony's"
        " prompt_tokens and completion_tokens), of engine.model's vocabulary: problems that have"
        " some are answered by them",
    )
    faults: str = Field(
        "none",
        description="what goes wrong and when (die@600; stall@900+30; slow@1200+60x5), in the"
        " machine's seconds since the start",
    )

    @field_validator("faults")
    @classmethod
    def _can_be_read(cls, faults: str) -> str:
        parse_faults(faults)
        return faults
