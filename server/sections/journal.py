"""Settings of the record of solves."""

from pathlib import Path

from pydantic import Field, field_validator

from server.sections.section import Section


def file_named(path: str) -> str:
    """Return the name of a file; raises ValueError for what can name none, such as `` or `.`."""
    if "\0" in path or Path(path).name in ("", ".."):
        raise ValueError("must name a file")
    return path


#: The same bound for the setting and for the flag of `quorum journal prune`.
LEAST_MIB = 16


class JournalSettings(Section):
    """The record of every solve, with its tokens."""

    enabled: bool = Field(True, description="whether solves are recorded")
    path: str = Field(
        "auto", description="the journal's file; auto is journal.sqlite in the user's state folder"
    )
    fallback: str = Field(
        "auto",
        description="the file of a run's best answers so far, for readers without the server; auto"
        " is fallback.json beside the journal, none leaves it out",
    )
    max_size_mib: int = Field(
        4096, ge=LEAST_MIB, le=16_777_216, description="MiB; above it the oldest solves are deleted"
    )
    keep_days: float = Field(
        90.0, ge=0, le=36_500, description="days after which a solve is deleted; 0 means never"
    )

    @field_validator("path", "fallback")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        return file_named(path)
