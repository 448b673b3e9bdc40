"""Settings of the page that a browser shows."""

from pydantic import Field, field_validator

from server.sections.journal import file_named
from server.sections.section import Section


class PageSettings(Section):
    """The page in a browser, at `/`."""

    enabled: bool = Field(True, description="whether the page is served")
    answers: str = Field(
        "none",
        description="a CSV file with the columns id and answer, by which boards tell right from "
        "wrong; none is no file",
    )
    training: str = Field(
        "none", description="folder of corpus, problems and samples to look at; none is no folder"
    )
    labels: str = Field(
        "auto",
        description="file of the labels that people give attempts; auto is beside the journal",
    )

    @field_validator("labels")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        return file_named(path)
