"""One row of the hostile table: what is run, what it attacks, and the right outcome."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from sandbox.confinement.tiers import Guarantee
from sandbox.types import CellResult, CellStatus

#: What cells find in their namespace: the canaries, and `attempt`, which tells a breach. It is
#: run before a row's own cells; `{targets}` is a literal of what `Canaries.targets` holds.
PRELUDE = """\
import ctypes, os, resource, signal, socket, subprocess, sys, threading, time

targets = {targets}

def attempt(name, action):
    try:
        result = action()
    except BaseException as error:
        print("refused:", name, type(error).__name__)
    else:
        print("BREACH:", name, repr(result)[:200])

def system_call(number, *arguments):
    if os.uname().machine != "x86_64":
        raise OSError("numbers are those of x86-64")
    library = ctypes.CDLL(None, use_errno=True)
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = library.syscall(ctypes.c_long(number), *values)
    if result == -1:
        raise OSError(ctypes.get_errno(), "system call")
    return result
"""

BREACH = "BREACH:"


class Then(Enum):
    """What must be true of the lease when the row's cells have run."""

    STATE_KEPT = auto()
    """The kernel lives, with the variables it had."""
    STATE_LOST = auto()
    """The kernel was replaced, and a result said so."""
    EITHER = auto()
    """Either of the two, as the results say."""


Judge = Callable[[list[CellResult]], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """A hostile input.

    Each runs in a lease of its own after `PRELUDE`; whatever it does, all canaries are unharmed, no
    process of it is left, and the next lease is served at once and clean.
    """

    name: str
    #: The right outcome, in words and as a predicate on the results of the cells.
    outcome: str
    judge: Judge
    cells: tuple[str, ...]
    #: What must hold for the outcome; nothing where any pool must stand it.
    needs: frozenset[Guarantee] = field(default_factory=frozenset)
    then: Then = Then.STATE_KEPT
    #: Of each cell, in seconds.
    timeout_s: float = 10.0


def ran(results: list[CellResult]) -> bool:
    """Each cell ran to its end, and no attempt in it got through."""
    return all(result.status is CellStatus.OK for result in results) and unbreached(results)


def unbreached(results: list[CellResult]) -> bool:
    """However the cells ended, no attempt in them got through."""
    return not any(BREACH in result.output for result in results)


def refused(results: list[CellResult]) -> bool:
    """Each cell ran to its end, something was refused, and nothing got through."""
    return ran(results) and any("refused:" in result.output for result in results)


def stopped(results: list[CellResult]) -> bool:
    """The last cell was stopped at its time-out, and soon after it."""
    return results[-1].status is CellStatus.TIMEOUT and unbreached(results)


def died(results: list[CellResult]) -> bool:
    """The last cell ended its kernel."""
    return results[-1].status is CellStatus.DIED and unbreached(results)


def raised(*names: str) -> Judge:
    """The last cell raised one of these errors."""

    def judge(results: list[CellResult]) -> bool:
        return results[-1].error_name in names and unbreached(results)

    return judge


def shows(*parts: str) -> Judge:
    """The last cell ran to its end and its output has each of these."""

    def judge(results: list[CellResult]) -> bool:
        last = results[-1]
        return last.status is CellStatus.OK and all(part in last.output for part in parts)

    return judge
