"""Settings, declared once: name, default, unit and meaning.

Sources, later ones win: the defaults here, `quorum.toml` in the working directory (or the file that
`QUORUM_CONFIG` names), the environment (`QUORUM_` + section + name), flags (`--section-name`). A
malformed or unknown setting is refused with a sentence that names it, never ignored.
"""

import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self, cast

from platformdirs import user_state_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from sandbox.confinement.tiers import parse_requirement
from sandbox.types import StartMethod
from server.errors import SettingsError
from server.prompts import sets, variants
from server.solve.mix import parse_mix
from voting.catalogue import Context
from voting.errors import VotingError
from voting.policies import CATALOGUES, make_policies
from voting.strategies import STRATEGIES

ENV_PREFIX = "QUORUM_"
CONFIG_FILE = "quorum.toml"
#: Variables with our prefix that are not settings of the server: the client's and the cache's.
OTHER_VARIABLES = frozenset({"QUORUM_CONFIG", "QUORUM_URL", "QUORUM_CACHE", "QUORUM_DEBUG"})


class Section(BaseModel):
    """Base of the sections: immutable, unknown names refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GatewaySettings(Section):
    """The HTTP server and what it admits."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8642, ge=0, le=65535, description="TCP port; 0 takes a free one")
    max_running: int = Field(1, ge=1, le=256, description="solves that run at once")
    max_queued: int = Field(16, ge=0, le=10_000, description="solves that may wait; more get 429")
    max_body_bytes: int = Field(256 * 1024, ge=1024, description="bytes; largest request body")
    shutdown_s: float = Field(10.0, gt=0, le=300, description="seconds granted to a clean shutdown")


class EngineSettings(Section):
    """The language model."""

    kind: str = Field(
        "llamacpp",
        pattern="^(llamacpp|sglang|openai|none)$",
        description="llamacpp|sglang|openai|none; none serves the sandbox alone",
    )
    model: str = Field(
        "qwen2.5-coder-1.5b-instruct-q4_k_m",
        description="a known name (`quorum weights list`), or the path of a GGUF file or, for other"
        " kinds than llamacpp, of a model folder",
    )
    context_tokens: int = Field(
        8192, ge=512, le=1_048_576, description="tokens of context for each attempt"
    )
    slots: int = Field(
        0, ge=0, le=256, description="attempts decoded at once; 0 means as many as solve.attempts"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of the embedded engine; 0 means all cores"
    )
    gpu_layers: int = Field(-1, ge=-1, description="layers on the GPU; -1 means all that fit")
    preload: bool = Field(
        True, description="bring the model's files into the page cache while the engine starts"
    )
    start_timeout_s: float = Field(180.0, gt=0, description="seconds until the engine must answer")
    stall_timeout_s: float = Field(
        60.0, gt=0, description="seconds without a token after which a stream counts as stalled"
    )
    max_restarts: int = Field(
        5, ge=0, le=1000, description="restarts without a minute of health between, then give up"
    )
    urls: str = Field(
        "",
        description="addresses of running servers, separated by commas (sglang, openai); with"
        " sglang and none, one is started",
    )
    api_key: SecretStr = Field(SecretStr(""), description="key of the servers at engine.urls")
    api_key_file: str = Field("", description="file whose first line is that key")
    python: str = Field("auto", description="interpreter that has sglang; auto is Quorum's own")
    quantisation: str = Field("auto", description="of the weights; auto leaves it to sglang")
    memory_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of GPU memory for weights and contexts; 0 is sglang's"
    )
    kv_dtype: str = Field("auto", description="data type of contexts; auto leaves it to sglang")
    attention_backend: str = Field("auto", description="kernels of sglang; auto leaves it to it")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs that share one copy of sglang's")
    deterministic: bool = Field(
        False, description="sglang keeps to each request's seed, which costs speed"
    )
    arguments: str = Field(
        "", description="further arguments for sglang's server, quoted as in a shell"
    )
    log: str = Field(
        "auto", description="file of sglang's output; auto is engine.log in the user's state folder"
    )

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, urls: str) -> str:
        for url in filter(None, map(str.strip, urls.split(","))):
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url} must begin with http:// or https://")
        return urls

    @field_validator("arguments")
    @classmethod
    def _can_be_split(cls, arguments: str) -> str:
        try:
            shlex.split(arguments)
        except ValueError as error:
            raise ValueError(f"must be quoted as in a shell ({error})") from None
        return arguments

    @model_validator(mode="after")
    def _kind_and_urls_agree(self) -> Self:
        if self.kind == "openai" and not self.url_list:
            raise ValueError("engine.kind openai needs the address of a server: set engine.urls")
        if self.kind == "llamacpp" and self.url_list:
            raise ValueError("engine.urls is for engine.kind sglang or openai: set engine.kind")
        return self

    @property
    def url_list(self) -> tuple[str, ...]:
        """The addresses in `urls`."""
        return tuple(filter(None, (url.strip().rstrip("/") for url in self.urls.split(","))))


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


class SolveSettings(Section):
    """How a problem is solved when the request does not say."""

    strategy: str = Field("tir", description="how attempts are made and chosen, by name")
    attempts: int = Field(4, ge=1, le=256, description="attempts per problem")
    agree: int = Field(
        3, ge=1, le=256, description="equal answers that stop the rest (at most attempts)"
    )
    max_turns: int = Field(16, ge=1, le=1000, description="turns per attempt")
    max_tokens: int = Field(
        6144, ge=1, le=1_000_000, description="sampled tokens per attempt, all turns together"
    )
    time_limit_s: float = Field(300.0, gt=0, le=86_400, description="seconds per problem")
    answer_reserve_s: float = Field(
        8.0,
        ge=0,
        description="seconds kept to force an answer: at most 15 % of the limit, more when slow",
    )
    temperature: float = Field(0.7, ge=0, le=5, description="sampling temperature")
    first_greedy: bool = Field(True, description="attempt 0 samples at temperature 0")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus sampling; 1 is off")
    min_p: float = Field(0.02, ge=0, lt=1, description="least share of the best token; 0 is off")
    result_tokens: int = Field(
        1024, ge=64, le=65_536, description="tokens of one tool result shown to the model"
    )
    dialect: str = Field("auto", description="how the model writes; auto finds it from the model")
    effort: str = Field(
        "high",
        pattern="^(low|medium|high)$",
        description="how much gpt-oss thinks: low|medium|high",
    )
    thinking: bool = Field(True, description="models that can leave thinking out think first")
    today: str = Field(
        "none", description="date told to models that are told one (YYYY-MM-DD); none leaves it out"
    )
    prompts: str = Field("auto", description="set of prompt texts, by name; auto is the dialect's")
    mix: str = Field(
        "auto",
        description="what attempts differ in (temperature=0; variant=check top_p=0.9; …), in turn;"
        " auto is the model's preset, none is nothing",
    )

    @field_validator("today")
    @classmethod
    def _is_a_date(cls, today: str) -> str:
        if today == "none":
            return today
        try:
            return date.fromisoformat(today).isoformat()
        except ValueError as error:
            raise ValueError(f"must be none or a date like 2026-01-31 ({error})") from None

    @field_validator("prompts")
    @classmethod
    def _is_a_set(cls, name: str) -> str:
        known = {"auto", "default", *sets()}
        if name not in known:
            raise ValueError(f"must be one of {', '.join(sorted(known))}")
        return name

    @field_validator("mix")
    @classmethod
    def _can_be_read(cls, mix: str) -> str:
        parse_mix(mix, variants())
        return mix

    weight: str = Field("auto", description="what a vote weighs; auto is the strategy's own")
    selector: str = Field("auto", description="how the answer is chosen; auto as above")
    early_stop: str = Field("auto", description="when the rest is stopped; auto as above")
    launch: str = Field("auto", description="when attempts are started; auto as above")
    prune: str = Field("auto", description="which running attempts are ended; auto as above")
    revision: str = Field("auto", description="whether attempts review answers; auto as above")
    likely_tokens: int = Field(
        20, ge=1, le=100, description="tokens a place whose log-probabilities confidence is from"
    )
    confidence_window: int = Field(
        2048, ge=1, le=1_000_000, description="tokens of the sliding window of confidence"
    )
    select_reserve_s: float = Field(
        30.0,
        ge=0,
        description="seconds kept for selectors that ask the model: at most 15 % of the limit",
    )
    symbolic: bool = Field(True, description="answers that differ are compared as mathematics")
    symbolic_timeout_s: float = Field(
        3.0, gt=0, le=60, description="seconds that one such comparison may take"
    )
    percent_is_number: bool = Field(False, description="50 % equals 50, and not one half")
    ordered_lists: bool = Field(False, description="1, 2 differs from 2, 1; (1, 2) always does")

    @model_validator(mode="after")
    def _policies_can_be_made(self) -> Self:
        # An unknown strategy is refused where a request would have taken it.
        chosen = STRATEGIES.get(self.strategy, STRATEGIES["tir"])
        try:
            make_policies(chosen.named(self.policy_names), Context(self.attempts, self.agree))
        except VotingError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def policy_names(self) -> dict[str, str | None]:
        """The policies by kind, as they are written."""
        return {kind: getattr(self, kind) for kind in CATALOGUES}


class JournalSettings(Section):
    """The record of every solve, with its tokens."""

    enabled: bool = Field(True, description="whether solves are recorded")
    path: str = Field(
        "auto", description="the journal's file; auto is journal.sqlite in the user's state folder"
    )
    max_size_mib: int = Field(
        4096, ge=16, le=16_777_216, description="MiB; above it the oldest solves are deleted"
    )
    keep_days: float = Field(
        90.0, ge=0, le=36_500, description="days after which a solve is deleted; 0 means never"
    )


class LogSettings(Section):
    """What is logged, to standard error."""

    level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="debug|info|warning|error"
    )
    format: str = Field("console", pattern="^(console|json)$", description="console|json")


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
    engine: EngineSettings = EngineSettings()
    sandbox: SandboxSettings = SandboxSettings()
    solve: SolveSettings = SolveSettings()
    journal: JournalSettings = JournalSettings()
    log: LogSettings = LogSettings()

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
        return f"{ENV_PREFIX}{self.section}_{self.name}".upper()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return f"--{self.section}-{self.name}".replace("_", "-")


def declared() -> Iterator[Setting]:
    """Yield every setting, in the order of declaration."""
    for section, section_field in Settings.model_fields.items():
        section_type = cast("type[Section]", section_field.annotation)
        for name, field in section_type.model_fields.items():
            yield Setting(section, name, field)


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
    setting = known.get(dotted)
    if not dotted or (setting is None and error["type"] == "value_error"):
        # Of settings together, which the message names.
        return message
    if setting is None:
        return f"{dotted}: no such setting; see docs/reference/settings.md"
    constraint = message[:1].lower() + message[1:]
    return (
        f"{dotted} {error['input']!r}: {constraint} ({setting.field.description}); "
        f"set {setting.variable} or {setting.flag}"
    )


def _refuse_unknown_variables(known: set[str]) -> None:
    given = {name.upper() for name in os.environ if name.upper().startswith(ENV_PREFIX)}
    unknown = sorted(given - known - OTHER_VARIABLES)
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)}: no such setting; unset it, or see docs/reference/settings.md"
        )


def _read_file() -> dict[str, Any]:
    """Read `quorum.toml`; a missing default file is an empty one."""
    named = os.environ.get("QUORUM_CONFIG")
    path = Path(named or CONFIG_FILE)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
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
