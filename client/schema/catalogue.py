"""What the server has to choose from, and the settings in force."""

from pydantic import Field, JsonValue

from client.schema.base import WireModel


class StrategyInfo(WireModel):
    """A strategy: policies under one name."""

    name: str = Field(description="The name, for `strategy` in a request.")
    meaning: str = Field(description="What it does.")
    tools: bool = Field(description="Whether attempts may run code.")
    attempts: int | None = Field(description="How many attempts it makes; null: as asked for.")
    policies: dict[str, str] = Field(description="Its policies by kind.")


class PolicyInfo(WireModel):
    """A policy of one kind."""

    name: str = Field(description="The name without arguments.")
    usage: str = Field(description="How it is written, with its arguments' defaults.")
    meaning: str = Field(description="What it does.")


class PolicyCatalogue(WireModel):
    """Every strategy and every policy that a request may name."""

    default: str = Field(description="The strategy of a request that names none.")
    strategies: list[StrategyInfo] = Field(description="The strategies.")
    policies: dict[str, list[PolicyInfo]] = Field(description="The policies by kind.")


class SettingInfo(WireModel):
    """A setting in force."""

    name: str = Field(description="The name, `section.name`.")
    value: JsonValue = Field(description="The value in force; of a secret only whether it is set.")
    default: JsonValue = Field(description="The value where nothing else is said.")
    changed: bool = Field(description="Whether the value differs from the default.")
    meaning: str = Field(description="What it says, with its unit.")


class SettingList(WireModel):
    """Every setting in force, in the order of declaration."""

    settings: list[SettingInfo] = Field(description="The settings.")
