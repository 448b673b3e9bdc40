"""Settings of a kernel pool, each with its unit, validated when they are made."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import SettingsError
from sandbox.startup import (
    DEFAULT_PRELOAD,
    DEFAULT_PRELOAD_IF_INSTALLED,
    DEFAULT_STARTUP_CODE,
)
from sandbox.types import StartMethod

_MIB = 1024 * 1024

#: A kernel with numpy, scipy and sympy maps 266 MiB before it computes anything (VmSize, measured
#: with CPython 3.11 on x86-64); with less than this, ordinary cells run out.
_LEAST_MEMORY = 1024 * _MIB

#: Less would not hold one error message.
_LEAST_OUTPUT_CHARS = 200

#: The in-kernel capture holds a few times this much in memory.
_MOST_OUTPUT_CHARS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSettings:
    """How many kernels, how they start, and the bounds on what a cell may do.

    Raises:
        SettingsError: a value is out of its range.
    """

    #: The most leases at a time; the environment variable is QUORUM_SANDBOX_KERNELS.
    kernels: int = 4
    #: Kernels kept started for leases to come, within `kernels`.
    spares: int = 4
    #: The fewest kernels, leased and spare together, that are kept started.
    minimum: int = 0
    #: From the spawn of a kernel's process to the end of its start-up code, in seconds.
    start_timeout_s: float = 60.0
    #: Time of a cell for which the caller names none, in seconds.
    cell_timeout_s: float = 6.0
    #: Wait after each interrupt before the next, stronger one, in seconds.
    interrupt_grace_s: float = 1.0
    #: Bound on a cell's output, in characters: its head and tail are kept, half each.
    max_output_chars: int = 10_000
    #: Bound on a cell's source, in bytes of UTF-8.
    max_code_bytes: int = 1_000_000
    #: Address space of each process in a kernel, and memory of all of them together, in bytes.
    memory_limit_bytes: int = 4096 * _MIB
    #: The longest file that a kernel can write, in bytes.
    file_limit_bytes: int = 256 * _MIB
    #: Bound on a kernel's files, in bytes.
    scratch_limit_bytes: int = 512 * _MIB
    #: What confinement must guarantee for the pool to open: a tier, or guarantees separated by
    #: commas (`sandbox.confinement.tiers`).
    require: str = "none"
    #: Python source whose names cells start with: run once in the template process that kernels
    #: are forked from, or in each kernel where they are started cold.
    startup_code: str = DEFAULT_STARTUP_CODE
    #: How kernels come to be.
    start_method: StartMethod = StartMethod.AUTO
    #: Modules that the template imports, so that importing them in a cell costs nothing.
    preload: tuple[str, ...] = DEFAULT_PRELOAD
    #: Those that it imports where they are installed.
    preload_if_installed: tuple[str, ...] = DEFAULT_PRELOAD_IF_INSTALLED
    #: Variables added to the kernel's environment, which else holds a short allow list only.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Where the pool makes its private directory; the system's temporary folder when None.
    directory: Path | None = None
    #: The interpreter that kernels run.
    python: str = sys.executable

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        self._require_integer("kernels", 1, variable="QUORUM_SANDBOX_KERNELS")
        self._require_integer("spares", 0)
        self._require_integer("minimum", 0, self.kernels)
        for name in ("preload", "preload_if_installed"):
            self._require_module_names(name)
        for name in ("start_timeout_s", "cell_timeout_s", "interrupt_grace_s"):
            self._require_duration(name)
        self._require_integer("max_output_chars", _LEAST_OUTPUT_CHARS, _MOST_OUTPUT_CHARS)
        self._require_integer("max_code_bytes", 1)
        self._require_integer("memory_limit_bytes", _LEAST_MEMORY)
        self._require_integer("file_limit_bytes", _MIB)
        self._require_integer("scratch_limit_bytes", _MIB)

    def _require_integer(
        self, name: str, least: int, most: int | None = None, variable: str | None = None
    ) -> None:
        value = getattr(self, name)
        remedy = f"set PoolSettings.{name}" + (f" or {variable}" if variable else "")
        subject = "pool size" if name == "kernels" else name
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingsError(f"{subject} {value!r}: must be at least {least}; {remedy}")
        if most is not None and value > most:
            raise SettingsError(f"{subject} {value}: must be at most {most}; {remedy}")

    def _require_module_names(self, name: str) -> None:
        for module in getattr(self, name):
            if not all(part.isidentifier() for part in str(module).split(".")):
                raise SettingsError(
                    f"{name} {module!r}: must be the dotted name of a module; set"
                    f" PoolSettings.{name}"
                )

    def _require_duration(self, name: str) -> None:
        value = getattr(self, name)
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise SettingsError(
                f"{name} {value!r}: must be a positive number of seconds; set PoolSettings.{name}"
            )
