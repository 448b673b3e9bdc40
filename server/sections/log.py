"""Settings of what is logged."""

from pydantic import Field

from server.sections.section import Section


class LogSettings(Section):
    """What is logged, to standard error."""

    level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="debug|info|warning|error"
    )
    format: str = Field("console", pattern="^(console|json)$", description="console|json")
