"""Settings of runs: problems under one clock."""

from pydantic import Field, field_validator

from server.sections.section import Section
from voting.budgets import check_budget
from voting.errors import VotingError


class RunsSettings(Section):
    """How runs give out their time, and how they go on after a restart."""

    budget: str = Field(
        "adaptive",
        pattern=r"^(none|(adaptive|greedy|fixed)\s*(\(.*\))?)$",
        description="how a run's time is given out: adaptive|greedy(300, 900)|fixed(300)|none",
    )

    @field_validator("budget")
    @classmethod
    def _can_be_made(cls, budget: str) -> str:
        # Otherwise the server starts and opens no run.
        if budget != "none":
            try:
                check_budget(budget)
            except VotingError as error:
                raise ValueError(str(error)) from None
        return budget

    library: str = Field(
        "none",
        description="file of recorded paths (`quorum replay --library`) that the adaptive budget"
        " begins with; none is a made-up population on an H100, fitted to the run's own speed",
    )
    margin_s: float = Field(
        1.0,
        ge=0,
        le=600,
        description="seconds before a run's end at which its last problem ends: at most 5 % of it",
    )
    rebuild_s: float = Field(
        30.0, ge=0, le=3_600, description="seconds an attempt's cells may run again after a restart"
    )
