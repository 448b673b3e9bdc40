"""Settings of further engines, each under a name."""

import re
from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from server.sections.engine import EngineSettings
from server.sections.rehearsal import RehearsalSettings

#: What the engine of section `engine` is called where engines are told by name.
MAIN = "main"
#: Names are part of variables: `QUORUM_ENGINES_PLANNER_MODEL`.
NAME = re.compile(r"[a-z][a-z0-9]{0,39}")


class NamedEngineSettings(EngineSettings):
    """A further engine: what a recipe plans, thinks or verifies with.

    As section `engine`, and what section `solve` and `rehearsal` say of that one's model.
    """

    dialect: str = Field("auto", description="how its model writes; auto finds it from the model")
    effort: str = Field(
        "high",
        pattern="^(low|medium|high)$",
        description="how much gpt-oss thinks: low|medium|high",
    )
    thinking: bool = Field(True, description="a model that can leave thinking out thinks first")
    rehearsal: RehearsalSettings | None = Field(
        None, description="settings of its rehearsal; none is those of section rehearsal"
    )

    @model_validator(mode="after")
    def _is_an_engine(self) -> Self:
        if self.kind == "none":
            raise ValueError("a further engine of kind none is none: leave it out")
        return self


def regrouped(given: object) -> object:
    """Return engines by name, with what variables say of them in its place.

    A variable's name is split once, so that `planner_model` arrives beside `planner`.
    """
    if not isinstance(given, Mapping):
        return given
    engines: dict[str, object] = {k: v for k, v in given.items() if isinstance(v, Mapping)}
    for key, value in given.items():
        if isinstance(value, Mapping):
            continue
        name, _, setting = str(key).partition("_")
        if not setting:  # a section of the file that is no table: refused as such
            engines[name] = value
            continue
        engine = engines.get(name, {})
        engines[name] = {**(engine if isinstance(engine, Mapping) else {}), setting: value}
    for name in engines:
        if name == MAIN or not NAME.fullmatch(name):
            raise ValueError(
                f"engines.{name}: a name must be a word of small letters and digits, and not"
                f" {MAIN}, which is the engine of section engine; choose another one"
            )
    return engines
