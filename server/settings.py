"""Settings, declared once: name, default, unit and meaning.

Sources, later ones win: the defaults here, `quorum.toml` in the working directory (or the file that
`QUORUM_CONFIG` names), the environment (`QUORUM_` + section + name), flags (`--section-name`). A
malformed or unknown setting is refused with a sentence that names it, never ignored.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from platformdirs import user_state_path
from pydantic import ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from server.errors import SettingsError
from server.sections.access import AccessSettings
from server.sections.engine import EngineSettings
from server.sections.engines import NamedEngineSettings, regrouped
from server.sections.gateway import GatewaySettings
from server.sections.journal import JournalSettings
from server.sections.log import LogSettings
from server.sections.page import PageSettings
from server.sections.rehearsal import RehearsalSettings
from server.sections.reward import RewardSettings
from server.sections.runs import RunsSettings
from server.sections.sandbox import SandboxSettings
from server.sections.section import Section
from server.sections.solve import SolveSettings
from server.solve.recipe import read_recipe
from voting.errors import VotingError

ENV_PREFIX = "QUORUM_"
CONFIG_FILE = "quorum.toml"
ENGINES = "engines"
#: Variables with our prefix that are not settings of the server: the client's, the cache's and the
#: annotator's.
OTHER_VARIABLES = frozenset(
    {
        "QUORUM_CONFIG", "QUORUM_URL", "QUORUM_API_KEY", "QUORUM_CACHE", "QUORUM_DEBUG",
        "QUORUM_ANNOTATOR_KEY",
    }
)  # fmt: skip


class Settings(BaseSettings):
    """All settings of the server, validated together."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    gateway: GatewaySettings = GatewaySettings()
    access: AccessSettings = AccessSettings()
    engine: EngineSettings = EngineSettings()
    engines: dict[str, NamedEngineSettings] = {}
    sandbox: SandboxSettings = SandboxSettings()
    solve: SolveSettings = SolveSettings()
    runs: RunsSettings = RunsSettings()
    journal: JournalSettings = JournalSettings()
    page: PageSettings = PageSettings()
    log: LogSettings = LogSettings()
    rehearsal: RehearsalSettings = RehearsalSettings()
    reward: RewardSettings = RewardSettings()

    @field_validator("engines", mode="before")
    @classmethod
    def _are_named(cls, engines: object) -> object:
        return regrouped(engines)

    @model_validator(mode="after")
    def _recipe_has_its_engines(self) -> Self:
        try:
            read_recipe(self.solve.recipe, self.engines)
        except VotingError as error:
            raise ValueError(f"solve.recipe: {error}") from None
        return self

    def for_engine(self, name: str) -> "Settings":
        """Return the settings as they are for a further engine: it stands where `engine` does."""
        named = self.engines[name]
        own = {"dialect": named.dialect, "effort": named.effort, "thinking": named.thinking}
        log = self.engine_log_path.with_name(f"engine-{name}.log")
        log_path = str(log) if named.log == "auto" else named.log
        return self.model_copy(
            update={
                "engine": named.model_copy(update={"log": log_path}),
                "engines": {},
                "solve": self.solve.model_copy(update=own | {"recipe": "none"}),
                "rehearsal": named.rehearsal or self.rehearsal,
            }
        )

    @property
    def has_engine(self) -> bool:
        """Whether there is a language model, so that problems can be solved."""
        return self.engine.kind != "none"

    @property
    def sandbox_over_http(self) -> bool:
        """Whether `/v1/sandbox` is served: without an engine there is nothing else."""
        return self.sandbox.http or not self.has_engine

    @property
    def engine_slots(self) -> int:
        """Streams the engine serves at once: never fewer than an attempt each of one problem."""
        return self.engine.slots or self.solve.attempts

    @property
    def engine_threads(self) -> int:
        """CPU threads of the embedded engine."""
        return self.engine.threads or os.cpu_count() or 1

    @property
    def journal_path(self) -> Path:
        """The journal's file."""
        named = self.journal.path
        if named == "auto":
            return user_state_path("quorum") / "journal.sqlite"
        return Path(named).expanduser()

    @property
    def labels_path(self) -> Path:
        """The file of what people said of attempts."""
        named = self.page.labels
        if named == "auto":
            return self.journal_path.with_name("labels.jsonl")
        return Path(named).expanduser()

    @property
    def fallback_path(self) -> Path | None:
        """The file of the best answers so far; None where there is to be none."""
        named = self.journal.fallback
        if named == "none":
            return None
        if named == "auto":
            return self.journal_path.with_name("fallback.json")
        return Path(named).expanduser()

    @property
    def engine_log_path(self) -> Path:
        """The file that keeps what the engine's process writes."""
        named = self.engine.log
        if named == "auto":
            return user_state_path("quorum") / "engine.log"
        return Path(named).expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over file."""
        del dotenv_settings, file_secret_settings
        return (init_settings, env_settings, InitSettingsSource(settings_cls, _read_file()))


@dataclass(frozen=True, slots=True)
class Setting:
    """One declared setting, for flags, documentation and error texts."""

    section: str
    name: str
    field: FieldInfo

    @property
    def dotted(self) -> str:
        """The name in `quorum.toml` and in messages: `section.name`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"{ENV_PREFIX}{self.section}_{self.name}".replace(".", "_").upper()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return f"--{self.section}-{self.name}".replace("_", "-")


def declared() -> Iterator[Setting]:
    """Yield every setting, in the order of declaration; those of further engines are not fixed."""
    for section, section_field in Settings.model_fields.items():
        if section == ENGINES:
            continue
        section_type = cast("type[Section]", section_field.annotation)
        for name, field in section_type.model_fields.items():
            yield Setting(section, name, field)


def declared_of_engine(engine: str) -> Iterator[Setting]:
    """Yield the settings of a further engine; they are set in the file or by variables."""
    for name, field in NamedEngineSettings.model_fields.items():
        yield Setting(f"{ENGINES}.{engine}", name, field)


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings in force.

    `flags` maps dotted names to values given on the command line.

    Raises:
        SettingsError: a value is malformed, a name unknown, or the file unreadable.
    """
    known = {setting.dotted: setting for setting in declared()}
    _refuse_unknown_variables({setting.variable for setting in known.values()})
    nested: dict[str, dict[str, Any]] = {}
    for dotted, value in (flags or {}).items():
        section, name = dotted.split(".", 1)
        nested.setdefault(section, {})[name] = value
    try:
        return Settings(**nested)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(e, known) for e in error.errors())) from None


def _sentence(error: ErrorDetails, known: Mapping[str, Setting]) -> str:
    """Word one validation error as constraint, value, remedy."""
    dotted = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    setting = known.get(dotted) or _of_engine(dotted)
    if not dotted or (setting is None and error["type"] == "value_error"):
        # Of settings together, which the message names.
        return message
    if error["type"] in {"model_type", "dict_type"}:
        return _no_table(dotted, error["input"])
    if setting is None:
        return f"{dotted}: no such setting; see docs/reference/settings.md"
    constraint = message[:1].lower() + message[1:]
    if error["type"] == "string_pattern_mismatch":
        constraint = _constraint_of(error["ctx"]["pattern"])
    remedy = (
        setting.variable
        if setting.section not in Settings.model_fields
        else (f"{setting.variable} or {setting.flag}")
    )
    return f"{dotted} {error['input']!r}: {constraint} ({setting.field.description}); set {remedy}"


def _of_engine(dotted: str) -> Setting | None:
    """Return the setting of a further engine that a name is of."""
    section, _, name = dotted.rpartition(".")
    engine = section.removeprefix(f"{ENGINES}.")
    if engine == section:
        return None
    return next((each for each in declared_of_engine(engine) if each.name == name), None)


def _refuse_unknown_variables(known: set[str]) -> None:
    given = {name.upper() for name in os.environ if name.upper().startswith(ENV_PREFIX)}
    unknown = sorted(name for name in given - known - OTHER_VARIABLES if not _is_engines(name))
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)}: no such setting; unset it, or see docs/reference/settings.md"
        )


def _is_engines(variable: str) -> bool:
    """Tell whether a variable sets something of a further engine."""
    name, _, setting = variable.removeprefix(f"{ENV_PREFIX}{ENGINES.upper()}_").partition("_")
    return name != variable and setting.lower() in NamedEngineSettings.model_fields


def _read_file() -> dict[str, Any]:
    """Read `quorum.toml`; a missing default file is an empty one."""
    named = os.environ.get("QUORUM_CONFIG")
    path = Path(named or CONFIG_FILE)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if named is None:
            return {}
        raise SettingsError(
            f"QUORUM_CONFIG {named}: no such file; correct or unset QUORUM_CONFIG"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{path}: not a readable TOML file ({error}); correct or remove it"
        ) from None
    for section in Settings.model_fields:
        # Told here: a flag of the section would take the place of what is no table.
        if section in given and not isinstance(given[section], dict):
            raise SettingsError(_no_table(section, given[section]))
    return given


def _constraint_of(pattern: str) -> str:
    """Word what a pattern asks for: words to choose from, or a form that the description shows."""
    words = re.fullmatch(r"\^\(([\w|-]+)\)\$", pattern)
    if words is None:
        return "must be written as here"
    return f"must be one of {words.group(1).replace('|', ', ')}"


def _no_table(name: str, value: object) -> str:
    return f"{name} {value!r}: must be a table, such as [{name}]; correct it"
