"""The machines that rehearsals imitate, from `machines.toml` or a file of the same form."""

import math
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from server.engine.errors import EngineFailed


@dataclass(frozen=True, slots=True)
class Habits:
    """How long attempts are: tokens by a log-normal distribution, and programs written."""

    tokens_median: float
    tokens_sigma: float
    tokens_most: float
    calls_median: float

    def grained(self, grain: int) -> "Habits":
        """Return the habits where each token stands for `grain` of the machine's."""
        return Habits(
            self.tokens_median / grain, self.tokens_sigma, self.tokens_most / grain,
            self.calls_median,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its model; times in its own seconds."""

    load_s: float
    step_s: float
    step_s_per_stream: float
    prefill_tokens_s: float
    kv_tokens: float
    most_running: float
    habits: Habits

    def step(self, streams: int) -> float:
        """Return the seconds in which each of so many streams gets one token."""
        return self.step_s + self.step_s_per_stream * streams

    def grained(self, grain: int) -> "Machine":
        """Return the machine where each token stands for `grain` of its own."""
        return Machine(
            load_s=self.load_s,
            step_s=self.step_s * grain,
            step_s_per_stream=self.step_s_per_stream * grain,
            prefill_tokens_s=self.prefill_tokens_s,
            kv_tokens=self.kv_tokens,
            most_running=self.most_running,
            habits=self.habits.grained(grain),
        )


#: Each number with the least that it may be.
_MACHINE = {
    "load_s": 0.0, "step_s": 1e-6, "step_s_per_stream": 0.0, "prefill_tokens_s": 1.0,
    "kv_tokens": 1.0, "most_running": 1.0,
}  # fmt: skip
_HABITS = {"tokens_median": 1.0, "tokens_sigma": 0.0, "tokens_most": 1.0, "calls_median": 0.0}


def read_machine(name: str) -> Machine:
    """Return a machine by its name, or from a TOML file that has its numbers at the top.

    Raises:
        EngineFailed: there is none of that name, or the file is not one of a machine.
    """
    known = _known()
    if name in known:
        return _machine(name, known[name])
    path = Path(name).expanduser()
    try:
        return _machine(name, tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise EngineFailed(
            f"rehearsal.machine {name!r}: neither a file nor one of {', '.join(known)}; set"
            " rehearsal.machine to one of these"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EngineFailed(f"rehearsal.machine {name}: not a TOML file ({error})") from error


def machine_names() -> list[str]:
    """Return the names of the machines that come with Quorum."""
    return [*_known()]


def _known() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "machines.toml").read_text("utf-8"))


def _machine(name: str, table: dict[str, Any]) -> Machine:
    habits = table.get("habits")
    if not isinstance(habits, dict):
        raise EngineFailed(f"rehearsal.machine {name}: has no table [habits]; add it")
    plain = {key: value for key, value in table.items() if key != "habits"}
    return Machine(
        **_numbers(name, plain, _MACHINE), habits=Habits(**_numbers(name, habits, _HABITS))
    )


def _numbers(name: str, table: dict[str, Any], least: dict[str, float]) -> Any:  # noqa: ANN401
    """Return the numbers of a table, all that there must be and none besides."""
    for key in sorted({*table} ^ {*least}):
        wrong = "is missing" if key in least else f"is none of {', '.join(least)}"
        raise EngineFailed(f"rehearsal.machine {name}: {key} {wrong}; correct the file")
    for key, value in table.items():
        number = type(value) in (int, float) and math.isfinite(value)
        if not number or value < least[key]:
            raise EngineFailed(
                f"rehearsal.machine {name}: {key} {value!r} must be a number from {least[key]:g}"
                " on; correct the file"
            )
    return {key: float(value) for key, value in table.items()}
