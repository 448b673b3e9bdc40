"""Confinement as the pool uses it: a plan for each kernel, and the end of all its processes."""

import math
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from sandbox.confinement.identities import Identities
from sandbox.confinement.maps import sizes_can_be_asked
from sandbox.confinement.paths import DEVICES, readable_paths, writable_paths
from sandbox.confinement.tiers import Guarantee, Tier, tier_of
from sandbox.confinement.warden import Warden, Watch
from sandbox.directory import KernelDirectory
from sandbox.inside.confinement import ConfinementPlan, Mechanism
from sandbox.settings import PoolSettings

#: Processes and threads of one kernel: a pool of workers on a large machine, and some.
_PROCESSES = 256

#: Kernels that share a user get room for each other's processes.
_SHARED_FACTOR = 4

#: Much less than the room that the factor gives comes and goes within this time, in seconds.
_COUNT_LIFE_S = 5.0

#: Brands have so many bits: two pools do not draw the same.
_BRAND_BITS = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one kernel may use."""

    memory_bytes: int
    file_bytes: int
    scratch_bytes: int
    processes: int = _PROCESSES

    @classmethod
    def of(cls, settings: PoolSettings) -> "Bounds":
        """The bounds that a pool's settings name."""
        return cls(
            settings.memory_limit_bytes, settings.file_limit_bytes, settings.scratch_limit_bytes
        )


class Confinement:
    """How the kernels of one pool are confined. Made by `sandbox.confinement.probe`."""

    def __init__(
        self,
        bounds: Bounds,
        python: str,
        mechanisms: frozenset[Mechanism],
        identities: Identities,
        capability: int | None = None,
    ) -> None:
        self.mechanisms = mechanisms
        #: Kept by kernels that could not read their interpreter without; Landlock says what else.
        self._capability = capability
        #: What was seen to hold, by attacks, on this machine.
        self.guarantees: frozenset[Guarantee] = frozenset()
        #: For each guarantee that does not hold, what got through.
        self.failures: Mapping[Guarantee, str] = {}
        #: Why mechanisms are not used.
        self.notes: tuple[str, ...] = ()
        self.bounds = bounds
        self._identities = identities
        self._readable = readable_paths(python)
        #: The warden has the rights of this process.
        self._unshared = not sizes_can_be_asked()
        self._warden: Warden | None = None
        self._numbers = count(1)
        self._plans: dict[str, int] = {}
        self._breaches: dict[int, str] = {}
        self._counted, self._counted_at = 0, -math.inf

    @property
    def tier(self) -> Tier:
        """The highest tier whose guarantees all hold."""
        return tier_of(self.guarantees)

    def note(
        self,
        mechanisms: frozenset[Mechanism],
        failures: Mapping[Guarantee, str],
        notes: tuple[str, ...],
    ) -> None:
        """Keep what the probe has found."""
        self.mechanisms, self.failures, self.notes = mechanisms, failures, notes
        self.guarantees = frozenset(Guarantee) - set(failures)

    def use(self, warden: Warden) -> None:
        """Have this warden watch the kernels to come."""
        self._warden = warden

    def plan(self, directory: KernelDirectory, bounds: Bounds | None = None) -> ConfinementPlan:
        """A plan for a kernel in this folder, which becomes its own with all that is in it.

        From here on the warden watches it; `release` is due.

        Raises:
            OSError: the folder cannot be given to the kernel's user.
        """
        bounds = bounds or self.bounds
        plan = ConfinementPlan(
            home=str(directory.home),
            memory_bytes=bounds.memory_bytes,
            file_bytes=bounds.file_bytes,
            scratch_bytes=bounds.scratch_bytes,
            brand=1 + secrets.randbits(_BRAND_BITS),
            readable=self._readable,
            writable=writable_paths(directory, shared_memory=Mechanism.MOUNTS in self.mechanisms),
            devices=DEVICES,
            mechanisms=tuple(sorted(self.mechanisms)),
            unshared=self._unshared,
        )
        if Mechanism.IDENTITY in self.mechanisms:
            uid = self._identities.draw()
            plan = replace(plan, uid=uid, gid=uid, processes=bounds.processes)
            if Mechanism.LANDLOCK in self.mechanisms:
                plan = replace(plan, capability=self._capability)
            _give(directory, uid)
        else:
            # All of the user's processes count, other kernels' and the server's too.
            plan = replace(plan, processes=self._tasks() + _SHARED_FACTOR * bounds.processes)
        self._watch(plan, directory)
        return plan

    def kill_all(self, plan: ConfinementPlan) -> None:
        """Have all processes of a kernel killed soon: also those that left its session and tree."""
        number = self._plans.get(plan.to_json())
        if number is not None and self._warden is not None:
            self._warden.kill(number)

    async def release(self, plan: ConfinementPlan) -> str:
        """Kill all processes of a kernel and wait for their end; shielded, in bounded time.

        Returns why the warden had ended it already, if it had: see `breach`.
        """
        number = self._plans.pop(plan.to_json(), None)
        if number is None or self._warden is None:
            return ""
        await self._warden.release(number)
        return self._breaches.pop(number, "")

    def breach(self, plan: ConfinementPlan) -> str:
        """Why the warden ended this kernel: what it used too much of; empty if it did not."""
        return self._breaches.get(self._plans.get(plan.to_json(), 0), "")

    def note_breach(self, number: int, reason: str) -> None:
        """Hear from the warden that it has ended a kernel."""
        self._breaches[number] = reason

    def _tasks(self) -> int:
        """Processes and threads of this user, counted not long ago: that reads all of /proc."""
        now = time.monotonic()
        if now - self._counted_at > _COUNT_LIFE_S:
            self._counted_at, self._counted = now, _tasks_of_user()
        return self._counted

    def _watch(self, plan: ConfinementPlan, directory: KernelDirectory) -> None:
        number = next(self._numbers)
        self._plans[plan.to_json()] = number
        if self._warden is not None:
            self._warden.watch(
                number,
                Watch(
                    uid=plan.uid,
                    brand=plan.brand,
                    memory=plan.memory_bytes,
                    scratch=plan.scratch_bytes,
                    file=plan.file_bytes,
                    path=str(directory.path),
                ),
            )


def _give(directory: KernelDirectory, uid: int) -> None:
    # The kernel's user must get through the pool's folder, and see nothing else in it.
    directory.path.parent.chmod(0o711)
    for path in (directory.path, *directory.path.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def _tasks_of_user() -> int:
    """Processes and threads of this user."""
    return sum(
        _threads(Path(entry.path, "status"))
        for entry in os.scandir("/proc")
        if entry.name.isdigit()
    )


def _threads(status: Path) -> int:
    try:
        if status.stat().st_uid != os.getuid():
            return 0
        _, _, rest = status.read_text(encoding="utf-8", errors="replace").partition("\nThreads:")
    except OSError:
        return 0
    return int(rest.split(maxsplit=1)[0]) if rest else 0
