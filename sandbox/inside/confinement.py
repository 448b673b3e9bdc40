"""Confines the process it runs in, by a plan that the pool has made.

Call `confine_early` in a new session, before any thread starts, and `confine_late` once the
kernel's sockets are bound and its threads run. Standard library only.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Self

from sandbox.inside.bpf import Rule
from sandbox.inside.identity import become, drop_capabilities, let_user_inspect, tie_to_parent
from sandbox.inside.landlock import restrict
from sandbox.inside.limits import limit_resources
from sandbox.inside.mounts import make_private_mounts
from sandbox.inside.seccomp import (
    EARLY_RULES,
    LATE_RULES,
    OWNER_RULES,
    TIMES_RULES,
    UNSHARED_RULES,
    filter_code,
    forbid_new_privileges,
    install,
)

#: Of <linux/capability.h>: the right to write all files.
_CAP_DAC_OVERRIDE = 1


class Mechanism(StrEnum):
    """What confines a process, beside limits."""

    MOUNTS = "own mounts"
    """Scratch folder and shared memory in a mount namespace of its own, bounded in size."""
    IDENTITY = "own user"
    """A user id of the kernel's own."""
    LANDLOCK = "Landlock"
    """Rules on files and, in its newer versions, on signals and abstract sockets."""
    SYSTEM_CALLS = "seccomp"
    """A filter of system calls."""


class MechanismError(OSError):
    """A mechanism of the plan failed."""

    def __init__(self, mechanism: Mechanism, error: OSError) -> None:
        super().__init__(error.errno, f"{mechanism}: {error.strerror or error}")
        self.mechanism = mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfinementPlan:
    """How one kernel is confined; it holds no secret. Without options: limits alone."""

    #: The working directory of cells.
    home: str
    #: Address space of each process, in bytes.
    memory_bytes: int
    #: The longest file that can be written, in bytes.
    file_bytes: int
    #: Size of a private `home`, in bytes; only with `mounts`.
    scratch_bytes: int = 0
    #: Processes and threads of this user, all together.
    processes: int | None = None
    #: A number that marks the kernel's processes (`sandbox.inside.limits`).
    brand: int | None = None
    #: The user and group to become.
    uid: int | None = None
    gid: int | None = None
    #: Without shared memory that has no file.
    unshared: bool = False
    #: A capability to keep, and to pass on to programs; only for an own user.
    capability: int | None = None
    #: Paths with all that is below them, for Landlock.
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    mechanisms: tuple[Mechanism, ...] = ()

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that `to_json` wrote.

        Raises:
            ValueError, TypeError: it is none.
        """
        values = json.loads(text)
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"confinement plan: unknown fields {sorted(unknown)}")
        for name in ("readable", "writable", "devices"):
            values[name] = tuple(values.get(name, ()))
        values["mechanisms"] = tuple(map(Mechanism, values.get("mechanisms", ())))
        return cls(**values)


def prepare_filters() -> None:
    """Assemble the filters of all plans: a process that is forked afterwards has them."""
    early = (_early_rules(unshared=unshared) for unshared in (False, True))
    for rules in (*early, *(_late_rules(more) for more in ((), TIMES_RULES, OWNER_RULES))):
        filter_code(rules)


def confine_early(plan: ConfinementPlan, parent: int) -> None:
    """Confine this process for good, but for its sockets.

    Args:
        plan: made by `sandbox.confinement` in the pool's process.
        parent: id of the process that started this one, which dies with it.

    Raises:
        MechanismError: a mechanism of the plan failed; the process must not go on.
        OSError: something else did; neither must it.
    """
    os.umask(0o077)
    linux = sys.platform == "linux"
    if linux:
        tie_to_parent(parent)
        with _step(plan, Mechanism.MOUNTS) as wanted:
            if wanted:
                make_private_mounts(plan.home, *_identity(plan), plan.scratch_bytes)
    os.chdir(plan.home)
    limit_resources(plan.memory_bytes, plan.file_bytes, plan.processes, plan.brand)
    if linux:
        _lose_rights(plan, parent)


def confine_late(plan: ConfinementPlan) -> None:
    """Take sockets from this process and all its threads, and what IPython's start needs of files.

    Raises:
        MechanismError: the filter cannot be set; the process must not go on.
    """
    with _step(plan, Mechanism.SYSTEM_CALLS) as wanted:
        if wanted:
            install(_late_rules(_rules_on_files(plan)), all_threads=True)


@contextmanager
def _step(plan: ConfinementPlan, mechanism: Mechanism) -> Iterator[bool]:
    try:
        yield mechanism in plan.mechanisms
    except OSError as error:
        raise MechanismError(mechanism, error) from error


def _identity(plan: ConfinementPlan) -> tuple[int, int]:
    uid = os.getuid() if plan.uid is None else plan.uid
    gid = os.getgid() if plan.gid is None else plan.gid
    return uid, gid


def _lose_rights(plan: ConfinementPlan, parent: int) -> None:
    with _step(plan, Mechanism.IDENTITY) as wanted:
        if wanted:
            become(*_identity(plan), plan.capability)
        else:
            drop_capabilities()
    let_user_inspect()
    tie_to_parent(parent)
    forbid_new_privileges()
    with _step(plan, Mechanism.LANDLOCK) as wanted:
        if wanted:
            restrict(plan.readable, plan.writable, plan.devices)
    with _step(plan, Mechanism.SYSTEM_CALLS) as wanted:
        if wanted:
            install(_early_rules(unshared=plan.unshared))


def _early_rules(*, unshared: bool) -> tuple[Rule, ...]:
    return (*EARLY_RULES, *UNSHARED_RULES) if unshared else EARLY_RULES


def _late_rules(on_files: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return (*LATE_RULES, *on_files)


def _rules_on_files(plan: ConfinementPlan) -> tuple[Rule, ...]:
    """Rules against what the kernel's user could do to files outside that Landlock does not see."""
    if plan.uid is None:
        return OWNER_RULES
    return TIMES_RULES if plan.capability == _CAP_DAC_OVERRIDE else ()
