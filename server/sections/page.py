"""Settings of the page that a browser shows."""

from pydantic import Field

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
