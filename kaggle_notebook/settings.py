"""The settings of a session, as the notebook's first cell gives them. Standard library alone.

`KAGGLE_SESSION_SETTINGS` in the environment, a JSON object, goes over the cell's: so one notebook
runs under other settings without a change.
"""

import json
import math
import numbers
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from kaggle_notebook.build import locate
from kaggle_notebook.errors import SettingsError
from kaggle_notebook.files import current_folder

ENVIRONMENT = "KAGGLE_SESSION_SETTINGS"
#: Set by the contest in the run that counts.
RERUN = locate.RERUN
#: For how long a problem waits for a server that does not start: in seconds where the run does not
#: count, and in even shares of the time that is left where it does.
COMMIT_PATIENCE_S = 30.0
RERUN_PATIENCE = 3
#: A run that was cut is gone on with for so long after its limit, as a share of that: of five hours
#: 900 s, for which a gateway waits for a server. Later another run has begun in the same folder.
LATE_SHARE = 0.05
#: Where a notebook may write, and what is kept of it after the run.
WORKING = Path("/kaggle/working")
#: Where the notebook's inputs are mounted.
INPUT = Path("/kaggle/input")


class Mode(StrEnum):
    """What a session does with a problem."""

    FULL = "full"
    """Solves it under the run's budget: what a submission does."""
    FIRST_BOXED = "first-boxed"
    """One attempt, whose first answer counts: cheap, and comparable between models."""
    TIMING = "timing"
    """Waits `timing_s` and answers the default, without a server: measures the contest's side."""
    FIXED_SET = "fixed-set"
    """As `full`; out of a rerun it solves the problems of `data` and scores them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """All settings of a session; times in seconds.

    ``elapsed_s`` is how much of the limit was gone when the session started; None counts from the
    start of this process, where that can have been the notebook's. ``server`` holds settings of
    `quorum serve` by their dotted names. ``install`` is the command that makes the server's
    environment; its last line of output may be JSON, ``{"python": path}``, the interpreter to use.
    ``command`` replaces `python -m client.main serve`.
    """

    mode: Mode = Mode.FULL
    #: Problems expected: the contest's private set has 50.
    problems: int = 50
    #: The contest's limit for the whole notebook.
    limit_s: float = 18_000.0
    #: Kept unspent at the end: for what the gateway does after the last answer, 1 % by default.
    margin_s: float | None = None
    elapsed_s: float | None = None
    folder: str = ""
    resume: bool = True
    python: str = ""
    install: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    server: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    #: Fields of every solve, such as {"attempts": 8}.
    solve: Mapping[str, Any] = field(default_factory=dict)
    #: The CSV file for the local gateway: of `id`, `problem` and perhaps `answer`.
    data: tuple[str, ...] = ()
    #: The folder that holds the contest's package `kaggle_evaluation`; found where it is empty.
    evaluation: str = ""
    #: Where package and data are looked for: the notebook's inputs.
    inputs: str = str(INPUT)
    #: The answer where there is nothing at all to go by.
    default_answer: int = 0
    timing_s: float = 1.0
    #: What a call may take, but for the first one: gateways of such contests wait for half an hour.
    call_limit_s: float = 1_740.0
    #: Silence of the server's stream after which it counts as stalled: it sends a comment each 15.
    stall_s: float = 45.0
    #: For how long the server of a notebook that was killed waits for it to be started again.
    linger_s: float = 15.0
    #: Seconds that a problem waits for a server that has given up, which is started again meanwhile
    #: with growing pauses; None: see `patience_s`.
    failed_wait_s: float | None = None

    @property
    def usable_s(self) -> float:
        """The limit without the margin."""
        return self.limit_s - self.kept_s

    @property
    def kept_s(self) -> float:
        """The margin in force."""
        return self.limit_s / 100 if self.margin_s is None else self.margin_s

    @property
    def over_s(self) -> float:
        """Seconds after its start from which on a session is not gone on with any more."""
        return self.limit_s * (1 + LATE_SHARE)

    @property
    def path(self) -> Path:
        """The session's folder."""
        if self.folder:
            return current_folder() / Path(self.folder).expanduser()
        # Path.is_dir raises where a folder may not be looked into
        working = os.path.isdir(WORKING)  # noqa: PTH112
        return (WORKING if working else current_folder()) / "quorum-session"

    def patience_s(self, even_s: float, *, begun: bool) -> float:
        """Return for how long a problem waits for a server that has given up, in seconds.

        In the run that counts nothing else could be done in the time, and every problem that goes
        on without waiting is lost: some even shares of what is left, of a problem with a solve that
        has ``begun``, and so may be what the server ends of, only one.
        """
        if self.failed_wait_s is not None:
            return self.failed_wait_s
        if RERUN not in os.environ:
            return COMMIT_PATIENCE_S
        return even_s * (1 if begun else RERUN_PATIENCE)

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not (_is_finite(value) and value >= least):
                raise SettingsError(
                    f"{name} {_shown(value)}: must be finite and at least {least:g}; correct it in "
                    "the notebook's first cell"
                )
        if not 0 <= self.default_answer <= 99_999:
            raise SettingsError(
                f"default_answer {_shown(self.default_answer)}: must be from 0 to 99999; correct "
                "it in the notebook's first cell"
            )
        if self.kept_s >= self.limit_s:
            raise SettingsError(
                f"margin_s {self.kept_s:g}: must be less than limit_s ({self.limit_s:g}); "
                "lower it in the notebook's first cell"
            )


_LEAST = {
    "problems": 1,
    "limit_s": 0.001,
    "margin_s": 0,
    "elapsed_s": 0,
    "timing_s": 0,
    "call_limit_s": 0.01,
    "stall_s": 0.01,
    "linger_s": 0,
    "failed_wait_s": 0,
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "problems": (int,),
    "limit_s": (int, float),
    "margin_s": (int, float, type(None)),
    "elapsed_s": (int, float, type(None)),
    "folder": (str,),
    "resume": (bool,),
    "python": (str,),
    "install": (list, tuple),
    "command": (list, tuple),
    "server": (dict,),
    "solve": (dict,),
    "data": (list, tuple, str),
    "evaluation": (str,),
    "inputs": (str,),
    "default_answer": (int,),
    "timing_s": (int, float),
    "call_limit_s": (int, float),
    "stall_s": (int, float),
    "linger_s": (int, float),
    "failed_wait_s": (int, float, type(None)),
}


def read_settings(given: Mapping[str, Any] | None = None) -> SessionSettings:
    """Return the settings of the first cell with the environment's over them.

    Raises:
        SettingsError: a name is unknown or a value malformed.
    """
    values = {**plain_settings(given or {}), **plain_settings(_of_environment())}
    known = {each.name for each in fields(SessionSettings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)}: no such setting of a session; there are "
            f"{', '.join(sorted(known))}"
        )
    return SessionSettings(**{name: _checked(name, value) for name, value in values.items()})


def plain_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON can write them: paths as text, numbers of libraries as Python's.

    Raises:
        SettingsError: a value is something else.
    """
    try:
        return {str(name): _plain(str(name), value) for name, value in given.items()}
    except RecursionError:
        raise SettingsError(
            "the settings are nested too deeply; correct them in the notebook's first cell"
        ) from None


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever the first cell says
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if value is None or isinstance(value, bool) or (isinstance(value, str) and "\0" not in value):
        return value
    if isinstance(value, numbers.Real) and _is_finite(value):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    raise SettingsError(
        f"{name} {_shown(value)}: must be text without NUL, a finite number, true or false, none, "
        "or a list or dict of such, its names text; correct it in the notebook's first cell"
    )


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - a number of any type
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _shown(value: object) -> str:
    """Return a value as a sentence can have it."""
    try:
        return f"{value!r:.80}"
    except ValueError:  # an integer of thousands of digits
        return "of very many digits"


def _checked(name: str, value: Any) -> Any:  # noqa: ANN401 - checked here
    if name == "mode":
        try:
            return Mode(value)
        except ValueError:
            raise SettingsError(
                f"mode {value!r}: must be one of {', '.join(Mode)}; correct it in the notebook's "
                "first cell"
            ) from None
    kinds = _TYPES[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
        raise SettingsError(
            f"{name} {_shown(value)}: must be of type {names}; correct it in the notebook's "
            "first cell"
        )
    if name == "data" and isinstance(value, str):
        return (value,)
    return tuple(str(each) for each in value) if isinstance(value, list | tuple) else value


def _of_environment() -> dict[str, Any]:
    text = os.environ.get(ENVIRONMENT, "")
    if not text:
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{ENVIRONMENT}: must be a JSON object ({error}); unset it") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{ENVIRONMENT}: must be a JSON object; unset it")
    return values


def settings_dict(settings: SessionSettings) -> dict[str, Any]:
    """Return what differs from the defaults, fit for JSON."""
    found = {}
    for each in fields(settings):
        value = getattr(settings, each.name)
        default = each.default if each.default is not MISSING else {}
        if value != default:
            found[each.name] = dict(value) if isinstance(value, Mapping) else value
    return found
