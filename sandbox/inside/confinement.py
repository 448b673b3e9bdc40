"""Confines the process it runs in, by a plan that the pool has made.

Call `confine_early` in a new session, before any thread starts, and `confine_late` once the
kernel's sockets are bound and its threads run. Standard library only.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass, fields
from typing import Self

from sandbox.inside.identity import become, drop_capabilities, let_user_inspect, tie_to_parent
from sandbox.inside.landlock import restrict
from sandbox.inside.limits import limit_resources
from sandbox.inside.mounts import make_private_mounts
from sandbox.inside.seccomp import EARLY_RULES, LATE_RULES, forbid_new_privileges, install


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
    #: Paths with all that is below them, for Landlock.
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    #: The mechanisms to use.
    landlock: bool = False
    system_calls: bool = False
    mounts: bool = False

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
        paths = {name: tuple(values.get(name, ())) for name in ("readable", "writable", "devices")}
        return cls(**{**values, **paths})


def confine_early(plan: ConfinementPlan, parent: int) -> None:
    """Confine this process for good, but for its sockets.

    Args:
        plan: made by `sandbox.confinement` in the pool's process.
        parent: id of the process that started this one, which dies with it.

    Raises:
        OSError: a mechanism of the plan failed; the process must not go on.
    """
    os.umask(0o077)
    linux = sys.platform == "linux"
    if linux:
        tie_to_parent(parent)
        if plan.mounts:
            uid, gid = _identity(plan)
            make_private_mounts(plan.home, uid, gid, plan.scratch_bytes)
    os.chdir(plan.home)
    limit_resources(plan.memory_bytes, plan.file_bytes, plan.processes, plan.brand)
    if linux:
        _lose_rights(plan, parent)


def confine_late(plan: ConfinementPlan) -> None:
    """Take sockets from this process and all its threads.

    Raises:
        OSError: the filter cannot be set; the process must not go on.
    """
    if plan.system_calls:
        install(LATE_RULES, all_threads=True)


def _identity(plan: ConfinementPlan) -> tuple[int, int]:
    uid = os.getuid() if plan.uid is None else plan.uid
    gid = os.getgid() if plan.gid is None else plan.gid
    return uid, gid


def _lose_rights(plan: ConfinementPlan, parent: int) -> None:
    if plan.uid is not None:
        become(*_identity(plan))
    drop_capabilities()
    let_user_inspect()
    tie_to_parent(parent)
    forbid_new_privileges()
    if plan.landlock:
        restrict(plan.readable, plan.writable, plan.devices)
    if plan.system_calls:
        install(EARLY_RULES)
